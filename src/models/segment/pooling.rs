//! Pyramid pooling (Zhao et al. 2017, PSPNet): the coarsest map beside its averages over ever smaller cells.

use crate::base::Real;
use crate::exec::Exec;
use crate::layers::concat::{concat, concat_backward};
use crate::layers::conv_norm_relu::ConvNormReluCache;
use crate::layers::conv3x3::{Conv3x3, Conv3x3Cache};
use crate::layers::linear_map::LinearMapCache;
use crate::layers::{ConvNormRelu, LinearMap, Pointwise, Resize};
use crate::params;
use ndarray::{Array2, ArrayView2};
use std::sync::Arc;

params! {
    /// `x` averaged to `s × s` for each scale, 1 × 1 conv-LN-ReLU, back to the map's size; all side by side behind `x`; 3 × 3
    /// conv-LN-ReLU. So every pixel sees the whole image.
    pub struct PyramidPooling {
        layers {
            /// `D → C`, one a scale.
            ppm: Vec<ConvNormRelu<F, Pointwise<LinearMap<F>>>>,
            /// `D + C · scales → C`.
            bottleneck: ConvNormRelu<F, Conv3x3<F>>,
        }
        plain {
            /// The map's size.
            size: [usize; 2],
            /// Of each scale, to it and back.
            scales: Arc<Vec<Scale<F>>>,
        }
    }
}

/// A scale's cells.
#[derive(Clone, Debug)]
pub struct Scale<F> {
    /// `s`, in a column and in a row.
    cells: usize,
    /// To the cells.
    average: Resize<F>,
    /// To the map's size.
    back: Resize<F>,
}

/// What [`PyramidPooling::backward`] needs.
#[must_use]
pub struct PyramidPoolingCache<F> {
    ppm: Vec<ConvNormReluCache<F, LinearMapCache<F>>>,
    bottleneck: ConvNormReluCache<F, Conv3x3Cache<F>>,
}

impl<F: Real> PyramidPoolingCache<F> {
    /// Gives the buffers back: there will be no backward pass.
    pub fn recycle(self, cx: &mut Exec<F>) {
        self.ppm.into_iter().for_each(|cache| ConvNormRelu::<_, Pointwise<_>>::recycle(cache, cx));
        ConvNormRelu::<_, Conv3x3<_>>::recycle(self.bottleneck, cx);
    }
}

impl<F: Real> PyramidPooling<F> {
    /// All zeros; maps of `size = [H, W]` and `width` channels.
    #[must_use]
    pub fn new(width: usize, channels: usize, scales: &[usize], size: [usize; 2], eps: f64) -> Self {
        let scale = |&cells: &usize| Scale {
            cells,
            average: Resize::average(size, [cells; 2]),
            back: Resize::bilinear([cells; 2], size),
        };
        Self {
            ppm: vec![ConvNormRelu::new(width, channels, eps); scales.len()],
            bottleneck: ConvNormRelu::new(width + channels * scales.len(), channels, eps),
            size,
            scales: Arc::new(scales.iter().map(scale).collect()),
        }
    }

    /// `x: [B·H·W, D] → y: [B·H·W, C]`.
    pub fn forward(&self, x: Array2<F>, cx: &mut Exec<F>) -> (Array2<F>, PyramidPoolingCache<F>) {
        let (mut parts, mut ppm) = (vec![x], Vec::with_capacity(self.ppm.len()));
        for (i, (layer, scale)) in self.ppm.iter().zip(self.scales.iter()).enumerate() {
            let cells = scale.average.forward(parts[0].view(), cx);
            let (cells, cache) = cx.inside(format_args!("ppm.{i}"), |cx| {
                let (cells, cache) = layer.forward(cells, [scale.cells; 2], cx);
                cx.trace("", &cells);
                (cells, cache)
            });
            parts.push(scale.back.forward(cells.view(), cx));
            cx.recycle(cells);
            ppm.push(cache);
        }
        let beside = concat(&parts.iter().collect::<Vec<_>>(), cx);
        for part in parts {
            cx.recycle(part);
        }
        let (y, bottleneck) = cx.inside("bottleneck", |cx| {
            let (y, cache) = self.bottleneck.forward(beside, self.size, cx);
            cx.trace("", &y);
            (y, cache)
        });
        (y, PyramidPoolingCache { ppm, bottleneck })
    }

    /// Adds the gradient of all layers; returns `dx`: what comes past the averages and what comes back through each.
    pub fn backward(
        &self,
        cache: PyramidPoolingCache<F>,
        dy: ArrayView2<F>,
        grad: &mut Self,
        cx: &mut Exec<F>,
    ) -> Array2<F> {
        cx.trace_gradient("bottleneck", &dy);
        let dbeside = self.bottleneck.backward(cache.bottleneck, dy, &mut grad.bottleneck, cx);
        let channels = dy.ncols();
        let mut widths = vec![channels; 1 + self.ppm.len()];
        widths[0] = dbeside.ncols() - channels * self.ppm.len();
        let mut parts = concat_backward(dbeside.view(), &widths, cx).into_iter();
        cx.recycle(dbeside);
        let mut dx = parts.next().expect("x itself");
        let layers = self.ppm.iter().zip(cache.ppm).zip(&mut grad.ppm).zip(self.scales.iter());
        for (i, ((((layer, cache), grad), scale), dpart)) in layers.zip(parts).enumerate() {
            let dcells = scale.back.backward(dpart.view(), cx);
            cx.recycle(dpart);
            cx.inside("ppm", |cx| cx.trace_gradient(&i.to_string(), &dcells));
            let daverage = layer.backward(cache, dcells.view(), grad, cx);
            cx.recycle(dcells);
            let through = scale.average.backward(daverage.view(), cx);
            cx.recycle(daverage);
            cx.add_assign(&mut dx, &through);
            cx.recycle(through);
        }
        dx
    }
}
