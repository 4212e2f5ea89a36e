//! From which map a region's features are read, and at which pixels.

use super::boxes::BBox;
use super::config::DetectorConfig;
use super::levels::LevelRule;
use super::roi_align::{Level, Region, RoiAlign, RoiMap};
use crate::base::Real;
use crate::models::pyramid::levels::{LEVELS, STRIDES};

/// RoIAlign on `p2 … p5`.
#[derive(Clone, Debug)]
pub struct RegionReader {
    rule: LevelRule,
    levels: [Level; LEVELS],
    sampling: usize,
}

impl RegionReader {
    /// On a network's maps.
    #[must_use]
    pub fn new(c: &DetectorConfig) -> Self {
        let level = |k: usize| Level { size: c.map_sizes()[k], scale: 1.0 / STRIDES[k] as f64 };
        Self { rule: c.level_rule(), levels: [0, 1, 2, 3].map(level), sampling: c.sampling }
    }

    /// The map from all levels to the `side × side` pixels of every region; each comes with the number of its image.
    #[must_use]
    pub fn reading<F: Real>(
        &self,
        regions: impl Iterator<Item = (usize, BBox<F>)>,
        side: usize,
    ) -> RoiMap<F> {
        let region = |(image, bbox)| {
            let level = self.rule.level(bbox) - self.rule.min_level;
            Region { image, level, bbox }
        };
        let regions: Vec<_> = regions.map(region).collect();
        RoiAlign { output: side, sampling: self.sampling }.of(&regions, &self.levels)
    }
}
