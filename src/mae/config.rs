//! The architecture: the reference's own parameter names, checked for what cannot work.

use super::loss::PixelTarget;
use crate::base::{Error, Result};
use serde::{Deserialize, Serialize};

/// Bounds far above every model that has been trained, so that a slip of the keyboard is an error and not
/// an attempt to take all memory.
const MAX_SIDE: usize = 1 << 14;
const MAX_WIDTH: usize = 1 << 16;
const MAX_DEPTH: usize = 1 << 10;
const MAX_PATCHES: usize = 1 << 16;
const MAX_PARAMETERS: usize = 10_000_000_000;

/// How many numbers a model consists of.
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

    /// What the decoder predicts.
    #[must_use]
    pub fn target(&self) -> PixelTarget {
        PixelTarget { patch_size: self.patch_size, norm_pix_loss: self.norm_pix_loss }
    }

    /// Hidden width of the MLP in a block of this width.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    pub fn hidden(&self, width: usize) -> usize {
        (width as f64 * self.mlp_ratio) as usize
    }

    /// How many parameters a model of this architecture has, without making one.
    #[must_use]
    pub fn parameters(&self) -> Parameters {
        let linear = |inputs: usize, outputs: usize| inputs * outputs + outputs;
        let norm = |width: usize| 2 * width;
        let block = |width: usize| {
            let attention = linear(width, 3 * width) + linear(width, width);
            let mlp = linear(width, self.hidden(width)) + linear(self.hidden(width), width);
            norm(width) + attention + norm(width) + mlp
        };
        let (width, decoder_width) = (self.embed_dim, self.decoder_embed_dim);
        // Each half has one token of its own: the class token here, the mask token there.
        let encoder = width + linear(self.patch_len(), width) + self.depth * block(width) + norm(width);
        let decoder = decoder_width
            + linear(width, decoder_width)
            + self.decoder_depth * block(decoder_width)
            + norm(decoder_width)
            + linear(decoder_width, self.patch_len());
        let trained = encoder + decoder;
        let places = 1 + self.num_patches();
        let all = trained + places * (width + decoder_width);
        Parameters { all, trained, encoder: encoder + places * width }
    }

    /// Checks everything that would make the model impossible.
    ///
    /// # Errors
    /// [`Error::Setting`] naming the key, what it needs and what was found.
    pub fn validate(&self) -> Result<()> {
        let [height, width] = self.img_size;
        let sizes = [
            ("model.img_size", height.min(width), height.max(width), MAX_SIDE),
            ("model.in_chans", self.in_chans, self.in_chans, MAX_WIDTH),
            ("model.patch_size", self.patch_size, self.patch_size, MAX_SIDE),
            ("model.depth", self.depth, self.depth, MAX_DEPTH),
            ("model.decoder_depth", self.decoder_depth, self.decoder_depth, MAX_DEPTH),
            ("model.num_heads", self.num_heads, self.num_heads, MAX_WIDTH),
            ("model.decoder_num_heads", self.decoder_num_heads, self.decoder_num_heads, MAX_WIDTH),
        ];
        for (key, smallest, largest, most) in sizes {
            if smallest == 0 || largest > most {
                let found = if smallest == 0 { smallest } else { largest };
                return Err(Error::setting(key, format!("1 to {most}"), found));
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
            if width == 0 || width % 4 != 0 || width > MAX_WIDTH {
                let why =
                    format!("a positive multiple of 4 (2-D sine-cosine positions), at most {MAX_WIDTH}");
                return Err(Error::setting(format!("{prefix}embed_dim"), why, width));
            }
            if width % heads != 0 {
                let why = format!("a divisor of the width {width}");
                return Err(Error::setting(format!("{prefix}num_heads"), why, heads));
            }
            if !(1..=MAX_WIDTH).contains(&self.hidden(width)) {
                let why = format!("one that makes a hidden width of 1 to {MAX_WIDTH}");
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
        if !(2..=MAX_PATCHES).contains(&self.num_patches()) {
            let why = format!("one that cuts an image into 2 to {MAX_PATCHES} patches");
            let found = format!("{}, which makes {}", self.patch_size, self.num_patches());
            return Err(Error::setting("model.patch_size", why, found));
        }
        let parameters = self.parameters().all;
        if parameters > MAX_PARAMETERS {
            let why = format!("at most {MAX_PARAMETERS} parameters");
            return Err(Error::setting("model", why, parameters));
        }
        Ok(())
    }
}
