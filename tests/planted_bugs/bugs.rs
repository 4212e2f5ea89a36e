//! The planted bugs: what a tired author could have written in a backward pass instead.
//!
//! Each is a replacement of a snippet that stands exactly once in a source file; `build.rs` beside this
//! file makes the copy that has them all behind a switch.

/// One bug.
pub(crate) struct Bug {
    /// The source file, relative to `src`.
    pub(crate) file: &'static str,
    /// What is wrong.
    pub(crate) name: &'static str,
    /// The snippet as it stands in the file: an expression, a statement with its `;`, or `if condition`.
    pub(crate) old: &'static str,
    /// What stands there instead.
    pub(crate) new: &'static str,
}

const fn bug(file: &'static str, name: &'static str, old: &'static str, new: &'static str) -> Bug {
    Bug { file, name, old, new }
}

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

const ATTENTION: &str = "layers/attention.rs";
const SOFTMAX: &str = "*dp = p * (*dp - sum);";
const DQ: &str = "into(0, h, scale, ds.view(), k);";
const DK: &str = "into(1, h, scale, ds.t(), q);";
const DV: &str = "into(2, h, F::one(), p.t(), dout);";

const BLOCK: &str = "layers/block.rs";
const PAST_MLP: &str = "cx.add_assign(&mut dmid, &dy);";
const PAST_ATTENTION: &str = "cx.add_assign(&mut dx, &dmid);";

const EMBED: &str = "layers/patch_embed.rs";
const ENCODER: &str = "mae/encoder.rs";
const DCLASS: &str = "dclass += &dx.row(b * (1 + keep));";

const DECODER: &str = "mae/decoder.rs";
const DMASK: &str = "dmask_token += &row;";
const DVISIBLE: &str = "dy.row_mut(b * (1 + keep) + 1 + place).assign(&row);";
const FROM: &str = "dx.row(b * (1 + len) + 1 + l)";

const LOSS: &str = "mae/loss.rs";
const SCALE: &str = "2.0 / (pred.ncols() * removed_in_batch) as f64";
const DPRED: &str = "Zip::from(&mut dpred).and(pred).and(target).for_each(|d, &p, &t| *d = scale * (p - t));";
const KEPT: &str = "dpred.fill(F::zero());";
const DTARGET: &str = "*dt - dt_mean - t * along";

const MODEL: &str = "mae/model.rs";

