//! The encoder: a Vision Transformer that sees only the patches that were kept.

use super::config::MaeConfig;
use super::cost::block_memory;
use super::masking::Masks;
use crate::base::Real;
use crate::exec::Exec;
use crate::layers::block::BlockCache;
use crate::layers::layer_norm::LayerNormCache;
use crate::layers::patch_embed::PatchEmbedCache;
use crate::layers::{Block, LayerNorm, PatchEmbed, pos_embed};
use crate::params;
use ndarray::{Array2, Array3, ArrayView4, Axis, s};

params! {
    /// Patch embedding, positions, class token, blocks, norm.
    pub struct Encoder {
        tensors {
            /// `[1, 1, D]`, in front of every image's tokens.
            cls_token: Array3<F> = Token,
            /// `[1, 1 + L, D]`, fixed; row 0 (the class token's) is 0.
            pos_embed: Array3<F> = Position,
        }
        layers {
            /// Pixels to tokens.
            patch_embed: PatchEmbed<F>,
            /// The transformer.
            blocks: Vec<Block<F>>,
            /// After the last block.
            norm: LayerNorm<F>,
        }
        plain {
            /// Rows and columns of patches: those of `pos_embed`.
            grid: (usize, usize),
        }
    }
}

/// What [`Encoder::backward`] needs.
#[must_use]
pub struct EncoderCache<F> {
    patch_embed: PatchEmbedCache<F>,
    blocks: Vec<BlockCache<F>>,
    norm: LayerNormCache<F>,
}

impl<F: Real> Encoder<F> {
    /// All zeros but the fixed positions.
    #[must_use]
    pub fn new(c: &MaeConfig) -> Self {
        let (rows, columns) = c.grid();
        let positions = pos_embed::sincos(c.embed_dim, rows, columns, true);
        let block = Block::new(c.embed_dim, c.num_heads, c.hidden(c.embed_dim), c.layer_norm_eps);
        Self {
            cls_token: Array3::zeros((1, 1, c.embed_dim)),
            pos_embed: positions.mapv(rounded_to_f32).insert_axis(Axis(0)),
            patch_embed: PatchEmbed::new(c.in_chans, c.patch_size, c.embed_dim),
            blocks: vec![block; c.depth],
            norm: LayerNorm::new(c.embed_dim, c.layer_norm_eps),
            grid: (rows, columns),
        }
    }

    /// `images: [B, C, H, W] → latent: [B·(1 + K), D]`, `K` kept patches an image in `ids_keep` order
    /// behind the class token.
    pub fn forward(
        &self,
        images: ArrayView4<F>,
        masks: &Masks,
        cx: &mut Exec<F>,
    ) -> (Array2<F>, EncoderCache<F>) {
        let (mut x, patch_embed) = self.visible_tokens(images, masks, cx);
        let tokens = 1 + masks[0].len_keep;
        let mut blocks = Vec::with_capacity(self.blocks.len());
        for (i, block) in self.blocks.iter().enumerate() {
            let (y, cache) = cx.inside(format_args!("blocks.{i}"), |cx| block.forward(x, tokens, cx));
            blocks.push(cache);
            x = y;
        }
        let (latent, norm) = self.norm.forward(&x, cx);
        cx.recycle(x);
        cx.saw("latent", &latent);
        (latent, EncoderCache { patch_embed, blocks, norm })
    }

    /// As [`Encoder::forward`], keeping nothing for a backward pass: memory does not grow with the depth.
    pub fn infer(&self, images: ArrayView4<F>, masks: &Masks, cx: &mut Exec<F>) -> Array2<F> {
        let (mut x, patch_embed) = self.visible_tokens(images, masks, cx);
        patch_embed.recycle(cx);
        let tokens = 1 + masks[0].len_keep;
        for (i, block) in self.blocks.iter().enumerate() {
            x = cx.inside(format_args!("blocks.{i}"), |cx| block.infer(x, tokens, cx));
        }
        let (latent, norm) = self.norm.forward(&x, cx);
        norm.recycle(cx);
        cx.recycle(x);
        cx.saw("latent", &latent);
        latent
    }

    /// Bytes of the activations of one whole image on its way through [`Encoder::infer`], in `F`.
    #[must_use]
    pub fn inference_bytes(&self) -> usize {
        let (patches, width) = (self.grid.0 * self.grid.1, self.cls_token.len());
        let block = self.blocks.first().map_or(0, |block| {
            let memory = block_memory(1 + patches, width, block.mlp.fc1.bias.len(), block.attn.num_heads);
            memory.kept + memory.passing
        });
        let patch_len = self.patch_embed.proj.weight.ncols();
        size_of::<F>() * (block + patches * (patch_len + width) + 2 * (1 + patches) * width)
    }

