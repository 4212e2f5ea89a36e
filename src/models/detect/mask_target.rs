//! What a mask head should answer for a region: the object's mask in the region's `P × P` cells.

use super::boxes::BBox;
use super::roi_align::{RoiAlign, sums};
use crate::base::Real;
use ndarray::{Array2, ArrayView2};

/// RoIAlign of the mask, `[H, W]` pixels of the image, with as many samples as a cell has pixels: the part of each cell that the
/// object covers, nearly. `[P, P]`. Samples are added up and divided once, so that a half is a half.
#[must_use]
pub fn covered<F: Real>(mask: ArrayView2<bool>, bbox: BBox<F>, output: usize) -> Array2<f64> {
    let [x1, y1, x2, y2] = bbox.map(|x| x.f64() - 0.5);
    let ((height, width), align) = (mask.dim(), RoiAlign { output, sampling: 0 });
    let ((rows, down), (columns, across)) = (sums([y1, y2], align, height), sums([x1, x2], align, width));
    let (mut cells, mut line) = (Array2::zeros((output, output)), vec![0.0; width]);
    for (terms, mut cells) in rows.iter().zip(cells.outer_iter_mut()) {
        line.fill(0.0);
        for &(i, weight) in terms {
            let set = line.iter_mut().zip(mask.row(i)).filter(|(_, set)| **set);
            set.for_each(|(sum, _)| *sum += weight);
        }
        for (terms, cell) in columns.iter().zip(&mut cells) {
            let sum: f64 = terms.iter().map(|&(j, weight)| weight * line[j]).sum();
            *cell = sum / (down * across).max(1) as f64;
        }
    }
    cells
}

/// 1 for the cells that the object covers to a half or more, else 0: `[P, P]`.
#[must_use]
pub fn mask_target<F: Real>(mask: ArrayView2<bool>, bbox: BBox<F>, output: usize) -> Array2<F> {
    covered(mask, bbox, output).mapv(|covered| if covered >= 0.5 { F::one() } else { F::zero() })
}
