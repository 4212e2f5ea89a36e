//! Bugs of the classifier: pooling, drop path, the head alone.

use super::{Bug, bug, twice};

const POOLING: &str = "models/classify/pooling.rs";
const CLASS_ROW: &str = "&image[..d]";
const SHARE: &str = "F::one() / F::of((dpatches.len() / dmean.len()) as f64)";

const CLASSIFY: &str = "models/classify/classifier.rs";
const HEAD_ALONE: &str = "if o.tune_blocks == Some(0)";

const DROP_PATH: &str = "layers/drop_path.rs";
const KEPT: &str = "F::of(1.0 / (1.0 - p))";

const BLOCK: &str = "layers/block.rs";

/// All of them.
pub(super) const BUGS: &[Bug] = &[
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
        "fraction of the tokens, not of the patches",
        SHARE,
        "F::one() / F::of((1 + dpatches.len() / dmean.len()) as f64)",
    ),
    bug(POOLING, "the whole gradient to every patch", SHARE, "F::one()"),
    bug(POOLING, "forward: sum instead of mean", "*sum /= count;", "();"),
    bug(POOLING, "forward: the last patch taken for the class token", CLASS_ROW, "&image[image.len() - d..]"),
    bug(
        POOLING,
        "the first patch's row needed, not the class token's",
        "image * tokens",
        "image * tokens + 1",
    ),
    twice(
        POOLING,
        "forward and backward: the last patch taken for the class token",
        [
            (CLASS_ROW, "&image[image.len() - d..]"),
            (
                "image.split_at_mut(d)",
                "{ let (rest, last) = image.split_at_mut(image.len() - d); (last, rest) }",
            ),
        ],
    ),
    twice(
        POOLING,
        "forward and backward: mean over all tokens",
        [("&image[d..]", "&image[..]"), ("dimage.split_at_mut(dmean.len())", "dimage.split_at_mut(0)")],
    ),
    bug(CLASSIFY, "head alone: gradient leaks into the norm", HEAD_ALONE, "if false"),
    bug(CLASSIFY, "head alone for every number of blocks", HEAD_ALONE, "if o.tune_blocks.is_some()"),
    bug(DROP_PATH, "without 1/(1 − p)", KEPT, "F::one()"),
    bug(DROP_PATH, "1 − p for 1/(1 − p)", KEPT, "F::of(1.0 - p)"),
    bug(DROP_PATH, "dropped with probability 1 − p", "uniform(&mut rng) < p", "uniform(&mut rng) >= p"),
    bug(
        DROP_PATH,
        "the same rate in every block",
        "self.rate * block as f64 / (self.depth - 1) as f64",
        "self.rate",
    ),
    bug(
        DROP_PATH,
        "rates up to depth for depth − 1",
        "self.rate * block as f64 / (self.depth - 1) as f64",
        "self.rate * block as f64 / self.depth as f64",
    ),
    bug(
        DROP_PATH,
        "one draw for the whole chunk",
        "rng(seed, Purpose::DropPath, epoch, sample)",
        "rng(seed, Purpose::DropPath, epoch, samples[0])",
    ),
    bug(DROP_PATH, "attention's and the MLP's factors swapped", "[2 * i, 2 * i + 1]", "[2 * i + 1, 2 * i]"),
    bug(DROP_PATH, "forward: not applied", "*x *= factor;", "();"),
    bug(DROP_PATH, "not applied backward", "*y = x * factor;", "*y = x;"),
    bug(
        BLOCK,
        "MLP's factors forgotten backward",
        "scaled(s_mlp.as_deref(), dy, cx)",
        "scaled(None, dy, cx)",
    ),
    bug(
        BLOCK,
        "attention's factors forgotten backward",
        "scaled(s_attn.as_deref(), dmid.view(), cx)",
        "scaled(None, dmid.view(), cx)",
    ),
    bug(
        BLOCK,
        "attention's factors on the MLP backward",
        "scaled(s_mlp.as_deref(), dy, cx)",
        "scaled(s_attn.as_deref(), dy, cx)",
    ),
    bug(
        BLOCK,
        "forward: what flows past is dropped, too",
        "cx.add_assign(&mut mid, &x);",
        "cx.add_assign(&mut mid, &x); scale(s_attn, &mut mid, cx);",
    ),
];
