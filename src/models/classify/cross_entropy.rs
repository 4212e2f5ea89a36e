//! Cross-entropy of logits against target distributions: labels, smoothed labels, or mixtures of them.

use crate::base::Real;
use ndarray::{Array2, Zip};

/// `[N, K]`: for each label the distribution `q = (1 − ε) · one-hot + ε / K`; `ε` is the label smoothing.
///
/// # Panics
/// If a label is not below the number of classes.
#[must_use]
pub fn targets<F: Real>(labels: &[usize], classes: usize, smoothing: f64) -> Array2<F> {
    let mut q = Array2::from_elem((labels.len(), classes), F::of(smoothing / classes as f64));
    for (mut row, &label) in q.outer_iter_mut().zip(labels) {
        row[label] += F::of(1.0 - smoothing);
    }
    q
}

/// `Σ_n −Σ_k q_nk log p_nk` with `p = softmax(logits)`: a sum, whose denominator, the number of images, is the
/// whole batch's.
pub fn sum<F: Real>(logits: &Array2<F>, targets: &Array2<F>) -> f64 {
    let rows = log_softmax(logits);
    Zip::from(rows.rows()).and(targets.rows()).fold(0.0, |sum, log_p, q| {
        sum - Zip::from(log_p).and(q).fold(0.0, |sum, &log_p, &q| sum + (q * log_p).f64())
    })
}

/// `dlogits = (p · Σ_k q_k − q) / images_in_batch`.
pub fn backward<F: Real>(logits: &Array2<F>, targets: &Array2<F>, images_in_batch: usize) -> Array2<F> {
    let scale = F::one() / F::of(images_in_batch as f64);
    let mut dlogits = log_softmax(logits);
    Zip::from(dlogits.rows_mut()).and(targets.rows()).for_each(|mut row, q| {
        let total = q.sum();
        Zip::from(&mut row).and(q).for_each(|d, &q| *d = (d.exp() * total - q) * scale);
    });
    dlogits
}

/// `log p = z − max z − log Σ e^(z − max z)`, row by row.
fn log_softmax<F: Real>(logits: &Array2<F>) -> Array2<F> {
    let mut rows = logits.clone();
    for mut row in rows.outer_iter_mut() {
        let max = row.fold(F::neg_infinity(), |max, &z| max.max(z));
        let log_sum = row.fold(F::zero(), |sum, &z| sum + (z - max).exp()).ln();
        row.mapv_inplace(|z| z - max - log_sum);
    }
    rows
}
