//! UperNet's decode head (Xiao et al. 2018): the coarsest map, pooled, flows down to the finer ones; all together give the
//! logits.

use super::pooling::{PyramidPooling, PyramidPoolingCache};
use crate::base::Real;
use crate::exec::Exec;
use crate::layers::concat::{concat, concat_backward};
use crate::layers::conv_norm_relu::ConvNormReluCache;
use crate::layers::conv3x3::{Conv3x3, Conv3x3Cache};
use crate::layers::linear::LinearCache;
use crate::layers::linear_map::LinearMapCache;
use crate::layers::{ConvNormRelu, Linear, LinearMap, Pointwise, Resize};
use crate::params;
use ndarray::{Array2, ArrayView2};
use std::sync::Arc;

/// Levels finer than the coarsest one.
const FINER: usize = 3;

params! {
    /// Of levels 0 to 3, of strides 4, 8, 16, 32, with `D` channels each. All resizing is bilinear.
    ///
    /// | step | |
    /// | --- | --- |
    /// | level 3, pooled | `bottleneck` |
    /// | 1 × 1 conv-LN-ReLU of levels K = 0, 1, 2 | `lateral.K` |
    /// | K = 2, 1, 0: `topdown.K` = `lateral.K` + `topdown.K+1` resized, the bottleneck being number 3 | |
    /// | 3 × 3 conv-LN-ReLU of `topdown.K`, but not of the bottleneck | `fpn.K` |
    /// | all resized to level 0, side by side (`fpn` 0, 1, 2, bottleneck); 3 × 3 conv-LN-ReLU | `fuse` |
    /// | 1 × 1 with bias | `classify` |
    pub struct DecodeHead {
        layers {
            /// `D → C`.
            lateral: Vec<ConvNormRelu<F, Pointwise<LinearMap<F>>>>,
            /// `C → C`.
            fpn: Vec<ConvNormRelu<F, Conv3x3<F>>>,
            /// `4·C → C`.
            fuse: ConvNormRelu<F, Conv3x3<F>>,
            /// `C → K`.
            classify: Pointwise<Linear<F>>,
        }
        flat {
            /// `ppm` and `bottleneck`.
            pooling: PyramidPooling<F>,
        }
        plain {
            /// Every level's size.
            sizes: [[usize; 2]; FINER + 1],
            /// From level K + 1 to level K.
            down: Arc<Vec<Resize<F>>>,
            /// From level K + 1 to level 0.
            finest: Arc<Vec<Resize<F>>>,
        }
    }
}

/// What [`DecodeHead::backward`] needs.
#[must_use]
pub struct DecodeCache<F> {
    pooling: PyramidPoolingCache<F>,
    lateral: Vec<ConvNormReluCache<F, LinearMapCache<F>>>,
    fpn: Vec<ConvNormReluCache<F, Conv3x3Cache<F>>>,
    fuse: ConvNormReluCache<F, Conv3x3Cache<F>>,
    classify: LinearCache<F>,
}

impl<F: Real> DecodeCache<F> {
    /// Gives the buffers back: there will be no backward pass.
    pub fn recycle(self, cx: &mut Exec<F>) {
        self.pooling.recycle(cx);
        self.lateral.into_iter().for_each(|cache| ConvNormRelu::<_, Pointwise<_>>::recycle(cache, cx));
        self.fpn.into_iter().for_each(|cache| ConvNormRelu::<_, Conv3x3<_>>::recycle(cache, cx));
        ConvNormRelu::<_, Conv3x3<_>>::recycle(self.fuse, cx);
        self.classify.recycle(cx);
    }
}

impl<F: Real> DecodeHead<F> {
    /// All zeros; `width` is `D`.
    #[must_use]
    pub fn new(
        width: usize,
        channels: usize,
        classes: usize,
        scales: &[usize],
        sizes: [[usize; 2]; FINER + 1],
        eps: f64,
    ) -> Self {
        let down = (0..FINER).map(|k| Resize::bilinear(sizes[k + 1], sizes[k])).collect();
        let finest = (0..FINER).map(|k| Resize::bilinear(sizes[k + 1], sizes[0])).collect();
        Self {
            lateral: vec![ConvNormRelu::new(width, channels, eps); FINER],
            fpn: vec![ConvNormRelu::new(channels, channels, eps); FINER],
            fuse: ConvNormRelu::new((FINER + 1) * channels, channels, eps),
            classify: Pointwise(Linear::new(channels, classes)),
            pooling: PyramidPooling::new(width, channels, scales, sizes[FINER], eps),
            sizes,
            down: Arc::new(down),
            finest: Arc::new(finest),
        }
    }

