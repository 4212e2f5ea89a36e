//! A classifier's architecture: a pre-trained encoder's, and the head's two choices.

use super::pooling::Pooling;
use crate::base::{Error, Result};
use crate::mae::{MaeConfig, cost};
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
    /// A head of `num_classes` on this masked autoencoder's encoder.
    #[must_use]
    pub fn new(mae: &MaeConfig, num_classes: usize, pooling: Pooling) -> Self {
        Self {
            img_size: mae.img_size,
            in_chans: mae.in_chans,
            patch_size: mae.patch_size,
            embed_dim: mae.embed_dim,
            depth: mae.depth,
            num_heads: mae.num_heads,
            mlp_ratio: mae.mlp_ratio,
            layer_norm_eps: mae.layer_norm_eps,
            pooling,
            num_classes,
        }
    }

    /// The masked autoencoder with this encoder and the smallest decoder: whatever is true of its encoder, sizes,
    /// bounds, initial values, is true of the classifier.
    #[must_use]
    pub fn encoder(&self) -> MaeConfig {
        MaeConfig {
            img_size: self.img_size,
            in_chans: self.in_chans,
            patch_size: self.patch_size,
            embed_dim: self.embed_dim,
            depth: self.depth,
            num_heads: self.num_heads,
            decoder_embed_dim: 4,
            decoder_depth: 1,
            decoder_num_heads: 1,
            mlp_ratio: self.mlp_ratio,
            layer_norm_eps: self.layer_norm_eps,
            norm_pix_loss: false,
        }
    }

    /// Patches in a column and in a row of the image.
    #[must_use]
    pub fn grid(&self) -> (usize, usize) {
        self.encoder().grid()
    }

    /// Numbers in the model: the encoder's, with its layer norm here or there, and the head's.
    #[must_use]
    pub fn parameters(&self) -> usize {
        self.encoder().parameters().encoder + (self.embed_dim + 1) * self.num_classes
    }

    /// Floating-point operations (a multiply-add is two) of all matrix products of one image's training step, all blocks
    /// trained: what [`crate::mae::cost::Cost`] counts in pre-training, here with every patch in the encoder and no
    /// decoder.
    #[must_use]
    pub fn flops_per_image(&self) -> f64 {
        let c = self.encoder();
        let (l, d) = (c.num_patches(), c.embed_dim);
        2.0 * cost::linear(l, c.patch_len(), d)
            + 3.0 * c.depth as f64 * cost::block(1 + l, d, c.hidden(d))
            + 3.0 * cost::linear(1, d, self.num_classes)
    }

    /// Bytes of the activations that one image's training step keeps in f32 until its backward pass, with the last
    /// `tune_blocks` blocks trained, or all.
    #[must_use]
    pub fn activation_bytes(&self, tune_blocks: Option<usize>) -> usize {
        let c = self.encoder();
        let (l, d) = (c.num_patches(), c.embed_dim);
        let block = cost::block_memory(1 + l, d, c.hidden(d), c.num_heads);
        let blocks = tune_blocks.unwrap_or(c.depth).clamp(1, c.depth);
        size_of::<f32>() * (blocks * block.kept + block.passing + l * (c.patch_len() + d) + (1 + l) * 2 * d)
    }

    /// Checks everything that would make the model impossible.
    ///
    /// # Errors
    /// [`Error::Setting`] naming the key, what it needs and what was found.
    pub fn validate(&self) -> Result<()> {
        self.encoder().validate()?;
        if !(2..=MAX_CLASSES).contains(&self.num_classes) {
            return Err(Error::setting("model.num_classes", format!("2 to {MAX_CLASSES}"), self.num_classes));
        }
        Ok(())
    }

    /// Checks that a pre-trained encoder can be taken over: all but the images' size must be the same.
    ///
    /// # Errors
    /// [`Error::Setting`] naming the first key that differs.
    pub fn fits(&self, pretrained: &MaeConfig) -> Result<()> {
        let theirs = Self::new(pretrained, self.num_classes, self.pooling);
        let sizes = [
            ("in_chans", self.in_chans, theirs.in_chans),
            ("patch_size", self.patch_size, theirs.patch_size),
            ("embed_dim", self.embed_dim, theirs.embed_dim),
            ("depth", self.depth, theirs.depth),
            ("num_heads", self.num_heads, theirs.num_heads),
        ];
        let sizes = sizes.map(|(key, mine, theirs)| (key, mine as f64, theirs as f64));
        let numbers = [
            ("mlp_ratio", self.mlp_ratio, theirs.mlp_ratio),
            ("layer_norm_eps", self.layer_norm_eps, theirs.layer_norm_eps),
        ];
        for (key, mine, theirs) in sizes.into_iter().chain(numbers) {
            if mine.to_bits() != theirs.to_bits() {
                let why = format!("{theirs}, as in the pre-trained encoder");
                return Err(Error::setting(format!("model.{key}"), why, mine));
            }
        }
        Ok(())
    }
}