/// All of them.
pub(crate) const BUGS: &[Bug] = &[
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
        "db from the first band of rows only",
        DB,
        "cx.add_column_sums(&dy.slice(ndarray::s![..dy.nrows().min(64), ..]), grad.bias.as_slice_mut().unwrap());",
    ),
    bug(
        LINEAR,
        "db from the first half of the rows only",
        DB,
        "cx.add_column_sums(&dy.slice(ndarray::s![..dy.nrows() / 2, ..]), grad.bias.as_slice_mut().unwrap());",
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
        "dγ, dβ from the first band only",
        "partials.chunks_exact(2 * d)",
        "partials[..2 * d].chunks_exact(2 * d)",
    ),
    bug(
        NORM,
        "dβ = instead of +=",
        "bands::add_partials(&partial[d..], dbeta);",
        "dbeta.copy_from_slice(&partial[d..]);",
    ),
    bug(MLP, "GELU′ of the tanh form", SLOPE, TANH_SLOPE),
    bug(MLP, "GELU′ = Φ", SLOPE, "*h = cdf;"),
    bug(MLP, "GELU′ = Φ + φ", SLOPE, "*h = cdf + density;"),
    bug(MLP, "GELU′ not applied", "cx.rows(bands::of_mut(&mut dh).zip(bands::of(&slope)), Multiply);", "();"),
    bug(ATTENTION, "softmax without its row sum", SOFTMAX, "*dp = p * *dp;"),
    bug(ATTENTION, "softmax without P ⊙", SOFTMAX, "*dp = *dp - sum;"),
    bug(ATTENTION, "dQ without 1/√d_h", DQ, "into(0, h, F::one(), ds.view(), k);"),
    bug(ATTENTION, "dK without 1/√d_h", DK, "into(1, h, F::one(), ds.t(), q);"),
    bug(ATTENTION, "dK = dS Q, not transposed", DK, "into(1, h, scale, ds.view(), q);"),
    bug(ATTENTION, "dV = P do, not transposed", DV, "into(2, h, F::one(), p.view(), dout);"),
    bug(ATTENTION, "dQ from Q, not K", DQ, "into(0, h, scale, ds.view(), q);"),
    bug(
        ATTENTION,
        "dQ and dK in each other's place",
        DQ,
        "into(1, h, scale, ds.view(), k); into(0, h, scale, ds.t(), q); continue;",
    ),
    bug(
        ATTENTION,
        "every head takes the first head's do",
        "dcontext.slice(s![.., self.columns(0, h)])",
        "dcontext.slice(s![.., self.columns(0, 0)])",
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
        "patch.iter_mut().zip(row).for_each(|(pixel, &value)| *pixel = value);",
        "patch.permuted_axes([1, 2, 0]).iter_mut().zip(row).for_each(|(pixel, &value)| *pixel = value);",
    ),
    bug(ENCODER, "cls_token without gradient", DCLASS, "();"),
    bug(ENCODER, "dcls_token = instead of +=", DCLASS, "dclass.assign(&dx.row(b * (1 + keep)));"),
    bug(
        ENCODER,
        "class row taken for a patch",
        "dx.row(b * (1 + keep) + 1 + i)",
        "dx.row(b * (1 + keep) + i)",
    ),
    bug(
        ENCODER,
        "not scattered to ids_keep",
        "dpatches.row_mut(b * len + patch)",
        "dpatches.row_mut(b * len + i)",
    ),
    bug(
        ENCODER,
        "removed patches not zeroed",
        "cx.zeros(masks.len() * len, dx.ncols())",
        "cx.take(masks.len() * len, dx.ncols())",
    ),
    bug(DECODER, "mask_token without gradient", DMASK, "();"),
    bug(DECODER, "dmask_token = instead of +=", DMASK, "dmask_token.assign(&row);"),
    bug(
        DECODER,
        "dmask_token from visible patches, too",
        DVISIBLE,
        "dy.row_mut(b * (1 + keep) + 1 + place).assign(&row); dmask_token += &row;",
    ),
    bug(DECODER, "unshuffle forgotten", FROM, "dx.row(b * (1 + len) + 1 + place)"),
    bug(DECODER, "unshuffle in the wrong direction", FROM, "dx.row(b * (1 + len) + 1 + mask.ids_shuffle[l])"),
    bug(DECODER, "unshuffle applied twice", FROM, "dx.row(b * (1 + len) + 1 + mask.ids_restore[place])"),
    bug(
        DECODER,
        "class row dropped on the way to the encoder",
        "dy.row_mut(b * (1 + keep)).assign(&dx.row(b * (1 + len)));",
        "dy.row_mut(b * (1 + keep)).fill(F::zero());",
    ),
    bug(DECODER, "class row of the prediction not zeroed", "dx.row_mut(0).fill(F::zero());", "();"),
    bug(LOSS, "factor 2 lost", SCALE, "1.0 / (pred.ncols() * removed_in_batch) as f64"),
    bug(LOSS, "averaged over all patches", SCALE, "2.0 / (pred.ncols() * pred.nrows()) as f64"),
    bug(LOSS, "not averaged over the pixels", SCALE, "2.0 / removed_in_batch as f64"),
    bug(
        LOSS,
        "wrong sign",
        DPRED,
        "Zip::from(&mut dpred).and(pred).and(target).for_each(|d, &p, &t| *d = scale * (t - p));",
    ),
    bug(
        LOSS,
        "kept patches have a gradient, too",
        KEPT,
        "Zip::from(&mut dpred).and(pred).and(target).for_each(|d, &p, &t| *d = scale * (p - t));",
    ),
    bug(LOSS, "kept patches not zeroed", KEPT, "();"),
    bug(
        LOSS,
        "N for N − 1 in the normalised target",
        "(&dt * &t).sum() / (n - F::one())",
        "(&dt * &t).sum() / n",
    ),
    bug(LOSS, "normalised target without mean(dt)", DTARGET, "*dt - t * along"),
    bug(LOSS, "normalised target without its deviation's part", DTARGET, "*dt - dt_mean"),
    bug(LOSS, "mask inverted", "if removed", "if !removed"),
    bug(
        MODEL,
        "the target's part with the wrong sign",
        "-loss::backward(&output.pred, &output.target, masks, removed, cx)",
        "loss::backward(&output.pred, &output.target, masks, removed, cx)",
    ),
    bug(
        "mae/patchify.rs",
        "unpatchify in the kernel's pixel order",
        "images[pixel(i, j, (c, h, w), p)] = value;",
        "images[pixel(i, j % (p * p) * c + j / (p * p), (c, h, w), p)] = value;",
    ),
];
