//! Bugs of what stands on the encoder: classifier, cross-entropy, batch norm, interpolated positions.

use super::{Bug, bug, twice};

const BATCH_NORM: &str = "layers/batch_norm.rs";
const BATCH_NORM_DX: &str = "(dy - &mean - x_hat * &mean_along) * &inv_std";

const CROSS_ENTROPY: &str = "tasks/cross_entropy.rs";
const DLOGITS: &str = "*d = (d.exp() * total - q) * scale";
const SMOOTHING: &str = "F::of(smoothing / classes as f64)";

const TOKENS: &str = "tasks/tokens.rs";
const DPOSITIONS: &str = "cx.add_column_sums(&a_row_an_image, flat_mut(&mut grad.pos_embed));";

const POOLING: &str = "tasks/pooling.rs";
const CLASS_ROW: &str = "&image[..d]";
const SHARE: &str = "F::one() / F::of((dpatches.len() / dmean.len()) as f64)";

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
    bug(TOKENS, "positions without gradient", DPOSITIONS, "();"),
    bug(
        TOKENS,
        "dpos_embed from one image only",
        DPOSITIONS,
        "cx.add_column_sums(&a_row_an_image.slice(ndarray::s![..1, ..]), flat_mut(&mut grad.pos_embed));",
    ),
    bug(TOKENS, "cls_token without gradient", "widest(&Add, (flat_mut(&mut grad.cls_token), class));", "();"),
    bug(
        TOKENS,
        "dcls_token = instead of +=",
        "widest(&Add, (flat_mut(&mut grad.cls_token), class));",
        "flat_mut(&mut grad.cls_token).copy_from_slice(class);",
    ),
    bug(
        TOKENS,
        "forward: patches take their left neighbour's position",
        "rest.iter_mut().zip(patches).zip(positions)",
        "rest.iter_mut().zip(patches).zip(self.positions)",
    ),
    bug(
        POOLING,
        "the class token pooled, too (backward)",
        "dclass.fill(F::zero());",
        "dclass.copy_from_slice(dmean);",
    ),
    bug(POOLING, "class token not zeroed under mean pooling", "dclass.fill(F::zero());", "();"),
    bug(POOLING, "patches not zeroed under class pooling", "patches.fill(F::zero());", "();"),
    bug(
        POOLING,
        "share of the tokens, not of the patches",
        SHARE,
        "F::one() / F::of((1 + dpatches.len() / dmean.len()) as f64)",
    ),
    bug(POOLING, "the whole gradient to every patch", SHARE, "F::one()"),
    bug(POOLING, "forward: sum instead of mean", "*sum /= count;", "();"),
    bug(POOLING, "forward: the first patch taken for the class token", CLASS_ROW, "&image[d..2 * d]"),
    twice(
        POOLING,
        "forward and backward: the first patch taken for the class token",
        [
            (CLASS_ROW, "&image[d..2 * d]"),
            (
                "image.split_at_mut(d)",
                "{ let (first, rest) = image.split_at_mut(d); first.fill(F::zero()); rest.split_at_mut(d) }",
            ),
        ],
    ),
    twice(
        POOLING,
        "forward and backward: mean over all tokens",
        [("&image[d..]", "&image[..]"), ("dimage.split_at_mut(dmean.len())", "dimage.split_at_mut(0)")],
    ),
];
