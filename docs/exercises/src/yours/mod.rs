//! Your answers, one file an exercise. Each compiles as it is and does nothing yet.

pub mod adamw;
pub mod attention;
pub mod batch_norm;
pub mod block;
pub mod conv3x3;
pub mod info_nce;
pub mod layer_norm;
pub mod linear;
pub mod loss;
pub mod masking;
pub mod mlp;
pub mod patch_embed;
pub mod positions;
pub mod roi_align;
pub mod softmax;
pub mod unshuffle;
