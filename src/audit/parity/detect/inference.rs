//! From the pixels to the masks, with the recorded weights.

use crate::audit::parity::recording::Recording;
use crate::audit::parity::tolerance::{EXACT, of_detect_step};
use crate::base::{Real, Result};
use crate::exec::{Backend, Exec};
use crate::models::detect::Detector;
use crate::models::detect::boxes::BBox;
use crate::models::detect::paste::paste;
use crate::models::vit::ForwardOptions;
use ndarray::ArrayView4;

/// Compares `infer.*`.
pub(super) fn compare<F: Real>(
    recording: &mut Recording<F>,
    model: &Detector<F>,
    images: ArrayView4<F>,
) -> Result<()> {
    let (config, cx) = (&model.config, &mut Exec::new(Backend::default()));
    let forward = model.forward(images, &ForwardOptions::inference(), cx);
    let proposals = model.proposals(&forward.rpn, &config.proposals());
    let all = || proposals.iter().flatten();
    let (mut scores, mut deltas) = (Vec::new(), Vec::new());
    for (image, proposals) in proposals.iter().enumerate().filter(|(_, proposals)| !proposals.is_empty()) {
        let regions: Vec<BBox<F>> = proposals.iter().map(|proposal| proposal.bbox).collect();
        let output = model.classify(&forward.maps, image, &regions, cx);
        scores.extend(output.scores);
        deltas.extend(output.deltas);
    }
    let mut numbers = |key: &str, row: &[usize], found: Vec<F>| {
        let found = found.into_iter().map(F::f64).collect();
        recording.compare_rows(key, row, found, of_detect_step::<F>(key, 0.0))
    };
    numbers("infer.proposals", &[4], all().flat_map(|proposal| proposal.bbox).collect())?;
    numbers("infer.proposal_logits", &[], all().map(|proposal| proposal.logit).collect())?;
    numbers("infer.class_logits", &[config.num_classes + 1], scores)?;
    numbers("infer.box_deltas", &[4 * config.num_classes], deltas)?;

    let found = model.infer(images, cx);
    let all_found = || found.iter().flatten();
    numbers("infer.det_boxes", &[4], all_found().flat_map(|found| found.detection.bbox).collect())?;
    numbers("infer.det_scores", &[], all_found().map(|found| found.detection.score).collect())?;

    let mut ids = |key: &str, found: Vec<usize>| {
        recording.compare_rows(key, &[], found.into_iter().map(|id| id as f64).collect(), EXACT)
    };
    ids("infer.proposal_anchor", all().map(|proposal| proposal.anchor).collect())?;
    ids("infer.proposal_image", images_of(&proposals))?;
    ids("infer.det_classes", all_found().map(|found| found.detection.class).collect())?;
    ids("infer.det_image", images_of(&found))?;
    // Proposals are counted through all images.
    let mut first = 0;
    let rows = found.iter().zip(&proposals).flat_map(|(found, proposals)| {
        first += proposals.len();
        let before = first - proposals.len();
        found.iter().map(move |found| before + found.detection.region)
    });
    ids("infer.det_proposal", rows.collect())?;
    if config.mask_head {
        let masks = || all_found().filter_map(|found| Some((found.detection.bbox, found.mask.as_ref()?)));
        let cells = masks().flat_map(|(_, mask)| mask.iter().map(|x| x.f64())).collect();
        let (side, [height, width]) = (config.mask_side(), config.img_size);
        let key = "infer.mask_probs";
        recording.compare_rows(key, &[side, side], cells, of_detect_step::<F>(key, 0.0))?;
        let pasted =
            masks().flat_map(|(bbox, mask)| paste(mask.view(), bbox, config.img_size).bits(config.img_size));
        let bits = pasted.map(|bit| f64::from(u8::from(bit))).collect();
        recording.compare_rows("infer.masks", &[height, width], bits, EXACT)?;
    }
    Ok(())
}

/// The image of each of these.
fn images_of<T>(of_images: &[Vec<T>]) -> Vec<usize> {
    of_images.iter().enumerate().flat_map(|(image, all)| all.iter().map(move |_| image)).collect()
}
