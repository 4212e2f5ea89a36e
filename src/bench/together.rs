//! What several ranks bring: rank 0 alone, while the others wait, and then all of them on the same batch.

use super::{Bench, Plan, REPEATS, Spread};
use crate::base::Result;
use crate::config::settings::Settings;
use crate::exec::ranks::clocked::{Clocked, Spent};
use crate::exec::ranks::{Ranks, on_first};
use crate::params::Params;
use crate::train::task::Task;
use crate::train::together::from_first;
use crate::train::told::gather;
use serde::Serialize;
use std::sync::Arc;
use std::time::Instant;

/// What was measured on several ranks.
#[derive(Clone, Debug, Serialize)]
pub struct Together {
    /// How the trunk is pre-trained, or what it is fine-tuned for.
    pub method: &'static str,
    /// Name of the preset or file.
    pub preset: String,
    /// Ranks.
    pub ranks: usize,
    /// Ranks on this machine.
    pub neighbours: usize,
    /// Threads of each.
    pub threads: usize,
    /// Images in a step of all.
    pub batch_size: usize,
    /// Chunks of a step: no more ranks than these can share it.
    pub chunks: usize,
    /// Numbers in the model.
    pub parameters: usize,
    /// Training images per second of rank 0 alone, the others waiting.
    pub alone_images_per_s: Spread,
    /// Of all ranks together.
    pub images_per_s: Spread,
    /// The one over the other and the number of ranks, at the medians.
    pub efficiency: f64,
    /// Seconds of a step.
    pub step_secs: f64,
    /// Of these, in exchanging gradients, of the rank that took longest.
    pub exchange_secs: f64,
    /// Of these, waiting for the slowest rank, of the rank that took longest.
    pub waiting_secs: f64,
    /// Bytes of gradients and activations that rank 0 sends in a step.
    pub sent_bytes: u64,
}

impl<T: Task> Plan<T> {
    /// Measures on several ranks, each of which calls it.
    ///
    /// # Errors
    /// If a machine has not the memory, there are more ranks than chunks, or another rank has failed.
    pub fn run_together(&self, ranks: &Arc<dyn Ranks>) -> Result<Together> {
        let clocked = Arc::new(Clocked::new(Arc::clone(ranks)));
        let mut bench = Bench::<T>::among(clocked.clone(), self)?;
        let alone = on_first(&**ranks, || {
            let mut alone = Bench::<T>::new(self)?;
            alone.step()?;
            self.rate(&mut alone)
        })?;
        // Rank 0 says how many steps all take in a repeat: as long as alone, if the ranks brought nothing.
        let images = bench.images() as f64;
        let rate = alone.map_or(0.0, |alone| alone.median);
        let word = from_first(&**ranks, &(rate * self.secs / REPEATS as f64 / images).to_le_bytes())?;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "rounded down")]
        let steps = word.first_chunk().map_or(1, |bytes| f64::from_le_bytes(*bytes) as u64).max(1);
        bench.step()?;
        clocked.take();
        let mut rates = Vec::new();
        for _ in 0..REPEATS {
            let start = Instant::now();
            (0..steps).try_for_each(|_| bench.step())?;
            rates.push(images * steps as f64 / start.elapsed().as_secs_f64());
        }
        let Spent { waiting_secs, exchange_secs, sent_bytes } = clocked.take();
        let of_all = gather(&**ranks, [waiting_secs, exchange_secs])?;
        let all = steps * REPEATS as u64;
        let most = |i: usize| of_all.iter().map(|of| of[i]).fold(0.0, f64::max) / all as f64;
        let images_per_s = Spread::of(rates);
        let alone_images_per_s = alone.unwrap_or(images_per_s);
        let optim = bench.learner.config.optim();
        Ok(Together {
            method: self.method,
            preset: self.name.clone(),
            ranks: ranks.size(),
            neighbours: ranks.neighbours(),
            threads: self.threads,
            batch_size: bench.images(),
            chunks: crate::train::together::chunks(optim),
            parameters: bench.learner.model.count(),
            alone_images_per_s,
            images_per_s,
            efficiency: images_per_s.median / alone_images_per_s.median / ranks.size() as f64,
            step_secs: images / images_per_s.median,
            exchange_secs: most(1),
            waiting_secs: most(0),
            sent_bytes: sent_bytes / all,
        })
    }
}
