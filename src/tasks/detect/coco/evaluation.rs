//! From matches to figures.
//!
//! Detections of a class, of all images, in order of their scores: after the n surest, tp of which found an object,
//!
//! ```text
//! recall    r(n) = tp / objects
//! precision p(n) = tp / (tp + fp),  then made to fall: p(n) ← max p(m) over m ≥ n
//! AP = mean over the recalls R = 0, 0.01, …, 1 of p at the first n with r(n) ≥ R, and 0 where none has
//! AR = mean over the overlaps of the recall after all detections
//! ```
//!
//! and both are means over overlaps and over the classes that have objects (Lin et al. 2014, as in `pycocotools`).

use std::collections::{BTreeMap, BTreeSet};

use ndarray::{Array2, Array4, Array5, Axis, s};
use rayon::prelude::*;

use super::matching::Group;
use super::protocol::{RECALLS, recalls};
use super::{ImageResult, Overlap, Protocol};

/// What [`Evaluation::figures`] are called, in COCO's order: precision over all overlaps, at 0.5 and at 0.75, and by size; recall
/// for each number of detections, and by size.
pub const FIGURES: [&str; 12] = [
    "ap",
    "ap50",
    "ap75",
    "ap_small",
    "ap_medium",
    "ap_large",
    "ar1",
    "ar10",
    "ar100",
    "ar_small",
    "ar_medium",
    "ar_large",
];

/// Precision and recall; NaN for a class that has no object of a size.
#[derive(Clone, Debug)]
pub struct Evaluation {
    /// How it was judged.
    pub protocol: Protocol,
    /// `[overlaps, recalls, classes, sizes, numbers of detections]`.
    pub precision: Array5<f64>,
    /// The score of the detection at which each precision is read; 0 where none is.
    pub scores: Array5<f64>,
    /// `[overlaps, classes, sizes, numbers of detections]`.
    pub recall: Array4<f64>,
}

/// What became of a detection.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Right,
    Wrong,
    /// In a crowd, or of another size.
    Ignored,
}

/// One image's detections of a class.
pub(super) struct Judged {
    /// The surest first.
    pub(super) scores: Vec<f64>,
    /// Of each size `[overlaps, detections]`.
    pub(super) verdicts: [Array2<Verdict>; 4],
    /// How many objects there are of each size.
    pub(super) objects: [usize; 4],
}

/// Judges the detections of all images; the order of the images does not matter.
///
/// # Panics
/// If a class is not below `classes`, or a mask is missing where masks are compared or has another size than its image's others.
#[must_use]
pub fn evaluate(images: &[ImageResult], classes: usize, overlap: Overlap, protocol: &Protocol) -> Evaluation {
    let mut ordered: Vec<&ImageResult> = images.iter().collect();
    ordered.sort_by_key(|image| image.id);
    let judged: Vec<Vec<(usize, Judged)>> =
        ordered.par_iter().map(|image| judge(image, overlap, protocol)).collect();
    let mut of_class: BTreeMap<usize, Vec<Judged>> = BTreeMap::new();
    for (class, judged) in judged.into_iter().flatten() {
        assert!(class < classes, "class {class} of {classes}");
        of_class.entry(class).or_default().push(judged);
    }
    let [overlaps, counts] = [protocol.iou_thresholds.len(), protocol.max_dets.len()];
    let mut evaluation = Evaluation {
        protocol: protocol.clone(),
        precision: Array5::from_elem((overlaps, RECALLS, classes, 4, counts), f64::NAN),
        scores: Array5::from_elem((overlaps, RECALLS, classes, 4, counts), f64::NAN),
        recall: Array4::from_elem((overlaps, classes, 4, counts), f64::NAN),
    };
    for (class, images) in of_class {
        for (m, &most) in protocol.max_dets.iter().enumerate() {
            evaluation.accumulate(class, &images, (m, most));
        }
    }
    evaluation
}

/// Matches the detections of each class that an image has.
pub(super) fn judge(image: &ImageResult, overlap: Overlap, protocol: &Protocol) -> Vec<(usize, Judged)> {
    let found = image.detections.iter().map(|found| found.class);
    let classes: BTreeSet<usize> = image.objects.iter().map(|object| object.class).chain(found).collect();
    let most = protocol.max_dets.iter().copied().max().unwrap_or(0);
    let of_class = |class: usize| {
        let group = Group::new(image, class, overlap, most);
        let areas: Vec<f64> = group.detections.iter().map(|found| overlap.area(found)).collect();
        let mut objects = [0; 4];
        let verdicts = std::array::from_fn(|size| {
            let [least, largest] = protocol.area_ranges[size];
            let outside = |area: f64| area < least || area > largest;
            let ignored: Vec<bool> =
                group.objects.iter().map(|object| object.crowd || outside(object.area)).collect();
            objects[size] = ignored.iter().filter(|&&ignored| !ignored).count();
            let verdict = |(object, &area): (Option<usize>, &f64)| match object {
                Some(object) if ignored[object] => Verdict::Ignored,
                Some(_) => Verdict::Right,
                None if outside(area) => Verdict::Ignored,
                None => Verdict::Wrong,
            };
            let matched = protocol.iou_thresholds.iter().map(|&threshold| group.matched(&ignored, threshold));
            let verdicts =
                matched.flat_map(|found| found.into_iter().zip(&areas).map(verdict).collect::<Vec<_>>());
            let shape = (protocol.iou_thresholds.len(), areas.len());
            Array2::from_shape_vec(shape, verdicts.collect()).expect("a verdict for each detection")
        });
        let scores = group.detections.iter().map(|found| found.score).collect();
        (class, Judged { scores, verdicts, objects })
    };
    classes.into_iter().map(of_class).collect()
}

