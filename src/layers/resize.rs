//! Maps of another size: bilinear resizing, adaptive average pooling, doubling, every second pixel. All are linear, and
//! each is the Kronecker product of what it does to the rows and what it does to the columns.

use super::sparse_map::SparseMap;
use crate::base::Real;
use crate::exec::Exec;
use ndarray::{Array2, ArrayView2};

/// A linear map of an image's pixels from one size to another, and its adjoint; there is nothing to train.
#[derive(Clone, Debug)]
pub struct Resize<F> {
    map: SparseMap<F>,
    adjoint: SparseMap<F>,
}

impl<F: Real> Resize<F> {
    /// Bilinear, `[height, width]` to `[height, width]`: see [`bilinear`].
    #[must_use]
    pub fn bilinear(from: [usize; 2], to: [usize; 2]) -> Self {
        Self::of(from, to, bilinear)
    }

    /// Adaptive average pooling: see [`average`].
    #[must_use]
    pub fn average(from: [usize; 2], to: [usize; 2]) -> Self {
        Self::of(from, to, average)
    }

    /// Twice the size, `y[i, j] = x[⌊i/2⌋, ⌊j/2⌋]`.
    #[must_use]
    pub fn nearest2x(from: [usize; 2]) -> Self {
        let axis = |n: usize, m: usize| SparseMap::new(n, (0..m).map(|o| [(o / 2, 1.0)]));
        Self::of(from, from.map(|n| 2 * n), axis)
    }

    /// Half the size, rounded up, `y[i, j] = x[2i, 2j]`.
    #[must_use]
    pub fn subsample2(from: [usize; 2]) -> Self {
        let axis = |n: usize, m: usize| SparseMap::new(n, (0..m).map(|o| [(2 * o, 1.0)]));
        Self::of(from, from.map(|n| n.div_ceil(2)), axis)
    }

    fn of(from: [usize; 2], to: [usize; 2], axis: impl Fn(usize, usize) -> SparseMap<F>) -> Self {
        assert!(from.iter().chain(&to).all(|&n| n > 0), "a map of {from:?} to one of {to:?}");
        let map = axis(from[0], to[0]).kronecker(&axis(from[1], to[1]));
        Self { adjoint: map.transposed(), map }
    }

    /// `x: [B·h·w, C] → y: [B·H·W, C]`.
    pub fn forward(&self, x: ArrayView2<F>, cx: &mut Exec<F>) -> Array2<F> {
        self.map.apply(x, cx)
    }

    /// `dx = Aᵀ dy`.
    pub fn backward(&self, dy: ArrayView2<F>, cx: &mut Exec<F>) -> Array2<F> {
        self.adjoint.apply(dy, cx)
    }
}

/// `m` outputs between `n` inputs: output `o` lies at `s = max(0, (o + ½) n/m − ½)` and mixes `⌊s⌋` and the next one, the
/// last input being its own neighbour. Pixels are squares with their centres at `½`, which is what `align_corners=False`
/// means in PyTorch; nothing is smoothed when it shrinks.
#[must_use]
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "not negative, and below n")]
pub fn bilinear<F: Real>(n: usize, m: usize) -> SparseMap<F> {
    let row = |o: usize| {
        let s = ((o as f64 + 0.5) * n as f64 / m as f64 - 0.5).max(0.0);
        let low = s.floor() as usize;
        let high = (low + 1).min(n - 1);
        let w = s - low as f64;
        if high == low { [(low, 1.0), (low, 0.0)] } else { [(low, 1.0 - w), (high, w)] }
    };
    SparseMap::new(n, (0..m).map(row))
}

/// `m` cells over `n` inputs: cell `o` is the mean of the inputs from `⌊o n/m⌋` to `⌈(o + 1) n/m⌉ − 1`. Cells may overlap,
/// and there may be more of them than inputs.
#[must_use]
pub fn average<F: Real>(n: usize, m: usize) -> SparseMap<F> {
    let row = |o: usize| {
        let (start, end) = (o * n / m, ((o + 1) * n).div_ceil(m));
        (start..end).map(move |i| (i, 1.0 / (end - start) as f64))
    };
    SparseMap::new(n, (0..m).map(row))
}
