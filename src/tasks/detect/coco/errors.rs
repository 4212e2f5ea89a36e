//! What is wrong, where no detection found an object: the six kinds of TIDE (Bolya et al. 2020).
//!
//! A detection that found none at an overlap of 0.5 is, as the first that holds,
//!
//! ```text
//! mislocated     the best overlap with an object of its class is from 0.1 to 0.5
//! misclassified  the best overlap with an object of another class is at least 0.5
//! duplicate      it overlaps an object of its class by at least 0.5, which a surer detection has found
//! background     no object is overlapped by more than 0.1
//! both           anything else: an object of another class, overlapped too little
//! ```
//!
//! and an object that none has found is *missed*, unless one of the first two would have found it. Crowds, and detections in
//! crowds, are left out.

use ndarray::Array2;
use serde::{Deserialize, Serialize};

use super::matching::{Group, ious, surest};
use super::{ImageResult, Object, Overlap};

/// From this overlap on an object is found.
const FOUND: f64 = 0.5;
/// Up to this overlap it is background that was detected.
const BACKGROUND: f64 = 0.1;

/// How many there are of each kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorCounts {
    /// Right class, box not good enough.
    pub mislocated: usize,
    /// Good box, wrong class.
    pub misclassified: usize,
    /// Neither.
    pub both: usize,
    /// The object was found before.
    pub duplicate: usize,
    /// There is no object.
    pub background: usize,
    /// Objects that no detection comes near.
    pub missed: usize,
}

/// Counts the errors of the `most` surest detections of each image, of those that score at least `least_score`.
///
/// # Panics
/// If a mask is missing where masks are compared.
#[must_use]
pub fn count_errors(images: &[ImageResult], overlap: Overlap, most: usize, least_score: f64) -> ErrorCounts {
    let mut counts = ErrorCounts::default();
    for image in images {
        counts.add(image, overlap, most, least_score);
    }
    counts
}

impl ErrorCounts {
    /// All of them.
    #[must_use]
    pub fn total(&self) -> usize {
        let wrong = self.mislocated + self.misclassified + self.both + self.duplicate + self.background;
        wrong + self.missed
    }

    fn add(&mut self, image: &ImageResult, overlap: Overlap, most: usize, least_score: f64) {
        let sure = image.detections.iter().filter(|found| found.score >= least_score);
        let detections = surest(sure, most);
        let objects: Vec<&Object> = image.objects.iter().collect();
        let ious = ious(&detections, &objects, overlap);
        let crowds: Vec<bool> = objects.iter().map(|object| object.crowd).collect();
        let (mut found, mut near_miss) = (vec![false; objects.len()], vec![false; objects.len()]);
        let own_class = |(d, o): (usize, usize)| detections[d].class == objects[o].class;
        let of_own_class =
            Array2::from_shape_fn(ious.dim(), |at| if own_class(at) { ious[at] } else { f64::NEG_INFINITY });
        let group = Group { objects, detections, ious: of_own_class };
        let matched = group.matched(&crowds, FOUND);
        matched.iter().flatten().for_each(|&object| found[object] = true);
        for (d, detection) in group.detections.iter().enumerate().filter(|(d, _)| matched[*d].is_none()) {
            let best = |wanted: &dyn Fn(usize, &Object) -> bool| {
                let fit = |o: &usize| !crowds[*o] && wanted(*o, group.objects[*o]);
                // Of equal ones the first.
                let candidates = (0..crowds.len()).filter(fit).map(|o| (ious[[d, o]], Some(o)));
                candidates.fold((0.0, None), |best, next| if next.0 > best.0 { next } else { best })
            };
            let (own, own_object) = best(&|_, object| object.class == detection.class);
            let (other, other_object) = best(&|_, object| object.class != detection.class);
            let (used, _) = best(&|o, object| object.class == detection.class && found[o]);
            let (kind, object) = if (BACKGROUND..=FOUND).contains(&own) {
                (&mut self.mislocated, own_object)
            } else if other >= FOUND {
                (&mut self.misclassified, other_object)
            } else if used >= FOUND {
                (&mut self.duplicate, None)
            } else if own.max(other) <= BACKGROUND {
                (&mut self.background, None)
            } else {
                (&mut self.both, None)
            };
            *kind += 1;
            if let Some(object) = object {
                near_miss[object] = true;
            }
        }
        let missed = |o: &usize| !found[*o] && !near_miss[*o] && !crowds[*o];
        self.missed += (0..found.len()).filter(missed).count();
    }
}
