//! Bugs of the layers.

use super::{Bug, bug, twice};

const LINEAR: &str = "layers/linear.rs";
const DX: &str = "cx.matmul(dy, self.weight.view())";
const DW: &str = "cx.gemm(F::one(), dy.t(), cache.x.view(), F::one(), grad.weight.view_mut());";
const DB: &str = r#"cx.add_column_sums(&dy, grad.bias.as_slice_mut().expect("a vector is contiguous"));"#;

const NORM: &str = "layers/layer_norm.rs";
const NORM_DX: &str = "(*dx - mean - h * mean_along) * inv_std";

const MLP: &str = "layers/mlp.rs";
const SLOPE: &str = "*h = cdf + *h * density;";
const TANH_SLOPE: &str = "let (c, x, a) = (F::of(0.797_884_560_802_865_4), *h, F::of(0.044_715)); \
    let t = (c * (x + a * x * x * x)).tanh(); \
    *h = F::of(0.5) * (F::one() + t \
        + x * (F::one() - t * t) * c * (F::one() + F::of(3.0) * a * x * x));";

const TANH_GELU: &str = "let (c, x) = (F::of(0.797_884_560_802_865_4), *h); \
    *a = F::of(0.5) * x * (F::one() + (c * (x + F::of(0.044_715) * x * x * x)).tanh());";

const ATTENTION: &str = "layers/attention.rs";
const SOFTMAX: &str = "*dp = p * (*dp - sum);";
const DQ: &str = "into(Q, scale, ds, k);";
const DK: &str = "into(K, scale, transposed(ds), q);";
const DV: &str = "into(V, F::one(), transposed(p), dout);";

const SCORES: &str = "small::products(gemm, scale, q, transposed(k), by_head(probabilities.view_mut()));";
const SCORE_SCALE: &str = "F::one() / F::of(head_width as f64).sqrt()";

const GATHER: &str = "layers/gather.rs";

const BLOCK: &str = "layers/block.rs";
const PAST_MLP: &str = "cx.add_assign(&mut dmid, &dy);";
const PAST_ATTENTION: &str = "cx.add_assign(&mut dx, &dmid);";

