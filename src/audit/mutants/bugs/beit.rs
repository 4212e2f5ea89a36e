//! Bugs of BEiT-style pre-training: what is replaced, the head, the loss, k-means, block-wise masking.

use super::{Bug, bug, twice};

const MASK_TOKEN: &str = "models/beit/mask_token.rs";
const REPLACE: &str = "row.assign(&token);";
const DTOKEN: &str = r#"widest(&Add, (&mut *dtoken, row.as_slice().expect("activations are row-major")));"#;

const HEAD: &str = "models/beit/masked_head.rs";
const ROW: &str = "patch / patches * tokens + 1 + patch % patches";

const MODEL: &str = "models/beit/model.rs";
const DENOMINATOR: &str = "cross_entropy::backward(&output.logits, &targets, masked_in_batch)";
const POSITIONS: &str = "self.vit.add_positions(&mut x);";

const CODEBOOK: &str = "models/beit/codebook.rs";
const SQUARES: &str = "c.iter().map(|&x| x * x).sum()";
const NEARER: &str = "if square < *distance";

const KMEANS: &str = "models/beit/kmeans.rs";
const MOVED: &str = "if count > 0";
const MEAN: &str = "*c = F::of(sum / count as f64)";

const BLOCKS: &str = "models/beit/block_mask.rs";
const INSIDE: &str = "if !(height < rows && width < columns)";
const FITS: &str = "if 0 < new && new <= room";

/// All of them.
pub(super) const BUGS: &[Bug] = &[
    bug(MASK_TOKEN, "forward: mask token added, not put in the patch's stead", REPLACE, "row += &token;"),
    bug(MASK_TOKEN, "mask_token without gradient", DTOKEN, "();"),
    bug(
        MASK_TOKEN,
        "dmask_token = instead of +=",
        DTOKEN,
        r#"dtoken.copy_from_slice(row.as_slice().expect("activations are row-major"));"#,
    ),
    bug(
        MASK_TOKEN,
        "dmask_token the mean over masked patches, not the sum",
        DTOKEN,
        "let n = F::of(masked.iter().filter(|m| **m).count() as f64);
            dtoken.iter_mut().zip(&row).for_each(|(d, &x)| *d += x / n);",
    ),
    bug(MASK_TOKEN, "gradient leaks into the patches that were replaced", "row.fill(F::zero());", "();"),
    bug(
        HEAD,
        "rows one too early: the class token taken for a patch",
        ROW,
        "patch / patches * tokens + patch % patches",
    ),
    bug(HEAD, "class tokens of earlier images forgotten", ROW, "patch + 1"),
    bug(
        MODEL,
        "mean over the images, not over the batch's masked patches",
        DENOMINATOR,
        "cross_entropy::backward(&output.logits, &targets, masked.len() / self.config.vit.num_patches())",
    ),
    bug(
        MODEL,
        "mean over the chunk's masked patches, not the batch's",
        DENOMINATOR,
        "cross_entropy::backward(&output.logits, &targets, output.labels.len())",
    ),
    bug(
        MODEL,
        "mean over all patches",
        DENOMINATOR,
        "cross_entropy::backward(&output.logits, &targets, masked.len())",
    ),
    bug(
        MODEL,
        "forward: mask token on the wrong side of the positions",
        POSITIONS,
        "self.vit.add_positions(&mut x); x = self.mask.forward(x, masked);",
    ),
    bug(
        MODEL,
        "forward: positions twice",
        POSITIONS,
        "self.vit.add_positions(&mut x); self.vit.add_positions(&mut x);",
    ),
    bug(MODEL, "forward: the next patch's token", "ids[l]", "ids[(l + 1) % ids.len()]"),
    bug(CODEBOOK, "‖c‖² forgotten", SQUARES, "F::zero()"),
    bug(CODEBOOK, "2 lost: ‖c‖² − x·c", "F::of(2.0)", "F::one()"),
    bug(CODEBOOK, "ties go to the highest index", NEARER, "if square <= *distance"),
    twice(
        KMEANS,
        "a centroid without patches is reset",
        [(MOVED, "if true"), (MEAN, "*c = F::of(sum / count.max(1) as f64)")],
    ),
    bug(KMEANS, "the mean over all patches", MEAN, "*c = F::of(sum / ids.len() as f64)"),
    bug(KMEANS, "the sum for the mean", MEAN, "*c = F::of(*sum)"),
    bug(KMEANS, "first centroids: uniform", "at(&distance, uniform(&mut rng) * total)", "below(&mut rng, n)"),
    bug(
        KMEANS,
        "first centroids: distance from the latest one alone",
        "*d = d.min(rows::sum_of_two(x, self.centroid, |x, c| (x - c) * (x - c)));",
        "*d = rows::sum_of_two(x, self.centroid, |x, c| (x - c) * (x - c));",
    ),
    bug(BLOCKS, "a block may span the grid", INSIDE, "if !(height <= rows && width <= columns)"),
    bug(
        BLOCKS,
        "a block must add more than half of itself",
        FITS,
        "if height * width < 2 * new && new <= room",
    ),
    bug(BLOCKS, "a block may mask more than there is room for", FITS, "if 0 < new"),
    bug(
        BLOCKS,
        "masked patches of a block counted again",
        "count += block.new;",
        "count += block.height * block.width;",
    ),
    bug(
        BLOCKS,
        "aspect uniform, not its logarithm",
        "libm::exp(between(low, high, uniform(rng)))",
        "between(self.aspect[0], self.aspect[1], uniform(rng))",
    ),
    bug(BLOCKS, "max_area forgotten", "self.max_area.map_or(left, |max| left.min(max))", "left"),
    bug(
        BLOCKS,
        "height as much as the width",
        "(area * aspect).sqrt().round_ties_even() as usize",
        "(area / aspect).sqrt().round_ties_even() as usize",
    ),
    bug(
        BLOCKS,
        "area never below min_area",
        "between(self.min_area as f64, room as f64, uniform(rng))",
        "between(self.min_area as f64, (room as f64).max(self.min_area as f64), uniform(rng))",
    ),
];
