//! Max-pool: the largest element of each window, channel by channel, with windows side by side.

use crate::base::Real;
use crate::exec::Exec;
use crate::exec::kernel::Kernel;
use ndarray::{Array2, ArrayView2};

/// `y[i, j] = max x[s·i + a, s·j + b]` over `0 ≤ a, b < s`: window and stride `s`. There is nothing to train.
#[derive(Clone, Copy, Debug)]
pub struct MaxPool {
    /// `s`.
    pub window: usize,
}

/// What [`MaxPool::backward`] needs: which element of its window each output is.
#[must_use]
pub struct MaxPoolCache<F> {
    /// `s·a + b`, counted in `F` so that the buffer comes from the pool.
    winners: Array2<F>,
    width: usize,
}

impl<F: Real> MaxPoolCache<F> {
    /// Gives the buffer back: there will be no backward pass.
    pub fn recycle(self, cx: &mut Exec<F>) {
        cx.recycle(self.winners);
    }
}

impl MaxPool {
    /// `x: [B·H·W, C] → y: [B·H/s·W/s, C]`, `size = [H, W]`.
    ///
    /// # Panics
    /// If windows do not tile the map.
    pub fn forward<F: Real>(
        self,
        x: Array2<F>,
        size: [usize; 2],
        cx: &mut Exec<F>,
    ) -> (Array2<F>, MaxPoolCache<F>) {
        let (s, [height, width], (rows, channels)) = (self.window, size, x.dim());
        let tiles =
            height.is_multiple_of(s) && width.is_multiple_of(s) && rows.is_multiple_of(height * width);
        assert!(tiles, "windows of {s} do not tile {rows} rows of maps of {size:?}");
        let (mut y, mut winners) = (cx.take(rows / (s * s), channels), cx.take(rows / (s * s), channels));
        let lines = slice_mut(&mut y).chunks_exact_mut(width / s * channels);
        let lines = lines.zip(slice_mut(&mut winners).chunks_exact_mut(width / s * channels));
        let windows = x.as_slice().expect("activations are row-major").chunks_exact(s * width * channels);
        let tasks = lines.zip(windows).map(|((y, winners), x)| Line { x, y, winners });
        cx.rows(tasks, Forward { window: s, width, channels });
        cx.recycle(x);
        (y, MaxPoolCache { winners, width })
    }

    /// `dx = dy` at each window's largest element, of equal ones the first in row-major order; else 0.
    pub fn backward<F: Real>(
        self,
        cache: MaxPoolCache<F>,
        dy: ArrayView2<F>,
        _grad: &mut Self,
        cx: &mut Exec<F>,
    ) -> Array2<F> {
        let MaxPoolCache { winners, width } = cache;
        let (s, (rows, channels)) = (self.window, dy.dim());
        let mut dx = cx.take(rows * s * s, channels);
        let lines = dy.as_slice().expect("activations are row-major").chunks_exact(width / s * channels);
        let of_winners = winners.as_slice().expect("activations are row-major");
        let lines = lines.zip(of_winners.chunks_exact(width / s * channels));
        let windows = slice_mut(&mut dx).chunks_exact_mut(s * width * channels);
        let tasks = lines.zip(windows).map(|((dy, winners), dx)| BackwardLine { dx, dy, winners });
        cx.rows(tasks, Backward { window: s, width, channels });
        cx.recycle(winners);
        dx
    }
}

struct Forward {
    window: usize,
    width: usize,
    channels: usize,
}

/// A line of outputs, and the `s` lines of inputs under it.
struct Line<'a, F> {
    x: &'a [F],
    y: &'a mut [F],
    winners: &'a mut [F],
}

impl<F: Real> Kernel<Line<'_, F>> for Forward {
    #[inline(always)]
    fn run(&self, line: Line<F>) {
        let (s, c) = (self.window, self.channels);
        let outputs = line.y.chunks_exact_mut(c).zip(line.winners.chunks_exact_mut(c));
        for (j, (y, winners)) in outputs.enumerate() {
            y.copy_from_slice(&line.x[j * s * c..][..c]);
            winners.fill(F::zero());
            for k in 1..s * s {
                let x = &line.x[(k / s * self.width + j * s + k % s) * c..][..c];
                let number = F::of(k as f64);
                for ((y, winner), &x) in y.iter_mut().zip(winners.iter_mut()).zip(x) {
                    // What is not a number must not disappear here.
                    if x > *y || x.is_nan() {
                        (*y, *winner) = (x, number);
                    }
                }
            }
        }
    }
}

struct Backward {
    window: usize,
    width: usize,
    channels: usize,
}

/// As [`Line`], of gradients.
struct BackwardLine<'a, F> {
    dx: &'a mut [F],
    dy: &'a [F],
    winners: &'a [F],
}

impl<F: Real> Kernel<BackwardLine<'_, F>> for Backward {
    #[inline(always)]
    fn run(&self, line: BackwardLine<F>) {
        let (s, c) = (self.window, self.channels);
        for (j, (dy, winners)) in line.dy.chunks_exact(c).zip(line.winners.chunks_exact(c)).enumerate() {
            for k in 0..s * s {
                let dx = &mut line.dx[(k / s * self.width + j * s + k % s) * c..][..c];
                let number = F::of(k as f64);
                for ((dx, &dy), &winner) in dx.iter_mut().zip(dy).zip(winners) {
                    *dx = if winner == number { dy } else { F::zero() };
                }
            }
        }
    }
}

fn slice_mut<F>(x: &mut Array2<F>) -> &mut [F] {
    x.as_slice_mut().expect("activations are row-major")
}
