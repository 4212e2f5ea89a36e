//! The Vision Transformer that every network here has for a trunk (Dosovitskiy et al. 2021): patches, positions, class
//! token, blocks. What a network puts behind it, a norm, a pooling, a decoder, is the network's own.

pub mod blocks;
pub mod config;
pub mod stack;
pub mod tokens;
mod trunk;
mod whole;

pub use blocks::{Encoded, ForwardOptions, StackCache};
pub use config::VitConfig;
pub use stack::Stack;
pub use trunk::{Positions, Vit};
pub use whole::ImagesCache;
