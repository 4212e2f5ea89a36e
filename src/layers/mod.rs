//! The layers, one short file each: equation, forward, cache, backward, in this order.
//!
//! All have one calling convention: `forward(&self, x: Array2<F>, …, cx) -> (Array2<F>, Cache)`, and
//! `backward(&self, cache, dy: ArrayView2<F>, grad: &mut Self, cx) -> Array2<F>` consumes the cache and *adds* to `grad`,
//! which is a value of the layer's own type. Activations are token matrices `[R, D]`, `R = images · tokens`. (The patch
//! embedding's input is images, whose gradient only audits ask for.)

pub mod affine_batch_norm;
pub mod attention;
pub mod batch_norm;
pub mod biased_conv3x3;
pub mod block;
pub mod concat;
pub mod conv3x3;
pub mod conv_norm;
pub mod conv_norm_relu;
pub mod conv_transpose2x2;
pub mod drop_path;
pub mod gather;
pub mod init;
pub mod layer_norm;
pub mod linear;
pub mod linear_map;
pub mod max_pool;
pub mod mlp;
pub mod padding;
pub mod patch_embed;
pub mod pointwise;
pub mod pos_embed;
pub mod pos_interp;
pub mod relu;
pub mod resize;
pub mod sparse_map;

pub use affine_batch_norm::AffineBatchNorm;
pub use attention::Attention;
pub use batch_norm::BatchNorm;
pub use biased_conv3x3::BiasedConv3x3;
pub use block::Block;
pub use conv_norm::ConvNorm;
pub use conv_norm_relu::ConvNormRelu;
pub use conv_transpose2x2::ConvTranspose2x2;
pub use conv3x3::Conv3x3;
pub use drop_path::DropPath;
pub use layer_norm::LayerNorm;
pub use linear::Linear;
pub use linear_map::LinearMap;
pub use max_pool::MaxPool;
pub use mlp::Mlp;
pub use patch_embed::PatchEmbed;
pub use pointwise::Pointwise;
pub use relu::Relu;
pub use resize::Resize;
pub use sparse_map::SparseMap;
