//! The mask token, which stands in the encoder for every masked patch (Bao et al. 2022, §2.3).

use crate::base::Real;
use crate::exec::kernel::{Add, widest};
use crate::params;
use ndarray::{Array2, Array3, s};

params! {
    /// `x_l = patch_l · (1 − w_l) + mask_token · w_l`, `w_l = 1` where patch `l` is masked.
    pub struct MaskToken {
        tensors {
            /// `[1, 1, D]`.
            mask_token: Array3<F> = Token,
        }
    }
}

impl<F: Real> MaskToken<F> {
    /// All zeros.
    #[must_use]
    pub fn new(width: usize) -> Self {
        Self { mask_token: Array3::zeros((1, 1, width)) }
    }

    /// `patches: [R, D] → x: [R, D]`, the masked rows replaced. Positions come later, so that a mask token has its patch's.
    ///
    /// # Panics
    /// If there is not a mark for every patch.
    #[must_use]
    pub fn forward(&self, mut patches: Array2<F>, masked: &[bool]) -> Array2<F> {
        assert_eq!(patches.nrows(), masked.len(), "a mark for every patch");
        let token = self.mask_token.slice(s![0, 0, ..]);
        for (mut row, &masked) in patches.outer_iter_mut().zip(masked) {
            if masked {
                row.assign(&token);
            }
        }
        patches
    }

    /// `dmask_token += Σ_l w_l dx_l`; returns `dpatches = dx · (1 − w)`: nothing reaches a patch that was replaced.
    ///
    /// # Panics
    /// If there is not a mark for every patch.
    #[must_use]
    pub fn backward(masked: &[bool], mut dx: Array2<F>, grad: &mut Self) -> Array2<F> {
        assert_eq!(dx.nrows(), masked.len(), "a mark for every patch");
        let dtoken = grad.mask_token.as_slice_mut().expect("tensors are stored in row-major order");
        for (mut row, replaced) in dx.outer_iter_mut().zip(masked) {
            if *replaced {
                widest(&Add, (&mut *dtoken, row.as_slice().expect("activations are row-major")));
                row.fill(F::zero());
            }
        }
        dx
    }
}
