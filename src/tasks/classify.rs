//! Classification by fine-tuning: the encoder sees every patch, one pooled token of each image goes to a linear head.

use super::classify_config::ClassifierConfig;
use super::pooling::{PoolNorm, Pooling};
use crate::base::Real;
use crate::exec::Exec;
use crate::layers::block::BlockCache;
use crate::layers::drop_path::Branches;
use crate::layers::init::{self, init};
use crate::layers::layer_norm::LayerNormCache;
use crate::layers::linear::LinearCache;
use crate::layers::patch_embed::PatchEmbedCache;
use crate::layers::{Block, LayerNorm, Linear, PatchEmbed, pos_interp};
use crate::mae::Encoder;
use crate::params;
use crate::params::Params;
use ndarray::{Array2, Array3, Array4, ArrayView2, ArrayView4, Axis, s};

/// Standard deviation of the head's initial weights. (He et al. 2022, code: `trunc_normal_(std=2e-5)`, which cuts at
/// ±2, a hundred thousand deviations away, so not at all.)
const HEAD_STD: f64 = 2e-5;

params! {
    /// Patch embedding, class token, positions, blocks, pooling with its norm, head.
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
            /// `D → K`.
            head: Linear<F>,
        }
        flat {
            /// Tokens to features; `norm` or `fc_norm` in a checkpoint.
            pool: PoolNorm<F>,
        }
        plain {
            /// The architecture.
            config: ClassifierConfig,
        }
    }
}

/// What a training pass does beyond the model: how far backward will go, and what is left out.
#[derive(Clone, Copy, Debug)]
pub struct Pass<'a, F> {
    /// How many of the last blocks are trained, with the norm behind them and the head; 0 for the head alone (He et
    /// al. 2022, §4.3, "Partial Fine-tuning"). Everything is trained if absent, also what comes before the blocks.
    pub tune_blocks: Option<usize>,
    /// Factors of every block's branches for every image; also in blocks that are not trained.
    pub drop_path: Option<&'a Branches<F>>,
}

impl<F> Default for Pass<'_, F> {
    /// Everything is trained and nothing left out.
    fn default() -> Self {
        Self { tune_blocks: None, drop_path: None }
    }
}

impl<F> Pass<'_, F> {
    /// The first block that is trained.
    fn first_block(&self, depth: usize) -> usize {
        self.tune_blocks.map_or(0, |last| depth.saturating_sub(last))
    }
}

/// What [`Classifier::backward`] needs: the caches of what is trained.
#[must_use]
pub struct ClassifierCache<F> {
    patch_embed: Option<PatchEmbedCache<F>>,
    /// Of the last blocks.
    blocks: Vec<BlockCache<F>>,
    norm: Option<LayerNormCache<F>>,
    head: LinearCache<F>,
}

impl<F: Real> Classifier<F> {
    /// All zeros.
    #[must_use]
    pub fn new(config: &ClassifierConfig) -> Self {
        let c = config.encoder();
        let block = Block::new(c.embed_dim, c.num_heads, c.hidden(c.embed_dim), c.layer_norm_eps);
        let norm = LayerNorm::new(c.embed_dim, c.layer_norm_eps);
        Self {
            cls_token: Array3::zeros((1, 1, c.embed_dim)),
            pos_embed: Array3::zeros((1, 1 + c.num_patches(), c.embed_dim)),
            patch_embed: PatchEmbed::new(c.in_chans, c.patch_size, c.embed_dim),
            blocks: vec![block; c.depth],
            head: Linear::new(c.embed_dim, config.num_classes),
            pool: PoolNorm { pooling: config.pooling, norm },
            config: config.clone(),
        }
    }

    /// From scratch: the encoder that a masked autoencoder of this architecture and seed starts from, and a new head.
    #[must_use]
    pub fn initialised(config: &ClassifierConfig, seed: u64) -> Self {
        let mut encoder = Encoder::new(&config.encoder());
        init(&mut encoder, seed);
        Self::from_encoder(&encoder, config, seed)
    }

    /// A pre-trained encoder and a new head: weights normal with a standard deviation of 2e-5, bias 0.
    ///
    /// Positions are interpolated where the images have another size. The encoder's `norm` is taken over if the class
    /// token is pooled; the mean over patches gets a new `fc_norm`, as in the reference.
    ///
    /// # Panics
    /// If the encoder is of another architecture: [`ClassifierConfig::fits`] says so in words.
    #[must_use]
    pub fn from_encoder(encoder: &Encoder<F>, config: &ClassifierConfig, seed: u64) -> Self {
        let mut model = Self::new(config);
        let heads = |blocks: &[Block<F>]| blocks.iter().map(|b| b.attn.num_heads).collect::<Vec<_>>();
        assert_eq!(heads(&encoder.blocks), heads(&model.blocks), "an encoder of as many blocks and heads");
        let shapes = (encoder.patch_embed.shapes(), encoder.blocks.shapes());
        assert_eq!(
            shapes,
            (model.patch_embed.shapes(), model.blocks.shapes()),
            "an encoder of this architecture"
        );

        let positions = encoder.pos_embed.slice(s![0, .., ..]);
        let positions = pos_interp::interpolate(positions, encoder.grid, config.grid());
        model.pos_embed = positions.insert_axis(Axis(0));
        model.cls_token.clone_from(&encoder.cls_token);
        model.patch_embed.clone_from(&encoder.patch_embed);
        model.blocks.clone_from(&encoder.blocks);
        match config.pooling {
            Pooling::Class => model.pool.norm.clone_from(&encoder.norm),
            Pooling::Mean => model.pool.norm.weight.fill(F::one()),
        }
        let weight = model.head.weight.as_slice_mut().expect("tensors are stored in row-major order");
        init::normal(weight, "head.weight", HEAD_STD, seed);
        model
    }