impl Evaluation {
    /// Precision and recall of a class with the `most` surest detections of each image, which is number `m` of the protocol.
    fn accumulate(&mut self, class: usize, images: &[Judged], (m, most): (usize, usize)) {
        let of_image = |image: usize| (0..images[image].scores.len().min(most)).map(move |at| (image, at));
        let mut order: Vec<(usize, usize)> = (0..images.len()).flat_map(of_image).collect();
        order.sort_by(|a, b| images[b.0].scores[b.1].total_cmp(&images[a.0].scores[a.1]));
        let scores: Vec<f64> = order.iter().map(|&(image, at)| images[image].scores[at]).collect();
        for size in 0..self.protocol.area_ranges.len() {
            let objects: usize = images.iter().map(|image| image.objects[size]).sum();
            if objects == 0 {
                continue;
            }
            for t in 0..self.protocol.iou_thresholds.len() {
                let verdicts = order.iter().map(|&(image, at)| (images[image].verdicts[size][[t, at]], 1.0));
                let (read, recall) = curve(verdicts, &scores, objects as f64);
                for (r, (precision, score)) in read.into_iter().enumerate() {
                    self.precision[[t, r, class, size, m]] = precision;
                    self.scores[[t, r, class, size, m]] = score;
                }
                self.recall[[t, class, size, m]] = recall;
            }
        }
    }

    /// The twelve figures that COCO reports, in the order of [`FIGURES`]; none where no class has objects of the size, or the
    /// protocol lacks the overlap. As in `pycocotools` the first is taken at 100 detections or not at all.
    #[must_use]
    pub fn figures(&self) -> [Option<f64>; 12] {
        let last = self.protocol.max_dets.len() - 1;
        let at_100 = self.protocol.max_dets.iter().position(|&most| most == 100);
        let ap = |overlap: Option<usize>, size: usize| {
            let precision = self.precision.slice(s![.., .., .., size, last]);
            match overlap {
                Some(t) => mean(precision.index_axis(Axis(0), t).iter()),
                None => mean(precision.iter()),
            }
        };
        let ar = |size: usize, m: usize| mean(self.recall.slice(s![.., .., size, m]).iter());
        let at = |iou: f64| self.overlap(iou).and_then(|t| ap(Some(t), 0));
        [
            at_100.and_then(|m| mean(self.precision.slice(s![.., .., .., 0, m]).iter())),
            at(0.5),
            at(0.75),
            ap(None, 1),
            ap(None, 2),
            ap(None, 3),
            ar(0, 0),
            ar(0, 1),
            ar(0, 2),
            ar(1, last),
            ar(2, last),
            ar(3, last),
        ]
    }

    /// Average precision of each class, over all overlaps and sizes; none of a class without objects.
    #[must_use]
    pub fn classes(&self) -> Vec<Option<f64>> {
        let last = self.protocol.max_dets.len() - 1;
        let of_all_sizes = self.precision.slice(s![.., .., .., 0, last]);
        of_all_sizes.axis_iter(Axis(2)).map(|class| mean(class.iter())).collect()
    }

    /// Precision at recall 0, 0.01, …, 1 where an overlap of `iou` counts, of objects of all sizes, as a mean over the classes that
    /// have objects; none if the protocol lacks the overlap or there are no objects.
    #[must_use]
    pub fn precision_at(&self, iou: f64) -> Option<Vec<f64>> {
        let last = self.protocol.max_dets.len() - 1;
        let precision = self.precision.slice(s![self.overlap(iou)?, .., .., 0, last]);
        precision.rows().into_iter().map(|of_classes| mean(of_classes.iter())).collect()
    }

    /// The position of an overlap among the protocol's.
    fn overlap(&self, iou: f64) -> Option<usize> {
        self.protocol.iou_thresholds.iter().position(|&threshold| threshold == iou)
    }
}

/// The mean of what is a number; none of nothing.
fn mean<'a>(values: impl Iterator<Item = &'a f64>) -> Option<f64> {
    let (sum, number) = values.filter(|x| !x.is_nan()).fold((0.0, 0_u32), |(sum, n), x| (sum + x, n + 1));
    (number > 0).then(|| sum / f64::from(number))
}

/// Precision and score at each of [`RECALLS`] recalls, and the recall in the end, of detections in order of their scores, each with how
/// often it counts.
pub(super) fn curve(
    verdicts: impl Iterator<Item = (Verdict, f64)>,
    scores: &[f64],
    objects: f64,
) -> (Vec<(f64, f64)>, f64) {
    let (mut right, mut wrong) = (0.0, 0.0);
    let (mut recall, mut precision) = (Vec::with_capacity(scores.len()), Vec::with_capacity(scores.len()));
    for (verdict, times) in verdicts {
        match verdict {
            Verdict::Right => right += times,
            Verdict::Wrong => wrong += times,
            Verdict::Ignored => {}
        }
        recall.push(right / objects);
        // The reference's guard against 0 / 0, which also lowers every precision by a rounding error.
        precision.push(right / (wrong + right + f64::EPSILON));
    }
    for at in (1..precision.len()).rev() {
        precision[at - 1] = precision[at - 1].max(precision[at]);
    }
    let read = |wanted: f64| {
        let at = recall.partition_point(|&recall| recall < wanted);
        precision.get(at).map_or((0.0, 0.0), |&precision| (precision, scores[at]))
    };
    (recalls().into_iter().map(read).collect(), recall.last().copied().unwrap_or(0.0))
}
