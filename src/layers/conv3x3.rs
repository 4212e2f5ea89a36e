//! A 3 × 3 convolution of stride 1 with a border of zeros: `y[i, j] = Σ_ab W_ab x[i + a − 1, j + b − 1]`.
//!
//! The nine neighbours of a pixel times nine matrices. In a padded map the three of one line follow each other, so three
//! products with an inner dimension of `3·C` are all that is computed, and no neighbour is copied ([`Padding`]).

use super::padding::Padding;
use crate::base::Real;
use crate::exec::Exec;
use crate::params;
use ndarray::{Array2, Array4, ArrayView2, s};

params! {
    /// `y_o[i, j] = Σ_c Σ_ab W[o, c, a, b] x_c[i + a − 1, j + b − 1]`, `0 ≤ a, b < 3`, `x = 0` outside; no bias.
    pub struct Conv3x3 {
        tensors {
            /// `W: [out, in, 3, 3]`.
            weight: Array4<F> = Weight,
        }
    }
}

/// What [`Conv3x3::backward`] needs: the padded input.
#[must_use]
pub struct Conv3x3Cache<F> {
    padded: Array2<F>,
    padding: Padding,
}

impl<F: Real> Conv3x3Cache<F> {
    /// Gives the buffer back: there will be no backward pass.
    pub fn recycle(self, cx: &mut Exec<F>) {
        cx.recycle(self.padded);
    }
}

impl<F: Real> Conv3x3<F> {
    /// All zeros; [`super::init`] gives the initial values.
    #[must_use]
    pub fn new(d_in: usize, d_out: usize) -> Self {
        Self { weight: Array4::zeros((d_out, d_in, 3, 3)) }
    }

    /// `x: [B·H·W, in] → y: [B·H·W, out]`, `size = [H, W]`.
    ///
    /// # Panics
    /// If `x` does not have `in` columns, or its rows are not whole maps.
    pub fn forward(&self, x: Array2<F>, size: [usize; 2], cx: &mut Exec<F>) -> (Array2<F>, Conv3x3Cache<F>) {
        let padding = Padding::new(x.nrows(), size);
        let padded = padding.pad(x.view(), cx);
        cx.recycle(x);
        let kernel = self.kernel(cx);
        let y = correlate(&padded, kernel.t(), padding, cx);
        cx.recycle(kernel);
        (y, Conv3x3Cache { padded, padding })
    }

    /// `dW_ab += Σ_ij dy[i, j] x[i + a − 1, j + b − 1]ᵀ`; returns `dx[i, j] = Σ_ab W_abᵀ dy[i − a + 1, j − b + 1]`, a
    /// convolution with the kernel turned by half a turn.
    pub fn backward(
        &self,
        cache: Conv3x3Cache<F>,
        dy: ArrayView2<F>,
        grad: &mut Self,
        cx: &mut Exec<F>,
    ) -> Array2<F> {
        let Conv3x3Cache { padded, padding } = cache;
        let dy_padded = padding.pad(dy, cx);
        let (d_out, d_in) = self.widths();
        let mut dkernel = cx.take(d_out, 9 * d_in);
        for a in 0..3 {
            // y = Σ_ab W_ab x_ab  ⇒  dW_ab = Σ dy x_abᵀ; between the lines dy is 0
            let (dy, x) = (padding.inside(&dy_padded), padding.neighbours(&padded, a));
            let dlines = dkernel.slice_mut(s![.., 3 * a * d_in..3 * (a + 1) * d_in]);
            cx.gemm(F::one(), dy.t(), x, F::zero(), dlines);
        }
        add_kernel(&dkernel, &mut grad.weight);
        cx.recycle(dkernel);
        cx.recycle(padded);
        let turned = self.turned(cx);
        let dx = correlate(&dy_padded, turned.view(), padding, cx);
        cx.recycle(turned);
        cx.recycle(dy_padded);
        dx
    }

    /// `out` and `in`.
    fn widths(&self) -> (usize, usize) {
        let (d_out, d_in, ..) = self.weight.dim();
        (d_out, d_in)
    }

    /// `[out, 9·in]`: neighbour by neighbour, as rows of [`Padding::neighbours`] are ordered.
    fn kernel(&self, cx: &mut Exec<F>) -> Array2<F> {
        let (d_out, d_in) = self.widths();
        let mut kernel = cx.take(d_out, 9 * d_in);
        let rows = kernel.as_slice_mut().expect("in standard layout").chunks_exact_mut(9 * d_in);
        for (row, weight) in rows.zip(flat(&self.weight).chunks_exact(9 * d_in)) {
            for (c, taps) in weight.as_chunks::<9>().0.iter().enumerate() {
                for (t, &w) in taps.iter().enumerate() {
                    row[t * d_in + c] = w;
                }
            }
        }
        kernel
    }

    /// `[9·out, in]`: the matrices `W_abᵀ` from the last one to the first.
    fn turned(&self, cx: &mut Exec<F>) -> Array2<F> {
        let (d_out, d_in) = self.widths();
        let mut turned = cx.take(9 * d_out, d_in);
        let rows = turned.as_slice_mut().expect("in standard layout").chunks_exact_mut(d_in);
        for (row, values) in rows.enumerate() {
            let (t, o) = (8 - row / d_out, row % d_out);
            let taps = flat(&self.weight)[o * 9 * d_in..][..9 * d_in].as_chunks::<9>().0;
            for (value, taps) in values.iter_mut().zip(taps) {
                *value = taps[t];
            }
        }
        turned
    }
}

/// `Σ_ab x_ab K_ab` for every pixel; `kernel: [9·in, out]`, one `K_ab` under the other.
fn correlate<F: Real>(
    padded: &Array2<F>,
    kernel: ArrayView2<F>,
    padding: Padding,
    cx: &mut Exec<F>,
) -> Array2<F> {
    let lines = 3 * padded.ncols();
    assert_eq!(kernel.nrows(), 3 * lines, "a kernel for {} channels", padded.ncols());
    let mut wide = cx.take(padding.inside(padded).nrows(), kernel.ncols());
    for a in 0..3 {
        let before = if a == 0 { F::zero() } else { F::one() };
        let kernel = kernel.slice(s![a * lines..(a + 1) * lines, ..]);
        cx.gemm(F::one(), padding.neighbours(padded, a), kernel, before, wide.view_mut());
    }
    let y = padding.crop(&wide, cx);
    cx.recycle(wide);
    y
}

/// `dW[o, c, a, b] += dkernel[o, (3·a + b)·in + c]`.
fn add_kernel<F: Real>(dkernel: &Array2<F>, dweight: &mut Array4<F>) {
    let columns = dkernel.ncols();
    let rows = dkernel.as_slice().expect("in standard layout").chunks_exact(columns);
    let dweight = dweight.as_slice_mut().expect("tensors are stored in row-major order");
    for (row, dweight) in rows.zip(dweight.chunks_exact_mut(columns)) {
        for (c, taps) in dweight.as_chunks_mut::<9>().0.iter_mut().enumerate() {
            for (t, dw) in taps.iter_mut().enumerate() {
                *dw += row[t * (columns / 9) + c];
            }
        }
    }
}

fn flat<F>(weight: &Array4<F>) -> &[F] {
    weight.as_slice().expect("tensors are stored in row-major order")
}
