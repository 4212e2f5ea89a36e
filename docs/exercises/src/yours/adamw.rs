//! One step of AdamW. Read `docs/book/11-adamw.md`.

use crate::checks::Settings;
use ndarray::Array1;

/// Step `k = 1, 2, …` with the gradient `g`: changes both moments, then the weights.
///
/// `settings` has `lr` (η), `weight_decay` (λ), `betas` (β₁, β₂) and `eps` (ϵ, outside of the root).
pub fn step(
    settings: Settings,
    k: i32,
    g: &Array1<f64>,
    m: &mut Array1<f64>,
    v: &mut Array1<f64>,
    w: &mut Array1<f64>,
) {
    // Yours.
}
