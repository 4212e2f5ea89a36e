//! What stands behind the trunk: UperNet or the linear head, under one interface.

use super::auxiliary::{AuxiliaryCache, AuxiliaryHead};
use super::config::{HeadKind, SegmenterConfig};
use super::decode::{DecodeCache, DecodeHead};
use super::linear_head::{LinearHead, LinearHeadCache};
use crate::base::Real;
use crate::exec::Exec;
use crate::models::pyramid::{Pyramid, PyramidCache, levels};
use crate::models::vit::Encoded;
use crate::params;
use crate::params::{Params, Tensor, TensorMut};
use ndarray::{Array2, ArrayView2};

/// The level that the auxiliary head sees, of stride 16.
const AUXILIARY_LEVEL: usize = 2;

params! {
    /// The pyramid, the decode head on all of its levels, the auxiliary head on one.
    pub struct UperNet {
        first {
            /// `adapters`.
            pyramid: Pyramid<F>,
        }
        layers {
            /// Gives the logits.
            decode: DecodeHead<F>,
            /// Gives others, for the loss alone.
            aux: AuxiliaryHead<F>,
        }
    }
}

/// A head.
#[derive(Clone, Debug)]
pub enum Head<F> {
    /// `adapters`, `decode`, `aux`.
    Upernet(Box<UperNet<F>>),
    /// `head`.
    Linear(Box<LinearHead<F>>),
}

/// Logits before they are resized to the image, or their gradient.
#[derive(Clone, Debug)]
pub struct LowLogits<F> {
    /// `[B·h·w, K]`.
    pub main: Array2<F>,
    /// `[B·H/16·W/16, K]`: the auxiliary head's, if there is one.
    pub auxiliary: Option<Array2<F>>,
}

/// What [`Head::backward`] needs.
#[must_use]
pub enum HeadCache<F> {
    /// Of the pyramid and both heads.
    Upernet(Box<(PyramidCache<F>, DecodeCache<F>, AuxiliaryCache<F>)>),
    /// Of the linear head.
    Linear(LinearHeadCache<F>),
}

impl<F: Real> HeadCache<F> {
    /// Gives the buffers back: there will be no backward pass.
    pub fn recycle(self, cx: &mut Exec<F>) {
        match self {
            Self::Upernet(caches) => {
                let (pyramid, decode, aux) = *caches;
                pyramid.recycle(cx);
                decode.recycle(cx);
                aux.recycle(cx);
            }
            Self::Linear(cache) => cache.recycle(cx),
        }
    }
}

impl<F: Real> Head<F> {
    /// All zeros.
    #[must_use]
    pub fn new(c: &SegmenterConfig) -> Self {
        let (vit, classes, eps) = (c.vit(), c.num_classes, c.layer_norm_eps);
        let (width, sizes) = (vit.embed_dim, levels::sizes(vit.img_size));
        match c.head {
            HeadKind::Upernet => Self::Upernet(Box::new(UperNet {
                pyramid: Pyramid::new(&vit),
                decode: DecodeHead::new(width, c.channels, classes, &c.pool_scales, sizes, eps),
                aux: AuxiliaryHead::new(width, c.aux_channels, classes, sizes[AUXILIARY_LEVEL], eps),
            })),
            HeadKind::Linear => Self::Linear(Box::new(LinearHead::new(width, classes, eps))),
        }
    }

    /// The blocks whose outputs the head needs beside the last one's.
    #[must_use]
    pub fn taps(&self) -> &[usize] {
        match self {
            Self::Upernet(net) => &net.pyramid.blocks[..levels::LEVELS - 1],
            Self::Linear(_) => &[],
        }
    }

