//! Bugs of the classifier: tokens, pooling, drop path, and what is frozen.

use super::{Bug, bug, twice};

const TOKENS: &str = "tasks/tokens.rs";
const DPOSITIONS: &str = "cx.add_column_sums(&a_row_an_image, flat_mut(&mut grad.pos_embed));";

const POOLING: &str = "tasks/pooling.rs";
const CLASS_ROW: &str = "&image[..d]";
const SHARE: &str = "F::one() / F::of((dpatches.len() / dmean.len()) as f64)";

const CLASSIFY: &str = "tasks/classify.rs";
const FIRST_BLOCK: &str = "depth.saturating_sub(last)";
const HEAD_ALONE: &str = "if pass.tune_blocks == Some(0)";

const DROP_PATH: &str = "layers/drop_path.rs";
const KEPT: &str = "F::of(1.0 / (1.0 - p))";

const BLOCK: &str = "layers/block.rs";

/// All of them.
pub(super) const BUGS: &[Bug] = &[
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
    bug(CLASSIFY, "gradient leaks into the block below", FIRST_BLOCK, "depth.saturating_sub(last + 1)"),
    bug(CLASSIFY, "gradient leaks into all blocks", FIRST_BLOCK, "last * 0"),
    bug(CLASSIFY, "gradient stops a block early", FIRST_BLOCK, "depth.min(depth + 1 - last)"),
    bug(
        CLASSIFY,
        "gradient leaks into embedding and positions",
        "if pass.tune_blocks.is_some()",
        "if pass.tune_blocks == Some(0)",
    ),
    bug(CLASSIFY, "head alone: gradient leaks into the norm", HEAD_ALONE, "if false"),
    bug(CLASSIFY, "head alone for every number of blocks", HEAD_ALONE, "if pass.tune_blocks.is_some()"),
    bug(
        CLASSIFY,
        "forward: every block takes the last block's factors",
        "branches.of_block(i)",
        "branches.of_block(1)",
    ),
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
        "scaled(s_mlp.as_deref(), &dy, cx)",
        "scaled(None, &dy, cx)",
    ),
    bug(
        BLOCK,
        "attention's factors forgotten backward",
        "scaled(s_attn.as_deref(), &dmid, cx)",
        "scaled(None, &dmid, cx)",
    ),
    bug(
        BLOCK,
        "attention's factors on the MLP backward",
        "scaled(s_mlp.as_deref(), &dy, cx)",
        "scaled(s_attn.as_deref(), &dy, cx)",
    ),
    bug(
        BLOCK,
        "forward: what flows past is dropped, too",
        "cx.add_assign(&mut mid, &x);",
        "cx.add_assign(&mut mid, &x); scale(s_attn, &mut mid, cx);",
    ),
];
