//! The box head: from a region's features to its class and to the box of its object.

use super::flatten::{flatten, flatten_backward};
use super::region_convs::{RegionConvs, RegionConvsCache};
use crate::base::Real;
use crate::exec::Exec;
use crate::layers::linear::LinearCache;
use crate::layers::relu::ReluCache;
use crate::layers::{Linear, Relu};
use crate::params;
use ndarray::Array2;

params! {
    /// Convolutions on a region's `P × P` pixels, all of its numbers through a linear layer and ReLU, then two
    /// linear layers to the outputs (Li et al. 2022).
    pub struct BoxHead {
        layers {
            /// `C → C`.
            convs: RegionConvs<F>,
            /// `C·P·P`, ordered channel, row, column, to `fc_dim`.
            fc: Linear<F>,
            /// To the logits of `K` classes and, last, of the background.
            score: Linear<F>,
            /// To `4·K`: for each class a box of its own.
            deltas: Linear<F>,
        }
    }
}

/// What it says of every region, or the gradient of that.
#[derive(Clone, Debug)]
pub struct BoxOutput<F> {
    /// `[R, K + 1]`, the background last.
    pub scores: Array2<F>,
    /// `[R, 4·K]`, class by class.
    pub deltas: Array2<F>,
}

impl<F: Real> BoxOutput<F> {
    /// Gives the buffers back.
    pub fn recycle(self, cx: &mut Exec<F>) {
        cx.recycle(self.scores);
        cx.recycle(self.deltas);
    }
}

/// What [`BoxHead::backward`] needs.
#[must_use]
pub struct BoxHeadCache<F> {
    convs: RegionConvsCache<F>,
    fc: LinearCache<F>,
    relu: ReluCache<F>,
    score: LinearCache<F>,
    deltas: LinearCache<F>,
}

impl<F: Real> BoxHeadCache<F> {
    /// Gives the buffers back: there will be no backward pass.
    pub fn recycle(self, cx: &mut Exec<F>) {
        self.convs.recycle(cx);
        self.fc.recycle(cx);
        self.relu.recycle(cx);
        self.score.recycle(cx);
        self.deltas.recycle(cx);
    }
}

impl<F: Real> BoxHead<F> {
    /// All zeros; regions of `side × side` pixels.
    #[must_use]
    pub fn new(channels: usize, fc_dim: usize, classes: usize, side: usize, eps: f64) -> Self {
        Self {
            convs: RegionConvs::new(channels, side, eps),
            fc: Linear::new(channels * side * side, fc_dim),
            score: Linear::new(fc_dim, classes + 1),
            deltas: Linear::new(fc_dim, 4 * classes),
        }
    }

    /// `x: [R·P·P, C]`, the regions' features.
    pub fn forward(&self, x: Array2<F>, cx: &mut Exec<F>) -> (BoxOutput<F>, BoxHeadCache<F>) {
        let (x, convs) = cx.inside("box", |cx| self.convs.forward(x, cx));
        let flat = flatten(x.view(), self.pixels(), cx);
        cx.recycle(x);
        let (hidden, fc) = self.fc.forward(flat, cx);
        cx.trace("box_fc_before_relu", &hidden);
        let (hidden, relu) = Relu.forward(hidden, cx);
        cx.trace("box_fc", &hidden);
        let (scores, score) = self.score.forward(cx.copy(&hidden), cx);
        let (boxes, deltas) = self.deltas.forward(hidden, cx);
        cx.trace("scores", &scores);
        cx.trace("box_deltas", &boxes);
        (BoxOutput { scores, deltas: boxes }, BoxHeadCache { convs, fc, relu, score, deltas })
    }

    /// Adds the head's gradient; returns that of the regions' features.
    pub fn backward(
        &self,
        cache: BoxHeadCache<F>,
        doutput: &BoxOutput<F>,
        grad: &mut Self,
        cx: &mut Exec<F>,
    ) -> Array2<F> {
        cx.trace_gradient("scores", &doutput.scores);
        cx.trace_gradient("box_deltas", &doutput.deltas);
        let mut dhidden = self.score.backward(cache.score, doutput.scores.view(), &mut grad.score, cx);
        let other = self.deltas.backward(cache.deltas, doutput.deltas.view(), &mut grad.deltas, cx);
        cx.add_assign(&mut dhidden, &other);
        cx.recycle(other);
        cx.trace_gradient("box_fc", &dhidden);
        let dlinear = Relu.backward(cache.relu, dhidden.view(), &mut Relu, cx);
        cx.recycle(dhidden);
        let dflat = self.fc.backward(cache.fc, dlinear.view(), &mut grad.fc, cx);
        cx.recycle(dlinear);
        let dx = flatten_backward(dflat.view(), self.pixels(), cx);
        cx.recycle(dflat);
        self.convs.backward(cache.convs, dx, &mut grad.convs, cx)
    }

    /// `P·P`.
    fn pixels(&self) -> usize {
        self.convs.side * self.convs.side
    }
}
