//! What a GPU would make of a training step: its products one by one, what each takes there and on the CPU, and what that
//! makes of the whole step.

use crate::base::Result;
use crate::exec::cublas::cost::{Figures, Prediction, Work};
use crate::exec::engine::Engine;
use crate::exec::kept::Version;
use crate::models::mae::MaeConfig;
use crate::models::vit::Stack;
use ndarray::Array2;
use serde::Serialize;
use std::time::Instant;

/// Side of the square product whose speed counts as the device's.
pub const LARGE: usize = 8192;
/// Tries of each measurement; the best counts.
const TRIES: usize = 5;

/// A step's products and where they would run.
#[derive(Clone, Debug, Serialize)]
pub struct Forecast {
    /// What it starts from.
    pub figures: Figures,
    /// Where the figures come from: `measured`, or `assumed` but for the CPU's.
    pub origin: &'static str,
    /// Multiplications from which a product goes to the device.
    pub offload_from: usize,
    /// Every kind of product.
    pub products: Vec<Row>,
    /// All products of a step on the CPU.
    pub cpu_secs: f64,
    /// The large ones on the device, the others on the CPU. Copies of one product overlap with another's multiplication, so
    /// the device takes as long as the slower of the two takes in sum.
    pub mixed_secs: f64,
    /// The fraction of `mixed_secs` that is spent in waiting for copies alone.
    pub waiting_share: f64,
    /// Smallest product of this step that gains on the device; none if none does.
    pub gains_from: Option<usize>,
}

/// A kind of product.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// What it is.
    #[serde(flatten)]
    pub work: Work,
    /// What it takes.
    #[serde(flatten)]
    pub prediction: Prediction,
    /// Whether it is large enough to go to the device.
    pub offloaded: bool,
}

impl Forecast {
    /// Of a step that does this work.
    #[must_use]
    pub fn new(figures: Figures, origin: &'static str, offload_from: usize, works: Vec<Work>) -> Self {
        let row = |work: Work| {
            let (prediction, offloaded) = (work.predict(&figures), work.multiplications() >= offload_from);
            Row { work, prediction, offloaded }
        };
        let products: Vec<Row> = works.into_iter().map(row).collect();
        let sum =
            |of: &dyn Fn(&Row) -> f64| products.iter().map(|r| r.work.times as f64 * of(r)).sum::<f64>();
        let on_device = |of: &dyn Fn(&Row) -> f64| sum(&|row| if row.offloaded { of(row) } else { 0.0 });
        let compute_secs = on_device(&|row| row.prediction.compute_secs);
        let transfer_secs = on_device(&|row| row.prediction.transfer_secs);
        let left_secs = sum(&|row| if row.offloaded { 0.0 } else { row.prediction.cpu_secs });
        let mixed_secs = compute_secs.max(transfer_secs) + left_secs;
        let gaining = products.iter().filter(|row| row.prediction.device_secs < row.prediction.cpu_secs);
        Self {
            figures,
            origin,
            offload_from,
            cpu_secs: sum(&|row| row.prediction.cpu_secs),
            mixed_secs,
            waiting_share: (transfer_secs - compute_secs).max(0.0) / mixed_secs,
            gains_from: gaining.map(|row| row.work.multiplications()).min(),
            products,
        }
    }
}

/// Every product of a step on `batch_size` images in chunks of `micro_batch`, as if every chunk was full. Their
/// floating-point operations are those of [`crate::models::mae::cost::Cost::flops_per_image`].
#[must_use]
pub fn products(config: &MaeConfig, len_keep: usize, micro_batch: usize, batch_size: usize) -> Vec<Work> {
    let c = config;
    let (patches, chunk) = (c.num_patches(), micro_batch.min(batch_size));
    let chunks = batch_size.div_ceil(chunk);
    let mut step = Step { works: Vec::new(), chunk, chunks };
    step.linear("patch projection", [patches, c.patch_len(), c.embed_dim], 1, false);
    step.blocks("encoder", 1 + len_keep, &c.vit().stack());
    step.linear("decoder_embed", [1 + len_keep, c.embed_dim, c.decoder_embed_dim], 1, true);
    step.blocks("decoder", 1 + patches, &c.decoder_stack());
    step.linear("decoder_pred", [patches, c.decoder_embed_dim, c.patch_len()], 1, true);
    step.works
}

/// The products of a step as they are counted.
struct Step {
    works: Vec<Work>,
    chunk: usize,
    chunks: usize,
}

impl Step {
    /// `y = x Wᵀ`, `dx = dy W` unless the input is data, `dW = dyᵀ x`, for the `tokens` rows of each image.
    fn linear(&mut self, name: &str, [tokens, d_in, d_out]: [usize; 3], layers: usize, has_dx: bool) {
        let (rows, times) = (self.chunk * tokens, self.chunks * layers);
        let mut add = |what: &str, shape, weight| {
            self.works.push(Work { name: format!("{name}, {what}"), shape, batch: 1, times, weight });
        };
        add("forward", [rows, d_in, d_out], true);
        if has_dx {
            add("dx", [rows, d_out, d_in], true);
        }
        add("dW", [d_out, rows, d_in], false);
    }

    /// The blocks of a stack on the `n` tokens of each image. The heads of one image are one call.
    fn blocks(&mut self, name: &str, n: usize, stack: &Stack) {
        let Stack { width: d, depth, heads, .. } = *stack;
        let hidden = stack.hidden();
        for (layer, d_in, d_out) in
            [("qkv", d, 3 * d), ("proj", d, d), ("fc1", d, hidden), ("fc2", hidden, d)]
        {
            self.linear(&format!("{name} {layer}"), [n, d_in, d_out], depth, true);
        }
        let (width, times) = (d / heads, self.chunk * self.chunks * depth);
        let mut add = |what: &str, shape, factor: usize| {
            let name = format!("{name} heads, {what}");
            self.works.push(Work { name, shape, batch: heads, times: factor * times, weight: false });
        };
        add("Q Kᵀ and dP", [n, width, n], 2);
        add("P V, dV, dQ, dK", [n, n, width], 4);
    }
}

/// Measures a device as products see it, packing and copies included: a product of nothing, one that is all copying, and a
/// square one of this side whose operands are on the device already. `cpu_gflops` is the CPU's.
///
/// # Errors
/// If the device fails.
pub fn measure(engine: &Engine, side: usize, cpu_gflops: f64) -> Result<Figures> {
    let gemm = engine.gemm::<f32>();
    let best = |m: usize, k: usize, n: usize| {
        let (a, b) = (Array2::from_elem((m, k), 0.5f32), Array2::from_elem((k, n), 0.25));
        let mut c = Array2::zeros((m, n));
        let weights: Vec<_> = [&a, &b].map(|x| (x.as_slice().expect("row-major"), Version::fresh())).into();
        engine.with_weights(&weights, || {
            (0..=TRIES).fold(f64::INFINITY, |best, attempt| {
                let start = Instant::now();
                gemm.gemm(1.0, a.view(), b.view(), 0.0, c.view_mut());
                // The first one copies the operands and makes room.
                if attempt == 0 { best } else { best.min(start.elapsed().as_secs_f64()) }
            })
        })
    };
    let latency_secs = best(8, 8, 8);
    let (bytes, flops) = ((size_of::<f32>() * side * side) as f64, 2.0 * (side as f64).powi(3));
    let (gbps, device_gflops) = (bytes / best(side, 8, side) / 1e9, flops / best(side, side, side) / 1e9);
    engine.check()?;
    Ok(Figures { device_gflops, gbps, latency_secs, cpu_gflops })
}