    /// `N = 1 + L`, tokens of an image.
    fn tokens(&self) -> usize {
        self.pos_embed.dim().1
    }

    /// `images: [B, C, H, W] → logits: [B, K]`, with the cache for the backward pass.
    ///
    /// # Panics
    /// If drop path's factors are not those of as many blocks and images.
    pub fn forward(
        &self,
        images: ArrayView4<F>,
        pass: &Pass<F>,
        cx: &mut Exec<F>,
    ) -> (Array2<F>, ClassifierCache<F>) {
        let (x, patch_embed, blocks) = self.encode(images, pass, cx);
        let (features, norm) = self.pool.forward(&x, self.tokens(), cx);
        cx.recycle(x);
        let norm = if pass.tune_blocks == Some(0) {
            norm.recycle(cx);
            None
        } else {
            Some(norm)
        };
        let (logits, head) = self.head.forward(features, cx);
        cx.saw("logits", &logits);
        (logits, ClassifierCache { patch_embed, blocks, norm, head })
    }

    /// `images: [B, C, H, W] → features: [B, D]`, what the head sees; nothing is kept for a backward pass.
    pub fn features(&self, images: ArrayView4<F>, cx: &mut Exec<F>) -> Array2<F> {
        let (x, ..) = self.encode(images, &Pass { tune_blocks: Some(0), drop_path: None }, cx);
        let (features, norm) = self.pool.forward(&x, self.tokens(), cx);
        norm.recycle(cx);
        cx.recycle(x);
        features
    }

    /// As [`Classifier::forward`], for evaluation: nothing is left out and nothing kept.
    pub fn logits(&self, images: ArrayView4<F>, cx: &mut Exec<F>) -> Array2<F> {
        let features = self.features(images, cx);
        let (logits, head) = self.head.forward(features, cx);
        head.recycle(cx);
        logits
    }

    /// `images → tokens: [B·N, D]` behind the last block, and the caches of what is trained.
    fn encode(
        &self,
        images: ArrayView4<F>,
        pass: &Pass<F>,
        cx: &mut Exec<F>,
    ) -> (Array2<F>, Option<PatchEmbedCache<F>>, Vec<BlockCache<F>>) {
        let (patches, patch_embed) = self.patch_embed.forward(images, cx);
        cx.saw("patch_embed", &patches);
        let mut x = self.with_class_and_positions(&patches, cx);
        cx.recycle(patches);
        cx.saw("encoder_input", &x);
        let first = pass.first_block(self.blocks.len());
        let mut blocks = Vec::with_capacity(self.blocks.len() - first);
        for (i, block) in self.blocks.iter().enumerate() {
            let branches = pass.drop_path.map_or([None; 2], |branches| branches.of_block(i));
            let (y, cache) = cx.inside(format_args!("blocks.{i}"), |cx| {
                block.forward_dropping(x, self.tokens(), branches, cx)
            });
            if i < first {
                cache.recycle(cx);
            } else {
                blocks.push(cache);
            }
            x = y;
        }
        let patch_embed = if pass.tune_blocks.is_some() {
            patch_embed.recycle(cx);
            None
        } else {
            Some(patch_embed)
        };
        (x, patch_embed, blocks)
    }

    /// Adds the gradient of everything that is trained; nothing is computed below the lowest of it. Returns the gradient
    /// with respect to the patch embedding's output, `[B·L, D]`, if that is trained.
    pub fn backward(
        &self,
        cache: ClassifierCache<F>,
        dlogits: ArrayView2<F>,
        grad: &mut Self,
        cx: &mut Exec<F>,
    ) -> Option<Array2<F>> {
        cx.saw_gradient("logits", &dlogits);
        let Some(norm) = cache.norm else {
            self.head.backward_weights(cache.head, dlogits, &mut grad.head, cx);
            return None;
        };
        let dfeatures = self.head.backward(cache.head, dlogits, &mut grad.head, cx);
        let mut dx = self.pool.backward(norm, self.tokens(), &dfeatures, &mut grad.pool, cx);
        cx.recycle(dfeatures);
        let first = self.blocks.len() - cache.blocks.len();
        for (i, cache) in cache.blocks.into_iter().enumerate().rev() {
            let i = first + i;
            let (block, grad) = (&self.blocks[i], &mut grad.blocks[i]);
            let name = format_args!("blocks.{i}");
            dx = cx.inside(name, |cx| block.backward(cache, self.tokens(), dx, grad, cx));
        }
        let Some(patch_embed) = cache.patch_embed else {
            cx.recycle(dx);
            return None;
        };
        cx.saw_gradient("encoder_input", &dx);
        let dpatches = Self::with_class_and_positions_backward(&dx, grad, cx);
        cx.recycle(dx);
        cx.saw_gradient("patch_embed", &dpatches);
        self.patch_embed.backward(patch_embed, dpatches.view(), &mut grad.patch_embed, cx);
        Some(dpatches)
    }

    /// The gradient with respect to the images, for audits.
    pub fn images_gradient(&self, dpatches: &Array2<F>, cx: &mut Exec<F>) -> Array4<F> {
        let [height, width] = self.config.img_size;
        self.patch_embed.images_gradient(dpatches.view(), height, width, cx)
    }
}
