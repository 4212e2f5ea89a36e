//! Average precision over any choice of images, some more than once; over each image once it is that of [`super::evaluate`].

use super::evaluation::{Judged, Verdict, curve, judge};
use super::{ImageResult, Overlap, Protocol};
use std::collections::BTreeMap;

/// What became of all detections, from which every choice of images has its precision.
pub struct Matches {
    overlaps: usize,
    classes: Vec<OfClass>,
}

/// Of one class.
#[derive(Default)]
struct OfClass {
    /// Image and how many objects it has.
    objects: Vec<(usize, usize)>,
    /// Image, score, and what a detection is at each overlap; the surest first.
    found: Vec<(usize, f64, Vec<Verdict>)>,
}

impl Matches {
    /// Matches the detections of each image, of all sizes.
    ///
    /// # Panics
    /// As [`super::evaluate`].
    #[must_use]
    pub fn new(images: &[ImageResult], overlap: Overlap, protocol: &Protocol) -> Self {
        let mut ordered: Vec<(usize, &ImageResult)> = images.iter().enumerate().collect();
        ordered.sort_by_key(|(_, image)| image.id);
        let mut classes: BTreeMap<usize, OfClass> = BTreeMap::new();
        for (at, image) in ordered {
            for (class, Judged { scores, verdicts: [verdicts, ..], objects: [objects, ..] }) in
                judge(image, overlap, protocol)
            {
                let of_class = classes.entry(class).or_default();
                of_class.objects.push((at, objects));
                let columns = verdicts.columns().into_iter().map(|column| column.to_vec());
                of_class.found.extend(scores.into_iter().zip(columns).map(|(score, all)| (at, score, all)));
            }
        }
        let mut classes: Vec<OfClass> = classes.into_values().collect();
        for class in &mut classes {
            class.found.sort_by(|a, b| b.1.total_cmp(&a.1));
        }
        Self { overlaps: protocol.iou_thresholds.len(), classes }
    }

    /// AP where image `i` counts `times[i]` times: the mean over overlaps, recalls and the classes that have objects; none without an
    /// object.
    #[must_use]
    pub fn ap(&self, times: &[u32]) -> Option<f64> {
        let of_class = |class: &OfClass| {
            let objects: f64 = class.objects.iter().map(|&(at, n)| f64::from(times[at]) * n as f64).sum();
            let scores: Vec<f64> = class.found.iter().map(|found| found.1).collect();
            let at_overlap = |t: usize| {
                let verdicts = class.found.iter().map(|(at, _, all)| (all[t], f64::from(times[*at])));
                let (read, _) = curve(verdicts, &scores, objects);
                read.iter().map(|(precision, _)| precision).sum::<f64>() / read.len() as f64
            };
            let mean = (0..self.overlaps).map(at_overlap).sum::<f64>() / self.overlaps as f64;
            (objects > 0.0).then_some(mean)
        };
        let classes: Vec<f64> = self.classes.iter().filter_map(of_class).collect();
        (!classes.is_empty()).then(|| classes.iter().sum::<f64>() / classes.len() as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Detection, Object, evaluate};
    use super::*;

    /// Made-up images of two classes, whose detections are more or less off.
    fn images(copies: &[u32]) -> Vec<ImageResult> {
        let object = |x: f64, class| Object {
            bbox: [x, 10.0, 20.0, 20.0],
            class,
            mask: None,
            crowd: false,
            area: 400.0,
        };
        let found =
            |x: f64, class, score| Detection { bbox: [x, 10.0, 20.0, 20.0], score, class, mask: None };
        let made = |i: u32| {
            let off = f64::from(i);
            let score = |n: u32| 1.0 / f64::from(2 + (7 * i + 3 * n) % 11) + 0.001 * off;
            let detections =
                vec![found(off, 0, score(0)), found(60.0 - off, 1, score(1)), found(90.0, 1, score(2))];
            (vec![object(0.0, 0), object(60.0, 1), object(30.0, i as usize % 2)], detections)
        };
        let all = (0..).zip(copies).flat_map(|(i, &times)| (0..times).map(move |_| made(i)));
        let numbered =
            all.zip(1..).map(|((objects, detections), id)| ImageResult { id, objects, detections });
        numbered.collect()
    }

    #[test]
    fn a_choice_of_images_has_the_precision_of_a_data_set_of_just_these() {
        let protocol = Protocol::default();
        let of = |images: &[ImageResult]| evaluate(images, 2, Overlap::Boxes, &protocol).figures()[0];
        let matches = Matches::new(&images(&[1; 6]), Overlap::Boxes, &protocol);
        for times in [[1; 6], [2, 0, 1, 0, 3, 0], [0, 0, 0, 0, 0, 4], [0, 1, 1, 5, 0, 2]] {
            let [expected, found] = [of(&images(&times)), matches.ap(&times)].map(Option::unwrap);
            assert!((expected - found).abs() < 1e-12, "{times:?}: {found} is not {expected}");
        }
        assert_eq!(matches.ap(&[0; 6]), None);
    }
}
