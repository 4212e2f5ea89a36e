//! The classifier's input rows: the class token in front of each image's patches, and a position added to every one.

use super::classify::Classifier;
use crate::base::Real;
use crate::exec::Exec;
use crate::exec::kernel::{Add, Kernel, widest};
use ndarray::{Array2, Array3};

impl<F: Real> Classifier<F> {
    /// `x[b, 0] = cls_token + pos_embed[0]`, `x[b, 1 + l] = patches[b, l] + pos_embed[1 + l]`.
    pub(super) fn with_class_and_positions(&self, patches: &Array2<F>, cx: &mut Exec<F>) -> Array2<F> {
        let (_, tokens, d) = self.pos_embed.dim();
        let images = patches.nrows() / (tokens - 1);
        let mut x = cx.take(images * tokens, d);
        let patches = patches.as_slice().expect("activations are row-major").chunks_exact((tokens - 1) * d);
        let rows = x.as_slice_mut().expect("activations are row-major").chunks_exact_mut(tokens * d);
        let place = Place { cls_token: flat(&self.cls_token), positions: flat(&self.pos_embed) };
        cx.rows(rows.zip(patches), place);
        x
    }

    /// The adjoint: `dpos_embed += Σ_b dx[b]`, `dcls_token += Σ_b dx[b, 0]`, and the patches' rows pass.
    pub(super) fn with_class_and_positions_backward(
        dx: &Array2<F>,
        grad: &mut Self,
        cx: &mut Exec<F>,
    ) -> Array2<F> {
        let (_, tokens, d) = grad.pos_embed.dim();
        let images = dx.nrows() / tokens;
        let a_row_an_image = dx.view().into_shape_with_order((images, tokens * d));
        let a_row_an_image = a_row_an_image.expect("activations are row-major");
        cx.add_column_sums(&a_row_an_image, flat_mut(&mut grad.pos_embed));
        let mut dpatches = cx.take(images * (tokens - 1), d);
        let rows = dx.as_slice().expect("activations are row-major").chunks_exact(tokens * d);
        let patches = dpatches.as_slice_mut().expect("activations are row-major");
        for (image, patches) in rows.zip(patches.chunks_exact_mut((tokens - 1) * d)) {
            let (class, rest) = image.split_at(d);
            widest(&Add, (flat_mut(&mut grad.cls_token), class));
            patches.copy_from_slice(rest);
        }
        dpatches
    }
}

/// Writes an image's rows from its patches.
struct Place<'a, F> {
    cls_token: &'a [F],
    positions: &'a [F],
}

impl<F: Real> Kernel<(&mut [F], &[F])> for Place<'_, F> {
    #[inline(always)]
    fn run(&self, (image, patches): (&mut [F], &[F])) {
        let (class, rest) = image.split_at_mut(self.cls_token.len());
        let (first, positions) = self.positions.split_at(class.len());
        for ((x, &token), &position) in class.iter_mut().zip(self.cls_token).zip(first) {
            *x = token + position;
        }
        for ((x, &patch), &position) in rest.iter_mut().zip(patches).zip(positions) {
            *x = patch + position;
        }
    }
}

fn flat<F>(tensor: &Array3<F>) -> &[F] {
    tensor.as_slice().expect("tensors are stored in row-major order")
}

fn flat_mut<F>(tensor: &mut Array3<F>) -> &mut [F] {
    tensor.as_slice_mut().expect("tensors are stored in row-major order")
}
