//! Gradient check: a backward pass written by hand against central differences of its forward pass.
//!
//! For `loss(w) = ⟨y(w), dy⟩` with a random `dy`, `backward` claims to return `∂loss/∂w`. The definition
//! of the derivative says the same without any backward pass,
//!
//! `∂loss/∂wᵢ ≈ (loss(w + h·eᵢ) − loss(w − h·eᵢ)) / 2h`,
//!
//! and the two must agree for every tensor of the layer and for its input.
//!
//! ```
//! use ndarray::Array2;
//! use vit_mae::audit::GradCheck;
//! use vit_mae::layers::Linear;
//!
//! let check = GradCheck::default();
//! let (mut layer, mut x) = (Linear::new(3, 2), Array2::zeros((4, 3)));
//! check.fill(&mut layer, -1.0..1.0);
//! check.fill_array(&mut x, -1.0..1.0);
//! let report = check.layer(
//!     &layer,
//!     &x,
//!     |layer, x, cx| layer.forward(x.clone(), cx),
//!     |layer, cache, dy, grad, cx| layer.backward(cache, dy.view(), grad, cx),
//! );
//! assert!(report.passed(), "{report}");
//! ```

use super::report::{Report, Row, nan_max};
use crate::base::Real;
use crate::base::rng::{Purpose, permutation, rng, uniform};
use crate::exec::{Backend, Exec};
use crate::params::{Params, Role, Tensor, TensorMut};
use ndarray::{Array, Dimension, arr0};
use std::collections::BTreeSet;
use std::ops::Range;

/// How to check. The defaults are this project's standard; see `docs/architecture.md`.
#[derive(Clone, Debug)]
pub struct GradCheck {
    /// `h`. At 1e-5 the two errors of a difference balance in f64: `h² · loss‴ / 6`, about 1e-11, against
    /// rounding, about `1e-16 · loss / h`, again 1e-11 for a loss of order 1.
    pub step: f64,
    /// The largest scaled error that passes.
    pub tolerance: f64,
    /// Added to `max |n|`. The difference quotient itself is uncertain by up to about 1e-9 (rounding, at
    /// a loss of order 100), whatever the gradient's size; with 1e-3 that stays below the tolerance even
    /// where the true gradient is 0.
    pub floor: f64,
    /// At most this many elements of a tensor are differenced, a random choice; all if it has no more.
    pub elements: usize,
    /// Roles of tensors that receive no gradient by design: `backward` must leave theirs untouched. Buffers are always
    /// among them.
    pub fixed: &'static [Role],
    /// Tensors whose true gradient is 0, by name: what `backward` gives must be 0 up to rounding, too.
    pub zero: &'static [&'static str],
    /// Tensors that are not trained here, by name, and so receive no gradient either.
    pub frozen: BTreeSet<String>,
    /// The tensors that are checked, `input` among them; all if absent.
    pub only: Option<BTreeSet<String>>,
    /// Decides upstream gradient, starting gradient and choice of elements.
    pub seed: u64,
}

impl Default for GradCheck {
    fn default() -> Self {
        Self {
            step: 1e-5,
            tolerance: 1e-6,
            floor: 1e-3,
            elements: 40,
            fixed: &[],
            zero: &[],
            frozen: BTreeSet::new(),
            only: None,
            seed: 0,
        }
    }
}

impl GradCheck {
    /// Checks a layer from its own `forward -> (y, cache)` and `backward(cache, dy, grad) -> dx`.
    pub fn layer<P: Params<f64>, X: Dimension, Y: Dimension, C>(
        &self,
        layer: &P,
        x: &Array<f64, X>,
        forward: impl Fn(&P, &Array<f64, X>, &mut Exec<f64>) -> (Array<f64, Y>, C),
        backward: impl Fn(&P, C, &Array<f64, Y>, &mut P, &mut Exec<f64>) -> Array<f64, X>,
    ) -> Report {
        let mut dy = forward(layer, x, &mut Exec::new(Backend::default())).0;
        self.fill_from(dy.iter_mut(), &(-1.0..1.0), Stream::Upstream, 0);
        self.run(layer, x, &dy, forward, backward)
    }

