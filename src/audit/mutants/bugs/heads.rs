//! Bugs of what stands on the encoder: classifier, cross-entropy, batch norm, interpolated positions.

use super::{Bug, bug, twice};

const BATCH_NORM: &str = "layers/batch_norm.rs";
const BATCH_NORM_DX: &str = "(dy - &mean - x_hat * &mean_along) * &inv_std";

const CROSS_ENTROPY: &str = "tasks/cross_entropy.rs";
const DLOGITS: &str = "*d = (d.exp() * total - q) * scale";
const SMOOTHING: &str = "F::of(smoothing / classes as f64)";

const CLASSIFY: &str = "tasks/classify.rs";
const POOL: &str = "image.slice(s![1.., ..]).sum_axis(Axis(0))";

/// All of them.
pub(super) const BUGS: &[Bug] = &[
    bug(BATCH_NORM, "without the first mean", BATCH_NORM_DX, "(dy - x_hat * &mean_along) * &inv_std"),
    bug(BATCH_NORM, "without the second mean", BATCH_NORM_DX, "(dy - &mean) * &inv_std"),
    bug(BATCH_NORM, "forward: variance with divisor N − 1", "squares / n", "squares / (n - F::one())"),
    bug(BATCH_NORM, "running variance with divisor N", "&squares / (n - F::one())", "&squares / n"),
    bug(BATCH_NORM, "evaluation differentiated as training", "batch.is_none()", "false"),
    bug(CROSS_ENTROPY, "softmax alone, target not subtracted", DLOGITS, "*d = d.exp() * total * scale"),
    bug(CROSS_ENTROPY, "targets taken to sum to 1", DLOGITS, "*d = (d.exp() - q) * scale"),
    bug(
        CROSS_ENTROPY,
        "averaged over classes, too",
        DLOGITS,
        "*d = (d.exp() * total - q) * scale * F::of(0.2)",
    ),
    bug(
        CROSS_ENTROPY,
        "smoothing over the other classes only",
        SMOOTHING,
        "F::of(smoothing / (classes - 1) as f64)",
    ),
    bug(
        "layers/pos_interp.rs",
        "corners aligned",
        "scale * (cell as f64 + 0.5) - 0.5",
        "cell as f64 * (from - 1) as f64 / (to - 1) as f64",
    ),
    bug(
        "layers/pos_interp.rs",
        "a = −0.5",
        "((A + 2.0) * x - (A + 3.0)) * x * x + 1.0",
        "(1.5 * x - 2.5) * x * x + 1.0",
    ),
    bug(CLASSIFY, "positions without gradient", "dpos_embed += &image;", "();"),
    bug(CLASSIFY, "dpos_embed from one image only", "dpos_embed += &image;", "dpos_embed.assign(&image);"),
    bug(CLASSIFY, "cls_token without gradient", "dcls_token += &image.row(0);", "();"),
    bug(
        CLASSIFY,
        "the class token pooled, too (backward)",
        "image.row_mut(0).fill(F::zero());",
        "image.row_mut(0).assign(&d);",
    ),
    twice(
        CLASSIFY,
        "forward and backward: mean over all tokens",
        [
            (POOL, "image.sum_axis(Axis(0))"),
            ("image.row_mut(0).fill(F::zero());", "image.row_mut(0).assign(&(&d * share));"),
        ],
    ),
];
