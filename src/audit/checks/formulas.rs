//! The layers' forward passes against their definitions, written as plain loops over elements.
//!
//! A gradient check cannot see a mistake that is made in forward and backward alike: attention without
//! `1/√d_h` has a gradient, too. These can. Nothing here calls a layer to say what a layer should give, but
//! for the parts of a composition that have a check of their own.

use super::shapes::{IMAGES, filled, random};
use crate::audit::gradcheck::GradCheck;
use crate::audit::report::{Report, Row, nan_max};
use crate::exec::{Backend, Exec};
use crate::layers::pos_embed::sincos;
use crate::layers::{Attention, Block, LayerNorm, Linear, Mlp, PatchEmbed};
use ndarray::{Array2, Array4};
use std::f64::consts::PI;

/// Rounding of sums in another order, over a few dozen terms.
const TOLERANCE: f64 = 1e-12;

/// What the layer gave against what the formula gives, element by element, relative to the largest.
pub(super) fn agree<'a>(
    what: &str,
    found: impl IntoIterator<Item = &'a f64>,
    formula: impl IntoIterator<Item = f64>,
) -> Report {
    let (found, formula): (Vec<f64>, Vec<f64>) =
        (found.into_iter().copied().collect(), formula.into_iter().collect());
    assert_eq!(found.len(), formula.len(), "{what}: as many numbers as the formula");
    let largest = formula.iter().fold(0.0, |max, x: &f64| nan_max(max, x.abs()));
    let worst = found.iter().zip(&formula).fold(0.0, |max, (a, b)| nan_max(max, (a - b).abs()));
    let (checked, of) = (found.len(), found.len());
    let row =
        Row { tensor: what.to_owned(), checked, of, largest, error: worst / (largest + f64::MIN_POSITIVE) };
    Report { tolerance: TOLERANCE, step: None, rows: vec![row] }
}

/// Several results of one layer in one report.
pub(super) fn all(reports: impl IntoIterator<Item = Report>) -> Report {
    let rows = reports.into_iter().flat_map(|report| report.rows).collect();
    Report { tolerance: TOLERANCE, step: None, rows }
}

/// `y_rj = b_j + Σ_i x_ri W_ji`.
fn linear_of(x: &Array2<f64>, linear: &Linear<f64>) -> Array2<f64> {
    Array2::from_shape_fn((x.nrows(), linear.bias.len()), |(r, j)| {
        linear.bias[j] + (0..x.ncols()).map(|i| x[(r, i)] * linear.weight[(j, i)]).sum::<f64>()
    })
}

pub(super) fn linear(check: &GradCheck) -> Report {
    let (linear, x) = (filled(check, Linear::new(5, 3)), random(check, (70, 5)));
    let y = linear.forward(x.clone(), &mut Exec::new(Backend::default())).0;
    agree("x Wᵀ + b", &y, linear_of(&x, &linear))
}

/// `γ (x − μ) / √(σ² + ε) + β`; one row is almost constant, so that `ε` shows.
pub(super) fn layer_norm(check: &GradCheck) -> Report {
    let norm = filled(check, LayerNorm::new(6, 1e-6));
    let mut x: Array2<f64> = random(check, (70, 6));
    x.row_mut(1).mapv_inplace(|x| 0.5 + 1e-3 * x);
    let y = norm.forward(x.clone(), &mut Exec::new(Backend::default())).0;
    let formula = x.rows().into_iter().flat_map(|row| {
        let mean = row.iter().sum::<f64>() / 6.0;
        let variance = row.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 6.0;
        let one =
            |(i, x): (usize, &f64)| norm.weight[i] * (x - mean) / (variance + 1e-6).sqrt() + norm.bias[i];
        row.iter().enumerate().map(one).collect::<Vec<_>>()
    });
    agree("γ ⊙ (x − μ) / √(σ² + ε) + β", &y, formula)
}

/// `erf(x) = 2/√π · e^(−x²) · Σₙ 2ⁿ x^(2n+1) / (1·3·5⋯(2n+1))`, all terms of one sign.
fn erf(x: f64) -> f64 {
    let (mut term, mut sum) = (x, x);
    for n in 1..200 {
        term *= 2.0 * x * x / f64::from(2 * n + 1);
        sum += term;
    }
    2.0 / PI.sqrt() * (-x * x).exp() * sum
}