    /// Checks a model that ends in a loss: `forward -> (loss, cache)`, `backward(cache, grad) -> dx`.
    pub fn loss<P: Params<f64>, X: Dimension, C>(
        &self,
        model: &P,
        x: &Array<f64, X>,
        forward: impl Fn(&P, &Array<f64, X>, &mut Exec<f64>) -> (f64, C),
        backward: impl Fn(&P, C, &mut P, &mut Exec<f64>) -> Array<f64, X>,
    ) -> Report {
        let forward = |model: &P, x: &_, cx: &mut _| {
            let (loss, cache) = forward(model, x, cx);
            (arr0(loss), cache)
        };
        self.run(model, x, &arr0(1.0), forward, |model, cache, _, grad, cx| backward(model, cache, grad, cx))
    }

    /// Checks a function without weights: `f(x) -> y` and `df(x, dy) -> dx`.
    pub fn function<X: Dimension, Y: Dimension>(
        &self,
        x: &Array<f64, X>,
        f: impl Fn(&Array<f64, X>, &mut Exec<f64>) -> Array<f64, Y>,
        df: impl Fn(&Array<f64, X>, &Array<f64, Y>, &mut Exec<f64>) -> Array<f64, X>,
    ) -> Report {
        let forward = |_: &_, x: &_, cx: &mut _| (f(x, cx), ());
        self.layer(&NoWeights, x, forward, |_, (), dy, _, cx| df(x, dy, cx))
    }

    fn run<P: Params<f64>, X: Dimension, Y: Dimension, C>(
        &self,
        layer: &P,
        x: &Array<f64, X>,
        dy: &Array<f64, Y>,
        forward: impl Fn(&P, &Array<f64, X>, &mut Exec<f64>) -> (Array<f64, Y>, C),
        backward: impl Fn(&P, C, &Array<f64, Y>, &mut P, &mut Exec<f64>) -> Array<f64, X>,
    ) -> Report {
        let cx = &mut Exec::new(Backend::default());

        // The gradient does not start from zero: so `=` where `+=` is meant comes to light.
        let mut start = layer.clone();
        for (t, tensor) in start.tensors_mut().into_iter().enumerate() {
            self.fill_from(tensor.data.write().iter_mut(), &(-1.0..1.0), Stream::Start, t);
        }
        let mut grad = start.clone();
        // Twice: the second time the buffers hold leftovers, so an element that is read without having
        // been written comes to light, too.
        let (_, cache) = forward(layer, x, cx);
        backward(layer, cache, dy, &mut layer.clone(), cx);
        let (_, cache) = forward(layer, x, cx);
        let dx = backward(layer, cache, dy, &mut grad, cx);
        assert_eq!(dx.raw_dim(), x.raw_dim(), "dx has the shape of x");

        let mut loss = |layer: &P, x: &_| (&forward(layer, x, cx).0 * dy).sum();
        let mut rows = Vec::new();
        let mut moved = layer.clone();
        for (t, (grad, start)) in grad.tensors().iter().zip(start.tensors()).enumerate() {
            if !self.checks(&grad.name) {
                continue;
            }
            let analytic = |i: usize| grad.data[i] - start.data[i];
            if self.is_fixed(grad.role) || self.frozen.contains(&grad.name) {
                let name = format!("{} (fixed)", grad.name);
                rows.push(self.compare(&name, 0..grad.data.len(), analytic, |_, _| 0.0));
                continue;
            }
            let mut loss_moved = |i: usize, by: f64| {
                let before = layer.tensors()[t].data[i];
                moved.tensors_mut().swap_remove(t).data.write()[i] = before + by;
                let value = loss(&moved, x);
                moved.tensors_mut().swap_remove(t).data.write()[i] = before;
                value
            };
            for (part, range) in parts(&grad.name, grad.data.len()) {
                let mut row = self.compare(&part, range.clone(), analytic, &mut loss_moved);
                if part.ends_with(KEY) || self.zero.contains(&grad.name.as_str()) {
                    let largest = range.fold(0.0, |max, i| nan_max(max, analytic(i).abs()));
                    row.error = nan_max(row.error, largest / self.floor);
                }
                rows.push(row);
            }
        }
        if self.checks("input") {
            let (dx, mut moved) = (Vec::from_iter(&dx), x.clone());
            let loss_moved = |i, by| {
                *moved.iter_mut().nth(i).expect("i < len") += by;
                let value = loss(layer, &moved);
                moved.assign(x);
                value
            };
            rows.push(self.compare("input", 0..x.len(), |i| *dx[i], loss_moved));
        }
        Report { tolerance: self.tolerance, step: Some(self.step), rows }
    }

