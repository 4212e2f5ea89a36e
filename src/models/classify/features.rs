//! What a frozen, pre-trained encoder says about whole images: the features that a probe is trained on.

use super::pooling::Pooling;
use crate::base::Real;
use crate::exec::Exec;
use crate::models::mae::{Encoder, Mask};
use ndarray::{Array2, ArrayView4};

/// `images: [B, C, H, W] → features: [B, D]` without masking; nothing is kept for a backward pass.
///
/// The encoder's own `norm` normalises every token, as it did for the decoder in pre-training. Then the class token's row
/// is taken, as the reference's linear probe does, or the mean over the patches' rows. (Fine-tuning with mean pooling is
/// different: there the mean comes first and a new `fc_norm` after it.)
pub fn features<F: Real>(
    encoder: &Encoder<F>,
    pooling: Pooling,
    images: ArrayView4<F>,
    cx: &mut Exec<F>,
) -> Array2<F> {
    let patches = encoder.vit.config.num_patches();
    let masks = vec![Mask::from_removed(&vec![false; patches]); images.dim().0];
    let rows = pooling.rows(masks.len(), 1 + patches, cx);
    let latent = encoder.infer_rows(images, &masks, rows.as_deref(), cx);
    let features = pooling.pool(&latent, masks.len(), cx);
    cx.recycle(latent);
    features
}
