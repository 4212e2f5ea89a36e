//! Sums over one row, in sixteen fixed lanes: the compiler vectorises them and the bits do not depend
//! on the vector width.

use crate::base::Real;

const LANES: usize = 16;

/// `Σ xᵢ`, in the order of [`sum_of`].
#[inline(always)]
pub fn sum<F: Real>(x: &[F]) -> F {
    sum_of(x, |x| x)
}

/// `Σ f(xᵢ)`: lane `l` sums the elements `i ≡ l (mod 16)`, the lanes are added along a fixed tree.
#[inline(always)]
pub fn sum_of<F: Real>(x: &[F], f: impl Fn(F) -> F) -> F {
    let mut lanes = [F::zero(); LANES];
    let (blocks, rest) = x.as_chunks::<LANES>();
    for block in blocks {
        for l in 0..LANES {
            lanes[l] += f(block[l]);
        }
    }
    for (lane, &x) in lanes.iter_mut().zip(rest) {
        *lane += f(x);
    }
    fold(lanes)
}

/// `Σ xᵢ yᵢ`, in the order of [`sum_of`].
///
/// # Panics
/// If the lengths differ.
#[inline(always)]
pub fn dot<F: Real>(x: &[F], y: &[F]) -> F {
    sum_of_two(x, y, |x, y| x * y)
}

/// `Σ f(xᵢ, yᵢ)`, in the order of [`sum_of`].
///
/// # Panics
/// If the lengths differ.
#[inline(always)]
pub fn sum_of_two<F: Real>(x: &[F], y: &[F], f: impl Fn(F, F) -> F) -> F {
    assert_eq!(x.len(), y.len(), "two rows of one length");
    let mut lanes = [F::zero(); LANES];
    let ((xs, x_rest), (ys, y_rest)) = (x.as_chunks::<LANES>(), y.as_chunks::<LANES>());
    for (x, y) in xs.iter().zip(ys) {
        for l in 0..LANES {
            lanes[l] += f(x[l], y[l]);
        }
    }
    for ((lane, &x), &y) in lanes.iter_mut().zip(x_rest).zip(y_rest) {
        *lane += f(x, y);
    }
    fold(lanes)
}

#[inline(always)]
fn fold<F: Real>(mut lanes: [F; LANES]) -> F {
    let mut half = LANES / 2;
    while half > 0 {
        for l in 0..half {
            lanes[l] += lanes[l + half];
        }
        half /= 2;
    }
    lanes[0]
}

/// The largest element; `−∞` for an empty row.
#[inline(always)]
pub fn max<F: Real>(x: &[F]) -> F {
    let mut lanes = [F::neg_infinity(); LANES];
    let (blocks, rest) = x.as_chunks::<LANES>();
    for block in blocks {
        for l in 0..LANES {
            lanes[l] = if block[l] > lanes[l] { block[l] } else { lanes[l] };
        }
    }
    let seen = rest.iter().chain(&lanes);
    seen.fold(F::neg_infinity(), |a, &b| if b > a { b } else { a })
}
