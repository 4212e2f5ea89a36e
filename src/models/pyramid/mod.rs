//! From the tokens of a plain ViT to maps of strides 4, 8, 16 and 32, which the heads on images expect (Li et al. 2022,
//! "Exploring Plain Vision Transformer Backbones", and BEiT's fine-tuning on ADE20K).

pub mod adapter;
pub(crate) mod cost;
pub mod levels;
mod network;
pub mod tokens;

pub use adapter::Adapter;
pub use network::{Pyramid, PyramidCache};
