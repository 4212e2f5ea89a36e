//! Masking: shuffle the patches by noise, keep the first ones, remember how to put them back.

use crate::base::rng::{Purpose, below, rng, uniform};
use serde::{Deserialize, Serialize};

/// Which patches of one image are removed, and the permutation that says so.
///
/// A [`Mask`] is made by sorting noise: `ids_shuffle = argsort(noise)`; the first `len_keep` patches in
/// this order are kept, `ids_restore` is its inverse (He et al. 2022, §3, "Simple implementation").
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mask {
    /// `[L]`: the patches in ascending order of their noise.
    pub ids_shuffle: Vec<usize>,
    /// `[L]`: where each patch went, `ids_restore[ids_shuffle[i]] = i`.
    pub ids_restore: Vec<usize>,
    /// How many patches are kept.
    pub len_keep: usize,
}

impl Mask {
    /// Keeps the `len_keep` patches with the least noise; ties keep the order of the patches.
    #[must_use]
    pub fn from_noise(noise: &[f64], len_keep: usize) -> Self {
        let mut ids_shuffle: Vec<usize> = (0..noise.len()).collect();
        ids_shuffle.sort_by(|&a, &b| noise[a].total_cmp(&noise[b]));
        let mut ids_restore = vec![0; noise.len()];
        for (place, &patch) in ids_shuffle.iter().enumerate() {
            ids_restore[patch] = place;
        }
        Self { ids_shuffle, ids_restore, len_keep }
    }

    /// Removes exactly the patches for which `removed` holds.
    #[must_use]
    pub fn from_removed(removed: &[bool]) -> Self {
        let noise: Vec<f64> = removed.iter().map(|&r| f64::from(u8::from(r))).collect();
        Self::from_noise(&noise, removed.iter().filter(|&&r| !r).count())
    }

    /// `[len_keep]`: the patches that the encoder sees, in the order in which it sees them.
    #[must_use]
    pub fn ids_keep(&self) -> &[usize] {
        &self.ids_shuffle[..self.len_keep]
    }

    /// Whether patch `l` is removed (1 in the reference's `mask`).
    #[must_use]
    pub fn removes(&self, l: usize) -> bool {
        self.ids_restore[l] >= self.len_keep
    }

    /// How many patches are removed.
    #[must_use]
    pub fn removed(&self) -> usize {
        self.ids_shuffle.len() - self.len_keep
    }
}

/// The masks of a batch; every image keeps the same number of patches.
pub type Masks = [Mask];

/// `int(L · (1 − mask_ratio))`, in f64 and truncated as the reference does it.
#[must_use]
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
pub fn len_keep(patches: usize, mask_ratio: f64) -> usize {
    (patches as f64 * (1.0 - mask_ratio)) as usize
}

/// How patches are chosen for removal (He et al. 2022, §4.1, "Mask sampling strategy").
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Strategy {
    /// Uniformly at random, without replacement.
    #[default]
    Random,
    /// Large rectangles are removed, as in BEiT.
    Block,
    /// A regular grid is kept: at ratio 0.75 one patch in every 2 × 2.
    Grid,
}

/// Everything that decides a mask but the sample: strategy, ratio and grid.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Masking {
    /// How patches are chosen.
    pub strategy: Strategy,
    /// Share of patches to remove, between 0 and 1.
    pub mask_ratio: f64,
    /// Patches in a column and in a row of the image.
    pub grid: (usize, usize),
}

impl Masking {
    /// The mask of one sample in one epoch. Depends on nothing else: not on the batch, not on threads.
    #[must_use]
    pub fn mask(&self, seed: u64, epoch: u64, sample: u64) -> Mask {
        let noise = self.noise(seed, epoch, sample);
        Mask::from_noise(&noise, len_keep(noise.len(), self.mask_ratio))
    }

    /// `[L]`: the noise whose order is that mask.
    #[must_use]
    pub fn noise(&self, seed: u64, epoch: u64, sample: u64) -> Vec<f64> {
        let patches = self.grid.0 * self.grid.1;
        let keep = len_keep(patches, self.mask_ratio);
        let mut rng = rng(seed, Purpose::Mask, epoch, sample);
        let mut noise: Vec<f64> = (0..patches).map(|_| uniform(&mut rng)).collect();
        match self.strategy {
            Strategy::Random => {}
            Strategy::Block => {
                let removed = blocks(self.grid, patches - keep, &mut rng);
                noise.iter_mut().zip(removed).for_each(|(n, removed)| *n += f64::from(u8::from(removed)));
            }
            Strategy::Grid => {
                let phase = [below(&mut rng, 2), below(&mut rng, 2)];
                for (l, n) in noise.iter_mut().enumerate() {
                    let (row, column) = (l / self.grid.1 + phase[0], l % self.grid.1 + phase[1]);
                    *n += dispersed_rank(row, column);
                }
            }
        }
        noise
    }
}

