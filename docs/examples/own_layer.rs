//! Checks the gradient of a layer of your own: RMS norm, `y = γ ⊙ x / r` with `r = √(mean(x²) + ε)` of each row
//! (Zhang & Sennrich 2019, "Root Mean Square Layer Normalization").
//!
//! ```sh
//! cargo run --release --example own_layer
//! ```

use ndarray::{Array1, Array2, Axis};
use vit_mae::Real;
use vit_mae::audit::GradCheck;
use vit_mae::audit::report::Report;

vit_mae::params! {
    /// `y = γ ⊙ x / r`.
    pub struct RmsNorm {
        tensors {
            /// `γ: [D]`.
            weight: Array1<F> = Norm,
        }
    }
}

const EPS: f64 = 1e-6;

/// What backward needs: `x̂ = x / r` and `r`.
struct Cache<F> {
    x_hat: Array2<F>,
    r: Array1<F>,
}

impl<F: Real> RmsNorm<F> {
    /// `x: [R, D] → y: [R, D]`.
    fn forward(&self, x: &Array2<F>) -> (Array2<F>, Cache<F>) {
        let width = F::of(x.ncols() as f64);
        let r = x.map_axis(Axis(1), |row| (row.dot(&row) / width + F::of(EPS)).sqrt());
        let x_hat = x / &r.view().insert_axis(Axis(1));
        (&x_hat * &self.weight, Cache { x_hat, r })
    }

    /// `dγ += Σ_r dy ⊙ x̂`; returns `dx = (dx̂ − x̂ · mean(dx̂ ⊙ x̂)) / r` with `dx̂ = dy ⊙ γ`.
    fn backward(&self, cache: Cache<F>, dy: &Array2<F>, grad: &mut Self) -> Array2<F> {
        let Cache { x_hat, r } = cache;
        grad.weight += &(dy * &x_hat).sum_axis(Axis(0));
        let dx_hat = dy * &self.weight;
        // r depends on every x of its row: that is the second term.
        let along = (&dx_hat * &x_hat).sum_axis(Axis(1)) / F::of(x_hat.ncols() as f64);
        (dx_hat - x_hat * along.insert_axis(Axis(1))) / r.insert_axis(Axis(1))
    }

    /// The mistake that is easily made: `r` taken for a constant.
    fn backward_without_r(&self, cache: Cache<F>, dy: &Array2<F>, grad: &mut Self) -> Array2<F> {
        grad.weight += &(dy * &cache.x_hat).sum_axis(Axis(0));
        dy * &self.weight / cache.r.insert_axis(Axis(1))
    }
}

/// The reports on the right backward pass and on the wrong one.
pub(crate) fn check() -> (Report, Report) {
    let check = GradCheck::default();
    let mut layer = RmsNorm { weight: Array1::zeros(6) };
    let mut x = Array2::zeros((5, 6));
    // Weights are random, too: with 1 many a wrong factor goes unseen.
    check.fill(&mut layer, -1.0..1.0);
    check.fill_array(&mut x, -2.0..2.0);
    let right = check.layer(
        &layer,
        &x,
        |layer, x, _| layer.forward(x),
        |layer, cache, dy, grad, _| layer.backward(cache, dy, grad),
    );
    let wrong = check.layer(
        &layer,
        &x,
        |layer, x, _| layer.forward(x),
        |layer, cache, dy, grad, _| layer.backward_without_r(cache, dy, grad),
    );
    (right, wrong)
}

fn main() {
    let (right, wrong) = check();
    println!("backward:\n{right}\nbackward with r taken for a constant:\n{wrong}");
}
