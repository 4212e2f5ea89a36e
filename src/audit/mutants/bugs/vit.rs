//! Bugs of the trunk: tokens, the loop over blocks, what is frozen, and taps.

use super::{Bug, bug, twice};

const TOKENS: &str = "models/vit/tokens.rs";
const DPOSITIONS: &str = "cx.add_column_sums(&a_row_an_image, flat_mut(&mut grad.pos_embed));";
const DCLASS: &str = "widest(&Add, (flat_mut(&mut grad.cls_token), class));";
const TO_PATCH: &str = "dpatches.row_mut(b * len + patch)";

const BLOCKS: &str = "models/vit/blocks.rs";
const FIRST_BLOCK: &str = "depth.saturating_sub(last)";
const DTAP: &str = "cx.add_assign(&mut dx, &dtaps[tap]);";

/// All of them.
pub(super) const BUGS: &[Bug] = &[
    bug(TOKENS, "positions without gradient", DPOSITIONS, "();"),
    bug(
        TOKENS,
        "dpos_embed from one image only",
        DPOSITIONS,
        "cx.add_column_sums(&a_row_an_image.slice(s![..1, ..]), flat_mut(&mut grad.pos_embed));",
    ),
    bug(TOKENS, "cls_token without gradient", DCLASS, "();"),
    bug(
        TOKENS,
        "dcls_token = instead of +=",
        DCLASS,
        "flat_mut(&mut grad.cls_token).copy_from_slice(class);",
    ),
    bug(TOKENS, "class row taken for a patch", "dx.row(b * tokens + 1 + i)", "dx.row(b * tokens + i)"),
    bug(TOKENS, "not scattered to ids_keep", TO_PATCH, "dpatches.row_mut(b * len + i)"),
    bug(
        TOKENS,
        "removed patches not zeroed",
        "cx.zeros(images * len, dx.ncols())",
        "cx.take(images * len, dx.ncols())",
    ),
    twice(
        TOKENS,
        "forward and backward: kept patches in reverse order",
        [
            ("patches.row(b * len + patch)", "patches.row(b * len + keep(b)[tokens - 2 - i])"),
            (TO_PATCH, "dpatches.row_mut(b * len + keep(b)[tokens - 2 - i])"),
        ],
    ),
    bug(
        TOKENS,
        "forward: positions of other patches",
        "self.pos_embed.slice(s![0, 1.., ..])",
        "self.pos_embed.slice(s![0, ..self.pos_embed.dim().1 - 1, ..])",
    ),
    bug(BLOCKS, "gradient leaks into the block below", FIRST_BLOCK, "depth.saturating_sub(last + 1)"),
    bug(BLOCKS, "gradient leaks into all blocks", FIRST_BLOCK, "last * 0"),
    bug(BLOCKS, "gradient stops a block early", FIRST_BLOCK, "depth.min(depth + 1 - last)"),
    bug(
        "models/vit/trunk.rs",
        "gradient leaks into embedding and positions",
        "if o.tune_blocks.is_some()",
        "if o.tune_blocks == Some(0)",
    ),
    bug(
        BLOCKS,
        "forward: every block takes the last block's factors",
        "branches.of_block(i)",
        "branches.of_block(1)",
    ),
    bug(BLOCKS, "tap without gradient", DTAP, "();"),
    bug(BLOCKS, "tap's gradient in the place of that from above", DTAP, "dx.assign(&dtaps[tap]);"),
    bug(
        BLOCKS,
        "taps take each other's gradient",
        DTAP,
        "cx.add_assign(&mut dx, &dtaps[dtaps.len() - 1 - tap]);",
    ),
    bug(BLOCKS, "tap's gradient below its block", "tap == i", "tap == i + 1"),
    bug(
        BLOCKS,
        "forward: the tap of the block above",
        "o.taps.contains(&i)",
        "o.taps.contains(&i.wrapping_sub(1))",
    ),
    twice(
        BLOCKS,
        "forward and backward: the tap of the block above",
        [("o.taps.contains(&i)", "o.taps.contains(&i.wrapping_sub(1))"), ("tap == i", "tap + 1 == i")],
    ),
];
