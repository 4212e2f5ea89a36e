//! The architecture: the reference's own parameter names, checked for what cannot work.

use super::loss::PixelTarget;
use crate::base::{Error, Result};
use crate::models::vit::config::check_parameters;
use crate::models::vit::stack::{linear_parameters, norm_parameters};
use crate::models::vit::{Stack, VitConfig};
use serde::{Deserialize, Serialize};

/// How many parameters a model has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parameters {
    /// All of them.
    pub all: usize,
    /// Those that are trained: all but the two position tables.
    pub trained: usize,
    /// Those of the encoder, its position table included.
    pub encoder: usize,
}

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
        self.vit().grid()
    }

    /// `L`, patches in an image.
    #[must_use]
    pub fn num_patches(&self) -> usize {
        self.vit().num_patches()
    }

    /// `P = p·p·C`, elements of a patch.
    #[must_use]
    pub fn patch_len(&self) -> usize {
        self.vit().patch_len()
    }

    /// What the decoder predicts.
    #[must_use]
    pub fn target(&self) -> PixelTarget {
        PixelTarget { patch_size: self.patch_size, norm_pix_loss: self.norm_pix_loss }
    }

    /// The encoder's trunk.
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

    /// This trunk, and a decoder of this width, depth and number of heads that predicts pixels as they are.
    #[must_use]
    pub fn with_decoder(vit: &VitConfig, [width, depth, heads]: [usize; 3]) -> Self {
        Self {
            img_size: vit.img_size,
            in_chans: vit.in_chans,
            patch_size: vit.patch_size,
            embed_dim: vit.embed_dim,
            depth: vit.depth,
            num_heads: vit.num_heads,
            decoder_embed_dim: width,
            decoder_depth: depth,
            decoder_num_heads: heads,
            mlp_ratio: vit.mlp_ratio,
            layer_norm_eps: vit.layer_norm_eps,
            norm_pix_loss: false,
        }
    }

    /// The decoder's blocks.
    #[must_use]
    pub fn decoder_stack(&self) -> Stack {
        Stack {
            prefix: "model.decoder_",
            width: self.decoder_embed_dim,
            depth: self.decoder_depth,
            heads: self.decoder_num_heads,
            mlp_ratio: self.mlp_ratio,
        }
    }

    /// How many parameters a model of this architecture has, without making one.
    #[must_use]
    pub fn parameters(&self) -> Parameters {
        let (vit, width) = (self.vit(), self.decoder_embed_dim);
        let encoder = vit.parameters();
        // The mask token is the decoder's.
        let decoder = width
            + linear_parameters(vit.embed_dim, width)
            + self.decoder_stack().parameters()
            + norm_parameters(width)
            + linear_parameters(width, self.patch_len());
        let trained = encoder - vit.positions() + decoder;
        Parameters { all: encoder + vit.tokens() * width + decoder, trained, encoder }
    }

    /// Checks everything that would make the model impossible.
    ///
    /// # Errors
    /// [`Error::Setting`] naming the key, what it needs and what was found.
    pub fn validate(&self) -> Result<()> {
        self.vit().validate()?;
        self.decoder_stack().validate_counts()?;
        self.decoder_stack().validate_width()?;
        if self.norm_pix_loss && self.patch_len() < 2 {
            let why = "false for patches of a single number, which have no variance";
            return Err(Error::setting("model.norm_pix_loss", why, true));
        }
        check_parameters(self.parameters().all)
    }
}
