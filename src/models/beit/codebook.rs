//! A codebook: centroids of patches, and which of them is nearest to a patch.

use crate::base::Real;
use crate::exec::kernel::Kernel;
use crate::exec::{Exec, row_blocks, rows};
use ndarray::{Array2, ArrayView2};

/// `K` centroids; the index of the nearest is a patch's token.
#[derive(Clone, Debug, PartialEq)]
pub struct Codebook<F> {
    /// `[K, P]`, in row-major order.
    pub centroids: Array2<F>,
}

/// The nearest centroid of each patch.
#[derive(Clone, Debug, PartialEq)]
pub struct Nearest<F> {
    /// `[R]`: which; of equally near ones the lowest.
    pub ids: Vec<usize>,
    /// `[R]`: its squared distance.
    pub distance: Vec<F>,
}

impl<F: Real> Codebook<F> {
    /// `centroids: [K, P]`.
    ///
    /// # Panics
    /// If there is none.
    #[must_use]
    pub fn new(centroids: Array2<F>) -> Self {
        assert!(!centroids.is_empty(), "centroids {:?}", centroids.dim());
        Self { centroids: centroids.as_standard_layout().into_owned() }
    }

    /// `K`.
    #[must_use]
    pub fn tokens(&self) -> usize {
        self.centroids.nrows()
    }

    /// `patches: [R, P]`: `argmin_k ‖x − c_k‖²`, of equal ones the lowest `k`.
    ///
    /// `‖x − c‖² = ‖x‖² − (2 x·c − ‖c‖²)`, so one product of all patches and all centroids says which centroids may be the
    /// nearest: those whose bracket is within rounding of the largest. Their distances are then summed directly, which
    /// decides. So a token depends neither on how products are computed nor on a cancellation in f32.
    ///
    /// # Panics
    /// If patches and centroids are not of one length.
    #[must_use]
    pub fn nearest(&self, patches: ArrayView2<F>, cx: &mut Exec<F>) -> Nearest<F> {
        let (n, len, tokens) = (patches.nrows(), self.centroids.ncols(), self.tokens());
        assert_eq!(patches.ncols(), len, "patches {:?}, centroids of {len}", patches.dim());
        let squares: Vec<F> = self.centroids.outer_iter().map(|c| c.iter().map(|&x| x * x).sum()).collect();
        let mut brackets = cx.take(n, tokens);
        for mut row in brackets.outer_iter_mut() {
            row.iter_mut().zip(&squares).for_each(|(bracket, &square)| *bracket = -square);
        }
        cx.gemm(F::of(2.0), patches, self.centroids.t(), F::one(), brackets.view_mut());
        let mut nearest = Nearest { ids: vec![0; n], distance: vec![F::zero(); n] };
        let inputs = row_blocks::of(&patches).zip(row_blocks::of(&brackets));
        let outputs =
            nearest.ids.chunks_mut(row_blocks::ROWS).zip(nearest.distance.chunks_mut(row_blocks::ROWS));
        let tasks = inputs.zip(outputs).map(|((patches, brackets), (ids, distance))| NearestRows {
            patches,
            brackets,
            ids,
            distance,
        });
        let centroids = self.centroids.as_slice().expect("made in standard layout");
        cx.rows(tasks, Decide { centroids, len, largest: squares.into_iter().fold(F::zero(), F::max) });
        cx.recycle(brackets);
        nearest
    }
}

/// A band of patches, with `2 x·c − ‖c‖²` of each centroid; what is decided.
struct NearestRows<'a, F> {
    patches: &'a [F],
    brackets: &'a [F],
    ids: &'a mut [usize],
    distance: &'a mut [F],
}

/// Which of the centroids that may be the nearest is.
struct Decide<'a, F> {
    centroids: &'a [F],
    len: usize,
    /// `max ‖c‖²`.
    largest: F,
}

impl<F: Real> Kernel<NearestRows<'_, F>> for Decide<'_, F> {
    #[inline(always)]
    fn run(&self, band: NearestRows<F>) {
        let tokens = self.centroids.len() / self.len;
        // A sum of P products is off by less than P ε times its terms' magnitudes: both brackets that are compared, and both
        // distances, stay within this.
        let rounding = F::of(8.0 * (self.len + 4) as f64) * F::epsilon();
        let rows = band.patches.chunks_exact(self.len).zip(band.brackets.chunks_exact(tokens));
        for ((x, brackets), (id, distance)) in rows.zip(band.ids.iter_mut().zip(band.distance)) {
            let least = rows::max(brackets) - rounding * (rows::dot(x, x) + self.largest);
            *distance = F::infinity();
            for (k, &bracket) in brackets.iter().enumerate() {
                if bracket >= least {
                    let c = &self.centroids[k * self.len..][..self.len];
                    let square = rows::sum_of_two(x, c, |x, c| (x - c) * (x - c));
                    if square < *distance {
                        (*id, *distance) = (k, square);
                    }
                }
            }
        }
    }
}
