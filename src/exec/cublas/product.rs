//! One product on a lane: cut into pieces whose copies overlap with each other's multiplication, weights in their place.

use super::blas::{Blas, Place, Slot};
use super::layout::{Layout, call, pack, pack_batch, unpack};
use super::weights::Weights;
use crate::base::Real;
use crate::exec::gemm::Failure;
use crate::exec::matrix::Operand;
use crate::exec::traffic::Counters;
use ndarray::{ArrayView3, ArrayViewMut2, ArrayViewMut3, Axis, Slice};
use std::sync::Arc;

/// Numbers that are copied for one piece: 2 MiB in f32, some tens of microseconds on the bus. Not measured.
const PIECE: usize = 1 << 19;
/// More pieces bring nothing: what does not overlap is the first upload and the last download.
const MOST_PIECES: usize = 8;

const A: [Slot; 2] = [Slot(0), Slot(1)];
const B: [Slot; 2] = [Slot(2), Slot(3)];
const C: [Slot; 2] = [Slot(4), Slot(5)];

/// What a product needs beside its lane.
pub(super) struct Means<'a, W> {
    pub(super) weights: &'a Weights<W>,
    pub(super) counters: &'a Counters,
}

/// `C ← α·A·B + β·C`.
pub(super) struct Product<'a, F> {
    pub(super) alpha: F,
    pub(super) a: Operand<'a, F>,
    pub(super) b: Operand<'a, F>,
    pub(super) beta: F,
    pub(super) c: ArrayViewMut2<'a, F>,
}

/// An operand as cuBLAS gets it.
struct Placed<W> {
    layout: Layout,
    /// The weight it is in, and where; else it is in a slot.
    weight: Option<(Arc<W>, usize)>,
    slot: Slot,
}

impl<W> Placed<W> {
    fn place(&self) -> Place<'_, W> {
        self.weight.as_ref().map_or(Place::Slot(self.slot), |(weight, offset)| Place::Weight(weight, *offset))
    }
}

impl<F: Real> Product<'_, F> {
    /// Computes on `lane` and waits. How it is cut depends on the shape alone: along the inner dimension where that is
    /// the longest, as in `dW = dyᵀ x`, else along the longer side of `C`.
    pub(super) fn run<L: Blas<F>>(self, lane: &mut L, means: &Means<'_, L::Weight>) -> Result<(), Failure> {
        let (m, k, n) = (self.a.view.nrows(), self.a.view.ncols(), self.b.view.ncols());
        means.counters.product(m * k * n);
        if k > m.max(n) {
            self.along_k(lane, means)
        } else if m >= n {
            self.along_m(lane, means)
        } else {
            // C = A B  ⇔  Cᵀ = Bᵀ Aᵀ
            let (a, b) = (self.b.t(), self.a.t());
            Product { a, b, c: self.c.reversed_axes(), ..self }.along_m(lane, means)
        }
    }

    /// Piece by piece of the rows of `A` and `C`: while one is multiplied, the next is on its way up and the one before
    /// on its way down.
    fn along_m<L: Blas<F>>(mut self, lane: &mut L, means: &Means<'_, L::Weight>) -> Result<(), Failure> {
        let (m, k, n) = (self.a.view.nrows(), self.a.view.ncols(), self.b.view.ncols());
        let rows = piece(m, k + n);
        let b = operand(self.b, B[0], lane, means)?;
        let mut before: Option<(Slot, ArrayViewMut2<F>)> = None;
        let pieces =
            self.a.view.axis_chunks_iter(Axis(0), rows).zip(self.c.axis_chunks_iter_mut(Axis(0), rows));
        for (i, (a, c)) in pieces.enumerate() {
            let (height, slot) = (a.nrows(), C[i % 2]);
            let a = operand(self.a.seen(a), A[i % 2], lane, means)?;
            let call = call([height, k, n], self.alpha, a.layout, b.layout, F::zero(), 1);
            lane.product(&call, b.place(), a.place(), slot)?;
            download::<F, L>(lane, slot, height * n, means.counters)?;
            if let Some((slot, c)) = before.replace((slot, c)) {
                fetch(lane, slot, self.beta, c)?;
            }
        }
        before.map_or(Ok(()), |(slot, c)| fetch(lane, slot, self.beta, c))
    }

    /// Piece by piece of the columns of `A` and rows of `B`, added up on the device in this order.
    fn along_k<L: Blas<F>>(self, lane: &mut L, means: &Means<'_, L::Weight>) -> Result<(), Failure> {
        let (m, k, n) = (self.a.view.nrows(), self.a.view.ncols(), self.b.view.ncols());
        let depth = piece(k, m + n);
        for (i, first) in (0..k).step_by(depth).enumerate() {
            let part = Slice::from(first..k.min(first + depth));
            let a = operand(self.a.seen(self.a.view.slice_axis(Axis(1), part)), A[i % 2], lane, means)?;
            let b = operand(self.b.seen(self.b.view.slice_axis(Axis(0), part)), B[i % 2], lane, means)?;
            let beta = if i == 0 { F::zero() } else { F::one() };
            let shape = [m, depth.min(k - first), n];
            lane.product(&call(shape, self.alpha, a.layout, b.layout, beta, 1), b.place(), a.place(), C[0])?;
        }
        download::<F, L>(lane, C[0], m * n, means.counters)?;
        fetch(lane, C[0], self.beta, self.c)
    }
}

