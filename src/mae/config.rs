//! The architecture: the reference's own parameter names, checked for what cannot work.

use crate::base::{Error, Result};
use serde::{Deserialize, Serialize};

/// A masked autoencoder's architecture, in the terms of the reference's `MaskedAutoencoderViT`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MaeConfig {
    /// Height and width of the images in pixels.
    pub img_size: [usize; 2],
    /// Channels of the images.
    pub in_chans: usize,
    /// Side `p` of a patch in pixels.
    pub patch_size: usize,
    /// Encoder width `D`.
    pub embed_dim: usize,
    /// Encoder blocks.
    pub depth: usize,
    /// Encoder heads.
    pub num_heads: usize,
    /// Decoder width `E`.
    pub decoder_embed_dim: usize,
    /// Decoder blocks.
    pub decoder_depth: usize,
    /// Decoder heads.
    pub decoder_num_heads: usize,
    /// Hidden width of an MLP relative to its block's width.
    pub mlp_ratio: f64,
    /// `ε` of every layer norm.
    pub layer_norm_eps: f64,
    /// Whether the target is each patch's pixels normalised by their own mean and variance.
    pub norm_pix_loss: bool,
}

impl MaeConfig {
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

    /// `P = p·p·C`, numbers in a patch.
    #[must_use]
    pub fn patch_len(&self) -> usize {
        self.patch_size * self.patch_size * self.in_chans
    }

    /// Hidden width of the MLP in a block of this width.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    pub fn hidden(&self, width: usize) -> usize {
        (width as f64 * self.mlp_ratio) as usize
    }

    /// Checks everything that would make the model impossible.
    ///
    /// # Errors
    /// [`Error::Setting`] naming the key, what it needs and what was found.
    pub fn validate(&self) -> Result<()> {
        let positive = [
            ("model.img_size", self.img_size[0].min(self.img_size[1])),
            ("model.in_chans", self.in_chans),
            ("model.patch_size", self.patch_size),
            ("model.depth", self.depth),
            ("model.decoder_depth", self.decoder_depth),
            ("model.num_heads", self.num_heads),
            ("model.decoder_num_heads", self.decoder_num_heads),
        ];
        for (key, value) in positive {
            if value == 0 {
                return Err(Error::setting(key, "at least 1", value));
            }
        }
        for (side, pixels) in ["height", "width"].into_iter().zip(self.img_size) {
            if pixels % self.patch_size != 0 {
                return Err(Error::setting(
                    "model.patch_size",
                    format!("a divisor of the image's {side} {pixels}"),
                    self.patch_size,
                ));
            }
        }
        for (prefix, width, heads) in [
            ("model.", self.embed_dim, self.num_heads),
            ("model.decoder_", self.decoder_embed_dim, self.decoder_num_heads),
        ] {
            if width == 0 || width % 4 != 0 {
                let why = "a positive multiple of 4 (2-D sine-cosine positions)";
                return Err(Error::setting(format!("{prefix}embed_dim"), why, width));
            }
            if width % heads != 0 {
                let why = format!("a divisor of the width {width}");
                return Err(Error::setting(format!("{prefix}num_heads"), why, heads));
            }
            if !(self.mlp_ratio > 0.0 && self.mlp_ratio.is_finite()) || self.hidden(width) == 0 {
                let why = "positive, and large enough for a hidden width of at least 1";
                return Err(Error::setting("model.mlp_ratio", why, self.mlp_ratio));
            }
        }
        if !(self.layer_norm_eps > 0.0 && self.layer_norm_eps < 1.0) {
            return Err(Error::setting(
                "model.layer_norm_eps",
                "a small positive number",
                self.layer_norm_eps,
            ));
        }
        if self.norm_pix_loss && self.patch_len() < 2 {
            let why = "false for patches of a single number, which have no variance";
            return Err(Error::setting("model.norm_pix_loss", why, true));
        }
        if self.num_patches() < 2 {
            return Err(Error::setting(
                "model.patch_size",
                "at least 2 patches in an image",
                self.patch_size,
            ));
        }
        Ok(())
    }
}
