//! How good a classifier is: top-1 and top-5, cross-entropy, confusion matrix, recall and precision of each class.
//!
//! Everything follows from logits and labels; nothing here knows a model.

use crate::base::Real;
use ndarray::{Array2, ArrayView1, ArrayView2, Axis};
use rayon::prelude::*;

/// What the logits of one image say about its label.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Judgement {
    /// The true class.
    pub label: usize,
    /// The class with the highest logit; of equal ones the first.
    pub predicted: usize,
    /// Its probability, `p = softmax(logits)`.
    pub confidence: f64,
    /// How many classes come before the true one: 0 is top-1, less than 5 is top-5. Of equal logits the class with the
    /// smaller number comes first. `usize::MAX` if the true class's logit is `−∞` or not a number: it was not predicted
    /// at all.
    pub rank: usize,
    /// `−log p[label]`.
    pub cross_entropy: f64,
}

/// Judges `logits: [N, K]` row by row, in parallel, in f64.
///
/// # Panics
/// If there are not as many labels as rows, or a label is not below `K`.
pub fn judge<F: Real>(logits: ArrayView2<F>, labels: &[usize]) -> Vec<Judgement> {
    assert_eq!(logits.nrows(), labels.len(), "rows of {:?} and labels", logits.dim());
    let rows: Vec<_> = logits.axis_iter(Axis(0)).zip(labels).collect();
    rows.into_par_iter().map(|(row, &label)| judge_row(row, label)).collect()
}

fn judge_row<F: Real>(logits: ArrayView1<F>, label: usize) -> Judgement {
    assert!(label < logits.len(), "label {label} of {} classes", logits.len());
    let z: Vec<f64> = logits.iter().map(|z| z.f64()).collect();
    let (predicted, max) = z
        .iter()
        .enumerate()
        .fold((0, f64::NEG_INFINITY), |best, (class, &z)| if z > best.1 { (class, z) } else { best });
    let log_sum = z.iter().map(|z| (z - max).exp()).sum::<f64>().ln();
    let mine = z[label];
    let before = |(class, &z): (usize, &f64)| z.is_nan() || z > mine || (z == mine && class < label);
    let rank = if mine > f64::NEG_INFINITY {
        z.iter().enumerate().filter(|&at| at.0 != label && before(at)).count()
    } else {
        usize::MAX
    };
    Judgement { label, predicted, confidence: (-log_sum).exp(), rank, cross_entropy: log_sum - (mine - max) }
}

/// The judgements on a set of images, counted.
#[derive(Clone, Debug, PartialEq)]
pub struct Metrics {
    /// `[K, K]`: images of the true class (row) that were predicted as a class (column).
    pub confusion: Array2<u64>,
    /// Images whose true class has the highest logit.
    pub top1: u64,
    /// Images whose true class has one of the five highest logits.
    pub top5: u64,
    /// `Σ −log p[label]`, added in the order of the images.
    pub cross_entropy_sum: f64,
}

impl Metrics {
    /// Counts judgements on images of `classes` classes.
    ///
    /// # Panics
    /// If a judgement names another class.
    #[must_use]
    pub fn of(judgements: &[Judgement], classes: usize) -> Self {
        let mut confusion = Array2::zeros((classes, classes));
        let (mut top1, mut top5, mut cross_entropy_sum) = (0, 0, 0.0);
        for judgement in judgements {
            confusion[[judgement.label, judgement.predicted]] += 1;
            top1 += u64::from(judgement.rank < 1);
            top5 += u64::from(judgement.rank < 5);
            cross_entropy_sum += judgement.cross_entropy;
        }
        Self { confusion, top1, top5, cross_entropy_sum }
    }

    /// `K`.
    #[must_use]
    pub fn classes(&self) -> usize {
        self.confusion.nrows()
    }

    /// `N`.
    #[must_use]
    pub fn images(&self) -> u64 {
        self.confusion.sum()
    }

    /// Fraction of images whose true class has the highest logit: the accuracy.
    #[must_use]
    pub fn top1_share(&self) -> f64 {
        share(self.top1, self.images()).unwrap_or(0.0)
    }

    /// Fraction of images whose true class has one of the five highest logits; 1 with five classes or fewer.
    #[must_use]
    pub fn top5_share(&self) -> f64 {
        share(self.top5, self.images()).unwrap_or(0.0)
    }

    /// Mean of `−log p[label]` over the images, in nats.
    #[must_use]
    pub fn cross_entropy(&self) -> f64 {
        if self.images() == 0 { 0.0 } else { self.cross_entropy_sum / self.images() as f64 }
    }

    /// Images of a class.
    #[must_use]
    pub fn of_class(&self, class: usize) -> u64 {
        self.confusion.row(class).sum()
    }

    /// Images predicted as a class.
    #[must_use]
    pub fn predicted_as(&self, class: usize) -> u64 {
        self.confusion.column(class).sum()
    }

    /// Fraction of a class's images that were predicted as it; none if it has no images.
    #[must_use]
    pub fn recall(&self, class: usize) -> Option<f64> {
        share(self.confusion[[class, class]], self.of_class(class))
    }

    /// Fraction of the images predicted as a class that are of it; none if nothing was predicted as it.
    #[must_use]
    pub fn precision(&self, class: usize) -> Option<f64> {
        share(self.confusion[[class, class]], self.predicted_as(class))
    }

    /// Mean recall of the classes that have images: the accuracy as if all of them had equally many.
    #[must_use]
    pub fn mean_recall(&self) -> f64 {
        let recalls: Vec<f64> = (0..self.classes()).filter_map(|class| self.recall(class)).collect();
        if recalls.is_empty() { 0.0 } else { recalls.iter().sum::<f64>() / recalls.len() as f64 }
    }
}

/// `part / whole`; none of nothing.
fn share(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}
