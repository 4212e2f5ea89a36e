//! The anchors of an image, and where a network's numbers for each of them stand.

use super::anchors::{AnchorConfig, anchors};
use super::boxes::BBox;
use super::config::DetectorConfig;
use super::fpn::MAPS;
use crate::base::Real;
use ndarray::Array2;

/// All anchors by map, row, column and shape.
#[derive(Clone, Debug)]
pub struct AnchorTable<F> {
    /// In pixels of the image; not clipped.
    pub boxes: Vec<BBox<F>>,
    /// How many of them each map has.
    of_maps: [usize; MAPS],
}

impl<F: Real> AnchorTable<F> {
    /// Those of a network.
    #[must_use]
    pub fn new(c: &DetectorConfig) -> Self {
        let config = AnchorConfig {
            sizes: c.anchor_sizes.clone(),
            ratios: c.anchor_ratios.clone(),
            offset: c.anchor_offset,
        };
        Self {
            boxes: anchors(&c.map_sizes(), &c.strides(), &config),
            of_maps: c.map_sizes().map(|[height, width]| height * width * c.anchor_ratios.len()),
        }
    }

    /// The map of an anchor, and its number among all anchors that a batch has there, image by image.
    ///
    /// # Panics
    /// If there is no such anchor.
    #[must_use]
    pub fn place(&self, image: usize, anchor: usize) -> (usize, usize) {
        let mut first = 0;
        for (map, count) in self.of_maps.into_iter().enumerate() {
            if anchor < first + count {
                return (map, image * count + anchor - first);
            }
            first += count;
        }
        panic!("anchor {anchor} of {first}");
    }

    /// One image's part of what the network gives for every anchor, `numbers` for each, map by map.
    #[must_use]
    pub fn of_image<'a>(&self, image: usize, numbers: usize, maps: &'a [Array2<F>]) -> Vec<&'a [F]> {
        let part = |(anchors, map): (usize, &'a Array2<F>)| {
            let map = map.as_slice().expect("activations are row-major");
            &map[image * anchors * numbers..][..anchors * numbers]
        };
        self.of_maps.into_iter().zip(maps).map(part).collect()
    }
}
