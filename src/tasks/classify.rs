//! Classification by fine-tuning: the encoder sees every patch, the mean of their tokens goes to a linear head.

use crate::base::Real;
use crate::exec::Exec;
use crate::layers::block::BlockCache;
use crate::layers::layer_norm::LayerNormCache;
use crate::layers::linear::LinearCache;
use crate::layers::patch_embed::PatchEmbedCache;
use crate::layers::{Block, LayerNorm, Linear, PatchEmbed};
use crate::params;
use ndarray::{Array2, Array3, Array4, ArrayView2, ArrayView4, Axis, s};

/// The architecture, in the terms of the reference's `VisionTransformer` with `global_pool`.
#[derive(Clone, Debug, PartialEq)]
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
    /// Hidden width of an MLP.
    pub hidden: usize,
    /// `ε` of every layer norm.
    pub layer_norm_eps: f64,
    /// `K`.
    pub num_classes: usize,
}

params! {
    /// Patch embedding, class token, positions, blocks, mean over the patches' tokens, norm, head.
    pub struct Classifier {
        tensors {
            /// `[1, 1, D]`.
            cls_token: Array3<F> = Token,
            /// `[1, 1 + L, D]`; trained here.
            pos_embed: Array3<F> = Position,
        }
        layers {
            /// Pixels to tokens.
            patch_embed: PatchEmbed<F>,
            /// The transformer.
            blocks: Vec<Block<F>>,
            /// After pooling.
            fc_norm: LayerNorm<F>,
            /// `D → K`.
            head: Linear<F>,
        }
    }
}

/// What [`Classifier::backward`] needs.
#[must_use]
pub struct ClassifierCache<F> {
    patch_embed: PatchEmbedCache<F>,
    blocks: Vec<BlockCache<F>>,
    fc_norm: LayerNormCache<F>,
    head: LinearCache<F>,
}

impl<F: Real> Classifier<F> {
    /// All zeros.
    #[must_use]
    pub fn new(c: &ClassifierConfig) -> Self {
        let patches = (c.img_size[0] / c.patch_size) * (c.img_size[1] / c.patch_size);
        let block = Block::new(c.embed_dim, c.num_heads, c.hidden, c.layer_norm_eps);
        Self {
            cls_token: Array3::zeros((1, 1, c.embed_dim)),
            pos_embed: Array3::zeros((1, 1 + patches, c.embed_dim)),
            patch_embed: PatchEmbed::new(c.in_chans, c.patch_size, c.embed_dim),
            blocks: vec![block; c.depth],
            fc_norm: LayerNorm::new(c.embed_dim, c.layer_norm_eps),
            head: Linear::new(c.embed_dim, c.num_classes),
        }
    }

    /// `N = 1 + L`, tokens of an image.
    fn tokens(&self) -> usize {
        self.pos_embed.dim().1
    }

    /// `images: [B, C, H, W] → logits: [B, K]`.
    pub fn forward(&self, images: ArrayView4<F>, cx: &mut Exec<F>) -> (Array2<F>, ClassifierCache<F>) {
        let (patches, patch_embed) = self.patch_embed.forward(images, cx);
        cx.saw("patch_embed", &patches);
        let mut x = self.with_class_and_positions(&patches, cx);
        cx.recycle(patches);
        cx.saw("encoder_input", &x);
        let mut blocks = Vec::with_capacity(self.blocks.len());
        for (i, block) in self.blocks.iter().enumerate() {
            let (y, cache) = cx.inside(format_args!("blocks.{i}"), |cx| block.forward(x, self.tokens(), cx));
            blocks.push(cache);
            x = y;
        }
        let pooled = pool(&x, self.tokens(), cx);
        cx.recycle(x);
        cx.saw("pooled", &pooled);
        let (features, fc_norm) = self.fc_norm.forward(&pooled, cx);
        cx.recycle(pooled);
        cx.saw("features", &features);
        let (logits, head) = self.head.forward(features, cx);
        cx.saw("logits", &logits);
        (logits, ClassifierCache { patch_embed, blocks, fc_norm, head })
    }