const EMBED: &str = "layers/patch_embed.rs";
/// All of them.
pub(super) const BUGS: &[Bug] = &[
    bug(
        LINEAR,
        "dx = dy Wᵀ where W is square",
        DX,
        "cx.matmul(dy, if self.weight.is_square() { self.weight.t() } else { self.weight.view() })",
    ),
    bug(
        LINEAR,
        "dW = instead of +=",
        DW,
        "cx.gemm(F::one(), dy.t(), cache.x.view(), F::zero(), grad.weight.view_mut());",
    ),
    bug(
        LINEAR,
        "dW with the wrong sign",
        DW,
        "cx.gemm(-F::one(), dy.t(), cache.x.view(), F::one(), grad.weight.view_mut());",
    ),
    bug(
        LINEAR,
        "db = instead of +=",
        DB,
        "grad.bias.fill(F::zero()); cx.add_column_sums(&dy, grad.bias.as_slice_mut().unwrap());",
    ),
    bug(
        LINEAR,
        "db from the first block of rows only",
        DB,
        "cx.add_column_sums(&dy.slice(ndarray::s![..dy.nrows().min(64), ..]), grad.bias.as_slice_mut().unwrap());",
    ),
    bug(
        LINEAR,
        "db from one image only (of three)",
        DB,
        "cx.add_column_sums(&dy.slice(ndarray::s![..dy.nrows() / 3, ..]), grad.bias.as_slice_mut().unwrap());",
    ),
    bug(LINEAR, "db forgotten", DB, "();"),
    bug(NORM, "without the first mean (how μ depends on x)", NORM_DX, "(*dx - h * mean_along) * inv_std"),
    bug(NORM, "without the second mean (how σ² depends on x)", NORM_DX, "(*dx - mean) * inv_std"),
    bug(NORM, "without 1/√(σ² + ε)", NORM_DX, "*dx - mean - h * mean_along"),
    bug(NORM, "D − 1 for D in a mean", "rows::dot(dx, x_hat) / n", "rows::dot(dx, x_hat) / (n - F::one())"),
    bug(NORM, "γ forgotten in dx", "*dx = dy * g;", "*dx = dy;"),
    bug(NORM, "normalised x forgotten in dγ", "*dg += dy * h;", "*dg += dy;"),
    bug(
        NORM,
        "dγ, dβ from the first row block only",
        "partials.chunks_exact(2 * d)",
        "partials[..2 * d].chunks_exact(2 * d)",
    ),
    bug(
        NORM,
        "dβ = instead of +=",
        "row_blocks::add_partials(&partial[d..], dbeta);",
        "dbeta.copy_from_slice(&partial[d..]);",
    ),
    bug(MLP, "GELU′ of the tanh form", SLOPE, TANH_SLOPE),
    bug(MLP, "GELU′ = Φ", SLOPE, "*h = cdf;"),
    bug(MLP, "GELU′ = Φ + φ", SLOPE, "*h = cdf + density;"),
    bug(
        MLP,
        "GELU′ not applied",
        "cx.rows(row_blocks::of_mut(&mut dh).zip(row_blocks::of(&slope)), Multiply);",
        "();",
    ),
    bug(ATTENTION, "softmax without its row sum", SOFTMAX, "*dp = p * *dp;"),
    bug(ATTENTION, "softmax without P ⊙", SOFTMAX, "*dp = *dp - sum;"),
    bug(ATTENTION, "dQ without 1/√d_h", DQ, "into(Q, F::one(), ds, k);"),
    bug(ATTENTION, "dK without 1/√d_h", DK, "into(K, F::one(), transposed(ds), q);"),
    bug(ATTENTION, "dK = dS Q, not transposed", DK, "into(K, scale, ds, q);"),
    bug(ATTENTION, "dV = P do, not transposed", DV, "into(V, F::one(), p, dout);"),
    bug(ATTENTION, "dQ from Q, not K", DQ, "into(Q, scale, ds, q);"),
    bug(
        ATTENTION,
        "dQ and dK in each other's place",
        DQ,
        "into(K, scale, ds, k); into(Q, scale, transposed(ds), q); return;",
    ),
    bug(
        ATTENTION,
        "the heads take each other's do",
        "self.heads(dcontext, 0)",
        "{ let mut dout = self.heads(dcontext, 0); dout.invert_axis(Axis(0)); dout }",
    ),
    bug(GATHER, "other rows not zeroed", "cx.zeros(count, dy.ncols())", "cx.take(count, dy.ncols())"),
    bug(
        GATHER,
        "the gradient to the rows before",
        "dx.row_mut(row).assign(&dy)",
        "dx.row_mut(row.max(1) - 1).assign(&dy)",
    ),
    bug(BLOCK, "residual past the MLP dropped", PAST_MLP, "();"),
    bug(BLOCK, "residual past attention dropped", PAST_ATTENTION, "();"),
    bug(
        BLOCK,
        "residual past attention twice",
        PAST_ATTENTION,
        "cx.add_assign(&mut dx, &dmid); cx.add_assign(&mut dx, &dmid);",
    ),
    bug(
        EMBED,
        "dimages in the target's pixel order",
        "target.copy_from_slice(&rows[first..first + p]);",
        "for (x, pixel) in target.iter_mut().enumerate() {
            *pixel = rows[((run.patch * p + run.row) * p + x) * c + run.channel];
        }",
    ),
    bug(
        NORM,
        "forward: variance with divisor D − 1",
        "rows::dot(x_hat, x_hat) / n + self.eps",
        "rows::dot(x_hat, x_hat) / (n - F::one()) + self.eps",
    ),
    bug(NORM, "forward: ε forgotten", "F::of(self.eps)", "F::zero()"),
    bug(MLP, "forward: GELU of the tanh form", "*a = *h * cdf;", TANH_GELU),
    twice(
        MLP,
        "forward and backward: GELU of the tanh form",
        [("*a = *h * cdf;", TANH_GELU), (SLOPE, TANH_SLOPE)],
    ),
    bug(ATTENTION, "forward and backward: without 1/√d_h", SCORE_SCALE, "F::one()"),
    bug(
        ATTENTION,
        "forward and backward: 1/√D for 1/√d_h",
        SCORE_SCALE,
        "F::one() / F::of(self.proj.bias.len() as f64).sqrt()",
    ),
    bug(
        ATTENTION,
        "forward: keys taken for queries",
        SCORES,
        "small::products(gemm, scale, k, transposed(q), by_head(probabilities.view_mut()));",
    ),
    bug(BLOCK, "forward: residual past attention dropped", "cx.add_assign(&mut mid, &x);", "();"),
    bug(
        EMBED,
        "forward: the target's pixel order",
        "rows[first..first + p].copy_from_slice(source);",
        "for (x, &pixel) in source.iter().enumerate() {
            rows[((run.patch * p + run.row) * p + x) * c + run.channel] = pixel;
        }",
    ),
    bug(
        "layers/pos_embed.rs",
        "row before column",
        "[column as f64, row as f64]",
        "[row as f64, column as f64]",
    ),
];
