//! A 2 × 2 transposed convolution of stride 2: every pixel becomes four, each a linear map of its own.

use crate::base::Real;
use crate::exec::Exec;
use crate::exec::kernel::Kernel;
use crate::params;
use ndarray::{Array1, Array2, Array4, ArrayView2, ArrayViewMut2};

params! {
    /// `y[2i + a, 2j + b]_o = Σ_c x[i, j]_c W[c, o, a, b] + bias_o`, `0 ≤ a, b < 2`. Nothing overlaps, so it is a linear map
    /// to `4·out` features and a change of their places.
    pub struct ConvTranspose2x2 {
        tensors {
            /// `W: [in, out, 2, 2]`, as PyTorch has it for a transposed convolution.
            weight: Array4<F> = Weight,
            /// `[out]`.
            bias: Array1<F> = Bias,
        }
    }
}

/// What [`ConvTranspose2x2::backward`] needs: the input.
#[must_use]
pub struct ConvTranspose2x2Cache<F> {
    x: Array2<F>,
    width: usize,
}

impl<F: Real> ConvTranspose2x2Cache<F> {
    /// Gives the buffer back: there will be no backward pass.
    pub fn recycle(self, cx: &mut Exec<F>) {
        cx.recycle(self.x);
    }
}

impl<F: Real> ConvTranspose2x2<F> {
    /// All zeros; [`super::init`] gives the initial values.
    #[must_use]
    pub fn new(d_in: usize, d_out: usize) -> Self {
        Self { weight: Array4::zeros((d_in, d_out, 2, 2)), bias: Array1::zeros(d_out) }
    }

    /// `x: [B·H·W, in] → y: [B·2H·2W, out]`, `size = [H, W]`.
    ///
    /// # Panics
    /// If `x` does not have `in` columns, or its rows are not whole maps.
    pub fn forward(
        &self,
        x: Array2<F>,
        size: [usize; 2],
        cx: &mut Exec<F>,
    ) -> (Array2<F>, ConvTranspose2x2Cache<F>) {
        let ([height, width], rows) = (size, x.nrows());
        assert!(rows.is_multiple_of(height * width), "{rows} rows of maps of {size:?}");
        let fours = cx.matmul(x.view(), self.matrix());
        let bias = self.bias.as_slice().expect("a vector is contiguous");
        let mut y = cx.take(4 * rows, bias.len());
        let line = 4 * width * bias.len();
        let lines = y.as_slice_mut().expect("activations are row-major").chunks_exact_mut(line);
        let lines = lines.zip(fours.as_slice().expect("activations are row-major").chunks_exact(line));
        cx.rows(lines.map(|(y, fours)| Line { y, fours }), Spread { bias, width });
        cx.recycle(fours);
        (y, ConvTranspose2x2Cache { x, width })
    }

    /// `dW[c, o, a, b] += Σ_ij x[i, j]_c dy[2i + a, 2j + b]_o`, `dbias += Σ dy`; returns
    /// `dx[i, j]_c = Σ_oab W[c, o, a, b] dy[2i + a, 2j + b]_o`.
    pub fn backward(
        &self,
        cache: ConvTranspose2x2Cache<F>,
        dy: ArrayView2<F>,
        grad: &mut Self,
        cx: &mut Exec<F>,
    ) -> Array2<F> {
        let ConvTranspose2x2Cache { x, width } = cache;
        cx.add_column_sums(&dy, grad.bias.as_slice_mut().expect("a vector is contiguous"));
        let channels = dy.ncols();
        let mut dfours = cx.take(x.nrows(), 4 * channels);
        let line = 4 * width * channels;
        let lines = dfours.as_slice_mut().expect("activations are row-major").chunks_exact_mut(line);
        let lines = lines.zip(dy.as_slice().expect("activations are row-major").chunks_exact(line));
        cx.rows(lines.map(|(dfours, dy)| DLine { dfours, dy }), Collect { channels, width });
        // fours = x W  ⇒  dW = xᵀ dfours, dx = dfours Wᵀ
        let shape = (x.ncols(), 4 * channels);
        let dweight = grad.weight.as_slice_mut().expect("tensors are stored in row-major order");
        let dweight = ArrayViewMut2::from_shape(shape, dweight).expect("the same elements");
        cx.gemm(F::one(), x.t(), dfours.view(), F::one(), dweight);
        let dx = cx.matmul(dfours.view(), self.matrix().t());
        cx.recycle(dfours);
        cx.recycle(x);
        dx
    }

    /// `[in, 4·out]`.
    fn matrix(&self) -> ArrayView2<'_, F> {
        let (d_in, d_out, ..) = self.weight.dim();
        let weight = self.weight.as_slice().expect("tensors are stored in row-major order");
        ArrayView2::from_shape((d_in, 4 * d_out), weight).expect("the same elements")
    }
}

/// The pixel `(a, b)`, `ab = 2·a + b`, of the four that pixel `j` of a line becomes, among two lines of `2·width`.
fn pixel(ab: usize, j: usize, width: usize) -> usize {
    ab / 2 * 2 * width + 2 * j + ab % 2
}

/// Feature `4·o + 2·a + b` of the one pixel is channel `o` of the pixel `(a, b)` of four.
struct Spread<'a, F> {
    bias: &'a [F],
    width: usize,
}

/// Two lines of outputs, and the line that they come from.
struct Line<'a, F> {
    y: &'a mut [F],
    fours: &'a [F],
}

impl<F: Real> Kernel<Line<'_, F>> for Spread<'_, F> {
    #[inline(always)]
    fn run(&self, line: Line<F>) {
        let c = self.bias.len();
        for (j, fours) in line.fours.chunks_exact(4 * c).enumerate() {
            let fours = fours.as_chunks::<4>().0;
            for ab in 0..4 {
                let y = &mut line.y[pixel(ab, j, self.width) * c..][..c];
                for ((y, four), &bias) in y.iter_mut().zip(fours).zip(self.bias) {
                    *y = four[ab] + bias;
                }
            }
        }
    }
}

/// The adjoint of [`Spread`] without its bias.
struct Collect {
    channels: usize,
    width: usize,
}

/// As [`Line`], of gradients.
struct DLine<'a, F> {
    dfours: &'a mut [F],
    dy: &'a [F],
}

impl<F: Real> Kernel<DLine<'_, F>> for Collect {
    #[inline(always)]
    fn run(&self, line: DLine<F>) {
        let c = self.channels;
        for (j, dfours) in line.dfours.chunks_exact_mut(4 * c).enumerate() {
            let dfours = dfours.as_chunks_mut::<4>().0;
            for ab in 0..4 {
                let dy = &line.dy[pixel(ab, j, self.width) * c..][..c];
                for (dfour, &dy) in dfours.iter_mut().zip(dy) {
                    dfour[ab] = dy;
                }
            }
        }
    }
}
