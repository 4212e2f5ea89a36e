//! A 1 × 1 convolution: a linear layer on the channels of every pixel, stored as the convolution it is in the reference.

use crate::base::Real;
use crate::params::{Params, Role, Tensor, TensorMut};

/// A [`super::Linear`] or [`super::LinearMap`] whose weight has the shape `[out, in, 1, 1]` in a checkpoint: the same
/// elements in the same order.
#[derive(Clone, Debug)]
pub struct Pointwise<L>(pub L);

/// The walk of the layer, but with the weight in the shape of a convolution.
impl<F: Real, L: Params<F>> Params<F> for Pointwise<L> {
    fn walk<'a>(&'a self, prefix: &str, out: &mut Vec<Tensor<'a, F>>) {
        let first = out.len();
        self.0.walk(prefix, out);
        for tensor in out[first..].iter_mut().filter(|tensor| tensor.role == Role::Weight) {
            tensor.shape.extend([1, 1]);
        }
    }

    fn walk_mut<'a>(&'a mut self, prefix: &str, out: &mut Vec<TensorMut<'a, F>>) {
        let first = out.len();
        self.0.walk_mut(prefix, out);
        for tensor in out[first..].iter_mut().filter(|tensor| tensor.role == Role::Weight) {
            tensor.shape.extend([1, 1]);
        }
    }
}
