//! From which level of the pyramid a region is read: large ones from coarse levels (Lin et al. 2017, "Feature Pyramid
//! Networks", equation 1).

use super::boxes::{BBox, area};
use crate::base::Real;

/// The rule.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LevelRule {
    /// The level of a region as large as ImageNet's images.
    pub canonical_level: usize,
    /// Their side in pixels.
    pub canonical_size: f64,
    /// The finest level.
    pub min_level: usize,
    /// The coarsest level.
    pub max_level: usize,
}

/// P2 to P5, and 224 × 224 pixels on P4.
impl Default for LevelRule {
    fn default() -> Self {
        Self { canonical_level: 4, canonical_size: 224.0, min_level: 2, max_level: 5 }
    }
}

impl LevelRule {
    /// `⌊canonical_level + log₂(√area / canonical_size)⌋`, at least `min_level` and at most `max_level`.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between two levels")]
    pub fn level<F: Real>(&self, bbox: BBox<F>) -> usize {
        let side = area(bbox).f64().sqrt();
        // What is added keeps the logarithm of 0 finite; the reference adds it.
        let level = self.canonical_level as f64 + (side / self.canonical_size + 2.2e-16).log2();
        // The maximum first: it is `min_level` for boxes whose area is negative, too.
        level.floor().max(self.min_level as f64).min(self.max_level as f64) as usize
    }
}
