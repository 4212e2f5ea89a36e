//! What a recorded step starts from: images, objects, sampled anchors and regions; and what follows from these alone.

use super::compare_ids;
use crate::audit::parity::recording::Recording;
use crate::audit::parity::tolerance::{EXACT, of_detect_step};
use crate::base::{Real, Result};
use crate::models::detect::boxes::{BBox, BOX_WEIGHTS, RPN_WEIGHTS, encode, iou};
use crate::models::detect::mask_target::mask_target;
use crate::models::detect::matcher::Label;
use crate::models::detect::{
    AnchorSample, Denominators, Detector, DetectorConfig, ImageSamples, RegionObject, RegionSample,
};
use ndarray::{Array2, Array4, ArrayD, ArrayView2, Ix4};

/// Far above every coordinate of a box, so that no region has more samples than can be counted.
const FARTHEST: f64 = 16384.0;

pub(super) struct Given<F> {
    pub(super) images: Array4<F>,
    /// Image by image.
    pub(super) samples: Vec<ImageSamples<F>>,
    pub(super) denominators: Denominators,
    objects: Vec<Object<F>>,
}

/// An object of an image.
struct Object<F> {
    image: usize,
    bbox: BBox<F>,
    class: usize,
    /// `[H, W]`.
    mask: Array2<bool>,
}

impl<F: Real> Given<F> {
    pub(super) fn read(recording: &mut Recording<F>, c: &DetectorConfig) -> Result<Self> {
        let ([height, width], batch) = (c.img_size, recording.whole("config.batch")?);
        let images = recording.input("images", &[batch, c.in_chans, height, width])?;
        let images = images.into_dimensionality::<Ix4>().expect("four axes, just checked");
        let objects = objects(recording, c, batch)?;
        let mut samples: Vec<_> =
            (0..batch).map(|_| ImageSamples { anchors: Vec::new(), regions: Vec::new() }).collect();
        for (image, sample) in anchors(recording, c, &objects, batch)? {
            samples[image].anchors.push(sample);
        }
        let regions = regions(recording, c, &objects, batch)?;
        let denominators = Denominators {
            anchors: batch * c.rpn_batch_per_image,
            regions: regions.len(),
            foreground: regions.iter().filter(|(_, region)| region.object.is_some()).count(),
        };
        for (image, sample) in regions {
            samples[image].regions.push(sample);
        }
        Ok(Self { images, samples, denominators, objects })
    }

    /// Anchors, matches and targets: all that the network has no part in.
    pub(super) fn compare_targets(&self, recording: &mut Recording<F>, model: &Detector<F>) -> Result<()> {
        let (config, anchors) = (&model.config, &model.anchors.boxes);
        let numbers = |boxes: &[BBox<F>]| boxes.iter().flatten().map(|x| x.f64()).collect::<Vec<_>>();
        let mut compare = |key: &str, boxes: &[BBox<F>]| {
            recording.compare(key, &[boxes.len(), 4], numbers(boxes), of_detect_step::<F>(key, 0.0))
        };
        compare("anchors", anchors)?;
        let of_anchors = self.samples.iter().flat_map(|image| &image.anchors);
        let target = |sample: &AnchorSample<F>| {
            sample.object.map(|object| encode(anchors[sample.anchor], object, RPN_WEIGHTS))
        };
        compare("rpn_targets", &of_anchors.filter_map(target).collect::<Vec<_>>())?;
        let regions: Vec<&RegionSample<F>> = self.samples.iter().flat_map(|image| &image.regions).collect();
        let with_object = regions.iter().filter_map(|region| Some((region, region.object.as_ref()?)));
        let targets =
            with_object.clone().map(|(region, object)| encode(region.bbox, object.bbox, BOX_WEIGHTS));
        compare("box_targets", &targets.collect::<Vec<_>>())?;

        let shape = [self.images.dim().0, anchors.len()];
        let (labels, objects): (Vec<_>, Vec<_>) =
            (0..shape[0]).flat_map(|image| self.matches(image, model)).unzip();
        recording.compare("rpn_match_label", &shape, labels, EXACT)?;
        compare_ids(recording, "rpn_match_gt", &shape, objects)?;
        let levels = regions.iter().map(|region| Some(config.level_rule().level(region.bbox)));
        compare_ids(recording, "roi_level", &[regions.len()], levels)?;
        let foreground = (0..regions.len()).filter(|&r| regions[r].object.is_some()).map(Some);
        compare_ids(recording, "fg", &[self.denominators.foreground], foreground)?;
        if config.mask_head {
            let shape = [self.denominators.foreground, config.mask_side(), config.mask_side()];
            let cells = with_object.flat_map(|(_, object)| object.mask.iter().map(|x| x.f64()));
            recording.compare("mask_targets", &shape, cells.collect::<Vec<_>>(), EXACT)?;
        }
        Ok(())
    }

    /// What each anchor is to an image's objects: 1, 0 or, if it is neither, −1; and the object that it overlaps most.
    fn matches(&self, image: usize, model: &Detector<F>) -> Vec<(f64, Option<usize>)> {
        let (anchors, of_image) = (&model.anchors.boxes, |&o: &usize| self.objects[o].image == image);
        let objects: Vec<usize> = (0..self.objects.len()).filter(of_image).collect();
        let overlap = |object: usize, anchor: usize| iou(self.objects[objects[object]].bbox, anchors[anchor]);
        let matches = model.config.anchor_matcher().matches(objects.len(), anchors.len(), overlap);
        let label = |label: Label| match label {
            Label::Positive => 1.0,
            Label::Negative => 0.0,
            Label::Ignored => -1.0,
        };
        let object =
            |object: Option<usize>, quality: F| object.filter(|_| quality > F::zero()).map(|o| objects[o]);
        matches.into_iter().map(|m| (label(m.label), object(m.object, m.quality))).collect()
    }
}

