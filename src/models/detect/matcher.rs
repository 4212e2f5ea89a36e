//! Which object each candidate, an anchor or a region, belongs to, and whether a loss counts it.

use crate::base::Real;

/// What a candidate is to a loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Label {
    /// Background.
    Negative,
    /// Neither: no loss counts it.
    Ignored,
    /// It stands for its object.
    Positive,
}

/// A candidate's object.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Match<F> {
    /// The object of the largest quality, the first of equals; none without objects.
    pub object: Option<usize>,
    /// The largest quality: 0 where no object overlaps the candidate.
    pub quality: F,
    /// What it is.
    pub label: Label,
}

/// The rule.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Matcher {
    /// Below this quality a candidate is negative.
    pub negative_below: f64,
    /// From this quality on, itself included, it is positive; between the two it is ignored.
    pub positive_from: f64,
    /// Whether the best candidates of each object, all of equals, are positive however low their quality: then no object
    /// that any candidate overlaps is left without one. They keep their own match, which may be another object.
    pub low_quality: bool,
}

impl Matcher {
    /// A match for each candidate. `quality(object, candidate)` is their overlap; it is computed anew where it is needed,
    /// since candidates times objects may be many.
    pub fn matches<F: Real>(
        &self,
        objects: usize,
        candidates: usize,
        quality: impl Fn(usize, usize) -> F,
    ) -> Vec<Match<F>> {
        let mut best_of_objects = vec![F::zero(); objects];
        let mut of_candidate = |candidate: usize| {
            let mut best: Option<(usize, F)> = None;
            for (object, most) in best_of_objects.iter_mut().enumerate() {
                let q = quality(object, candidate);
                *most = most.max(q);
                if best.is_none_or(|(_, best)| q > best) {
                    best = Some((object, q));
                }
            }
            let quality = best.map_or(F::zero(), |best| best.1);
            Match { object: best.map(|best| best.0), quality, label: self.label(quality) }
        };
        let mut matches: Vec<_> = (0..candidates).map(&mut of_candidate).collect();
        if self.low_quality {
            for (candidate, matched) in matches.iter_mut().enumerate() {
                let is_best = |object: usize| {
                    let most = best_of_objects[object];
                    most > F::zero() && quality(object, candidate) == most
                };
                if (0..objects).any(is_best) {
                    matched.label = Label::Positive;
                }
            }
        }
        matches
    }

    /// The limits are rounded as the quality is, so that one which is 0.7 reaches 0.7.
    fn label<F: Real>(&self, quality: F) -> Label {
        if quality >= F::of(self.positive_from) {
            Label::Positive
        } else if quality < F::of(self.negative_below) {
            Label::Negative
        } else {
            Label::Ignored
        }
    }
}
