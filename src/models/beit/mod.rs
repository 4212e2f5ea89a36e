//! BEiT-style masked image modelling: the trunk sees mask tokens in the place of masked patches and says which token, a
//! nearest centroid of k-means, each of them was (Bao et al. 2022; their tokenizer, a discrete VAE, is not used here).

pub mod block_mask;
pub mod codebook;
pub mod config;
pub mod kmeans;
pub mod mask_token;
pub mod masked_head;
pub mod model;
pub mod tokenizer;

pub use block_mask::{BlockMask, BlockMasking};
pub use codebook::{Codebook, Nearest};
pub use config::BeitConfig;
pub use model::{Beit, BeitCache, BeitOutput};
pub use tokenizer::Tokenizer;