/// The number of rows of an input.
fn rows<F: Real>(recording: &Recording<F>, key: &str) -> usize {
    recording.tensor(key).and_then(|tensor| tensor.shape().first().copied()).unwrap_or(0)
}

fn boxes<F: Real>(recording: &mut Recording<F>, key: &str, n: usize) -> Result<Vec<BBox<F>>> {
    let boxes: ArrayD<F> = recording.input(key, &[n, 4])?;
    if let Some(x) = boxes.iter().find(|x| x.f64().abs() > FARTHEST) {
        return Err(recording.wrong_tensor(key, format!("pixels up to {FARTHEST}"), x));
    }
    Ok(boxes.as_slice().expect("in standard layout").as_chunks().0.to_vec())
}

fn objects<F: Real>(
    recording: &mut Recording<F>,
    c: &DetectorConfig,
    batch: usize,
) -> Result<Vec<Object<F>>> {
    let n = rows(recording, "gt_image");
    let images = recording.input_ids("gt_image", &[n], batch)?;
    let boxes = boxes(recording, "gt_boxes", n)?;
    let classes = recording.input_ids("gt_classes", &[n], c.num_classes)?;
    let [height, width] = c.img_size;
    let masks = recording.input_ids("gt_masks", &[n, height, width], 2)?;
    let mask = |cells: &[usize]| {
        let bits = cells.iter().map(|&bit| bit == 1).collect();
        Array2::from_shape_vec((height, width), bits).expect("as many pixels, just checked")
    };
    let masks = masks.chunks_exact(height * width).map(mask);
    let all = images.into_iter().zip(boxes).zip(classes).zip(masks);
    Ok(all.map(|(((image, bbox), class), mask)| Object { image, bbox, class, mask }).collect())
}

/// The sampled anchors, each with its image.
fn anchors<F: Real>(
    recording: &mut Recording<F>,
    c: &DetectorConfig,
    objects: &[Object<F>],
    batch: usize,
) -> Result<Vec<(usize, AnchorSample<F>)>> {
    let n = rows(recording, "rpn_image");
    let pixels: usize = c.map_sizes().iter().map(|[height, width]| height * width).sum();
    let images = ascending(recording, "rpn_image", n, batch)?;
    let numbers = recording.input_ids("rpn_anchor", &[n], pixels * c.anchor_ratios.len())?;
    let labels = recording.input_ids("rpn_label", &[n], 2)?;
    let of = recording.input_ids_or_none("rpn_gt", &[n], objects.len())?;
    if labels.iter().zip(&of).any(|(&label, object)| (label == 1) != object.is_some()) {
        return Err(recording.wrong_tensor("rpn_gt", "an object where `rpn_label` is 1, else −1", "others"));
    }
    let sample = |(anchor, object): (usize, Option<usize>)| AnchorSample {
        anchor,
        object: object.map(|o| objects[o].bbox),
    };
    Ok(images.into_iter().zip(numbers.into_iter().zip(of).map(sample)).collect())
}

/// The sampled regions, each with its image.
fn regions<F: Real>(
    recording: &mut Recording<F>,
    c: &DetectorConfig,
    objects: &[Object<F>],
    batch: usize,
) -> Result<Vec<(usize, RegionSample<F>)>> {
    let n = rows(recording, "roi_image");
    let images = ascending(recording, "roi_image", n, batch)?;
    let boxes = boxes(recording, "rois", n)?;
    let classes = recording.input_ids("roi_class", &[n], c.num_classes + 1)?;
    let of = recording.input_ids_or_none("roi_gt", &[n], objects.len())?;
    let class = |object: &Option<usize>| object.map_or(c.num_classes, |o| objects[o].class);
    if n == 0 || classes.iter().zip(&of).any(|(&found, object)| found != class(object)) {
        let expected = "the class of each region's object, of one region at least";
        return Err(recording.wrong_tensor("roi_class", expected, "others"));
    }
    let sample = |(bbox, object): (BBox<F>, Option<usize>)| {
        let object = object.map(|o| {
            let Object { class, bbox: of_object, ref mask, .. } = objects[o];
            let cells = covered(mask.view(), bbox, c);
            RegionObject { class, bbox: of_object, mask: cells }
        });
        RegionSample { bbox, object }
    };
    Ok(images.into_iter().zip(boxes.into_iter().zip(of).map(sample)).collect())
}

fn covered<F: Real>(mask: ArrayView2<bool>, bbox: BBox<F>, c: &DetectorConfig) -> Array2<F> {
    mask_target(mask, bbox, c.mask_side())
}

/// The images of samples, which come image by image.
fn ascending<F: Real>(recording: &mut Recording<F>, key: &str, n: usize, batch: usize) -> Result<Vec<usize>> {
    let images = recording.input_ids(key, &[n], batch)?;
    if images.is_sorted() {
        return Ok(images);
    }
    Err(recording.wrong_tensor(key, "image by image", "another order"))
}
