//! Gradient checks along random directions: a few forward passes a layer, whatever its size.
//!
//! For a direction `v`, the derivative of `loss(w + t·v)` at `t = 0` is `⟨∇loss, v⟩`. Two tests:
//!
//! * the central difference `(loss(w + h v) − loss(w − h v)) / 2h` equals it;
//! * the remainder `r(t) = |loss(w + t v) − loss(w) − t ⟨∇loss, v⟩|` shrinks like `t²` (Taylor's theorem), so
//!   `log₂ r(t) / r(t/2)` is 2. With a wrong gradient a term in `t` is left, and it is 1.

use super::model::{INPUT, Layer, Subject};
use crate::base::rng::{Purpose, rng, uniform};
use crate::exec::Exec;
use crate::exec::engine::Engine;
use crate::models::mae::Mae;
use crate::params::Params;
use ndarray::Array4;
use serde::Serialize;

/// How directions are tested.
#[derive(Clone, Debug)]
pub struct Directions {
    /// Random directions for each layer.
    pub count: usize,
    /// `h` of the central difference, relative to the weights.
    pub step: f64,
    /// The largest scaled error of the central difference that passes.
    pub tolerance: f64,
    /// Decides the directions.
    pub seed: u64,
    /// What multiplies matrices.
    pub engine: Engine,
}

impl Default for Directions {
    fn default() -> Self {
        Self { count: 3, step: 1e-5, tolerance: 1e-6, seed: 0, engine: Engine::default() }
    }
}

/// The result for one direction.
#[derive(Clone, Debug, Serialize)]
pub struct Direction {
    /// Elements moved together.
    pub numbers: usize,
    /// The central difference along the direction.
    pub derivative: f64,
    /// Backward's derivative against it: `|a − n| / (|n| + floor)`.
    pub error: f64,
    /// `log₂ r(t) / r(t/2)`; none where the loss is straight to rounding, and there is no remainder.
    pub slope: Option<f64>,
    /// Whether both tests passed.
    pub passed: bool,
}

/// `t` of the Taylor test, relative to the weights: large enough for the remainder to stand above rounding.
const TAYLOR: f64 = 1e-3;
/// As in [`super::GradCheck::floor`]: the difference quotient's own uncertainty, over the tolerance.
const FLOOR: f64 = 1e-3;
/// Remainders below this fraction of the loss are rounding.
const ROUNDING: f64 = 1e-13;
/// Between the slope of a wrong gradient, 1, and that of a right one, 2 or more.
const LEAST_SLOPE: f64 = 1.8;

impl Directions {
    /// Tests one layer. `loss` and the gradients are those at the subject's weights.
    fn along(
        &self,
        subject: &Subject,
        layer: &Layer,
        loss: f64,
        grad: &Mae<f64>,
        dimages: &Array4<f64>,
    ) -> Vec<Direction> {
        let one = |k: usize| {
            let direction = Step::new(subject, layer, self.seed, k as u64);
            let (numbers, slope) = direction.slope(grad, dimages);
            let mut cx = Exec::new(&self.engine).split(true);
            let mut at = |t: f64| {
                let (model, images) = direction.moved(subject, t);
                subject.loss(&model, images.view(), &mut cx).0
            };
            let derivative = (at(self.step) - at(-self.step)) / (2.0 * self.step);
            let error = (slope - derivative).abs() / (derivative.abs() + FLOOR);
            let remainder = |value: f64, t: f64| (value - loss - t * slope).abs();
            let (far, near) = (remainder(at(TAYLOR), TAYLOR), remainder(at(TAYLOR / 2.0), TAYLOR / 2.0));
            let straight = far <= ROUNDING * loss.abs().max(1.0);
            let taylor = (!straight).then(|| (far / near).log2());
            // Written so that a value that is not a number fails.
            let passed = error <= self.tolerance && taylor.is_none_or(|slope| slope >= LEAST_SLOPE);
            Direction { numbers, derivative, error, slope: taylor, passed }
        };
        (0..self.count).map(one).collect()
    }
}

impl Subject {
    /// Moves each layer's weights together in `count` random directions.
    pub fn directions(
        &self,
        settings: &Directions,
        layers: &[Layer],
        done: &(impl Fn() + Sync),
    ) -> Vec<(String, Vec<Direction>)> {
        let mut grad = self.model.zeros_like();
        let cx = &mut Exec::new(&settings.engine).split(true);
        let (loss, output, cache) = self.loss(&self.model, self.images.view(), cx);
        let dimages = self.backward(&self.model, cache, &output, &mut grad, cx);
        let one = |layer: &Layer| {
            let found = settings.along(self, layer, loss, &grad, &dimages);
            done();
            (layer.name.clone(), found)
        };
        layers.iter().filter(|layer| !self.is_fixed(layer)).map(one).collect()
    }
}

/// A random direction in the weights of one layer, or in the images. Every tensor moves in proportion to
/// the size of its own weights.
struct Step<'a> {
    layer: &'a Layer,
    seed: u64,
    number: u64,
    /// The typical size of each tensor of the walk.
    sizes: Vec<f64>,
}

impl<'a> Step<'a> {
    fn new(subject: &Subject, layer: &'a Layer, seed: u64, number: u64) -> Self {
        /// What a tensor of zeros moves by.
        const LEAST: f64 = 1e-2;
        let rms = |data: &[f64]| (data.iter().map(|x| x * x).sum::<f64>() / data.len() as f64).sqrt();
        let sizes = subject.model.tensors().iter().map(|t| rms(t.data).max(LEAST)).collect();
        Self { layer, seed, number, sizes }
    }

    /// Calls `each` with every element that moves and its part of the direction.
    fn walk<T>(
        &self,
        tensors: impl Iterator<Item = (String, impl Iterator<Item = T>)>,
        mut each: impl FnMut(T, f64),
    ) {
        for (t, (name, data)) in tensors.enumerate() {
            if self.layer.tensors.contains(&name) {
                let size = self.sizes.get(t).copied().unwrap_or(1.0);
                let mut rng = rng(self.seed, Purpose::Synthetic, 3 + self.number, t as u64);
                data.for_each(|x| each(x, size * (2.0 * uniform(&mut rng) - 1.0)));
            }
        }
    }

    /// How many elements move, and `⟨∇loss, v⟩`.
    fn slope(&self, grad: &Mae<f64>, dimages: &Array4<f64>) -> (usize, f64) {
        let (mut numbers, mut slope) = (0, 0.0);
        let mut add = |g: &f64, v: f64| (numbers, slope) = (numbers + 1, slope + g * v);
        self.walk(grad.tensors().into_iter().map(|t| (t.name, t.data.iter())), &mut add);
        self.walk(std::iter::once((INPUT.to_owned(), dimages.iter())), &mut add);
        (numbers, slope)
    }

    /// The weights and images moved by `t` along the direction.
    fn moved(&self, subject: &Subject, t: f64) -> (Mae<f64>, Array4<f64>) {
        let (mut model, mut images) = (subject.model.clone(), subject.images.clone());
        let weights =
            model.tensors_mut().into_iter().map(|tensor| (tensor.name, tensor.data.write().iter_mut()));
        self.walk(weights, |x, v| *x += t * v);
        self.walk(std::iter::once((INPUT.to_owned(), images.iter_mut())), |x, v| *x += t * v);
        (model, images)
    }
}