/// GELU in its exact form, `h · ½ (1 + erf(h / √2))`; inputs of up to ±4.
pub(super) fn mlp(check: &GradCheck) -> Report {
    let (mlp, x) = (filled(check, Mlp::new(4, 7)), 4.0 * random(check, (6, 4)));
    let y = mlp.forward(x.clone(), &mut Exec::new(Backend::default())).0;
    let gelu = |h: f64| h * 0.5 * (1.0 + erf(h / 2f64.sqrt()));
    agree("GELU(x W₁ᵀ + b₁) W₂ᵀ + b₂", &y, linear_of(&linear_of(&x, &mlp.fc1).mapv(gelu), &mlp.fc2))
}

/// Head `h` of width `d` owns columns `h·d ..` of queries, then of keys, then of values.
pub(super) fn attention(check: &GradCheck) -> Report {
    const TOKENS: usize = 5;
    const HEADS: usize = 2;
    const D: usize = 3;
    let attention = filled(check, Attention::new(HEADS * D, HEADS));
    let x = random(check, (IMAGES * TOKENS, HEADS * D));
    let y = attention.forward(x.clone(), TOKENS, &mut Exec::new(Backend::default())).0;
    let qkv = linear_of(&x, &attention.qkv);
    let part = |part: usize, row: usize, h: usize, i: usize| qkv[(row, part * HEADS * D + h * D + i)];
    let context = Array2::from_shape_fn(x.dim(), |(row, column)| {
        let (first, h) = (row / TOKENS * TOKENS, column / D);
        let score = |key: usize| {
            let dot: f64 = (0..D).map(|i| part(0, row, h, i) * part(1, key, h, i)).sum();
            (dot / (D as f64).sqrt()).exp()
        };
        let keys = || first..first + TOKENS;
        let weighted: f64 = keys().map(|key| score(key) * part(2, key, h, column % D)).sum();
        weighted / keys().map(score).sum::<f64>()
    });
    agree("softmax(Q Kᵀ / √d_h) V Wᵀ + b", &y, linear_of(&context, &attention.proj))
}

pub(super) fn block(check: &GradCheck) -> Report {
    let cx = &mut Exec::new(Backend::default());
    let (block, x) = (filled(check, Block::new(6, 2, 10, 1e-6)), random(check, (IMAGES * 5, 6)));
    let y = block.forward(x.clone(), 5, cx).0;
    let normed = block.norm1.forward(x.clone(), cx).0;
    let mid = &x + &block.attn.forward(normed, 5, cx).0;
    let normed = block.norm2.forward(mid.clone(), cx).0;
    let formula = &mid + &block.mlp.forward(normed, cx).0;
    agree("mid + MLP(LN₂(mid)), mid = x + Attn(LN₁(x))", &y, formula)
}

/// The convolution with kernel and stride `p` that the reference has; its kernel is `[D, C, p, p]`.
pub(super) fn patch_embed(check: &GradCheck) -> Report {
    const P: usize = 2;
    let (embed, images): (_, Array4<f64>) =
        (filled(check, PatchEmbed::new(3, P, 5)), random(check, (IMAGES, 3, 4, 6)));
    let tokens = embed.forward(images.view(), &mut Exec::new(Backend::default())).0;
    let formula = Array2::from_shape_fn((IMAGES * 6, 5), |(token, d)| {
        let (image, patch) = (token / 6, token % 6);
        let mut sum = embed.proj.bias[d];
        for (c, i, j) in (0..3).flat_map(|c| (0..P).flat_map(move |i| (0..P).map(move |j| (c, i, j)))) {
            let kernel = embed.proj.weight[(d, (c * P + i) * P + j)];
            sum += kernel * images[(image, c, patch / 3 * P + i, patch % 3 * P + j)];
        }
        sum
    });
    agree("the convolution with stride p", &tokens, formula)
}

/// The table in complex numbers: feature pairs turn by `10000^(−i/(D/4))` for each step of the grid, the
/// column's before the row's; the class token's row is 0.
pub(super) fn pos_embed(_: &GradCheck) -> Report {
    const D: usize = 12;
    let table = sincos(D, 3, 5, true);
    let formula = Array2::from_shape_fn((1 + 15, D), |(row, feature)| {
        let Some(patch) = row.checked_sub(1) else { return 0.0 };
        let place = if feature < D / 2 { patch % 5 } else { patch / 5 };
        let (i, cosine) = (feature % (D / 4), feature / (D / 4) % 2 == 1);
        // By the angle's sum formula, one step of the grid after the other.
        let turn = (-(i as f64) / (D / 4) as f64 * 10_000f64.ln()).exp();
        let (mut sin, mut cos) = (0.0, 1.0);
        for _ in 0..place {
            (sin, cos) = (sin * turn.cos() + cos * turn.sin(), cos * turn.cos() - sin * turn.sin());
        }
        if cosine { cos } else { sin }
    });
    agree("sin, cos of column, then of row", &table, formula)
}
