//! Pasting: from the `S × S` cells of a detection's mask to the pixels of the image (Detectron2's rule).

use super::boxes::BBox;
use crate::base::Real;
use crate::layers::SparseMap;
use ndarray::{Array2, ArrayView2};
use std::ops::Range;

/// The part of an image on which a mask is not 0.
#[derive(Clone, Debug)]
pub struct Pasted<F> {
    /// Lines of the image.
    pub lines: Range<usize>,
    /// Columns of the image.
    pub columns: Range<usize>,
    /// The mask's value at these pixels' centres, `[lines, columns]`.
    pub values: Array2<F>,
}

/// `σ(z)` of one class's channel for each detection: `logits: [N·S·S, K] → [N, S·S]`.
///
/// # Panics
/// If there are not `S·S` rows for each class.
pub fn probabilities<F: Real>(logits: ArrayView2<F>, classes: &[usize]) -> Array2<F> {
    let cells = logits.nrows() / classes.len().max(1);
    assert_eq!(logits.nrows(), cells * classes.len(), "as many rows for each of {} masks", classes.len());
    Array2::from_shape_fn((classes.len(), cells), |(n, cell)| {
        F::one() / (F::one() + (-logits[(n * cells + cell, classes[n])]).exp())
    })
}

/// The mask `[S, S]` of a box of an image of `size = [H, W]`: the centre of pixel `x` lies at
/// `u = (x + ½ − x1) / (x2 − x1) · S − ½` of the cells, and its value is bilinear between the four nearest ones, those beyond
/// the mask counting 0. A box of no width or no height has no pixels.
#[must_use]
pub fn paste<F: Real>(mask: ArrayView2<F>, bbox: BBox<F>, size: [usize; 2]) -> Pasted<F> {
    let [x1, y1, x2, y2] = bbox.map(F::f64);
    let ((height, width), [lines, columns]) = (mask.dim(), size);
    let ((lines, down), (columns, across)) =
        (axis::<F>([y1, y2], height, lines), axis::<F>([x1, x2], width, columns));
    let mut values = Array2::zeros((lines.len(), columns.len()));
    let mut blended = vec![F::zero(); width];
    for (i, mut line) in values.outer_iter_mut().enumerate() {
        blended.fill(F::zero());
        for term in down.row(i) {
            for (b, &m) in blended.iter_mut().zip(mask.row(term.input)) {
                *b += term.weight * m;
            }
        }
        for (j, value) in line.iter_mut().enumerate() {
            *value = across.row(j).iter().map(|term| term.weight * blended[term.input]).sum();
        }
    }
    Pasted { lines, columns, values }
}

impl<F: Real> Pasted<F> {
    /// The values of the whole image, `[H, W]`.
    #[must_use]
    pub fn soft(&self, size: [usize; 2]) -> Array2<F> {
        let mut whole = Array2::zeros(size);
        self.part_of(&mut whole).assign(&self.values);
        whole
    }

    /// Which of these pixels belong to the object, `[lines, columns]`: value at least ½.
    #[must_use]
    pub fn inside(&self) -> Array2<bool> {
        self.values.mapv(|value| value >= F::of(0.5))
    }

    /// The same for the whole image, `[H, W]`.
    #[must_use]
    pub fn bits(&self, size: [usize; 2]) -> Array2<bool> {
        let mut whole = Array2::from_elem(size, false);
        self.part_of(&mut whole).assign(&self.inside());
        whole
    }

    fn part_of<'a, T>(&self, whole: &'a mut Array2<T>) -> ndarray::ArrayViewMut2<'a, T> {
        whole.slice_mut(ndarray::s![self.lines.clone(), self.columns.clone()])
    }
}

/// The pixels of an axis that read a cell, and what they read.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "between 0 and a number of pixels"
)]
fn axis<F: Real>([start, end]: [f64; 2], cells: usize, pixels: usize) -> (Range<usize>, SparseMap<F>) {
    let side = (end - start) / cells as f64;
    // Half a cell beyond the box, to where the last cell's value has faded to 0.
    let pixel = |edge: f64| edge.max(0.0).min(pixels as f64) as usize;
    let reached =
        if side > 0.0 { pixel((start - 0.5 * side).floor())..pixel((end + 0.5 * side).ceil()) } else { 0..0 };
    let terms = |x: usize| {
        let u = (x as f64 + 0.5 - start) / side - 0.5;
        let (low, share) = (u.floor(), u - u.floor());
        let inside = move |(cell, _): &(f64, f64)| (0.0..cells as f64).contains(cell);
        [(low, 1.0 - share), (low + 1.0, share)]
            .into_iter()
            .filter(inside)
            .map(|(cell, w)| (cell as usize, w))
    };
    (reached.clone(), SparseMap::new(cells, reached.map(terms)))
}
