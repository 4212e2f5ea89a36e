//! The gradient's norm, and clipping by it.

use super::groups::Group;
use crate::base::Real;
use crate::exec::rows;
use crate::params::Params;

/// The L2 norm of all trained tensors' gradients together. Each tensor is summed in pieces of fixed length
/// in `F`, the pieces in f64 in order.
pub fn norm<F: Real>(grad: &impl Params<F>, groups: &[Group]) -> f64 {
    const PIECE: usize = 1 << 12;
    let tensors = grad.tensors();
    let trained = tensors.iter().zip(groups).filter(|(_, group)| group.trained);
    let pieces = trained.flat_map(|(tensor, _)| tensor.data.chunks(PIECE));
    pieces.map(|piece| rows::dot(piece, piece).f64()).sum::<f64>().sqrt()
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