    /// What the first block sees: `[B·(1 + K), D]`.
    fn visible_tokens(
        &self,
        images: ArrayView4<F>,
        masks: &Masks,
        cx: &mut Exec<F>,
    ) -> (Array2<F>, PatchEmbedCache<F>) {
        let (mut patches, cache) = self.patch_embed.forward(images, cx);
        cx.saw("patch_embed", &patches);
        self.add_positions(&mut patches);
        cx.saw("patch_embed_pos", &patches);
        let x = self.keep_visible(&patches, masks, cx);
        cx.recycle(patches);
        cx.saw("encoder_input", &x);
        (x, cache)
    }

    /// Accumulates every gradient; returns the gradient with respect to the patch embedding's output,
    /// `[B·L, D]`, 0 for the patches that were removed.
    pub fn backward(
        &self,
        cache: EncoderCache<F>,
        masks: &Masks,
        dlatent: &Array2<F>,
        grad: &mut Self,
        cx: &mut Exec<F>,
    ) -> Array2<F> {
        let tokens = 1 + masks[0].len_keep;
        let mut dx = self.norm.backward(cache.norm, dlatent, &mut grad.norm, cx);
        for (i, cache) in cache.blocks.into_iter().enumerate().rev() {
            let (block, grad) = (&self.blocks[i], &mut grad.blocks[i]);
            dx = cx.inside(format_args!("blocks.{i}"), |cx| block.backward(cache, tokens, dx, grad, cx));
        }
        cx.saw_gradient("encoder_input", &dx);
        let dpatches = Self::keep_visible_backward(&dx, masks, grad, cx);
        cx.recycle(dx);
        // Positions are added, so the gradient passes unchanged: both names stand for one tensor.
        cx.saw_gradient("patch_embed_pos", &dpatches);
        cx.saw_gradient("patch_embed", &dpatches);
        self.patch_embed.backward(cache.patch_embed, dpatches.view(), &mut grad.patch_embed, cx);
        dpatches
    }

    /// `patches[b, l] += pos_embed[1 + l]`.
    fn add_positions(&self, patches: &mut Array2<F>) {
        let positions = self.pos_embed.slice(s![0, 1.., ..]);
        for mut image in patches.axis_chunks_iter_mut(Axis(0), positions.nrows()) {
            image += &positions;
        }
    }

    /// `x[b, 0] = cls_token + pos_embed[0]`, `x[b, 1 + i] = patches[b, ids_keep[i]]`.
    pub fn keep_visible(&self, patches: &Array2<F>, masks: &Masks, cx: &mut Exec<F>) -> Array2<F> {
        let (len, keep) = (masks[0].ids_shuffle.len(), masks[0].len_keep);
        let class = &self.cls_token.slice(s![0, 0, ..]) + &self.pos_embed.slice(s![0, 0, ..]);
        let mut x = cx.take(masks.len() * (1 + keep), patches.ncols());
        for (b, mask) in masks.iter().enumerate() {
            x.row_mut(b * (1 + keep)).assign(&class);
            for (i, &patch) in mask.ids_keep().iter().enumerate() {
                x.row_mut(b * (1 + keep) + 1 + i).assign(&patches.row(b * len + patch));
            }
        }
        x
    }

    /// The adjoint: `dcls_token += Σ_b dx[b, 0]`, `dpatches[b, ids_keep[i]] = dx[b, 1 + i]`, 0 elsewhere.
    pub fn keep_visible_backward(
        dx: &Array2<F>,
        masks: &Masks,
        grad: &mut Self,
        cx: &mut Exec<F>,
    ) -> Array2<F> {
        let (len, keep) = (masks[0].ids_shuffle.len(), masks[0].len_keep);
        let mut dpatches = cx.zeros(masks.len() * len, dx.ncols());
        let mut dclass = grad.cls_token.slice_mut(s![0, 0, ..]);
        for (b, mask) in masks.iter().enumerate() {
            dclass += &dx.row(b * (1 + keep));
            for (i, &patch) in mask.ids_keep().iter().enumerate() {
                dpatches.row_mut(b * len + patch).assign(&dx.row(b * (1 + keep) + 1 + i));
            }
        }
        dpatches
    }
}

/// The reference keeps its position tables in f32 even where it computes in f64.
#[expect(clippy::cast_possible_truncation, reason = "rounding to f32 is the purpose")]
pub(super) fn rounded_to_f32<F: Real>(x: f64) -> F {
    F::of(f64::from(x as f32))
}
