//! The decoder: a narrow, shallow transformer that sees every position, removed ones as mask tokens.

use super::config::MaeConfig;
use super::masking::Masks;
use crate::base::Real;
use crate::exec::Exec;
use crate::layers::layer_norm::LayerNormCache;
use crate::layers::linear::LinearCache;
use crate::layers::{Block, LayerNorm, Linear, pos_embed};
use crate::models::vit::{ForwardOptions, StackCache, blocks};
use crate::params;
use ndarray::{Array2, Array3, ArrayView2, Axis, s};

/// What the blocks are called in a checkpoint.
const BLOCKS: &str = "decoder_blocks";

params! {
    /// Embedding, mask tokens, unshuffle, positions, blocks, norm, prediction of pixels.
    pub struct Decoder {
        tensors {
            /// `[1, 1, E]`, stands for every removed patch.
            mask_token: Array3<F> = Token,
            /// `[1, 1 + L, E]`, fixed; row 0 (the class token's) is 0.
            decoder_pos_embed: Array3<F> = Position,
        }
        layers {
            /// `D → E`.
            decoder_embed: Linear<F>,
            /// The transformer.
            decoder_blocks: Vec<Block<F>>,
            /// After the last block.
            decoder_norm: LayerNorm<F>,
            /// `E → P = p·p·C`.
            decoder_pred: Linear<F>,
        }
    }
}

/// What [`Decoder::backward`] needs.
#[must_use]
pub struct DecoderCache<F> {
    embed: LinearCache<F>,
    blocks: StackCache<F>,
    norm: LayerNormCache<F>,
    pred: LinearCache<F>,
}

impl<F: Real> Decoder<F> {
    /// All zeros but the fixed positions.
    #[must_use]
    pub fn new(c: &MaeConfig) -> Self {
        let (rows, columns) = c.grid();
        let width = c.decoder_embed_dim;
        let block = Block::new(width, c.decoder_num_heads, c.decoder_stack().hidden(), c.layer_norm_eps);
        Self {
            mask_token: Array3::zeros((1, 1, width)),
            decoder_pos_embed: pos_embed::table(width, rows, columns),
            decoder_embed: Linear::new(c.embed_dim, width),
            decoder_blocks: vec![block; c.decoder_depth],
            decoder_norm: LayerNorm::new(width, c.layer_norm_eps),
            decoder_pred: Linear::new(width, c.patch_len()),
        }
    }

    /// `latent: [B·(1 + K), D] → pred: [B·L, P]`.
    pub fn forward(
        &self,
        latent: Array2<F>,
        masks: &Masks,
        cx: &mut Exec<F>,
    ) -> (Array2<F>, DecoderCache<F>) {
        self.forward_with(latent, masks, &ForwardOptions::default(), cx)
    }

    /// As [`Decoder::forward`], keeping nothing for a backward pass: memory does not grow with the depth.
    pub fn infer(&self, latent: Array2<F>, masks: &Masks, cx: &mut Exec<F>) -> Array2<F> {
        let (pred, cache) = self.forward_with(latent, masks, &ForwardOptions::inference(), cx);
        cache.embed.recycle(cx);
        cache.norm.recycle(cx);
        cache.pred.recycle(cx);
        pred
    }

    fn forward_with(
        &self,
        latent: Array2<F>,
        masks: &Masks,
        o: &ForwardOptions<F>,
        cx: &mut Exec<F>,
    ) -> (Array2<F>, DecoderCache<F>) {
        let (embedded, embed) = self.decoder_embed.forward(latent, cx);
        cx.trace("decoder_embed", &embedded);
        let mut x = self.unshuffle(&embedded, masks, cx);
        cx.recycle(embedded);
        cx.trace("decoder_input", &x);
        let positions = self.decoder_pos_embed.slice(s![0, .., ..]);
        for mut image in x.axis_chunks_iter_mut(Axis(0), positions.nrows()) {
            image += &positions;
        }
        cx.trace("decoder_input_pos", &x);
        let tokens = positions.nrows();
        let (encoded, blocks) = blocks::forward(&self.decoder_blocks, BLOCKS, x, tokens, o, cx);
        let (normed, norm) = self.decoder_norm.forward(encoded.x, cx);
        cx.trace("decoder_norm", &normed);
        let patches = drop_class_rows(&normed, tokens, cx);
        cx.recycle(normed);
        let (pred, cache) = self.decoder_pred.forward(patches, cx);
        cx.trace("pred", &pred);
        (pred, DecoderCache { embed, blocks, norm, pred: cache })
    }

