//! Anchors: the boxes that are tried at every pixel of every level, of one size a level and several shapes.

use super::boxes::BBox;
use crate::base::Real;

/// Which boxes they are.
#[derive(Clone, Debug, PartialEq)]
pub struct AnchorConfig {
    /// The side of a level's square anchor in pixels of the image, level by level.
    pub sizes: Vec<f64>,
    /// Heights over widths. All anchors of a level have the same area.
    pub ratios: Vec<f64>,
    /// Where in its cell of `stride × stride` pixels an anchor's centre lies: 0 is the corner, ½ the middle.
    pub offset: f64,
}

/// All anchors, by level, row, column and ratio: their centres are `((j + offset) · stride, (i + offset) · stride)`, their
/// widths `√(size² / ratio)`, their heights `ratio` times that. Nothing is clipped. `grids` are the levels' `[H, W]`.
///
/// # Panics
/// If there is not one size and one stride a level.
#[must_use]
pub fn anchors<F: Real>(grids: &[[usize; 2]], strides: &[usize], config: &AnchorConfig) -> Vec<BBox<F>> {
    let levels = [grids.len(), strides.len(), config.sizes.len()];
    assert!(levels.iter().all(|&n| n == grids.len()), "grids, strides, sizes: {levels:?} levels");
    let pixels: usize = grids.iter().map(|[rows, columns]| rows * columns).sum();
    let mut all = Vec::with_capacity(pixels * config.ratios.len());
    for ((&[rows, columns], &stride), &size) in grids.iter().zip(strides).zip(&config.sizes) {
        let centre = |cell: usize| (cell as f64 + config.offset) * stride as f64;
        let shapes: Vec<_> = config.ratios.iter().map(|&ratio| shape(size, ratio)).collect();
        for (y, x) in (0..rows).flat_map(|i| (0..columns).map(move |j| (centre(i), centre(j)))) {
            let around = |&[w, h]: &[f64; 2]| [x - w / 2.0, y - h / 2.0, x + w / 2.0, y + h / 2.0];
            all.extend(shapes.iter().map(|shape| around(shape).map(F::of)));
        }
    }
    all
}

/// Width and height.
fn shape(size: f64, ratio: f64) -> [f64; 2] {
    let width = (size * size / ratio).sqrt();
    [width, ratio * width]
}
