//! The feature pyramid network (Lin et al. 2017): coarse maps flow down to the finer ones, all with the same number of
//! channels.

use crate::base::Real;
use crate::exec::Exec;
use crate::layers::conv_norm::ConvNormCache;
use crate::layers::conv3x3::{Conv3x3, Conv3x3Cache};
use crate::layers::linear_map::LinearMapCache;
use crate::layers::{ConvNorm, LinearMap, Pointwise, Resize};
use crate::models::pyramid::levels::LEVELS;
use crate::params;
use ndarray::Array2;
use std::sync::Arc;

/// Maps that it gives, `p2` to `p6`: [`LEVELS`] and one more.
pub const MAPS: usize = LEVELS + 1;

/// The level of the finest map, `p2`, whose stride is `2²`.
pub const FINEST: usize = 2;

params! {
    /// Of levels 0 to 3, of strides 4, 8, 16, 32, with `D` channels each, `p2` to `p6` of strides 4 to 64 with `C`. Layer norms
    /// and no ReLU, as ViTDet has it (Li et al. 2022).
    ///
    /// | step | |
    /// | --- | --- |
    /// | 1 × 1 conv-LN of each level | `lateral.K` |
    /// | K = 2, 1, 0: `merged.K` = `lateral.K` + `merged.K+1` doubled, each pixel repeated; `merged.3` = `lateral.3` | |
    /// | 3 × 3 conv-LN of `merged.K` | `output.K` |
    /// | `p6`: every second pixel of `p5` | |
    pub struct Fpn {
        layers {
            /// `D → C`.
            lateral: Vec<ConvNorm<F, Pointwise<LinearMap<F>>>>,
            /// `C → C`.
            output: Vec<ConvNorm<F, Conv3x3<F>>>,
        }
        plain {
            /// The levels' sizes.
            sizes: [[usize; 2]; LEVELS],
            /// From level K + 1 to level K.
            down: Arc<Vec<Resize<F>>>,
            /// From `p5` to `p6`.
            every_second: Arc<Resize<F>>,
        }
    }
}

/// What [`Fpn::backward`] needs.
#[must_use]
pub struct FpnCache<F> {
    lateral: Vec<ConvNormCache<F, LinearMapCache<F>>>,
    output: Vec<ConvNormCache<F, Conv3x3Cache<F>>>,
}

impl<F: Real> FpnCache<F> {
    /// Gives the buffers back: there will be no backward pass.
    pub fn recycle(self, cx: &mut Exec<F>) {
        self.lateral.into_iter().for_each(|cache| ConvNorm::<_, Pointwise<_>>::recycle(cache, cx));
        self.output.into_iter().for_each(|cache| ConvNorm::<_, Conv3x3<_>>::recycle(cache, cx));
    }
}

impl<F: Real> Fpn<F> {
    /// All zeros; `width` is `D`.
    #[must_use]
    pub fn new(width: usize, channels: usize, sizes: [[usize; 2]; LEVELS], eps: f64) -> Self {
        Self {
            lateral: vec![ConvNorm::new(width, channels, eps); LEVELS],
            output: vec![ConvNorm::new(channels, channels, eps); LEVELS],
            sizes,
            down: Arc::new(sizes[1..].iter().map(|&size| Resize::nearest2x(size)).collect()),
            every_second: Arc::new(Resize::subsample2(sizes[LEVELS - 1])),
        }
    }

    /// Maps of strides 4, 8, 16, 32 to `p2 … p6`, `[B·h·w, C]` each.
    pub fn forward(&self, levels: Vec<Array2<F>>, cx: &mut Exec<F>) -> (Vec<Array2<F>>, FpnCache<F>) {
        let (mut merged, mut lateral) = (Vec::with_capacity(LEVELS), Vec::with_capacity(LEVELS));
        for ((layer, level), size) in self.lateral.iter().zip(levels).zip(self.sizes) {
            let (x, cache) = layer.forward(level, size, cx);
            merged.push(x);
            lateral.push(cache);
        }
        for k in (0..LEVELS - 1).rev() {
            let doubled = self.down[k].forward(merged[k + 1].view(), cx);
            cx.add_assign(&mut merged[k], &doubled);
            cx.recycle(doubled);
        }
        let (mut maps, mut output) = (Vec::with_capacity(MAPS), Vec::with_capacity(LEVELS));
        for (k, (layer, x)) in self.output.iter().zip(merged).enumerate() {
            cx.trace(&format!("merged.{k}"), &x);
            let (map, cache) = layer.forward(x, self.sizes[k], cx);
            maps.push(map);
            output.push(cache);
        }
        maps.push(self.every_second.forward(maps[LEVELS - 1].view(), cx));
        for (k, map) in maps.iter().enumerate() {
            cx.trace(&format!("p{}", FINEST + k), map);
        }
        (maps, FpnCache { lateral, output })
    }

    /// Adds the gradient of all layers; returns that of the four levels.
    pub fn backward(
        &self,
        cache: FpnCache<F>,
        mut dmaps: Vec<Array2<F>>,
        grad: &mut Self,
        cx: &mut Exec<F>,
    ) -> Vec<Array2<F>> {
        // p6 = every second pixel of p5  ⇒  its gradient is a part of p5's
        let coarsest = dmaps.pop().expect("of p6");
        cx.trace_gradient(&format!("p{}", FINEST + LEVELS), &coarsest);
        let through = self.every_second.backward(coarsest.view(), cx);
        cx.recycle(coarsest);
        cx.add_assign(&mut dmaps[LEVELS - 1], &through);
        cx.recycle(through);

        // From the finest to the coarsest: merged K flows on to p and to merged K − 1.
        let mut dmerged: Vec<Array2<F>> = Vec::with_capacity(LEVELS);
        for (k, (dmap, cache)) in dmaps.into_iter().zip(cache.output).enumerate() {
            cx.trace_gradient(&format!("p{}", FINEST + k), &dmap);
            let mut dx = self.output[k].backward(cache, dmap.view(), &mut grad.output[k], cx);
            cx.recycle(dmap);
            if let Some(below) = dmerged.last() {
                let flowed = self.down[k - 1].backward(below.view(), cx);
                cx.add_assign(&mut dx, &flowed);
                cx.recycle(flowed);
            }
            cx.trace_gradient(&format!("merged.{k}"), &dx);
            dmerged.push(dx);
        }
        let mut dlevels = Vec::with_capacity(LEVELS);
        for (k, (dx, cache)) in dmerged.into_iter().zip(cache.lateral).enumerate() {
            dlevels.push(self.lateral[k].backward(cache, dx.view(), &mut grad.lateral[k], cx));
            cx.recycle(dx);
        }
        dlevels
    }
}