/// `C_s ← α·A_s·B_s` for every matrix of a batch, as one call.
pub(super) struct Batch<'a, F> {
    pub(super) alpha: F,
    pub(super) a: ArrayView3<'a, F>,
    pub(super) b: ArrayView3<'a, F>,
    pub(super) c: ArrayViewMut3<'a, F>,
}

impl<F: Real> Batch<'_, F> {
    /// Computes on `lane` and waits.
    pub(super) fn run<L: Blas<F>>(mut self, lane: &mut L, counters: &Counters) -> Result<(), Failure> {
        let ((batch, m, k), n) = (self.a.dim(), self.b.dim().2);
        counters.product(batch * m * k * n);
        let layouts = [&self.a, &self.b].map(|x| Layout::packed(&x.index_axis(Axis(0), 0)));
        for (x, layout, slot) in [(&self.a, layouts[0], A[0]), (&self.b, layouts[1], B[0])] {
            counters.up(x.len() * size_of::<F>());
            lane.upload(slot, x.len(), &mut |out| pack_batch(x, layout.op, out))?;
        }
        let call = call([m, k, n], self.alpha, layouts[0], layouts[1], F::zero(), batch);
        lane.product(&call, Place::Slot(B[0]), Place::Slot(A[0]), C[0])?;
        download::<F, L>(lane, C[0], batch * m * n, counters)?;
        lane.fetch(C[0], &mut |products| {
            for (c, product) in self.c.outer_iter_mut().zip(products.chunks_exact(m * n)) {
                unpack(product, F::zero(), c);
            }
        })
    }
}

/// How much of a dimension one piece has, if `width` elements are copied for each step along it.
fn piece(length: usize, width: usize) -> usize {
    let pieces = (length * width / PIECE).clamp(1, MOST_PIECES);
    length.div_ceil(pieces)
}

/// A weight where it lies, if cuBLAS can read it so; anything else packed and uploaded.
fn operand<F: Real, L: Blas<F>>(
    operand: Operand<F>,
    slot: Slot,
    lane: &mut L,
    means: &Means<'_, L::Weight>,
) -> Result<Placed<L::Weight>, Failure> {
    let view = operand.view;
    if let (Some(layout), Some((weight, offset))) = (Layout::in_place(&view), operand.weight()) {
        let copy = means.weights.get(weight, lane, means.counters)?;
        return Ok(Placed { layout, weight: Some((copy, offset)), slot });
    }
    let layout = Layout::packed(&view);
    means.counters.up(view.len() * size_of::<F>());
    lane.upload(slot, view.len(), &mut |out| pack(view, layout.op, out))?;
    Ok(Placed { layout, weight: None, slot })
}

fn download<F, L: Blas<F>>(lane: &mut L, slot: Slot, len: usize, counters: &Counters) -> Result<(), Failure> {
    counters.down(len * size_of::<F>());
    lane.download(slot, len)
}

/// Waits for a result and adds it to `β·C`.
fn fetch<F: Real, L: Blas<F>>(
    lane: &mut L,
    slot: Slot,
    beta: F,
    mut c: ArrayViewMut2<F>,
) -> Result<(), Failure> {
    lane.fetch(slot, &mut |product| unpack(product, beta, c.view_mut()))
}
