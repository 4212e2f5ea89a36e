//! What a product takes on a device and on the CPU, from a few figures: arithmetic only, nothing is measured here.
//!
//! `t_device = latency + max(flops / peak, bytes / bandwidth)`, as copies overlap with multiplication, and
//! `t_cpu = flops / CPU peak`.

use serde::Serialize;

/// The figures that a prediction starts from.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Figures {
    /// 10⁹ floating-point operations a second that the device reaches in large products.
    pub device_gflops: f64,
    /// 10⁹ bytes a second between host and device, each way.
    pub gbps: f64,
    /// Seconds from the call to the result of a product of nothing.
    pub latency_secs: f64,
    /// 10⁹ floating-point operations a second that all of the CPU's threads reach together.
    pub cpu_gflops: f64,
}

/// A product, or a batch of equal ones: `C = A·B` with what must be copied.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Work {
    /// `m, k, n`.
    pub shape: [usize; 3],
    /// Products that run as one call.
    pub batch: usize,
    /// How often a step does this.
    pub times: usize,
    /// Whether `B` is a weight, which is on the device already.
    pub weight: bool,
}

/// One execution of a [`Work`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Prediction {
    /// Multiplying on the device.
    pub compute_secs: f64,
    /// Copying both ways, at the same time.
    pub transfer_secs: f64,
    /// From call to result.
    pub device_secs: f64,
    /// On all of the CPU's threads instead.
    pub cpu_secs: f64,
}

impl Work {
    /// Multiplications of one execution.
    #[must_use]
    pub fn multiplications(&self) -> usize {
        self.batch * self.shape.iter().product::<usize>()
    }

    /// Bytes of `A` and of `B` unless that is a weight, and of `C`, in f32: `[up, down]`.
    #[must_use]
    pub fn bytes(&self) -> [usize; 2] {
        let [m, k, n] = self.shape;
        let b = if self.weight { 0 } else { k * n };
        [m * k + b, m * n].map(|numbers| size_of::<f32>() * self.batch * numbers)
    }

    /// One execution.
    #[must_use]
    pub fn predict(&self, figures: &Figures) -> Prediction {
        let flops = 2.0 * self.multiplications() as f64;
        let [up, down] = self.bytes();
        let compute_secs = flops / (figures.device_gflops * 1e9);
        // The two directions have a bandwidth of their own.
        let transfer_secs = up.max(down) as f64 / (figures.gbps * 1e9);
        Prediction {
            compute_secs,
            transfer_secs,
            device_secs: figures.latency_secs + compute_secs.max(transfer_secs),
            cpu_secs: flops / (figures.cpu_gflops * 1e9),
        }
    }
}
