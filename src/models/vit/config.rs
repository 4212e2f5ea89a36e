//! A Vision Transformer's architecture: checked for what cannot work, and what it costs.

use super::stack::{MAX_WIDTH, Stack, in_range, linear_flops, linear_parameters, norm_parameters};
use crate::base::{Error, Result};
use serde::{Deserialize, Serialize};
use std::fmt;

const MAX_SIDE: usize = 1 << 14;
const MAX_PATCHES: usize = 1 << 16;
const MAX_PARAMETERS: usize = 10_000_000_000;

/// The architecture, in the terms of the reference's `VisionTransformer`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VitConfig {
    /// Height and width of the images in pixels.
    pub img_size: [usize; 2],
    /// Channels of the images.
    pub in_chans: usize,
    /// Side `p` of a patch in pixels.
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
}

impl VitConfig {
    /// Patches in a column and in a row of the image.
    #[must_use]
    pub fn grid(&self) -> (usize, usize) {
        (self.img_size[0] / self.patch_size, self.img_size[1] / self.patch_size)
    }

    /// `L`, patches in an image.
    #[must_use]
    pub fn num_patches(&self) -> usize {
        self.grid().0 * self.grid().1
    }

    /// `N = 1 + L`, tokens of an image with all of its patches.
    #[must_use]
    pub fn tokens(&self) -> usize {
        1 + self.num_patches()
    }

    /// `P = p·p·C`, elements of a patch.
    #[must_use]
    pub fn patch_len(&self) -> usize {
        self.patch_size * self.patch_size * self.in_chans
    }

    /// The blocks.
    #[must_use]
    pub fn stack(&self) -> Stack {
        Stack {
            prefix: "model.",
            width: self.embed_dim,
            depth: self.depth,
            heads: self.num_heads,
            mlp_ratio: self.mlp_ratio,
        }
    }

    /// Numbers in the position table.
    #[must_use]
    pub fn positions(&self) -> usize {
        self.tokens() * self.embed_dim
    }

    /// Numbers in a [`super::Vit`] with its position table, and in the layer norm that every network has behind it.
    #[must_use]
    pub fn parameters(&self) -> usize {
        let projection = linear_parameters(self.patch_len(), self.embed_dim);
        let norm = norm_parameters(self.embed_dim);
        self.embed_dim + self.positions() + projection + self.stack().parameters() + norm
    }

    /// Floating-point operations (a multiply-add is two) of all matrix products of one image's training step with `n`
    /// tokens in the blocks, all rows of the last block among them. The backward pass of a product costs two of its size; only the patch
    /// projection, whose input is data, costs one.
    #[must_use]
    pub fn flops_per_image(&self, n: usize) -> f64 {
        2.0 * linear_flops(self.num_patches(), self.patch_len(), self.embed_dim)
            + 3.0 * self.depth as f64 * self.stack().block_flops(n)
    }

    /// Numbers before and behind the blocks, for one image: patches and their embedding, the first block's input, and what
    /// the last block's tokens become.
    #[must_use]
    pub fn outside_blocks(&self, n: usize) -> usize {
        self.num_patches() * (self.patch_len() + self.embed_dim) + 2 * n * self.embed_dim
    }

    /// Bytes of the activations that one whole image's training step keeps in f32 until its backward pass, with so many of the
    /// last blocks trained.
    #[must_use]
    pub fn activation_bytes(&self, trained_blocks: usize) -> usize {
        let block = self.stack().block_memory(self.tokens());
        size_of::<f32>() * (trained_blocks * block.kept + block.passing + self.outside_blocks(self.tokens()))
    }

    /// Bytes of the activations of one whole image on its way through, in f32, when nothing is kept for a backward pass.
    #[must_use]
    pub fn inference_bytes(&self) -> usize {
        let block = self.stack().block_memory(self.tokens());
        size_of::<f32>() * (block.kept + block.passing + self.outside_blocks(self.tokens()))
    }

    /// Checks everything that would make the network impossible.
    ///
    /// # Errors
    /// [`Error::Setting`] naming the key, what it needs and what was found.
    pub fn validate(&self) -> Result<()> {
        self.validate_with(Stack::validate_width)
    }

    /// As [`VitConfig::validate`], for recorded positions, whose width need not have a table of sines and cosines.
    ///
    /// # Errors
    /// [`Error::Setting`] naming the key, what it needs and what was found.
    pub fn validate_recorded(&self) -> Result<()> {
        self.validate_with(Stack::validate_any_width)
    }

    fn validate_with(&self, width: impl Fn(&Stack) -> Result<()>) -> Result<()> {
        for pixels in self.img_size {
            in_range("model.img_size", pixels, MAX_SIDE)?;
        }
        in_range("model.in_chans", self.in_chans, MAX_WIDTH)?;
        in_range("model.patch_size", self.patch_size, MAX_SIDE)?;
        self.stack().validate_counts()?;
        for (side, pixels) in ["height", "width"].into_iter().zip(self.img_size) {
            if pixels % self.patch_size != 0 {
                let why = format!("a divisor of the image's {side} {pixels}");
                return Err(Error::setting("model.patch_size", why, self.patch_size));
            }
        }
        width(&self.stack())?;
        if !(self.layer_norm_eps > 0.0 && self.layer_norm_eps < 1.0) {
            let why = "a small positive number";
            return Err(Error::setting("model.layer_norm_eps", why, self.layer_norm_eps));
        }
        if !(2..=MAX_PATCHES).contains(&self.num_patches()) {
            let why = format!("one that cuts an image into 2 to {MAX_PATCHES} patches");
            let found = format!("{}, which makes {}", self.patch_size, self.num_patches());
            return Err(Error::setting("model.patch_size", why, found));
        }
        check_parameters(self.parameters())
    }

    /// Checks that a pre-trained trunk can be taken over: all but the images' size must be the same.
    ///
    /// # Errors
    /// [`Error::Setting`] naming the first key that differs.
    pub fn fits(&self, pretrained: &Self) -> Result<()> {
        let numbers = |c: &Self| {
            [
                ("in_chans", c.in_chans as f64),
                ("patch_size", c.patch_size as f64),
                ("embed_dim", c.embed_dim as f64),
                ("depth", c.depth as f64),
                ("num_heads", c.num_heads as f64),
                ("mlp_ratio", c.mlp_ratio),
                ("layer_norm_eps", c.layer_norm_eps),
            ]
        };
        for ((key, mine), (_, theirs)) in numbers(self).into_iter().zip(numbers(pretrained)) {
            if mine.to_bits() != theirs.to_bits() {
                let why = format!("{theirs}, as in the pre-trained encoder");
                return Err(Error::setting(format!("model.{key}"), why, mine));
            }
        }
        Ok(())
    }
}

/// `28×28×1 in 49 patches of 4; encoder 128/4/4`: width, blocks, heads.
impl fmt::Display for VitConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ([height, width], channels) = (self.img_size, self.in_chans);
        write!(f, "{height}×{width}×{channels} in {} patches of {}; ", self.num_patches(), self.patch_size)?;
        write!(f, "encoder {}/{}/{}", self.embed_dim, self.depth, self.num_heads)
    }
}

/// Refuses a model of more parameters than any that has been trained.
pub(crate) fn check_parameters(parameters: usize) -> Result<()> {
    if parameters > MAX_PARAMETERS {
        let why = format!("at most {MAX_PARAMETERS} parameters");
        return Err(Error::setting("model", why, parameters));
    }
    Ok(())
}
