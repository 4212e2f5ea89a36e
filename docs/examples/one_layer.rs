//! Uses one layer alone: trains multi-head attention to copy the token that carries a mark to all places.
//!
//! ```sh
//! cargo run --release --example one_layer
//! ```

use ndarray::Array2;
use vit_mae::Real;
use vit_mae::base::rng::{Purpose, below, rng, uniform};
use vit_mae::exec::{Backend, Exec};
use vit_mae::layers::Attention;
use vit_mae::layers::init::init;
use vit_mae::optim::{AdamW, groups};
use vit_mae::params::Params;

const IMAGES: usize = 32;
const TOKENS: usize = 5;
const WIDTH: usize = 16;
const HEADS: usize = 2;
const STEPS: u64 = 400;

/// Random tokens, one of each image marked by its first feature, and what attention shall make of them.
fn batch(step: u64) -> (Array2<f32>, Array2<f32>) {
    let mut random = rng(0, Purpose::Synthetic, step, 0);
    let mut x =
        Array2::from_shape_simple_fn((IMAGES * TOKENS, WIDTH), || f32::of(2.0 * uniform(&mut random) - 1.0));
    let mut target = x.clone();
    for image in 0..IMAGES {
        let marked = image * TOKENS + below(&mut random, TOKENS);
        for row in image * TOKENS..(image + 1) * TOKENS {
            x[[row, 0]] = if row == marked { 4.0 } else { 0.0 };
        }
        for row in image * TOKENS..(image + 1) * TOKENS {
            let copy = x.row(marked).to_owned();
            target.row_mut(row).assign(&copy);
        }
    }
    (x, target)
}

/// Returns the mean squared error of the first and of the last step.
pub(crate) fn train() -> (f32, f32) {
    let mut attention = Attention::<f32>::new(WIDTH, HEADS);
    init(&mut attention, 0);
    // Weights, gradients and both moments are values of the layer's own type.
    let mut grad = attention.zeros_like();
    let mut adamw = AdamW::new(&attention, (0.9, 0.99));
    let groups = groups::pretraining(&attention, 0.0);
    // Everything is computed through an executor: product backend, buffer pool, threads.
    let mut cx = Exec::new(Backend::default());

    let mut losses = Vec::new();
    for step in 0..STEPS {
        let (x, target) = batch(step);
        let (y, cache) = attention.forward(x, TOKENS, &mut cx);
        // loss = mean((y − target)²)  ⇒  dy = 2 (y − target) / n
        let difference = &y - &target;
        let n = difference.len() as f32;
        losses.push(difference.mapv(|d| d * d).sum() / n);
        let dy = difference * (2.0 / n);

        grad.clear(); // backward adds to it
        let dx = attention.backward(cache, dy.view(), &mut grad, &mut cx);
        adamw.step(&mut attention, &grad, &groups, 3e-3);
        cx.recycle(dx);
        cx.recycle(y);
    }
    (losses[0], losses[losses.len() - 1])
}

fn main() {
    let (first, last) = train();
    println!("mean squared error {first:.4} at the first step, {last:.4} after {STEPS}");
}
