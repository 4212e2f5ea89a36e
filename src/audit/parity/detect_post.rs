//! The three steps of a detector's inference, each from given outputs of its heads: proposals, detections, pasted masks.

use super::recording::Recording;
use super::tolerance::{EXACT, Tolerance, relative};
use crate::base::{Real, Result};
use crate::models::detect::anchors::{AnchorConfig, anchors};
use crate::models::detect::boxes::{BBox, BOX_WEIGHTS, RPN_WEIGHTS, resized};
use crate::models::detect::detections::{DetectionConfig, detections};
use crate::models::detect::paste::{paste, probabilities};
use crate::models::detect::proposals::{ProposalConfig, proposals};
use ndarray::{Array2, ArrayD, Ix2};
use serde_json::{Value, json};

/// The finest level, of stride 4.
const FIRST_LEVEL: usize = 2;

pub(super) fn replay<F: Real>(recording: &mut Recording<F>) -> Result<()> {
    for (key, ours) in [
        ("config.rpn_weights", json!(RPN_WEIGHTS)),
        ("config.box_weights", json!(BOX_WEIGHTS)),
        ("config.mask_threshold", json!(0.5)),
    ] {
        recording.only(key, &ours)?;
    }
    let image = size(recording, "config.img_size")?;
    propose(recording, image)?;
    detect(recording, image)?;
    masks(recording, image)
}

fn tolerance<F: Real>() -> Tolerance {
    relative::<F>(1e-10, 1e-5).or(if F::NAME == "f64" { 1e-14 } else { 0.0 })
}

/// `[H, W]` of an image.
fn size<F: Real>(recording: &Recording<F>, key: &str) -> Result<[usize; 2]> {
    let size = recording.pair(key)?;
    if size.contains(&0) { Err(recording.wrong(key, "pixels", "none")) } else { Ok(size) }
}

/// The shape of an input of so many axes; of regions or boxes, the first, there may be none.
fn shape<F: Real, const N: usize>(recording: &Recording<F>, key: &str) -> Result<[usize; N]> {
    let shape = recording.tensor(key).map(|tensor| tensor.shape().to_vec()).unwrap_or_default();
    let fitting = <[usize; N]>::try_from(shape.as_slice()).ok().filter(|shape| !shape[1..].contains(&0));
    let expected = format!("{N} axes, none but the first empty");
    fitting.ok_or_else(|| recording.wrong_tensor(key, expected, format!("{shape:?}")))
}

fn matrix<F: Real>(array: ArrayD<F>) -> Array2<F> {
    array.into_dimensionality::<Ix2>().expect("two axes, just checked")
}

fn boxes<F: Real>(recording: &mut Recording<F>, key: &str) -> Result<Vec<BBox<F>>> {
    let [n, _] = shape(recording, key)?;
    let boxes = recording.input(key, &[n, 4])?;
    Ok(boxes.as_slice().expect("in standard layout").as_chunks().0.to_vec())
}

fn numbers<F: Real>(recording: &Recording<F>, key: &str) -> Result<Vec<f64>> {
    let positive = |value: &Value| value.as_f64().filter(|number| (1e-6..1e6).contains(number));
    let numbers: Option<Vec<f64>> = recording.list(key)?.iter().map(positive).collect();
    numbers.ok_or_else(|| recording.wrong(key, "positive numbers", "others"))
}

/// The threshold of an overlap or of a score.
fn threshold<F: Real>(recording: &Recording<F>, key: &str) -> Result<f64> {
    let threshold = recording.number(key)?;
    if (0.0..=1.0).contains(&threshold) {
        Ok(threshold)
    } else {
        Err(recording.wrong(key, "from 0 to 1", threshold))
    }
}

fn compare<F: Real>(
    recording: &mut Recording<F>,
    key: &str,
    row: &[usize],
    found: impl IntoIterator<Item = F>,
) -> Result<()> {
    recording.compare_rows(key, row, found.into_iter().map(F::f64).collect(), tolerance::<F>())
}

fn compare_ids<F: Real>(
    recording: &mut Recording<F>,
    key: &str,
    ids: impl IntoIterator<Item = usize>,
) -> Result<()> {
    recording.compare_rows(key, &[], ids.into_iter().map(|id| id as f64).collect(), EXACT)
}

