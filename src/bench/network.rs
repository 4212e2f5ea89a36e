//! What several machines like this one would bring over a network: a model of a step, from what one machine takes for its parts.
//!
//! ```text
//! t(P) = ⌈C/P⌉ c + u + 5 a + b(P)/w + m(P) l
//! ```
//!
//! `C` chunks of `c` seconds each; the update `u`, which every rank repeats; five passes over the gradient, `a` seconds each, to pack,
//! to add and to unpack it; `b` bytes and `m` messages that a rank sends at `w` bytes a second and `l` seconds a message: the
//! segments of its nodes to the others, then its segment of the sum. Nothing overlaps.

use super::{Bench, Plan, REPEATS, Spread};
use crate::base::Result;
use crate::config::settings::Settings;
use crate::exec::ranks;
use crate::optim::clip;
use crate::params::Params;
use crate::train::task::Task;
use serde::Serialize;
use std::time::Instant;

/// Numbers of ranks that are tried.
const RANKS: [usize; 6] = [2, 4, 8, 16, 32, 64];
const PASSES: f64 = 5.0;

/// A network that is not there.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Network {
    /// 10⁹ bytes a second that a machine sends while it receives as many.
    pub gbps: f64,
    /// Seconds from sending a small message to its arrival.
    pub latency_secs: f64,
}

/// The parts of a step, measured on one machine.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Parts {
    /// Chunks of a batch.
    pub chunks: usize,
    /// Numbers in the gradient.
    pub parameters: usize,
    /// Seconds of a step.
    pub step_secs: f64,
    /// Of these, of the norm and the update.
    pub update_secs: f64,
    /// Seconds of adding one gradient to another.
    pub pass_secs: f64,
}

/// What so many ranks would make of it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Predicted {
    /// Ranks.
    pub ranks: usize,
    /// Seconds of a step.
    pub step_secs: f64,
    /// Of these, on the network.
    pub network_secs: f64,
    /// The time of one machine over that of all of them, times their number.
    pub efficiency: f64,
}

/// A prediction, and what it is from.
#[derive(Clone, Debug, Serialize)]
pub struct Forecast {
    /// Assumed.
    pub network: Network,
    /// Measured.
    pub parts: Parts,
    /// Modelled; no more ranks than chunks.
    pub predicted: Vec<Predicted>,
}

impl Parts {
    /// A step on so many ranks.
    #[must_use]
    pub fn on(&self, size: usize, network: Network) -> Predicted {
        let chunk = (self.step_secs - self.update_secs).max(0.0) / self.chunks as f64;
        let nodes = ranks::nodes(self.chunks, size).iter().map(Vec::len).max().unwrap_or(1);
        let others = (size - 1) as f64;
        let bytes = (nodes + 1) as f64 * others / size as f64 * (self.parameters * size_of::<f32>()) as f64;
        let buckets = self.parameters.div_ceil(ranks::BUCKET) as f64;
        let messages = (nodes + 1) as f64 * others * buckets;
        let network_secs = bytes / (1e9 * network.gbps) + messages * network.latency_secs;
        let computing = self.chunks.div_ceil(size) as f64 * chunk + self.update_secs;
        let step_secs = computing + PASSES * self.pass_secs + network_secs;
        let efficiency = self.step_secs / (size as f64 * step_secs);
        Predicted { ranks: size, step_secs, network_secs, efficiency }
    }
}

impl<T: Task> Plan<T> {
    /// Measures the parts of a step on this machine, and predicts what several like it would make of it.
    ///
    /// # Errors
    /// If the machine does not have the memory that a step takes.
    pub fn over(&self, network: Network) -> Result<Forecast> {
        let mut bench = Bench::<T>::new(self)?;
        bench.step()?;
        let step_secs = bench.images() as f64 / self.rate(&mut bench)?.median;
        let learner = &mut bench.learner;
        let mut grad = learner.workers.gradient(&learner.model);
        let other = learner.workers.gradient(&learner.model);
        let mut update = || {
            std::hint::black_box(clip::norm(&grad, &learner.groups));
            learner.adamw.step(&mut learner.model, &grad, &learner.groups, 0.0);
        };
        let update_secs = median(&mut update);
        let pass_secs = median(&mut || grad.accumulate(&other));
        let chunks = crate::train::together::chunks(learner.config.optim());
        let parts = Parts { chunks, parameters: learner.model.count(), step_secs, update_secs, pass_secs };
        let sizes = RANKS.into_iter().filter(|&size| size <= chunks);
        Ok(Forecast { network, parts, predicted: sizes.map(|size| parts.on(size, network)).collect() })
    }
}

/// The median time of some repeats.
fn median(work: &mut impl FnMut()) -> f64 {
    let mut once = || {
        let start = Instant::now();
        work();
        start.elapsed().as_secs_f64()
    };
    once();
    Spread::of((0..REPEATS).map(|_| once()).collect()).median
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prediction_is_that_of_a_calculation_by_hand() {
        let parts =
            Parts { chunks: 8, parameters: 1_000_000, step_secs: 0.9, update_secs: 0.1, pass_secs: 0.01 };
        let network = Network { gbps: 1.0, latency_secs: 1e-3 };
        // Four ranks with two chunks in one node each: 0.2 + 0.1 + 0.05 s; 2 · 3/4 · 4 MB; 2 · 3 messages.
        let Predicted { step_secs, network_secs, efficiency, .. } = parts.on(4, network);
        assert!((network_secs - (0.006 + 0.006)).abs() < 1e-12, "{network_secs}");
        assert!((step_secs - 0.362).abs() < 1e-12, "{step_secs}");
        assert!((efficiency - 0.9 / (4.0 * 0.362)).abs() < 1e-12, "{efficiency}");
        // Three: chunks 0, 1 | 2, 3, 4 | 5, 6, 7 in 1, 2 and 2 nodes.
        let bytes = 3.0 * 2.0 / 3.0 * 4e6;
        assert!((parts.on(3, network).network_secs - (bytes / 1e9 + 6e-3)).abs() < 1e-12);
    }
}