    /// Accumulates every gradient; `dpred: [B·L, P] → dlatent: [B·(1 + K), D]`.
    pub fn backward(
        &self,
        cache: DecoderCache<F>,
        masks: &Masks,
        dpred: ArrayView2<F>,
        grad: &mut Self,
        cx: &mut Exec<F>,
    ) -> Array2<F> {
        let dpatches = self.decoder_pred.backward(cache.pred, dpred, &mut grad.decoder_pred, cx);
        let dnormed = restore_class_rows(&dpatches, self.decoder_pos_embed.dim().1, cx);
        cx.recycle(dpatches);
        cx.trace_gradient("decoder_norm", &dnormed);
        let dx = self.decoder_norm.backward(cache.norm, dnormed.view(), &mut grad.decoder_norm, cx);
        cx.recycle(dnormed);
        let (blocks, grads) = (&self.decoder_blocks, &mut grad.decoder_blocks);
        let dx = blocks::backward(blocks, BLOCKS, cache.blocks, dx, &[], grads, cx);
        // Positions are added, so the gradient passes unchanged: both names stand for one tensor.
        cx.trace_gradient("decoder_input_pos", &dx);
        cx.trace_gradient("decoder_input", &dx);
        let dembedded = Self::unshuffle_backward(&dx, masks, grad, cx);
        cx.recycle(dx);
        cx.trace_gradient("decoder_embed", &dembedded);
        let dlatent = self.decoder_embed.backward(cache.embed, dembedded.view(), &mut grad.decoder_embed, cx);
        cx.recycle(dembedded);
        cx.trace_gradient("latent", &dlatent);
        dlatent
    }

    /// Mask tokens appended and the order restored: `x[b, 0] = y[b, 0]`, and `x[b, 1 + l]` is
    /// `y[b, 1 + ids_restore[l]]` where patch `l` was kept, else `mask_token`.
    pub fn unshuffle(&self, y: &Array2<F>, masks: &Masks, cx: &mut Exec<F>) -> Array2<F> {
        let (len, keep) = (masks[0].ids_shuffle.len(), masks[0].len_keep);
        let mask_token = self.mask_token.slice(s![0, 0, ..]);
        let mut x = cx.take(masks.len() * (1 + len), y.ncols());
        for (b, mask) in masks.iter().enumerate() {
            x.row_mut(b * (1 + len)).assign(&y.row(b * (1 + keep)));
            for (l, &place) in mask.ids_restore.iter().enumerate() {
                let mut row = x.row_mut(b * (1 + len) + 1 + l);
                if place < keep {
                    row.assign(&y.row(b * (1 + keep) + 1 + place));
                } else {
                    row.assign(&mask_token);
                }
            }
        }
        x
    }

    /// The adjoint: each row goes back to where it came from; `dmask_token` is the sum over all removed.
    pub fn unshuffle_backward(dx: &Array2<F>, masks: &Masks, grad: &mut Self, cx: &mut Exec<F>) -> Array2<F> {
        let (len, keep) = (masks[0].ids_shuffle.len(), masks[0].len_keep);
        let mut dmask_token = grad.mask_token.slice_mut(s![0, 0, ..]);
        let mut dy = cx.take(masks.len() * (1 + keep), dx.ncols());
        for (b, mask) in masks.iter().enumerate() {
            dy.row_mut(b * (1 + keep)).assign(&dx.row(b * (1 + len)));
            for (l, &place) in mask.ids_restore.iter().enumerate() {
                let row = dx.row(b * (1 + len) + 1 + l);
                if place < keep {
                    dy.row_mut(b * (1 + keep) + 1 + place).assign(&row);
                } else {
                    dmask_token += &row;
                }
            }
        }
        dy
    }
}

/// `[B·N, E] → [B·(N − 1), E]`: the class token predicts no pixels. (The reference predicts for it, too,
/// and throws the result away.)
fn drop_class_rows<F: Real>(x: &Array2<F>, tokens: usize, cx: &mut Exec<F>) -> Array2<F> {
    let mut y = cx.take(x.nrows() / tokens * (tokens - 1), x.ncols());
    for (x, mut y) in x.axis_chunks_iter(Axis(0), tokens).zip(y.axis_chunks_iter_mut(Axis(0), tokens - 1)) {
        y.assign(&x.slice(s![1.., ..]));
    }
    y
}

/// The adjoint of [`drop_class_rows`]: a row of zeros for every class token.
fn restore_class_rows<F: Real>(dy: &Array2<F>, tokens: usize, cx: &mut Exec<F>) -> Array2<F> {
    let mut dx = cx.take(dy.nrows() / (tokens - 1) * tokens, dy.ncols());
    for (mut dx, dy) in dx.axis_chunks_iter_mut(Axis(0), tokens).zip(dy.axis_chunks_iter(Axis(0), tokens - 1))
    {
        dx.row_mut(0).fill(F::zero());
        dx.slice_mut(s![1.., ..]).assign(&dy);
    }
    dx
}
