//! Whether predictions say anything: accuracy, entropy, tokens in use; and what predictors reach that learn nothing.

use crate::base::Real;
use crate::models::beit::BeitOutput;
use crate::models::beit::model::predictions;
use crate::train::told::Told;
use ndarray::ArrayView1;

/// What is counted of the masked patches' predictions.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Seen {
    /// Masked patches.
    pub masked: usize,
    /// `Σ` of the cross-entropies.
    pub loss_sum: f64,
    /// Predictions that are right.
    pub hits: usize,
    /// `Σ` of the predictions' entropies, `−Σ_v p_v ln p_v`.
    pub entropy_sum: f64,
    /// Whether each token is predicted somewhere.
    pub predicted: Vec<bool>,
}

impl Seen {
    /// Of one chunk.
    #[must_use]
    pub fn of<F: Real>(output: &BeitOutput<F>) -> Self {
        let mut predicted = vec![false; output.logits.ncols()];
        predictions(&output.logits).for_each(|token| predicted[token] = true);
        Self {
            masked: output.labels.len(),
            loss_sum: output.loss_sum,
            hits: output.hits(),
            entropy_sum: output.logits.outer_iter().map(entropy).sum(),
            predicted,
        }
    }

    /// Of all chunks, added in their order.
    #[must_use]
    pub fn total(chunks: impl IntoIterator<Item = Self>, tokens: usize) -> Self {
        let none = Self { predicted: vec![false; tokens], ..Self::default() };
        chunks.into_iter().fold(none, |mut total, chunk| {
            total.masked += chunk.masked;
            total.loss_sum += chunk.loss_sum;
            total.hits += chunk.hits;
            total.entropy_sum += chunk.entropy_sum;
            total.predicted.iter_mut().zip(chunk.predicted).for_each(|(mine, theirs)| *mine |= theirs);
            total
        })
    }

    /// The mean cross-entropy of a masked patch.
    #[must_use]
    pub fn loss(&self) -> f64 {
        self.loss_sum / self.denominator()
    }

    /// Accuracy, mean entropy in nats, and the fraction of the tokens that are predicted somewhere.
    #[must_use]
    pub fn values(&self) -> [(&'static str, f64); 3] {
        let used = self.predicted.iter().filter(|predicted| **predicted).count();
        [
            ("accuracy", self.hits as f64 / self.denominator()),
            ("entropy", self.entropy_sum / self.denominator()),
            ("tokens_used", used as f64 / self.predicted.len().max(1) as f64),
        ]
    }

    fn denominator(&self) -> f64 {
        self.masked.max(1) as f64
    }
}

impl Told for Seen {
    fn tell(&self, to: &mut Vec<f64>) {
        (self.masked, self.hits).tell(to);
        [self.loss_sum, self.entropy_sum].tell(to);
        self.predicted.iter().map(|predicted| usize::from(*predicted)).collect::<Vec<_>>().tell(to);
    }

    fn told(from: &mut dyn Iterator<Item = f64>) -> Self {
        let ((masked, hits), [loss_sum, entropy_sum]) = <((usize, usize), [f64; 2])>::told(from);
        let predicted = Vec::<usize>::told(from).into_iter().map(|predicted| predicted == 1).collect();
        Self { masked, loss_sum, hits, entropy_sum, predicted }
    }
}

/// `−Σ p ln p = ln Σ e^z − Σ p z` with `p = softmax(z)`.
fn entropy<F: Real>(logits: ArrayView1<F>) -> f64 {
    let max = logits.fold(F::neg_infinity(), |max, &z| max.max(z));
    let (mut sum, mut along) = (0.0, 0.0);
    for &z in logits {
        let z = (z - max).f64();
        sum += z.exp();
        along += z.exp() * z;
    }
    sum.ln() - along / sum
}

/// The share of masked patches whose token is the one that masked patches have most often.
#[must_use]
pub fn most_frequent(ids: &[usize], masked: &[bool], tokens: usize) -> f64 {
    let mut counts = vec![0_usize; tokens];
    ids.iter().zip(masked).filter(|(_, masked)| **masked).for_each(|(&id, _)| counts[id] += 1);
    let all: usize = counts.iter().sum();
    counts.into_iter().max().unwrap_or(0) as f64 / all.max(1) as f64
}

/// The share of masked patches whose token is that of the nearest patch which is visible, in Euclidean distance on the grid;
/// of equally near ones the first in row-major order.
#[must_use]
pub fn nearest_visible(ids: &[usize], masked: &[bool], (rows, columns): (usize, usize)) -> f64 {
    let (mut right, mut all) = (0_usize, 0_usize);
    for (ids, masked) in ids.chunks(rows * columns).zip(masked.chunks(rows * columns)) {
        let distance = |a: usize, b: usize| {
            (a / columns).abs_diff(b / columns).pow(2) + (a % columns).abs_diff(b % columns).pow(2)
        };
        for patch in (0..ids.len()).filter(|&patch| masked[patch]) {
            let visible = (0..ids.len()).filter(|&other| !masked[other]);
            let copied = visible.min_by_key(|&other| distance(patch, other));
            right += usize::from(copied.is_some_and(|copied| ids[copied] == ids[patch]));
            all += 1;
        }
    }
    right as f64 / all.max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::{Array2, arr2};

    #[test]
    fn entropy_is_that_of_a_calculation_by_hand() {
        let of = |logits: [f64; 2]| entropy(arr2(&[logits]).row(0));
        assert!((of([3.0, 3.0]) - 2f64.ln()).abs() < 1e-12);
        // p = 1/4 and 3/4.
        let hand = -(0.25 * 0.25f64.ln() + 0.75 * 0.75f64.ln());
        assert!((of([0.0, 3f64.ln()]) - hand).abs() < 1e-12);
        assert!(of([500.0, -500.0]).abs() < 1e-12);
    }

    #[test]
    fn trivial_predictors_are_those_of_a_calculation_by_hand() {
        // Two rows of three: M = masked.   7 M 1
        //                                  M M 2
        let ids = [7, 7, 1, 7, 1, 2];
        let masked = [false, true, false, true, true, false];
        // The masked tokens are 7, 7, 1; nearest visible: of patch 1 patch 0 (before 2), of patch 3 patch 0, of patch 4
        // patch 5 (distance 1): 7, 7, 2.
        assert!((most_frequent(&ids, &masked, 8) - 2.0 / 3.0).abs() < 1e-12);
        assert!((nearest_visible(&ids, &masked, (2, 3)) - 2.0 / 3.0).abs() < 1e-12);
        assert!(nearest_visible(&ids, &[true; 6], (2, 3)).abs() < 1e-12, "nothing to copy");
    }

    #[test]
    fn chunks_add_up() {
        let output = |labels: Vec<usize>, logits: Array2<f32>| BeitOutput { logits, labels, loss_sum: 1.5 };
        let first = Seen::of(&output(vec![1], arr2(&[[0.0, 1.0, 0.0]])));
        let second = Seen::of(&output(vec![1, 0], arr2(&[[2.0, 1.0, 0.0], [2.0, 1.0, 0.0]])));
        let total = Seen::total([first, second], 3);
        assert_eq!((total.masked, total.hits), (3, 2));
        assert!((total.loss() - 1.0).abs() < 1e-12);
        let [(_, accuracy), _, (_, used)] = total.values();
        assert!((accuracy - 2.0 / 3.0).abs() < 1e-12 && (used - 2.0 / 3.0).abs() < 1e-12);
    }
}
