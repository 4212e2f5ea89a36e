//! The architecture of BEiT-style pre-training: a trunk, and how many tokens it chooses between.

use crate::base::{Error, Result};
use crate::models::vit::VitConfig;
use crate::models::vit::config::check_parameters;
use crate::models::vit::stack::{linear_flops, linear_parameters};

/// Far above the 8192 of the paper.
const MAX_VOCABULARY: usize = 1 << 16;

/// A trunk without layer scale or relative positions, and a linear head on it.
#[derive(Clone, Debug, PartialEq)]
pub struct BeitConfig {
    /// The trunk.
    pub vit: VitConfig,
    /// `V`, tokens that a patch can be.
    pub vocab_size: usize,
}

impl BeitConfig {
    /// Numbers in the model, the fixed position table included: the trunk's with its norm, the mask token, the head.
    #[must_use]
    pub fn parameters(&self) -> usize {
        let width = self.vit.embed_dim;
        self.vit.parameters() + width + linear_parameters(width, self.vocab_size)
    }

    /// Those that are trained: all but the position table.
    #[must_use]
    pub fn trained_parameters(&self) -> usize {
        self.parameters() - self.vit.positions()
    }

    /// Floating-point operations (a multiply-add is two) of all matrix products of one image's training step with `masked`
    /// masked patches: the trunk sees all patches, the head and all that is behind the last attention the masked ones.
    #[must_use]
    pub fn flops_per_image(&self, masked: usize) -> f64 {
        let (vit, tokens) = (&self.vit, self.vit.tokens());
        let head = linear_flops(masked, vit.embed_dim, self.vocab_size);
        vit.flops_per_image(tokens) + 3.0 * (head - vit.stack().spared_flops(tokens, masked))
    }

    /// Bytes of the activations that one image's training step keeps in f32 until its backward pass.
    #[must_use]
    pub fn activation_bytes(&self, masked: usize) -> usize {
        // The head keeps its rows; logits, their targets and their gradient are there at once.
        let head = masked * (self.vit.embed_dim + 3 * self.vocab_size);
        self.vit.activation_bytes(self.vit.depth) + size_of::<f32>() * head
    }

    /// Checks everything that would make the model impossible.
    ///
    /// # Errors
    /// [`Error::Setting`] naming the key, what it needs and what was found.
    pub fn validate(&self) -> Result<()> {
        self.vit.validate()?;
        if !(2..=MAX_VOCABULARY).contains(&self.vocab_size) {
            return Err(Error::setting("beit.tokens", format!("2 to {MAX_VOCABULARY}"), self.vocab_size));
        }
        check_parameters(self.parameters())
    }
}
