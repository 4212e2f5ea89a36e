//! From patches to the first block's input: positions, the class token, and only the patches that are kept.

use super::trunk::{Positions, Vit};
use crate::base::Real;
use crate::exec::Exec;
use crate::exec::kernel::{Add, widest};
use ndarray::{Array2, Array3, ArrayView2, Axis, s};

impl<F: Real> Vit<F> {
    /// `patches[b, l] += pos_embed[1 + l]`.
    pub fn add_positions(&self, patches: &mut Array2<F>) {
        let positions = self.pos_embed.slice(s![0, 1.., ..]);
        for mut image in patches.axis_chunks_iter_mut(Axis(0), positions.nrows()) {
            image += &positions;
        }
    }

    /// What [`Vit::tokens`] keeps where nothing is left out.
    #[must_use]
    pub fn every_patch(&self) -> Vec<usize> {
        (0..self.config.num_patches()).collect()
    }

    /// `x[b, 0] = cls_token + pos_embed[0]`, `x[b, 1 + i] = patches[b, keep(b)[i]]`; the patches have their positions.
    pub fn tokens<'k>(
        &self,
        patches: &Array2<F>,
        keep: impl Fn(usize) -> &'k [usize],
        cx: &mut Exec<F>,
    ) -> Array2<F> {
        let (len, tokens) = (self.config.num_patches(), 1 + keep(0).len());
        let images = patches.nrows() / len;
        let class = &self.cls_token.slice(s![0, 0, ..]) + &self.pos_embed.slice(s![0, 0, ..]);
        let mut x = cx.take(images * tokens, patches.ncols());
        for b in 0..images {
            x.row_mut(b * tokens).assign(&class);
            for (i, &patch) in keep(b).iter().enumerate() {
                x.row_mut(b * tokens + 1 + i).assign(&patches.row(b * len + patch));
            }
        }
        cx.trace("encoder_input", &x);
        x
    }

    /// The adjoint, and positions' part of the gradient where they are trained: `dcls_token += Σ_b dx[b, 0]`,
    /// `dpos_embed += Σ_b dx[b]`, `dpatches[b, keep(b)[i]] = dx[b, 1 + i]`, 0 elsewhere.
    ///
    /// # Panics
    /// If positions are trained and not every patch was kept.
    pub fn tokens_backward<'k>(
        &self,
        dx: ArrayView2<F>,
        keep: impl Fn(usize) -> &'k [usize],
        grad: &mut Self,
        cx: &mut Exec<F>,
    ) -> Array2<F> {
        cx.trace_gradient("encoder_input", &dx);
        let (len, tokens) = (self.config.num_patches(), 1 + keep(0).len());
        let images = dx.nrows() / tokens;
        if self.positions == Positions::Trained {
            assert_eq!(tokens, 1 + len, "trained positions need every patch");
            let a_row_an_image = dx.into_shape_with_order((images, dx.len() / images));
            let a_row_an_image = a_row_an_image.expect("activations are row-major");
            cx.add_column_sums(&a_row_an_image, flat_mut(&mut grad.pos_embed));
        }
        let mut dpatches = cx.zeros(images * len, dx.ncols());
        for b in 0..images {
            let class = dx.row(b * tokens);
            let class = class.as_slice().expect("activations are row-major");
            widest(&Add, (flat_mut(&mut grad.cls_token), class));
            for (i, &patch) in keep(b).iter().enumerate() {
                dpatches.row_mut(b * len + patch).assign(&dx.row(b * tokens + 1 + i));
            }
        }
        dpatches
    }
}

fn flat_mut<F>(tensor: &mut Array3<F>) -> &mut [F] {
    tensor.as_slice_mut().expect("tensors are stored in row-major order")
}