    /// What the trunk gives, `tokens` an image, to logits.
    pub fn forward(
        &self,
        encoded: Encoded<F>,
        tokens: usize,
        cx: &mut Exec<F>,
    ) -> (LowLogits<F>, HeadCache<F>) {
        match self {
            Self::Upernet(net) => {
                let (levels, pyramid) = net.pyramid.forward(outputs(encoded), cx);
                let (auxiliary, aux) = net.aux.forward(cx.copy(&levels[AUXILIARY_LEVEL]), cx);
                let (main, decode) = net.decode.forward(levels, cx);
                let logits = LowLogits { main, auxiliary: Some(auxiliary) };
                (logits, HeadCache::Upernet(Box::new((pyramid, decode, aux))))
            }
            Self::Linear(head) => {
                let (main, cache) = head.forward(encoded.x, tokens, cx);
                (LowLogits { main, auxiliary: None }, HeadCache::Linear(cache))
            }
        }
    }

    /// As [`Head::forward`], for evaluation: the main logits alone, and nothing kept.
    pub fn infer(&self, encoded: Encoded<F>, tokens: usize, cx: &mut Exec<F>) -> Array2<F> {
        match self {
            Self::Upernet(net) => {
                let (levels, pyramid) = net.pyramid.forward(outputs(encoded), cx);
                pyramid.recycle(cx);
                let (logits, decode) = net.decode.forward(levels, cx);
                decode.recycle(cx);
                logits
            }
            Self::Linear(head) => {
                let (logits, cache) = head.forward(encoded.x, tokens, cx);
                cache.recycle(cx);
                logits
            }
        }
    }

    /// Adds the head's gradient; returns that of the last block's output and those of [`Head::taps`].
    ///
    /// # Panics
    /// If cache, logits or gradient are of another head.
    pub fn backward(
        &self,
        cache: HeadCache<F>,
        dlogits: &LowLogits<F>,
        tokens: usize,
        grad: &mut Self,
        cx: &mut Exec<F>,
    ) -> (Array2<F>, Vec<Array2<F>>) {
        match (self, cache, grad) {
            (Self::Upernet(net), HeadCache::Upernet(caches), Self::Upernet(grad)) => {
                let (pyramid, decode, aux) = *caches;
                let auxiliary: ArrayView2<F> =
                    dlogits.auxiliary.as_ref().expect("of the auxiliary head").view();
                let mut dlevels = net.decode.backward(decode, dlogits.main.view(), &mut grad.decode, cx);
                let dlevel = net.aux.backward(aux, auxiliary, &mut grad.aux, cx);
                // The level went two ways  ⇒  its gradient is the sum of both
                cx.add_assign(&mut dlevels[AUXILIARY_LEVEL], &dlevel);
                cx.recycle(dlevel);
                let mut dtaps = net.pyramid.backward(pyramid, dlevels, &mut grad.pyramid, cx);
                let dx = dtaps.pop().expect("of the last block");
                (dx, dtaps)
            }
            (Self::Linear(head), HeadCache::Linear(cache), Self::Linear(grad)) => {
                (head.backward(cache, dlogits.main.view(), tokens, grad, cx), Vec::new())
            }
            _ => panic!("cache and gradient of another head"),
        }
    }
}

/// The outputs of all blocks that were tapped, the last one's behind the others.
fn outputs<F>(Encoded { x, mut taps }: Encoded<F>) -> Vec<Array2<F>> {
    taps.push(x);
    taps
}

impl<F: Real> Params<F> for Head<F> {
    fn walk<'a>(&'a self, prefix: &str, out: &mut Vec<Tensor<'a, F>>) {
        match self {
            Self::Upernet(net) => net.walk(prefix, out),
            Self::Linear(head) => head.walk(&format!("{prefix}head."), out),
        }
    }

    fn walk_mut<'a>(&'a mut self, prefix: &str, out: &mut Vec<TensorMut<'a, F>>) {
        match self {
            Self::Upernet(net) => net.walk_mut(prefix, out),
            Self::Linear(head) => head.walk_mut(&format!("{prefix}head."), out),
        }
    }
}