    /// Accumulates every gradient; returns the gradient with respect to the patch embedding's output, `[B·L, D]`.
    pub fn backward(
        &self,
        cache: ClassifierCache<F>,
        dlogits: ArrayView2<F>,
        grad: &mut Self,
        cx: &mut Exec<F>,
    ) -> Array2<F> {
        cx.saw_gradient("logits", &dlogits);
        let dfeatures = self.head.backward(cache.head, dlogits, &mut grad.head, cx);
        cx.saw_gradient("features", &dfeatures);
        let dpooled = self.fc_norm.backward(cache.fc_norm, &dfeatures, &mut grad.fc_norm, cx);
        cx.saw_gradient("pooled", &dpooled);
        let mut dx = pool_backward(&dpooled, self.tokens(), cx);
        for (i, cache) in cache.blocks.into_iter().enumerate().rev() {
            let (block, grad) = (&self.blocks[i], &mut grad.blocks[i]);
            let name = format_args!("blocks.{i}");
            dx = cx.inside(name, |cx| block.backward(cache, self.tokens(), dx, grad, cx));
        }
        cx.saw_gradient("encoder_input", &dx);
        let dpatches = Self::with_class_and_positions_backward(&dx, grad, cx);
        cx.recycle(dx);
        cx.saw_gradient("patch_embed", &dpatches);
        self.patch_embed.backward(cache.patch_embed, dpatches.view(), &mut grad.patch_embed, cx);
        dpatches
    }

    /// The gradient with respect to the images, for audits.
    pub fn images_gradient(
        &self,
        dpatches: &Array2<F>,
        [height, width]: [usize; 2],
        cx: &mut Exec<F>,
    ) -> Array4<F> {
        self.patch_embed.images_gradient(dpatches.view(), height, width, cx)
    }

    /// `x[b, 0] = cls_token + pos_embed[0]`, `x[b, 1 + l] = patches[b, l] + pos_embed[1 + l]`.
    fn with_class_and_positions(&self, patches: &Array2<F>, cx: &mut Exec<F>) -> Array2<F> {
        let tokens = self.tokens();
        let mut x = cx.take(patches.nrows() / (tokens - 1) * tokens, patches.ncols());
        let images = x.axis_chunks_iter_mut(Axis(0), tokens);
        for (mut image, patches) in images.zip(patches.axis_chunks_iter(Axis(0), tokens - 1)) {
            image.row_mut(0).assign(&self.cls_token.slice(s![0, 0, ..]));
            image.slice_mut(s![1.., ..]).assign(&patches);
            image += &self.pos_embed.slice(s![0, .., ..]);
        }
        x
    }

    /// The adjoint: `dpos_embed += Σ_b dx[b]`, `dcls_token += Σ_b dx[b, 0]`, and the patches' rows pass.
    fn with_class_and_positions_backward(dx: &Array2<F>, grad: &mut Self, cx: &mut Exec<F>) -> Array2<F> {
        let tokens = grad.tokens();
        let mut dpatches = cx.take(dx.nrows() / tokens * (tokens - 1), dx.ncols());
        let images = dx.axis_chunks_iter(Axis(0), tokens);
        for (image, mut patches) in images.zip(dpatches.axis_chunks_iter_mut(Axis(0), tokens - 1)) {
            let mut dpos_embed = grad.pos_embed.slice_mut(s![0, .., ..]);
            dpos_embed += &image;
            let mut dcls_token = grad.cls_token.slice_mut(s![0, 0, ..]);
            dcls_token += &image.row(0);
            patches.assign(&image.slice(s![1.., ..]));
        }
        dpatches
    }
}

/// `[B·N, D] → [B, D]`: the mean of an image's tokens without the class token.
fn pool<F: Real>(x: &Array2<F>, tokens: usize, cx: &mut Exec<F>) -> Array2<F> {
    let mut pooled = cx.take(x.nrows() / tokens, x.ncols());
    for (image, mut mean) in x.axis_chunks_iter(Axis(0), tokens).zip(pooled.outer_iter_mut()) {
        let sum = image.slice(s![1.., ..]).sum_axis(Axis(0));
        mean.assign(&(sum / F::of((tokens - 1) as f64)));
    }
    pooled
}

/// The adjoint of [`pool`]: each patch's token gets its share, the class token 0.
fn pool_backward<F: Real>(dpooled: &Array2<F>, tokens: usize, cx: &mut Exec<F>) -> Array2<F> {
    let mut dx = cx.take(dpooled.nrows() * tokens, dpooled.ncols());
    let share = F::one() / F::of((tokens - 1) as f64);
    for (mut image, d) in dx.axis_chunks_iter_mut(Axis(0), tokens).zip(dpooled.outer_iter()) {
        image.row_mut(0).fill(F::zero());
        image.slice_mut(s![1.., ..]).assign(&(&d * share));
    }
    dx
}
