//! The gradient's norm, and clipping by it.

use super::groups::Group;
use crate::base::Real;
use crate::exec::kernel::{self, Kernel};
use crate::exec::{row_blocks, rows};
use crate::params::{PIECE, Params};

/// The L2 norm of all trained tensors' gradients together. Each tensor is summed in pieces of fixed length
/// in `F`, the pieces in f64 in order; the pieces' sums are computed on rayon's threads.
pub fn norm<F: Real>(grad: &impl Params<F>, groups: &[Group]) -> f64 {
    const SUMMED: usize = 1 << 12;
    let tensors = grad.tensors();
    let trained = tensors.iter().zip(groups).filter(|(_, group)| group.trained);
    let pieces: Vec<&[F]> = trained.flat_map(|(tensor, _)| tensor.data.chunks(SUMMED)).collect();
    let mut squares = vec![F::zero(); pieces.len()];
    let tasks = pieces.chunks(PIECE / SUMMED).zip(squares.chunks_mut(PIECE / SUMMED));
    row_blocks::each(true, tasks, |task| kernel::widest(&Squares, task));
    squares.into_iter().map(F::f64).sum::<f64>().sqrt()
}

/// `Σ x²` of each of some pieces.
struct Squares;

impl<F: Real> Kernel<(&[&[F]], &mut [F])> for Squares {
    #[inline(always)]
    fn run(&self, (pieces, squares): (&[&[F]], &mut [F])) {
        for (piece, square) in pieces.iter().zip(squares) {
            *square = rows::dot(piece, piece);
        }
    }
}

/// Scales the gradient so that its norm is at most `limit`, as the reference framework's `clip_grad_norm_` does it:
/// by `limit / (norm + 1e-6)` where that is below 1.
pub fn clip<F: Real>(grad: &mut impl Params<F>, norm: f64, limit: f64) {
    let scale = limit / (norm + 1e-6);
    if scale < 1.0 {
        grad.scale(F::of(scale));
    }
}

/// The first tensor that holds a value that is not finite.
pub fn first_not_finite<F: Real>(params: &impl Params<F>) -> Option<String> {
    let tensors = params.tensors();
    tensors.into_iter().find(|t| t.data.iter().any(|x| !x.is_finite())).map(|t| t.name)
}
