//! Bugs of masking, decoder, target, loss and the model around them.

use super::{Bug, bug, twice};

const DECODER: &str = "models/mae/decoder.rs";
const DMASK: &str = "dmask_token += &row;";
const DVISIBLE: &str = "dy.row_mut(b * (1 + keep) + 1 + place).assign(&row);";
const FROM: &str = "dx.row(b * (1 + len) + 1 + l)";

const LOSS: &str = "models/mae/loss.rs";
const SCALE: &str = "2.0 / (len * removed_in_batch) as f64";
const DPRED: &str = "*d = self.scale * (p - t);";
const KEPT: &str = "dpred.fill(F::zero());";
const DTARGET: &str = "*dt - dt_mean - t * along";

const SQUARES: &str = "rows::sum_of(patch, |x| (x - mean) * (x - mean)) / (n - F::one())";
const SQUARES_OVER_N: &str = "rows::sum_of(patch, |x| (x - mean) * (x - mean)) / n";
const ALONG: &str = "(&dt * &t).sum() / (n - F::one())";
const MASKED: &str = "mask.removes(l)";

const MODEL: &str = "models/mae/model.rs";

/// All of them.
pub(super) const BUGS: &[Bug] = &[
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
    bug(LOSS, "factor 2 lost", SCALE, "1.0 / (len * removed_in_batch) as f64"),
    bug(LOSS, "averaged over all patches", SCALE, "2.0 / (len * pred.nrows()) as f64"),
    bug(LOSS, "not averaged over the pixels", SCALE, "2.0 / removed_in_batch as f64"),
    bug(LOSS, "wrong sign", DPRED, "*d = self.scale * (t - p);"),
    bug(
        LOSS,
        "kept patches have a gradient, too",
        KEPT,
        "dpred.iter_mut().zip(pred).zip(target).for_each(|((d, &p), &t)| *d = self.scale * (p - t));",
    ),
    bug(LOSS, "kept patches not zeroed", KEPT, "();"),
    bug(LOSS, "N for N − 1 in the normalised target", ALONG, "(&dt * &t).sum() / n"),
    bug(LOSS, "normalised target without mean(dt)", DTARGET, "*dt - t * along"),
    bug(LOSS, "normalised target without its standard deviation's part", DTARGET, "*dt - dt_mean"),
    bug(LOSS, "mask inverted", "if removed", "if !removed"),
    bug(
        MODEL,
        "the target's part with the wrong sign",
        "-loss::backward(&output.pred, &output.target, masks, removed, cx)",
        "loss::backward(&output.pred, &output.target, masks, removed, cx)",
    ),
    bug(
        "models/mae/patchify.rs",
        "unpatchify in the kernel's pixel order",
        "values[first(run, c, p)..].iter().step_by(c)",
        "values[((run.patch * c + run.channel) * p + run.row) * p..].iter().step_by(1)",
    ),
    twice(
        DECODER,
        "forward and backward: kept patches put back in another order",
        [
            ("y.row(b * (1 + keep) + 1 + place)", "y.row(b * (1 + keep) + 1 + (keep - 1 - place))"),
            (DVISIBLE, "dy.row_mut(b * (1 + keep) + 1 + (keep - 1 - place)).assign(&row);"),
        ],
    ),
    bug(
        DECODER,
        "forward: mask tokens without their positions",
        "image += &positions;",
        "image.slice_mut(s![..1, ..]).scaled_add(F::one(), &positions.slice(s![..1, ..]));",
    ),
    bug(LOSS, "forward and backward: mask inverted", MASKED, "!mask.removes(l)"),
    bug(LOSS, "forward and backward: kept patches count, too", MASKED, "(mask.removes(l) || true)"),
    bug(LOSS, "forward: averaged over all patches", "*removed", "(*removed || true)"),
    bug(LOSS, "forward: N for N − 1 in the target's variance", SQUARES, SQUARES_OVER_N),
    twice(
        LOSS,
        "forward and backward: N for N − 1 in the normalised target",
        [(SQUARES, SQUARES_OVER_N), (ALONG, "(&dt * &t).sum() / n")],
    ),
    bug(LOSS, "forward and backward: 1e-6 forgotten in the target", "F::of(TARGET_EPS)", "F::zero()"),
    bug(
        "models/mae/patchify.rs",
        "forward and backward: channels in reverse order",
        "(run.patch * p + run.row) * p * c + run.channel",
        "(run.patch * p + run.row) * p * c + (c - 1 - run.channel)",
    ),
    bug(
        "models/mae/masking.rs",
        "the patches with the most noise are kept",
        "noise[a].total_cmp(&noise[b])",
        "noise[b].total_cmp(&noise[a])",
    ),
    bug(
        "models/mae/masking.rs",
        "len_keep rounded, not truncated",
        "(patches as f64 * (1.0 - mask_ratio))",
        "(patches as f64 * (1.0 - mask_ratio)).round()",
    ),
];
