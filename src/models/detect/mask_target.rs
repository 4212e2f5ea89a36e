//! What a mask head should answer for a region: the object's mask in the region's `P × P` cells.

use super::boxes::BBox;
use super::roi_align::{RoiAlign, axis};
use crate::base::Real;
use crate::layers::SparseMap;
use ndarray::{Array2, ArrayView2};

/// RoIAlign of the mask, `[H, W]` pixels of the image, with as many samples as a cell has pixels: the part of each cell that the
/// object covers, nearly. `[P, P]`.
#[must_use]
pub fn covered<F: Real>(mask: ArrayView2<bool>, bbox: BBox<F>, output: usize) -> Array2<F> {
    let [x1, y1, x2, y2] = bbox.map(|x| x.f64() - 0.5);
    let ((height, width), align) = (mask.dim(), RoiAlign { output, sampling: 0 });
    let (rows, columns): (SparseMap<F>, SparseMap<F>) =
        (axis([y1, y2], align, height), axis([x1, x2], align, width));
    let (mut cells, mut line) = (Array2::zeros((output, output)), vec![F::zero(); width]);
    for (p, mut cells) in cells.outer_iter_mut().enumerate() {
        line.fill(F::zero());
        for term in rows.row(p) {
            let set = line.iter_mut().zip(mask.row(term.input)).filter(|(_, set)| **set);
            set.for_each(|(sum, _)| *sum += term.weight);
        }
        for (q, cell) in cells.iter_mut().enumerate() {
            *cell = columns.row(q).iter().map(|term| term.weight * line[term.input]).sum();
        }
    }
    cells
}

/// 1 for the cells that the object covers to a half or more, else 0: `[P, P]`.
#[must_use]
pub fn mask_target<F: Real>(mask: ArrayView2<bool>, bbox: BBox<F>, output: usize) -> Array2<F> {
    covered(mask, bbox, output).mapv(|covered: F| if covered >= F::of(0.5) { F::one() } else { F::zero() })
}