/// Rectangles of at least 16 patches (or what is left to remove) and an aspect ratio between 0.3 and
/// 1/0.3, until `count` patches are covered; the last rectangle is cut off (Bao et al. 2022, Alg. 1).
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn blocks((rows, columns): (usize, usize), count: usize, rng: &mut impl rand::Rng) -> Vec<bool> {
    const SMALLEST: f64 = 16.0;
    let mut removed = vec![false; rows * columns];
    let mut left = count;
    while left > 0 {
        let area = SMALLEST + uniform(rng) * (left as f64 - SMALLEST).max(0.0);
        // libm's, so that a mask is the same on every platform.
        let aspect = libm::exp(libm::log(0.3) * (1.0 - 2.0 * uniform(rng)));
        let height = ((area * aspect).sqrt().round() as usize).clamp(1, rows);
        let width = ((area / aspect).sqrt().round() as usize).clamp(1, columns);
        let top = below(rng, rows - height + 1);
        let leftmost = below(rng, columns - width + 1);
        for row in top..top + height {
            for column in leftmost..leftmost + width {
                let patch = &mut removed[row * columns + column];
                if left > 0 && !*patch {
                    *patch = true;
                    left -= 1;
                }
            }
        }
    }
    removed
}

/// The order in which an evenly dispersed selection takes the cells of a 2 × 2 tiling, then of the finer
/// tiling within (the Bayer order): 0 is one cell in every 4 × 4, then its diagonal neighbour two apart, …
fn dispersed_rank(row: usize, column: usize) -> f64 {
    const BAYER: [[u8; 4]; 4] = [[0, 8, 2, 10], [12, 4, 14, 6], [3, 11, 1, 9], [15, 7, 13, 5]];
    f64::from(BAYER[row % 4][column % 4])
}

#[cfg(test)]
mod tests {
    use super::*;

    const STRATEGIES: [Strategy; 3] = [Strategy::Random, Strategy::Block, Strategy::Grid];

    #[test]
    fn every_image_loses_the_same_count() {
        for strategy in STRATEGIES {
            for (grid, mask_ratio) in [((7, 7), 0.75), ((4, 9), 0.5), ((14, 14), 0.8), ((3, 3), 0.9)] {
                let masking = Masking { strategy, mask_ratio, grid };
                for sample in 0..50 {
                    let mask = masking.mask(3, 1, sample);
                    let removed = (0..grid.0 * grid.1).filter(|&l| mask.removes(l)).count();
                    assert_eq!(removed, grid.0 * grid.1 - len_keep(grid.0 * grid.1, mask_ratio));
                    assert_eq!(removed, mask.removed());
                }
            }
        }
    }

    #[test]
    fn ids_restore_inverts_ids_shuffle() {
        for strategy in STRATEGIES {
            let mask = Masking { strategy, mask_ratio: 0.75, grid: (6, 8) }.mask(0, 0, 7);
            for (place, &patch) in mask.ids_shuffle.iter().enumerate() {
                assert_eq!(mask.ids_restore[patch], place);
            }
        }
    }

    #[test]
    fn equal_noise_keeps_the_order_of_the_patches() {
        let mask = Mask::from_noise(&[0.5, 0.1, 0.5, 0.1, 0.5], 3);
        assert_eq!(mask.ids_shuffle, [1, 3, 0, 2, 4]);
        assert_eq!(mask.ids_keep(), [1, 3, 0]);
    }

    #[test]
    fn len_keep_truncates_in_double_precision() {
        assert_eq!(len_keep(49, 0.75), 12);
        assert_eq!(len_keep(196, 0.75), 49);
        // 10 · (1 − 0.9) is 0.9999999999999998 in f64, and the reference truncates it.
        assert_eq!(len_keep(10, 0.9), 0);
    }

    #[test]
    fn grid_masking_at_three_quarters_keeps_one_patch_in_every_two_by_two() {
        let mask = Masking { strategy: Strategy::Grid, mask_ratio: 0.75, grid: (8, 8) }.mask(0, 0, 0);
        for (row, column) in (0..4).flat_map(|r| (0..4).map(move |c| (2 * r, 2 * c))) {
            let cell = [(0, 0), (0, 1), (1, 0), (1, 1)].map(|(r, c)| (row + r) * 8 + column + c);
            assert_eq!(cell.iter().filter(|&&l| !mask.removes(l)).count(), 1);
        }
    }

    #[test]
    fn random_masking_is_uniform_over_positions() {
        let masking = Masking { strategy: Strategy::Random, mask_ratio: 0.75, grid: (4, 4) };
        let draws = 8_000u32;
        let mut kept = [0u32; 16];
        for sample in 0..draws {
            for &l in masking.mask(11, 0, u64::from(sample)).ids_keep() {
                kept[l] += 1;
            }
        }
        // Binomial(8000, 1/4): standard deviation 38.7; five of them.
        for (l, &count) in kept.iter().enumerate() {
            assert!(count.abs_diff(draws / 4) < 194, "patch {l} was kept {count} times of {draws}");
        }
    }

    #[test]
    fn block_masking_removes_neighbours_together() {
        let neighbours = |strategy| {
            let masking = Masking { strategy, mask_ratio: 0.5, grid: (14, 14) };
            let mut equal = 0;
            for sample in 0..20 {
                let mask = masking.mask(0, 0, sample);
                equal +=
                    (0..14 * 14).filter(|l| l % 14 != 13 && mask.removes(*l) == mask.removes(l + 1)).count();
            }
            equal
        };
        assert!(neighbours(Strategy::Block) > neighbours(Strategy::Random) * 5 / 4);
    }
}
