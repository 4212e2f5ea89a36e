//! A segmentation network's architecture, checked for what cannot work.

use super::pixel_loss::IGNORED;
use crate::base::{Error, Result};
use crate::models::pyramid::levels;
use crate::models::vit::VitConfig;
use crate::models::vit::config::check_parameters;
use crate::models::vit::stack::{MAX_WIDTH, in_range};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Far above every scale that makes sense.
const MAX_CELLS: usize = 1 << 8;

/// What gives the logits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum HeadKind {
    /// UperNet on a pyramid of four levels, with an auxiliary head.
    Upernet,
    /// A layer norm and a linear map of the last block's tokens.
    Linear,
}

impl fmt::Display for HeadKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Upernet => "upernet",
            Self::Linear => "linear",
        })
    }
}

/// The architecture, in the terms of the reference's `VisionTransformer`, and the head.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SegmenterConfig {
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
    /// `K`.
    pub num_classes: usize,
    /// What gives the logits. The keys below are UperNet's; the linear head has none.
    pub head: HeadKind,
    /// `C`, of the decode head.
    pub channels: usize,
    /// `A`, of the auxiliary head.
    pub aux_channels: usize,
    /// Into how many cells, in a column and in a row, the coarsest level is averaged: once for each.
    pub pool_scales: Vec<usize>,
    /// What the auxiliary loss counts.
    pub aux_weight: f64,
}

impl SegmenterConfig {
    /// A head of `num_classes` on this trunk, with the settings that are usual: 64 channels and half of them in the auxiliary
    /// head, whose loss counts 0.4; pool scales 1, 2, 3 and 6 as far as the coarsest level has as many pixels.
    #[must_use]
    pub fn new(vit: &VitConfig, num_classes: usize, head: HeadKind) -> Self {
        Self {
            img_size: vit.img_size,
            in_chans: vit.in_chans,
            patch_size: vit.patch_size,
            embed_dim: vit.embed_dim,
            depth: vit.depth,
            num_heads: vit.num_heads,
            mlp_ratio: vit.mlp_ratio,
            layer_norm_eps: vit.layer_norm_eps,
            num_classes,
            head,
            channels: 64,
            aux_channels: 32,
            pool_scales: Self::usual_pool_scales(vit.img_size),
            aux_weight: 0.4,
        }
    }

    /// Those of 1, 2, 3 and 6 for which the coarsest level has as many pixels in a row and in a column; 1 always.
    #[must_use]
    pub fn usual_pool_scales(img_size: [usize; 2]) -> Vec<usize> {
        let [.., [height, width]] = levels::sizes(img_size);
        [1, 2, 3, 6].into_iter().filter(|&cells| cells == 1 || cells <= height.min(width)).collect()
    }

    /// The trunk: whatever is true of its sizes and bounds is true of this.
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

    /// Height and width of the logits before they are resized to the image.
    #[must_use]
    pub fn logits_size(&self) -> [usize; 2] {
        match self.head {
            HeadKind::Upernet => levels::sizes(self.img_size)[0],
            HeadKind::Linear => self.vit().grid().into(),
        }
    }

    /// Checks everything that would make the model impossible.
    ///
    /// # Errors
    /// [`Error::Setting`] naming the key, what it needs and what was found.
    pub fn validate(&self) -> Result<()> {
        self.vit().validate()?;
        self.validate_head()
    }

    /// Checks all but the trunk.
    ///
    /// # Errors
    /// [`Error::Setting`] naming the key, what it needs and what was found.
    pub fn validate_head(&self) -> Result<()> {
        let most = usize::from(IGNORED);
        if !(2..=most).contains(&self.num_classes) {
            let why = format!("2 to {most}, since label {IGNORED} marks pixels that are ignored");
            return Err(Error::setting("model.num_classes", why, self.num_classes));
        }
        if self.head == HeadKind::Upernet {
            levels::validate(&self.vit())?;
            in_range("model.channels", self.channels, MAX_WIDTH)?;
            in_range("model.aux_channels", self.aux_channels, MAX_WIDTH)?;
            if self.pool_scales.is_empty() {
                let why = "one number of cells or more, such as [1, 2, 3, 6]";
                return Err(Error::setting("model.pool_scales", why, "none"));
            }
            for &cells in &self.pool_scales {
                in_range("model.pool_scales", cells, MAX_CELLS)?;
            }
            if !(0.0..=1e3).contains(&self.aux_weight) {
                return Err(Error::setting("model.aux_weight", "0 to 1000", self.aux_weight));
            }
        }
        check_parameters(self.parameters())
    }
}
