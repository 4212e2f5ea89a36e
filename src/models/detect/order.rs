//! Sorting by score.

use crate::base::Real;

/// The positions by descending score, equal ones by ascending position. (What is not a number has a place, too: first or last.)
#[must_use]
pub fn descending<F: Real>(scores: &[F]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    // −0 + 0 = 0, and 0 is equal to itself.
    let key = |i: usize| (scores[i] + F::zero()).f64();
    order.sort_by(|&a, &b| key(b).total_cmp(&key(a)));
    order
}
