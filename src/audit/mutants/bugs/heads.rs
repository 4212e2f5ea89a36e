//! Bugs of what heads are made of: cross-entropy, batch norm, interpolated positions.

use super::{Bug, bug};

const BATCH_NORM: &str = "layers/batch_norm.rs";
const BATCH_NORM_DX: &str = "(&dy - &mean - x_hat * &mean_along) * &inv_std";

const CROSS_ENTROPY: &str = "models/classify/cross_entropy.rs";
const DLOGITS: &str = "*d = (d.exp() * total - q) * scale";
const SMOOTHING: &str = "F::of(smoothing / classes as f64)";

/// All of them.
pub(super) const BUGS: &[Bug] = &[
    bug(BATCH_NORM, "without the first mean", BATCH_NORM_DX, "(&dy - x_hat * &mean_along) * &inv_std"),
    bug(BATCH_NORM, "without the second mean", BATCH_NORM_DX, "(&dy - &mean) * &inv_std"),
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
];
