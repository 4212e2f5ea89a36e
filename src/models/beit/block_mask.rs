//! Block-wise masking: rectangles are masked, one after the other, until there are enough (Bao et al. 2022, Algorithm 1).
//!
//! The masks are those of microsoft/unilm in distribution (`tests/audit/parity/blockmask.rs`). They are not those of the
//! strategy `block` of masked autoencoders, which cuts the last rectangle off so that every image keeps the same number of
//! patches: here the number differs from image to image, and is at most [`BlockMasking::target`].

use crate::base::rng::{Purpose, below, rng, uniform};
use rand::Rng;

/// The original's numbers are for 14 × 14 patches: 75 masked, blocks of 16 or more.
const ORIGINAL_PATCHES: f64 = 196.0;
const ORIGINAL_MIN_AREA: f64 = 16.0;

/// Share of the patches that the original masks, at most.
pub const ORIGINAL_RATIO: f64 = 75.0 / ORIGINAL_PATCHES;

/// Everything that decides a mask but the sample.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BlockMasking {
    /// Patches in a column and in a row of the image.
    pub grid: (usize, usize),
    /// How many patches to mask, at most.
    pub target: usize,
    /// Least area from which a block's is drawn, in patches.
    pub min_area: usize,
    /// Largest area, if there is one beside what is left to mask.
    pub max_area: Option<usize>,
    /// Least and largest height over width.
    pub aspect: [f64; 2],
    /// How often a block is tried; if none of them fits, masking ends.
    pub tries: usize,
}

/// A rectangle that was masked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    /// Its first row.
    pub top: usize,
    /// Its first column.
    pub left: usize,
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// How many of its patches were not masked before.
    pub new: usize,
    /// The try that it was, from 1.
    pub attempts: usize,
}

/// Which patches of one image are masked, and by which blocks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockMask {
    /// `[L]`, in row-major order.
    pub masked: Vec<bool>,
    /// In the order in which they were placed.
    pub blocks: Vec<Block>,
}

impl BlockMasking {
    /// The original's numbers in proportion to the number of patches, with this share of them masked.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "shares of a number of patches"
    )]
    pub fn of_grid(grid: (usize, usize), ratio: f64) -> Self {
        let patches = (grid.0 * grid.1) as f64;
        let min_area = (patches * ORIGINAL_MIN_AREA / ORIGINAL_PATCHES).round() as usize;
        let target = (patches * ratio).round() as usize;
        Self { grid, target, min_area: min_area.max(1), max_area: None, aspect: [0.3, 1.0 / 0.3], tries: 10 }
    }

    /// The mask of one sample in one epoch. Depends on nothing else: not on the batch, not on threads.
    #[must_use]
    pub fn mask(&self, seed: u64, epoch: u64, sample: u64) -> BlockMask {
        let mut rng = rng(seed, Purpose::Mask, epoch, sample);
        let mut mask = BlockMask { masked: vec![false; self.grid.0 * self.grid.1], blocks: Vec::new() };
        let mut count = 0;
        while count < self.target {
            let left = self.target - count;
            let room = self.max_area.map_or(left, |max| left.min(max));
            let Some(block) = self.place(&mask.masked, room, &mut rng) else { break };
            for row in block.top..block.top + block.height {
                mask.masked[row * self.grid.1 + block.left..][..block.width].fill(true);
            }
            count += block.new;
            mask.blocks.push(block);
        }
        mask
    }

    /// The first of the tries that lies inside the grid and masks at least one new patch and at most `room`.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "roots of areas")]
    fn place(&self, masked: &[bool], room: usize, rng: &mut impl Rng) -> Option<Block> {
        let (rows, columns) = self.grid;
        for attempts in 1..=self.tries {
            // Near the end room < min_area: the area is then between the two, and may be more than there is room for.
            let area = between(self.min_area as f64, room as f64, uniform(rng));
            // libm's, so that a mask is the same on every platform.
            let [low, high] = self.aspect.map(libm::log);
            let aspect = libm::exp(between(low, high, uniform(rng)));
            let height = (area * aspect).sqrt().round_ties_even() as usize;
            let width = (area / aspect).sqrt().round_ties_even() as usize;
            // Strictly: a block never spans the grid.
            if !(height < rows && width < columns) {
                continue;
            }
            let (top, left) = (below(rng, rows - height + 1), below(rng, columns - width + 1));
            let row = |row: usize| &masked[row * columns + left..][..width];
            let new = (top..top + height).flat_map(row).filter(|masked| !**masked).count();
            if 0 < new && new <= room {
                return Some(Block { top, left, height, width, new, attempts });
            }
        }
        None
    }
}

/// `a + (b − a) u`, also for `b < a`.
fn between(a: f64, b: f64, u: f64) -> f64 {
    a + (b - a) * u
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_originals_numbers_are_scaled_with_the_grid() {
        for (side, target, min_area) in [(14, 75, 16), (8, 24, 5), (7, 19, 4)] {
            let masking = BlockMasking::of_grid((side, side), ORIGINAL_RATIO);
            assert_eq!((masking.target, masking.min_area), (target, min_area), "{side}");
        }
    }

    #[test]
    fn a_mask_is_its_blocks_and_never_above_the_target() {
        let masking = BlockMasking::of_grid((9, 12), 0.5);
        for sample in 0..200 {
            let mask = masking.mask(3, 1, sample);
            let inside = |l: usize| {
                let (row, column) = (l / 12, l % 12);
                let inside = |from: usize, len: usize, at: usize| (from..from + len).contains(&at);
                mask.blocks.iter().any(|b| inside(b.top, b.height, row) && inside(b.left, b.width, column))
            };
            assert!(mask.masked.iter().enumerate().all(|(l, &masked)| masked == inside(l)));
            let count = mask.masked.iter().filter(|masked| **masked).count();
            assert_eq!(count, mask.blocks.iter().map(|block| block.new).sum::<usize>());
            assert!(0 < count && count <= masking.target);
            assert_eq!(mask, masking.mask(3, 1, sample), "a function of its address");
            assert_ne!(mask, masking.mask(3, 2, sample));
        }
    }

    #[test]
    fn a_grid_without_room_for_a_block_stays_unmasked() {
        let mask = BlockMasking::of_grid((1, 40), 0.4).mask(0, 0, 0);
        assert!(mask.blocks.is_empty() && !mask.masked.contains(&true), "a block never spans the grid");
    }
}
