//! The trunk: weights, and the way of an image to the tokens behind the last block and back.

use super::blocks::{self, Encoded, ForwardOptions, StackCache};
use super::config::VitConfig;
use crate::base::Real;
use crate::exec::Exec;
use crate::layers::patch_embed::PatchEmbedCache;
use crate::layers::{Block, PatchEmbed, pos_embed};
use crate::params;
use ndarray::{Array2, Array3, Array4, ArrayView2, ArrayView4};

params! {
    /// Patch embedding, positions, class token, blocks.
    pub struct Vit {
        tensors {
            /// `[1, 1, D]`, in front of every image's tokens.
            cls_token: Array3<F> = Token,
            /// `[1, 1 + L, D]`; row 0 is the class token's.
            pos_embed: Array3<F> = Position,
        }
        layers {
            /// Pixels to tokens.
            patch_embed: PatchEmbed<F>,
            /// The transformer.
            blocks: Vec<Block<F>>,
        }
        plain {
            /// Whether positions are trained.
            positions: Positions,
            /// The architecture.
            config: VitConfig,
        }
    }
}

/// What becomes of the position table in training.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Positions {
    /// It stays the table of sines and cosines: pre-training.
    Fixed,
    /// It is trained: fine-tuning.
    Trained,
}

impl<F: Real> Vit<F> {
    /// All zeros but the positions, which are those of sines and cosines; where they are trained, a width that has no such
    /// table is allowed, too, and they are 0.
    #[must_use]
    pub fn new(c: &VitConfig, positions: Positions) -> Self {
        let (rows, columns) = c.grid();
        let block = Block::new(c.embed_dim, c.num_heads, c.stack().hidden(), c.layer_norm_eps);
        let pos_embed = if positions == Positions::Trained && !c.embed_dim.is_multiple_of(4) {
            Array3::zeros((1, c.tokens(), c.embed_dim))
        } else {
            pos_embed::table(c.embed_dim, rows, columns)
        };
        Self {
            cls_token: Array3::zeros((1, 1, c.embed_dim)),
            pos_embed,
            patch_embed: PatchEmbed::new(c.in_chans, c.patch_size, c.embed_dim),
            blocks: vec![block; c.depth],
            positions,
            config: c.clone(),
        }
    }

    /// `images: [B, C, H, W] → patches: [B·L, D]`, without positions; the cache if everything is trained.
    pub fn embed(
        &self,
        images: ArrayView4<F>,
        o: &ForwardOptions<F>,
        cx: &mut Exec<F>,
    ) -> (Array2<F>, Option<PatchEmbedCache<F>>) {
        let (patches, cache) = self.patch_embed.forward(images, cx);
        cx.trace("patch_embed", &patches);
        if o.tune_blocks.is_some() {
            cache.recycle(cx);
            return (patches, None);
        }
        (patches, Some(cache))
    }

    /// Adds the patch embedding's gradient. The images are data: [`Vit::images_gradient`] gives theirs to those who ask.
    pub fn embed_backward(
        &self,
        cache: PatchEmbedCache<F>,
        dpatches: ArrayView2<F>,
        grad: &mut Self,
        cx: &mut Exec<F>,
    ) {
        cx.trace_gradient("patch_embed", &dpatches);
        self.patch_embed.backward(cache, dpatches, &mut grad.patch_embed, cx);
    }

    /// `x: [B·N, D]`, `N = tokens`, through all blocks, with the caches of those that are trained.
    pub fn encode(
        &self,
        x: Array2<F>,
        tokens: usize,
        o: &ForwardOptions<F>,
        cx: &mut Exec<F>,
    ) -> (Encoded<F>, StackCache<F>) {
        blocks::forward(&self.blocks, "blocks", x, tokens, o, cx)
    }

    /// Adds the gradient of the blocks that are trained, from that of the last one's output and of the taps'; returns the
    /// gradient of the input of the first that is trained.
    pub fn encode_backward(
        &self,
        cache: StackCache<F>,
        dx: Array2<F>,
        dtaps: &[Array2<F>],
        grad: &mut Self,
        cx: &mut Exec<F>,
    ) -> Array2<F> {
        blocks::backward(&self.blocks, "blocks", cache, dx, dtaps, &mut grad.blocks, cx)
    }

    /// The gradient of the images, `[B, C, H, W]`, from that of the patches, for audits.
    pub fn images_gradient(&self, dpatches: &Array2<F>, cx: &mut Exec<F>) -> Array4<F> {
        let [height, width] = self.config.img_size;
        self.patch_embed.images_gradient(dpatches.view(), height, width, cx)
    }
}
