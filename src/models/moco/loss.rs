//! InfoNCE: which of the batch's keys is the other crop of the same image? The batch as classifier.

use crate::base::Real;
use crate::exec::{Exec, rows};
use crate::models::classify::cross_entropy;
use ndarray::{Array2, ArrayView1, Zip, aview1};

/// Rows shorter than this are divided by it instead of by their length (PyTorch's `normalize`).
const MIN_NORM: f64 = 1e-12;

/// `x̂ = x / max(‖x‖, 1e-12)`, row by row.
#[derive(Clone, Debug)]
pub struct Unit<F> {
    /// `x̂: [B, d]`.
    pub rows: Array2<F>,
    norms: Vec<F>,
}

impl<F: Real> Unit<F> {
    /// `x: [B, d]`.
    #[must_use]
    pub fn of(x: &Array2<F>) -> Self {
        let norm = |row: ArrayView1<F>| {
            let row = row.to_slice().expect("activations are row-major");
            rows::dot(row, row).sqrt()
        };
        let norms: Vec<F> = x.outer_iter().map(norm).collect();
        let mut rows = x.clone();
        for (mut row, &norm) in rows.outer_iter_mut().zip(&norms) {
            row /= norm.max(F::of(MIN_NORM));
        }
        Self { rows, norms }
    }

    /// `dx = (dx̂ − x̂ ⟨x̂, dx̂⟩) / ‖x‖`: along itself a row cannot move. Where the length is the constant 1e-12, `dx = dx̂ / 1e-12`.
    #[must_use]
    pub fn backward(&self, mut dunit: Array2<F>) -> Array2<F> {
        let min = F::of(MIN_NORM);
        let rows = Zip::from(dunit.rows_mut()).and(self.rows.rows()).and(aview1(&self.norms));
        rows.for_each(|mut dx, unit, &norm| {
            if norm > min {
                let along = unit.dot(&dx);
                dx.scaled_add(-along, &unit);
            }
            dx /= norm.max(min);
        });
        dunit
    }

    /// The standard deviation (divisor B) of each of the d features over the batch, averaged over the features. Near `1/√d`
    /// where rows point everywhere; 0 where all are alike, which is the collapse that a loss may not show.
    #[must_use]
    pub fn spread(&self) -> f64 {
        let deviations = self.rows.columns().into_iter().map(|feature| {
            let n = feature.len() as f64;
            let mean = feature.iter().map(|x| x.f64()).sum::<f64>() / n;
            (feature.iter().map(|x| (x.f64() - mean).powi(2)).sum::<f64>() / n).sqrt()
        });
        deviations.sum::<f64>() / self.rows.ncols() as f64
    }
}

/// One term of the loss: queries of one crop, keys of the other.
#[derive(Clone, Debug)]
pub struct InfoNce<F> {
    /// `2 T · mean_i −log softmax(logits_i)_i`. The factor makes the gradient's size independent of `T` (Chen et al. 2021,
    /// algorithm 1).
    pub loss: f64,
    /// The fraction of queries whose own key has the largest logit, the first of equal ones.
    pub accuracy: f64,
    /// `q̂ k̂ᵀ / T: [B, B]`: a row is a query, a column a key.
    pub logits: Array2<F>,
    /// `q̂`.
    pub query: Unit<F>,
    /// `k̂`.
    pub key: Unit<F>,
    temperature: f64,
}

/// The gradients of [`InfoNce::loss`].
#[derive(Clone, Debug)]
pub struct InfoNceGradient<F> {
    /// `[B, B]`.
    pub dlogits: Array2<F>,
    /// `[B, d]`. Keys are constants.
    pub dq: Array2<F>,
}

impl<F: Real> InfoNce<F> {
    /// `q: [B, d]`, `k: [B, d]`: the key of query `i` is row `i`.
    ///
    /// # Panics
    /// If the shapes differ.
    pub fn new(q: &Array2<F>, k: &Array2<F>, temperature: f64, cx: &mut Exec<F>) -> Self {
        assert_eq!(q.dim(), k.dim(), "a key for every query");
        let (query, key) = (Unit::of(q), Unit::of(k));
        let mut logits = cx.matmul(query.rows.view(), key.rows.t());
        logits /= F::of(temperature);
        let loss = cross_entropy::sum(&logits, &own_key(q.nrows())) / q.nrows() as f64;
        let right = logits.outer_iter().enumerate().filter(|(i, row)| largest(row) == *i).count();
        let accuracy = right as f64 / q.nrows() as f64;
        Self { loss: 2.0 * temperature * loss, accuracy, logits, query, key, temperature }
    }

    /// `dlogits = 2 T (p − 1) / B`, `dq̂ = dlogits · k̂ / T`, and [`Unit::backward`].
    pub fn backward(&self, cx: &mut Exec<F>) -> InfoNceGradient<F> {
        let n = self.logits.nrows();
        let mut dlogits = cross_entropy::backward(&self.logits, &own_key(n), n);
        dlogits *= F::of(2.0 * self.temperature);
        let mut dunit = cx.matmul(dlogits.view(), self.key.rows.view());
        dunit /= F::of(self.temperature);
        InfoNceGradient { dlogits, dq: self.query.backward(dunit) }
    }
}

/// The target of each query: one-hot at its own key.
fn own_key<F: Real>(images: usize) -> Array2<F> {
    cross_entropy::targets(&(0..images).collect::<Vec<_>>(), images, 0.0)
}

fn largest<F: Real>(row: &ArrayView1<F>) -> usize {
    let first_largest = |best: usize, (i, x): (usize, &F)| if *x > row[best] { i } else { best };
    row.iter().enumerate().fold(0, first_largest)
}