    /// Maps of strides 4, 8, 16, 32 to `logits: [B·H/4·W/4, K]`.
    pub fn forward(&self, mut levels: Vec<Array2<F>>, cx: &mut Exec<F>) -> (Array2<F>, DecodeCache<F>) {
        let coarsest = levels.pop().expect("four levels");
        let (bottleneck, pooling) = self.pooling.forward(coarsest, cx);
        let (mut topdown, mut lateral) = (Vec::new(), Vec::new());
        for (k, (layer, level)) in self.lateral.iter().zip(levels).enumerate() {
            let (x, cache) = cx.inside(format_args!("lateral.{k}"), |cx| {
                let (x, cache) = layer.forward(level, self.sizes[k], cx);
                cx.trace("", &x);
                (x, cache)
            });
            topdown.push(x);
            lateral.push(cache);
        }
        for k in (0..FINER).rev() {
            let above = topdown.get(k + 1).unwrap_or(&bottleneck);
            let resized = self.down[k].forward(above.view(), cx);
            cx.add_assign(&mut topdown[k], &resized);
            cx.recycle(resized);
            cx.inside("topdown", |cx| cx.trace(&k.to_string(), &topdown[k]));
        }
        let (mut parts, mut fpn) = (Vec::new(), Vec::new());
        for (k, (layer, x)) in self.fpn.iter().zip(topdown).enumerate() {
            let (x, cache) = cx.inside(format_args!("fpn.{k}"), |cx| {
                let (x, cache) = layer.forward(x, self.sizes[k], cx);
                cx.trace("", &x);
                (x, cache)
            });
            parts.push(if k == 0 { x } else { self.to_finest(k, x, cx) });
            fpn.push(cache);
        }
        parts.push(self.to_finest(FINER, bottleneck, cx));
        let beside = concat(&parts.iter().collect::<Vec<_>>(), cx);
        for part in parts {
            cx.recycle(part);
        }
        let (fused, fuse) = cx.inside("fused", |cx| {
            let (fused, cache) = self.fuse.forward(beside, self.sizes[0], cx);
            cx.trace("", &fused);
            (fused, cache)
        });
        let (logits, classify) = self.classify.0.forward(fused, cx);
        cx.trace("logits_low", &logits);
        (logits, DecodeCache { pooling, lateral, fpn, fuse, classify })
    }

    /// Level `k`'s map at the size of level 0.
    fn to_finest(&self, k: usize, x: Array2<F>, cx: &mut Exec<F>) -> Array2<F> {
        let resized = self.finest[k - 1].forward(x.view(), cx);
        cx.recycle(x);
        resized
    }

    /// Adds the gradient of all layers; returns that of the four levels.
    pub fn backward(
        &self,
        cache: DecodeCache<F>,
        dlogits: ArrayView2<F>,
        grad: &mut Self,
        cx: &mut Exec<F>,
    ) -> Vec<Array2<F>> {
        cx.trace_gradient("logits_low", &dlogits);
        let dfused = self.classify.0.backward(cache.classify, dlogits, &mut grad.classify.0, cx);
        cx.trace_gradient("fused", &dfused);
        let dbeside = self.fuse.backward(cache.fuse, dfused.view(), &mut grad.fuse, cx);
        let channels = dfused.ncols();
        cx.recycle(dfused);
        let mut dparts = concat_backward(dbeside.view(), &[channels; FINER + 1], cx);
        cx.recycle(dbeside);
        for (k, dpart) in dparts.iter_mut().enumerate().skip(1) {
            let dmap = self.finest[k - 1].backward(dpart.view(), cx);
            cx.recycle(std::mem::replace(dpart, dmap));
        }
        let mut dbottleneck = dparts.pop().expect("of the bottleneck");

        // From the finest to the coarsest: topdown K flows on to fpn K and to topdown K − 1.
        let mut dtopdown: Vec<Array2<F>> = Vec::with_capacity(FINER);
        for (k, (dfpn, fpn_cache)) in dparts.into_iter().zip(cache.fpn).enumerate() {
            cx.inside("fpn", |cx| cx.trace_gradient(&k.to_string(), &dfpn));
            let mut dx = self.fpn[k].backward(fpn_cache, dfpn.view(), &mut grad.fpn[k], cx);
            cx.recycle(dfpn);
            if let Some(below) = dtopdown.last() {
                let flowed = self.down[k - 1].backward(below.view(), cx);
                cx.add_assign(&mut dx, &flowed);
                cx.recycle(flowed);
            }
            cx.inside("topdown", |cx| cx.trace_gradient(&k.to_string(), &dx));
            dtopdown.push(dx);
        }
        let flowed = self.down[FINER - 1].backward(dtopdown[FINER - 1].view(), cx);
        cx.add_assign(&mut dbottleneck, &flowed);
        cx.recycle(flowed);

        let mut dlevels = Vec::with_capacity(FINER + 1);
        for (k, (dlateral, lateral_cache)) in dtopdown.into_iter().zip(cache.lateral).enumerate() {
            cx.inside("lateral", |cx| cx.trace_gradient(&k.to_string(), &dlateral));
            dlevels.push(self.lateral[k].backward(lateral_cache, dlateral.view(), &mut grad.lateral[k], cx));
            cx.recycle(dlateral);
        }
        dlevels.push(self.pooling.backward(cache.pooling, dbottleneck.view(), &mut grad.pooling, cx));
        cx.recycle(dbottleneck);
        dlevels
    }
}
