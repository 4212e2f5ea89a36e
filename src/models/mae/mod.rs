//! The masked autoencoder: patches, random masking, encoder on what is visible, decoder on everything,
//! loss on what was removed (He et al. 2022).

pub mod baseline;
pub mod config;
pub mod cost;
pub mod decoder;
pub mod encoder;
pub mod loss;
mod mask_file;
pub mod masking;
pub mod model;
pub mod patchify;
pub mod reconstruct;

pub use config::MaeConfig;
pub use decoder::Decoder;
pub use encoder::Encoder;
pub use mask_file::mask_from_file;
pub use masking::{Mask, Masks, Strategy};
pub use model::{Mae, MaeCache, MaeOutput};
