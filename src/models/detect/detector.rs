//! Detection as a whole: the trunk sees every patch, a pyramid of maps is made of it, anchors are scored on all of them, and
//! heads look at regions.

use super::anchor_table::AnchorTable;
use super::config::DetectorConfig;
use super::fpn::{Fpn, FpnCache, MAPS};
use super::proposals::{Proposal, ProposalConfig, proposals};
use super::region_heads::RegionHeads;
use super::rpn_head::{RpnCache, RpnHead, RpnOutput};
use crate::base::Real;
use crate::exec::Exec;
use crate::layers::init::{self, init};
use crate::models::mae::Encoder;
use crate::models::pyramid::levels::{self, LEVELS};
use crate::models::pyramid::{Pyramid, PyramidCache};
use crate::models::vit::{ForwardOptions, ImagesCache, Positions, Vit};
use crate::params;
use crate::params::Params;
use ndarray::{Array2, ArrayView4};
use std::sync::Arc;

/// Standard deviations of the initial weights of the layers that give outputs (detectron2's).
const OUTPUT_STDS: [(&str, f64); 5] = [
    ("rpn.objectness.weight", 0.01),
    ("rpn.deltas.weight", 0.01),
    ("box.score.weight", 0.01),
    ("box.deltas.weight", 0.001),
    ("mask.classify.weight", 0.001),
];

params! {
    /// A trunk whose positions are trained, without a norm behind its last block; `adapters`, `fpn`, `rpn`, `box`, and `mask` if
    /// there is a mask head (Li et al. 2022, "Exploring Plain Vision Transformer Backbones for Object Detection").
    pub struct Detector {
        first {
            /// Patch embedding, class token, positions, blocks.
            vit: Vit<F>,
            /// From the tokens to maps of strides 4, 8, 16, 32.
            pyramid: Pyramid<F>,
        }
        layers {
            /// From those to `p2 … p6`.
            fpn: Fpn<F>,
            /// Which anchors have an object, and where.
            rpn: RpnHead<F>,
        }
        flat {
            /// What and where exactly, and its mask.
            heads: RegionHeads<F>,
        }
        plain {
            /// The same for every image.
            anchors: Arc<AnchorTable<F>>,
            /// The architecture.
            config: DetectorConfig,
        }
    }
}

/// What images are to the heads, and what is needed to come back.
#[must_use]
pub struct Forward<F> {
    /// `p2 … p6`: `[B·h·w, C]` each.
    pub maps: Vec<Array2<F>>,
    /// Of every anchor.
    pub rpn: RpnOutput<F>,
    pub(super) cache: ForwardCache<F>,
}

/// The caches of everything in front of the heads.
pub(super) struct ForwardCache<F> {
    pub(super) trunk: ImagesCache<F>,
    pub(super) pyramid: PyramidCache<F>,
    pub(super) fpn: FpnCache<F>,
    pub(super) rpn: RpnCache<F>,
}

impl<F: Real> Forward<F> {
    /// Gives the buffers back: there will be no backward pass.
    pub fn recycle(self, cx: &mut Exec<F>) {
        for map in self.maps {
            cx.recycle(map);
        }
        self.rpn.recycle(cx);
        self.cache.pyramid.recycle(cx);
        self.cache.fpn.recycle(cx);
        self.cache.rpn.recycle(cx);
    }
}

impl<F: Real> Detector<F> {
    /// All zeros but the positions.
    #[must_use]
    pub fn new(config: &DetectorConfig) -> Self {
        let vit = config.vit();
        let (width, sizes) = (vit.embed_dim, levels::sizes(vit.img_size));
        Self {
            vit: Vit::new(&vit, Positions::Trained),
            pyramid: Pyramid::new(&vit),
            fpn: Fpn::new(width, config.channels, sizes, vit.layer_norm_eps),
            rpn: RpnHead::new(config.channels, config.anchor_ratios.len()),
            heads: RegionHeads::new(config),
            anchors: Arc::new(AnchorTable::new(config)),
            config: config.clone(),
        }
    }

    /// From scratch: the encoder that a masked autoencoder of this architecture and seed starts from, and new heads.
    #[must_use]
    pub fn initialised(config: &DetectorConfig, seed: u64) -> Self {
        let mut encoder = Encoder::new(&config.vit());
        init(&mut encoder, seed);
        Self::from_encoder(&encoder, config, seed)
    }

    /// A pre-trained encoder and new heads. Positions are interpolated where the images have another size. The encoder's `norm`
    /// has no place here.
    ///
    /// # Panics
    /// If the encoder is of another architecture: [`crate::models::vit::VitConfig::fits`] says so in words.
    #[must_use]
    pub fn from_encoder(encoder: &Encoder<F>, config: &DetectorConfig, seed: u64) -> Self {
        let mut model = Self::new(config);
        init(&mut model, seed);
        for tensor in model.tensors_mut() {
            if let Some((_, std)) = OUTPUT_STDS.into_iter().find(|(name, _)| *name == tensor.name) {
                init::normal(tensor.data.write(), &tensor.name, std, seed);
            }
        }
        model.vit.take_over(&encoder.vit);
        model
    }

    /// `images: [B, C, H, W]` to the maps and to what is said of every anchor. This is the first half of a step: what it gives
    /// decides on proposals, these on samples, and those on the losses.
    ///
    /// # Panics
    /// If drop path's factors are not those of as many blocks and images.
    pub fn forward(&self, images: ArrayView4<F>, o: &ForwardOptions<F>, cx: &mut Exec<F>) -> Forward<F> {
        let o = ForwardOptions { taps: &self.pyramid.blocks[..LEVELS - 1], ..*o };
        let (encoded, trunk) = self.vit.encode_images(images, &o, cx);
        let mut tokens = encoded.taps;
        tokens.push(encoded.x);
        let (levels, pyramid) = self.pyramid.forward(tokens, cx);
        let (maps, fpn) = self.fpn.forward(levels, cx);
        let (rpn, rpn_cache) = self.rpn.forward(&maps, &self.config.map_sizes(), cx);
        Forward { maps, rpn, cache: ForwardCache { trunk, pyramid, fpn, rpn: rpn_cache } }
    }

    /// The regions of every image that may hold an object, the best first: see [`proposals`].
    #[must_use]
    pub fn proposals(&self, rpn: &RpnOutput<F>, config: &ProposalConfig) -> Vec<Vec<Proposal<F>>> {
        let pixels = |[height, width]: [usize; 2]| height * width;
        let images = rpn.objectness[MAPS - 1].nrows() / pixels(self.config.map_sizes()[MAPS - 1]);
        let of_image = |image| {
            let logits = self.anchors.of_image(image, 1, &rpn.objectness);
            let deltas = self.anchors.of_image(image, 4, &rpn.deltas);
            proposals(&logits, &deltas, &self.anchors.boxes, self.config.img_size, config)
        };
        (0..images).map(of_image).collect()
    }
}