    fn is_fixed(&self, role: Role) -> bool {
        role == Role::Buffer || self.fixed.contains(&role)
    }

    /// Whether a tensor is among those that are checked.
    fn checks(&self, tensor: &str) -> bool {
        self.only.as_ref().is_none_or(|only| only.contains(tensor))
    }

    /// One tensor, or a range of it: `loss_moved(i, by)` is the loss with element `i` moved.
    fn compare(
        &self,
        tensor: &str,
        range: Range<usize>,
        analytic: impl Fn(usize) -> f64,
        mut loss_moved: impl FnMut(usize, f64) -> f64,
    ) -> Row {
        let len = range.len();
        let mut elements =
            permutation(&mut rng(self.seed, Purpose::Synthetic, Stream::Elements as u64, 0), len);
        elements.truncate(self.elements);
        for element in &mut elements {
            *element += range.start;
        }
        let (mut worst, mut largest) = (0.0, 0.0);
        for &i in &elements {
            let numeric = (loss_moved(i, self.step) - loss_moved(i, -self.step)) / (2.0 * self.step);
            worst = nan_max(worst, (analytic(i) - numeric).abs());
            largest = nan_max(largest, numeric.abs());
        }
        let error = worst / (largest + self.floor);
        Row { tensor: tensor.to_owned(), checked: elements.len(), of: len, largest, error }
    }

    /// Fills every tensor of a layer but its buffers with uniform random numbers. An audit wants weights *and norms*
    /// random: with 1 and 0 many a wrong factor goes unseen.
    pub fn fill(&self, layer: &mut impl Params<f64>, range: Range<f64>) {
        for (t, tensor) in layer.tensors_mut().into_iter().enumerate() {
            if tensor.role != Role::Buffer {
                self.fill_from(tensor.data.write().iter_mut(), &range, Stream::Weights, t);
            }
        }
    }

    /// Fills an array with uniform random numbers.
    pub fn fill_array<D: Dimension>(&self, array: &mut Array<f64, D>, range: Range<f64>) {
        self.fill_from(array.iter_mut(), &range, Stream::Input, 0);
    }

    fn fill_from<'a>(
        &self,
        data: impl Iterator<Item = &'a mut f64>,
        range: &Range<f64>,
        stream: Stream,
        tensor: usize,
    ) {
        let mut rng = rng(self.seed, Purpose::Synthetic, stream as u64, tensor as u64);
        data.for_each(|x| *x = range.start + (range.end - range.start) * uniform(&mut rng));
    }
}

/// What is random in a check; no two share their numbers.
#[derive(Clone, Copy)]
enum Stream {
    Weights,
    Input,
    Upstream,
    Start,
    Elements,
}

/// How the row of the key part of `qkv.bias` ends.
const KEY: &str = "key (≈ 0)";

/// The parts in which a tensor is checked: all of it, but for `qkv.bias` its three thirds. A key's bias adds
/// the same number to all scores of a query, which softmax does not see: its true gradient is 0, and one
/// that is not must not hide behind the other two.
fn parts(name: &str, len: usize) -> Vec<(String, Range<usize>)> {
    if !name.ends_with("qkv.bias") {
        return vec![(name.to_owned(), 0..len)];
    }
    let third = |part, i| (format!("{name}, {part}"), i * len / 3..(i + 1) * len / 3);
    vec![third("query", 0), third(KEY, 1), third("value", 2)]
}

/// A layer without tensors.
#[derive(Clone)]
struct NoWeights;

impl<F: Real> Params<F> for NoWeights {
    fn walk<'a>(&'a self, _: &str, _: &mut Vec<Tensor<'a, F>>) {}
    fn walk_mut<'a>(&'a mut self, _: &str, _: &mut Vec<TensorMut<'a, F>>) {}
}