fn propose<F: Real>(recording: &mut Recording<F>, image: [usize; 2]) -> Result<()> {
    let config = AnchorConfig {
        sizes: numbers(recording, "config.anchor_sizes")?,
        ratios: numbers(recording, "config.anchor_ratios")?,
        offset: recording.number("config.anchor_offset")?,
    };
    let (shapes, levels) = (config.ratios.len(), config.sizes.len());
    if levels > 16 {
        return Err(recording.wrong("config.anchor_sizes", "at most 16 levels", levels));
    }
    let (mut grids, mut logits, mut deltas) = (Vec::new(), Vec::new(), Vec::new());
    for level in (0..levels).map(|level| level + FIRST_LEVEL) {
        let key = format!("objectness.{level}");
        let [rows, columns, _] = shape(recording, &key)?;
        grids.push([rows, columns]);
        logits.push(recording.input(&key, &[rows, columns, shapes])?);
        deltas.push(recording.input(&format!("rpn_deltas.{level}"), &[rows, columns, 4 * shapes])?);
    }
    let strides: Vec<_> = (0..levels).map(|level| 1 << (level + FIRST_LEVEL)).collect();
    let flat = |levels: &[ArrayD<F>]| {
        levels.iter().map(|level| level.iter().copied().collect::<Vec<F>>()).collect::<Vec<_>>()
    };
    let (logits, deltas) = (flat(&logits), flat(&deltas));
    let found = proposals(
        &logits.iter().map(Vec::as_slice).collect::<Vec<_>>(),
        &deltas.iter().map(Vec::as_slice).collect::<Vec<_>>(),
        &anchors(&grids, &strides, &config),
        image,
        &ProposalConfig {
            pre_nms: recording.whole("config.pre_nms")?,
            post_nms: recording.whole("config.post_nms")?,
            nms: threshold(recording, "config.rpn_nms")?,
        },
    );
    compare(recording, "proposals", &[4], found.iter().flat_map(|p| p.bbox))?;
    compare(recording, "proposal_logits", &[], found.iter().map(|p| p.logit))?;
    compare_ids(recording, "proposal_anchor", found.iter().map(|p| p.anchor))
}

fn detect<F: Real>(recording: &mut Recording<F>, image: [usize; 2]) -> Result<()> {
    let (regions, classes) = (boxes(recording, "rois")?, recording.whole("config.num_classes")?);
    let logits = matrix(recording.input("class_logits", &[regions.len(), classes + 1])?);
    let deltas = matrix(recording.input("box_deltas", &[regions.len(), 4 * classes])?);
    let config = DetectionConfig {
        score_threshold: threshold(recording, "config.score_threshold")?,
        nms: threshold(recording, "config.box_nms")?,
        max_detections: recording.whole("config.max_detections")?,
    };
    let found = detections(&regions, logits.view(), deltas.view(), image, &config);
    compare(recording, "det_boxes", &[4], found.iter().flat_map(|d| d.bbox))?;
    compare(recording, "det_scores", &[], found.iter().map(|d| d.score))?;
    compare_ids(recording, "det_classes", found.iter().map(|d| d.class))?;
    compare_ids(recording, "det_roi", found.iter().map(|d| d.region))
}

fn masks<F: Real>(recording: &mut Recording<F>, image: [usize; 2]) -> Result<()> {
    let boxes = boxes(recording, "mask_boxes")?;
    let (n, classes) = (boxes.len(), recording.whole("config.num_classes")?);
    let of_class = recording.input_ids("mask_classes", &[n], classes)?;
    let [_, height, width, _] = shape(recording, "mask_logits")?;
    let logits = recording.input("mask_logits", &[n, height, width, classes])?;
    let logits = logits.into_shape_with_order((n * height * width, classes)).expect("the same elements");
    let cells = probabilities(logits.view(), &of_class);
    recording.compare("mask_probs", &[n, height, width], cells.iter().map(|p| p.f64()), tolerance::<F>())?;
    let mask = |n: usize| cells.row(n).into_shape_with_order((height, width)).expect("the same elements");

    let shape = [n, image[0], image[1]];
    if recording.promised("masks_soft", &shape)? && recording.promised("masks", &shape)? {
        let pasted: Vec<_> = boxes.iter().enumerate().map(|(n, &bbox)| paste(mask(n), bbox, image)).collect();
        let soft = pasted.iter().flat_map(|pasted| pasted.soft(image));
        recording.compare("masks_soft", &shape, soft.map(F::f64), tolerance::<F>())?;
        let bits = pasted.iter().flat_map(|pasted| pasted.bits(image));
        recording.compare("masks", &shape, bits.map(|bit| f64::from(u8::from(bit))), EXACT)?;
    }

    let out = size(recording, "config.out_size")?;
    let boxes: Vec<_> = boxes.into_iter().map(|bbox| resized(bbox, image, out)).collect();
    compare(recording, "out_boxes", &[4], boxes.iter().copied().flatten())?;
    let shape = [n, out[0], out[1]];
    if recording.promised("out_masks", &shape)? {
        let bits = boxes.iter().enumerate().flat_map(|(n, &bbox)| paste(mask(n), bbox, out).bits(out));
        recording.compare("out_masks", &shape, bits.map(|bit| f64::from(u8::from(bit))), EXACT)?;
    }
    Ok(())
}
