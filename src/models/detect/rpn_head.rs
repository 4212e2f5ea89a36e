//! The head of the region proposal network (Ren et al. 2015): for every pixel and every shape of anchor, whether there is an
//! object, and how the anchor is moved to it.

use super::fpn::FINEST;
use crate::base::Real;
use crate::exec::Exec;
use crate::layers::conv3x3::Conv3x3Cache;
use crate::layers::linear::LinearCache;
use crate::layers::relu::ReluCache;
use crate::layers::{BiasedConv3x3, Linear, Pointwise, Relu};
use crate::params;
use ndarray::Array2;

/// Convolutions in front of the outputs.
const CONVS: usize = 2;

params! {
    /// Two times 3 × 3 with bias and ReLU, then 1 × 1 to both outputs; the same weights on every map.
    pub struct RpnHead {
        layers {
            /// `C → C`.
            conv: Vec<BiasedConv3x3<F>>,
            /// `C → A`: a logit for each anchor of a pixel.
            objectness: Pointwise<Linear<F>>,
            /// `C → 4·A`: anchor by anchor.
            deltas: Pointwise<Linear<F>>,
        }
    }
}

/// What it gives of every map, or the gradient of that.
#[derive(Clone, Debug)]
pub struct RpnOutput<F> {
    /// `[B·h·w, A]` each.
    pub objectness: Vec<Array2<F>>,
    /// `[B·h·w, 4·A]` each.
    pub deltas: Vec<Array2<F>>,
}

impl<F: Real> RpnOutput<F> {
    /// All zeros, in the same shapes.
    #[must_use]
    pub fn zeros_like(&self, cx: &mut Exec<F>) -> Self {
        let mut zeros = |like: &[Array2<F>]| like.iter().map(|x| cx.zeros(x.nrows(), x.ncols())).collect();
        Self { objectness: zeros(&self.objectness), deltas: zeros(&self.deltas) }
    }

    /// Gives the buffers back.
    pub fn recycle(self, cx: &mut Exec<F>) {
        for x in self.objectness.into_iter().chain(self.deltas) {
            cx.recycle(x);
        }
    }
}

/// What [`RpnHead::backward`] needs, map by map.
#[must_use]
pub struct RpnCache<F>(Vec<MapCache<F>>);

/// Of one map.
struct MapCache<F> {
    conv: Vec<(Conv3x3Cache<F>, ReluCache<F>)>,
    objectness: LinearCache<F>,
    deltas: LinearCache<F>,
}

impl<F: Real> RpnCache<F> {
    /// Gives the buffers back: there will be no backward pass.
    pub fn recycle(self, cx: &mut Exec<F>) {
        for MapCache { conv, objectness, deltas } in self.0 {
            for (map, relu) in conv {
                map.recycle(cx);
                relu.recycle(cx);
            }
            objectness.recycle(cx);
            deltas.recycle(cx);
        }
    }
}

impl<F: Real> RpnHead<F> {
    /// All zeros; `anchors` is `A`.
    #[must_use]
    pub fn new(channels: usize, anchors: usize) -> Self {
        Self {
            conv: vec![BiasedConv3x3::new(channels, channels); CONVS],
            objectness: Pointwise(Linear::new(channels, anchors)),
            deltas: Pointwise(Linear::new(channels, 4 * anchors)),
        }
    }

    /// Of maps `[B·h·w, C]` of these sizes.
    pub fn forward(
        &self,
        maps: &[Array2<F>],
        sizes: &[[usize; 2]],
        cx: &mut Exec<F>,
    ) -> (RpnOutput<F>, RpnCache<F>) {
        let (mut output, mut caches) = (RpnOutput { objectness: vec![], deltas: vec![] }, Vec::new());
        for (level, (map, &size)) in (FINEST..).zip(maps.iter().zip(sizes)) {
            let (mut x, mut conv) = (cx.copy(map), Vec::with_capacity(CONVS));
            for (i, layer) in self.conv.iter().enumerate() {
                let (mapped, cache) = layer.forward(x, size, cx);
                cx.trace(&format!("rpn.{level}.conv.{i}"), &mapped);
                let (y, relu) = Relu.forward(mapped, cx);
                conv.push((cache, relu));
                x = y;
            }
            let (objectness, objectness_cache) = self.objectness.0.forward(cx.copy(&x), cx);
            let (deltas, deltas_cache) = self.deltas.0.forward(x, cx);
            cx.trace(&format!("objectness.{level}"), &objectness);
            cx.trace(&format!("rpn_deltas.{level}"), &deltas);
            output.objectness.push(objectness);
            output.deltas.push(deltas);
            caches.push(MapCache { conv, objectness: objectness_cache, deltas: deltas_cache });
        }
        (output, RpnCache(caches))
    }

    /// Adds the gradient of all layers, of every map; returns that of the maps.
    pub fn backward(
        &self,
        cache: RpnCache<F>,
        doutput: &RpnOutput<F>,
        grad: &mut Self,
        cx: &mut Exec<F>,
    ) -> Vec<Array2<F>> {
        let mut dmaps = Vec::with_capacity(cache.0.len());
        let outputs = doutput.objectness.iter().zip(&doutput.deltas);
        for (level, (cache, (dobjectness, ddeltas))) in (FINEST..).zip(cache.0.into_iter().zip(outputs)) {
            cx.trace_gradient(&format!("objectness.{level}"), dobjectness);
            cx.trace_gradient(&format!("rpn_deltas.{level}"), ddeltas);
            let layer = &mut grad.objectness.0;
            let mut dx = self.objectness.0.backward(cache.objectness, dobjectness.view(), layer, cx);
            let other = self.deltas.0.backward(cache.deltas, ddeltas.view(), &mut grad.deltas.0, cx);
            cx.add_assign(&mut dx, &other);
            cx.recycle(other);
            for (i, (conv, relu)) in cache.conv.into_iter().enumerate().rev() {
                let dmapped = Relu.backward(relu, dx.view(), &mut Relu, cx);
                cx.recycle(dx);
                dx = self.conv[i].backward(conv, dmapped.view(), &mut grad.conv[i], cx);
                cx.recycle(dmapped);
            }
            dmaps.push(dx);
        }
        dmaps
    }
}
