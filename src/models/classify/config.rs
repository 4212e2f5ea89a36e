//! A classifier's architecture: a pre-trained encoder's, and the head's two choices.

use super::pooling::Pooling;
use crate::base::{Error, Result};
use crate::models::vit::VitConfig;
use crate::models::vit::stack::{linear_flops, linear_parameters};
use serde::{Deserialize, Serialize};

/// Far above every set of classes that has been labelled.
const MAX_CLASSES: usize = 1 << 16;

/// The architecture, in the terms of the reference's `VisionTransformer`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClassifierConfig {
    /// Height and width of the images in pixels.
    pub img_size: [usize; 2],
    /// Channels of the images.
    pub in_chans: usize,
    /// Side of a patch in pixels.
    pub patch_size: usize,
    /// Width `D`.
    pub embed_dim: usize,
    /// Blocks.
    pub depth: usize,
    /// Heads.
    pub num_heads: usize,
    /// Hidden width of an MLP relative to `D`.
    pub mlp_ratio: f64,
    /// `ε` of every layer norm.
    pub layer_norm_eps: f64,
    /// What the head sees.
    pub pooling: Pooling,
    /// `K`.
    pub num_classes: usize,
}

impl ClassifierConfig {
    /// A head of `num_classes` on this trunk.
    #[must_use]
    pub fn new(vit: &VitConfig, num_classes: usize, pooling: Pooling) -> Self {
        Self {
            img_size: vit.img_size,
            in_chans: vit.in_chans,
            patch_size: vit.patch_size,
            embed_dim: vit.embed_dim,
            depth: vit.depth,
            num_heads: vit.num_heads,
            mlp_ratio: vit.mlp_ratio,
            layer_norm_eps: vit.layer_norm_eps,
            pooling,
            num_classes,
        }
    }

    /// The trunk: whatever is true of its sizes and bounds is true of the classifier.
    #[must_use]
    pub fn vit(&self) -> VitConfig {
        VitConfig {
            img_size: self.img_size,
            in_chans: self.in_chans,
            patch_size: self.patch_size,
            embed_dim: self.embed_dim,
            depth: self.depth,
            num_heads: self.num_heads,
            mlp_ratio: self.mlp_ratio,
            layer_norm_eps: self.layer_norm_eps,
        }
    }

    /// Numbers in the model: the trunk's with its norm, here or there, and the head's.
    #[must_use]
    pub fn parameters(&self) -> usize {
        self.vit().parameters() + linear_parameters(self.embed_dim, self.num_classes)
    }

    /// Floating-point operations (a multiply-add is two) of all matrix products of one image's training step, all blocks
    /// trained.
    #[must_use]
    pub fn flops_per_image(&self) -> f64 {
        let (vit, tokens) = (self.vit(), self.vit().tokens());
        let spared = match self.pooling {
            Pooling::Class => vit.stack().spared_flops(tokens, 1),
            Pooling::Mean => 0.0,
        };
        vit.flops_per_image(tokens) + 3.0 * (linear_flops(1, self.embed_dim, self.num_classes) - spared)
    }

    /// Bytes of the activations that one image's training step keeps in f32 until its backward pass, with the last
    /// `tune_blocks` blocks trained, or all.
    #[must_use]
    pub fn activation_bytes(&self, tune_blocks: Option<usize>) -> usize {
        self.vit().activation_bytes(tune_blocks.unwrap_or(self.depth).clamp(1, self.depth))
    }

    /// Checks everything that would make the model impossible.
    ///
    /// # Errors
    /// [`Error::Setting`] naming the key, what it needs and what was found.
    pub fn validate(&self) -> Result<()> {
        self.vit().validate()?;
        self.validate_head()
    }

    /// Checks the number of classes alone.
    ///
    /// # Errors
    /// [`Error::Setting`] naming the key, what it needs and what was found.
    pub fn validate_head(&self) -> Result<()> {
        if !(2..=MAX_CLASSES).contains(&self.num_classes) {
            return Err(Error::setting("model.num_classes", format!("2 to {MAX_CLASSES}"), self.num_classes));
        }
        Ok(())
    }
}
