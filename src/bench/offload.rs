//! What a GPU would make of a training step: its products one by one, what each takes there and on the CPU, and what that
//! makes of the whole step.

use crate::base::Result;
use crate::exec::cublas::cost::{Figures, Prediction, Work};
use crate::exec::engine::Engine;
use crate::exec::matrix::Matrix;
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

/// Measures a device as products see it, packing and copies included: a product of nothing, one that is all copying, and a
/// square one of this side whose operands are on the device already. `cpu_gflops` is the CPU's.
///
/// # Errors
/// If the device fails.
pub fn measure(engine: &Engine, side: usize, cpu_gflops: f64) -> Result<Figures> {
    let gemm = engine.gemm::<f32>();
    let best = |m: usize, k: usize, n: usize| {
        let filled = |rows, columns, x: f32| Matrix::from(Array2::from_elem((rows, columns), x));
        let (a, b, mut c) = (filled(m, k, 0.5), filled(k, n, 0.25), Array2::zeros((m, n)));
        (0..=TRIES).fold(f64::INFINITY, |best, attempt| {
            let start = Instant::now();
            gemm.gemm(1.0, a.view(), b.view(), 0.0, c.view_mut());
            // The first one copies the operands and makes room.
            if attempt == 0 { best } else { best.min(start.elapsed().as_secs_f64()) }
        })
    };
    let latency_secs = best(8, 8, 8);
    let (bytes, flops) = ((size_of::<f32>() * side * side) as f64, 2.0 * (side as f64).powi(3));
    let (gbps, device_gflops) = (bytes / best(side, 8, side) / 1e9, flops / best(side, side, side) / 1e9);
    engine.check()?;
    Ok(Figures { device_gflops, gbps, latency_secs, cpu_gflops })
}
