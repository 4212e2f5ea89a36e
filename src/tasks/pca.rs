//! Principal components: the directions along which features vary most, for pictures of them.
//!
//! `C = Σ_i (x_i − x̄)(x_i − x̄)ᵀ / (R − 1)`, `C v_k = λ_k v_k` with `λ_1 ≥ λ_2 ≥ …`; the coordinates of a row are
//! `(x − x̄) · v_k`. A picture needs two or three, so each is found by power iteration, `v ← C v / ‖C v‖`, kept orthogonal to
//! those before. An eigenvector has no sign of its own: here its largest element is positive, so that a picture of the same
//! features is the same picture.

use crate::base::rng::{Purpose, rng, uniform};
use ndarray::{Array1, Array2, ArrayView2, Axis};

/// Two directions whose variances differ by less than about a thousandth may stay mixed after so many steps.
const STEPS: usize = 2000;
/// The change of a unit vector below which it has arrived.
const ARRIVED: f64 = 1e-10;
/// A direction that holds less of all variance than this is rounding.
const NOTHING: f64 = 1e-12;

/// The first components of some features.
#[derive(Clone, Debug)]
pub struct Pca {
    /// `[D]`: `x̄`.
    pub mean: Array1<f64>,
    /// `[k, D]`: `v_1, v_2, …`, of norm 1; 0 beyond the number of directions in which the features vary.
    pub components: Array2<f64>,
    /// `λ_1, λ_2, …`
    pub variances: Vec<f64>,
    /// The variance along all `D` directions: the trace of `C`.
    pub total: f64,
}

impl Pca {
    /// The first `count` components of `rows: [R, D]`.
    ///
    /// # Panics
    /// If there are no rows, or fewer columns than components are asked for.
    #[must_use]
    pub fn of(rows: ArrayView2<f32>, count: usize) -> Self {
        let (r, d) = rows.dim();
        assert!(r > 0 && count <= d, "{count} components of {r} rows of {d}");
        let rows = rows.mapv(f64::from);
        let mean = rows.mean_axis(Axis(0)).expect("there are rows");
        let centred = rows - &mean;
        let covariance = centred.t().dot(&centred) / (r as f64 - 1.0).max(1.0);
        let total = covariance.diag().sum();
        let (mut components, mut variances) = (Array2::zeros((count, d)), Vec::with_capacity(count));
        for k in 0..count {
            let (v, variance) = leading(&covariance, components.slice(ndarray::s![..k, ..]), NOTHING * total);
            components.row_mut(k).assign(&v);
            variances.push(variance);
        }
        Self { mean, components, variances, total }
    }

    /// `[R, k]`: the coordinates of `rows: [R, D]`.
    #[must_use]
    pub fn coordinates(&self, rows: ArrayView2<f32>) -> Array2<f64> {
        (rows.mapv(f64::from) - &self.mean).dot(&self.components.t())
    }

    /// `λ_k / Σ λ`, 0 where nothing varies.
    #[must_use]
    pub fn fractions(&self) -> Vec<f64> {
        self.variances
            .iter()
            .map(|variance| if self.total > 0.0 { variance / self.total } else { 0.0 })
            .collect()
    }
}

/// The direction of the largest variance that is orthogonal to those `before`, and that variance; zeros if it is at most
/// `nothing`.
fn leading(covariance: &Array2<f64>, before: ArrayView2<f64>, nothing: f64) -> (Array1<f64>, f64) {
    let orthogonal = |v: Array1<f64>| {
        let along = before.dot(&v);
        v - before.t().dot(&along)
    };
    let norm = |v: &Array1<f64>| v.dot(v).sqrt();
    let mut random = rng(0, Purpose::Synthetic, u64::MAX, before.nrows() as u64);
    let start = Array1::from_shape_simple_fn(covariance.nrows(), || uniform(&mut random) - 0.5);
    let mut v = orthogonal(start);
    v /= norm(&v).max(f64::MIN_POSITIVE);
    let mut variance = 0.0;
    for _ in 0..STEPS {
        let next = orthogonal(covariance.dot(&v));
        variance = norm(&next);
        if variance <= nothing {
            return (Array1::zeros(v.len()), 0.0);
        }
        let next = next / variance;
        let change = norm(&(&next - &v));
        v = next;
        if change < ARRIVED {
            break;
        }
    }
    let largest = v.iter().fold(0.0f64, |most, x| if x.abs() > most.abs() { *x } else { most });
    (v * largest.signum(), variance)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    /// Four points around (10, −5), 5 along (0.6, 0.8) and 1 along (0.8, −0.6) either way: the variances are 2 · 5² / 3 and
    /// 2 · 1² / 3. The signs are those of the elements 0.8.
    #[test]
    fn components_of_four_points_are_those_worked_out_by_hand() {
        let rows = array![[13.0f32, -1.0], [7.0, -9.0], [10.8, -5.6], [9.2, -4.4]];
        let pca = Pca::of(rows.view(), 2);
        let close = |a: f64, b: f64| assert!((a - b).abs() < 1e-6, "{a} {b}");
        pca.mean.iter().zip([10.0, -5.0]).for_each(|(a, b)| close(*a, b));
        pca.components.iter().zip([0.6, 0.8, 0.8, -0.6]).for_each(|(a, b)| close(*a, b));
        pca.variances.iter().zip([50.0 / 3.0, 2.0 / 3.0]).for_each(|(a, b)| close(*a, b));
        close(pca.fractions()[0], 25.0 / 26.0);
        let expected = [5.0, 0.0, -5.0, 0.0, 0.0, 1.0, 0.0, -1.0];
        pca.coordinates(rows.view()).iter().zip(expected).for_each(|(a, b)| close(*a, b));
    }

    /// A symmetric matrix with known eigenvectors that is not two-dimensional: rows are ± the axes of a rotated box.
    #[test]
    fn three_components_of_a_box_in_five_dimensions_are_its_axes() {
        let axes = array![
            [0.5f32, 0.5, 0.5, 0.5, 0.0],
            [0.6, -0.6, 0.3, -0.3, 0.1],
            [0.0, 0.0, 0.0, 0.0, 0.0],
            [0.0, 0.0, 0.0, 0.0, 0.0]
        ];
        let rows = ndarray::concatenate![Axis(0), axes.view(), axes.mapv(|x| -x)];
        let pca = Pca::of(rows.view(), 3);
        // Seven degrees of freedom; |axis|² is 1 and 0.91, and the third direction does not vary.
        for (variance, expected) in pca.variances.iter().zip([2.0 / 7.0, 2.0 * 0.91 / 7.0, 0.0]) {
            assert!((variance - expected).abs() < 1e-7, "{variance} {expected}");
        }
        assert!(pca.components.row(0).iter().take(4).all(|x| (x - 0.5).abs() < 1e-7));
        assert!(pca.components.row(2).iter().all(|x| *x == 0.0));
        assert!(pca.components[[1, 0]] > 0.0);
    }

    #[test]
    fn features_that_do_not_vary_have_no_direction() {
        let pca = Pca::of(array![[1.0f32, 2.0, 3.0], [1.0, 2.0, 3.0]].view(), 2);
        assert_eq!((pca.fractions(), pca.total), (vec![0.0, 0.0], 0.0));
        assert!(pca.components.iter().all(|x| *x == 0.0));
    }
}
