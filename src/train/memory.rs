//! What a run will take of this machine's memory, so that what does not fit is refused before it is allocated.

use crate::base::{Error, Result};
use crate::config::sections::OptimConfig;
use crate::data::BATCHES_AHEAD;
use crate::exec::ranks::Ranks;

/// What the program itself takes: code, libraries, stacks, allocator.
const PROGRAM_BYTES: u64 = 12 << 20;
/// Bytes of an element.
const F32: usize = size_of::<f32>();
/// Weights, and AdamW's two moments.
const WEIGHTS_AND_MOMENTS: usize = 3;

/// What is in memory while a training step runs.
#[derive(Clone, Copy, Debug)]
pub struct StepMemory {
    /// Numbers in the model.
    pub parameters: usize,
    /// Arrays of as many elements that stay: weights, moments, a moving average.
    pub copies: usize,
    /// Images in an iteration.
    pub batch_size: usize,
    /// Images in a chunk.
    pub micro_batch: usize,
    /// Iterations in a step.
    pub accum_iter: usize,
    /// Batches that are ready or in use.
    pub batches: usize,
    /// Numbers in an image.
    pub image_len: usize,
    /// Bytes of one image's activations until its backward pass.
    pub activation_bytes: usize,
    /// Elements that a loss of the whole batch keeps of each of its images; such a step cannot be accumulated.
    pub whole_batch: Option<usize>,
    /// Rayon's threads.
    pub threads: usize,
    /// Ranks on this machine, each of which takes as much.
    pub neighbours: usize,
}

impl StepMemory {
    /// Of a step of a model of so many `parameters`, on images of so many numbers, each of which leaves so many bytes of
    /// activations until its backward pass.
    #[must_use]
    pub fn new(
        optim: &OptimConfig,
        parameters: usize,
        image_len: usize,
        activation_bytes: usize,
        threads: usize,
    ) -> Self {
        Self {
            parameters,
            copies: WEIGHTS_AND_MOMENTS,
            batch_size: optim.batch_size,
            micro_batch: optim.micro_batch.min(optim.batch_size),
            accum_iter: optim.accum_iter,
            batches: 1 + BATCHES_AHEAD,
            image_len,
            activation_bytes,
            whole_batch: None,
            threads,
            neighbours: 1,
        }
    }

    /// That of one of several ranks, which share the chunks of a batch.
    #[must_use]
    pub fn among(self, ranks: &dyn Ranks) -> Self {
        let chunks = self.batch_size.div_ceil(self.micro_batch).div_ceil(ranks.size());
        let batch_size = (chunks * self.micro_batch).min(self.batch_size);
        Self { batch_size, neighbours: ranks.neighbours(), ..self }
    }

    /// All of it.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        let models = (self.copies + self.gradients()) * F32 * self.parameters;
        let batches = self.batches * self.batch_size * F32 * self.image_len;
        let batches = batches + self.batch_size * F32 * self.whole_batch.unwrap_or(0);
        (models + batches + self.activations()) as u64 + PROGRAM_BYTES
    }

    /// Chunks that are worked on at once.
    fn tasks(&self) -> usize {
        self.batch_size.div_ceil(self.micro_batch).min(self.threads)
    }

    /// One for every task, one partial sum for every level of the tree above them, and the sum of earlier iterations.
    fn gradients(&self) -> usize {
        let (chunks, tasks) = (self.batch_size.div_ceil(self.micro_batch), self.tasks());
        let levels = (chunks / tasks).next_power_of_two().ilog2() as usize;
        tasks + levels + usize::from(self.accum_iter > 1)
    }

    fn activations(&self) -> usize {
        self.tasks() * self.micro_batch * self.activation_bytes
    }

    /// Refuses what does not fit into the memory that is free, and says what would.
    ///
    /// # Errors
    /// [`Error::Setting`] with what there is, what it takes, and the settings that make it fit, if any do.
    pub fn require(&self) -> Result<()> {
        match available_bytes().map(|free| free / self.neighbours as u64) {
            Some(free) if self.bytes() > free => Err(self.refusal(free)),
            _ => Ok(()),
        }
    }

    fn refusal(&self, free: u64) -> Error {
        let advice = self.smaller().find(|step| step.bytes() <= free).map_or_else(
            || "no size of the batch makes this model fit".to_owned(),
            |step| {
                format!(
                    "--set optim.micro_batch={} --set optim.batch_size={} --set optim.accum_iter={} takes about {}",
                    step.micro_batch,
                    step.batch_size,
                    step.accum_iter,
                    gibibytes(step.bytes())
                )
            },
        );
        let expected = format!("a training step that fits the {} that are free ({advice})", gibibytes(free));
        let part = |numbers: usize| gibibytes((numbers * F32 * self.parameters) as u64);
        let found = format!(
            "one that takes about {}: {} of weights and moments, {} in {} gradients, {} of activations",
            gibibytes(self.bytes()),
            part(self.copies),
            part(self.gradients()),
            self.gradients(),
            gibibytes(self.activations() as u64)
        );
        Error::setting("memory", expected, found)
    }

    /// The same step with as many images, in iterations of one chunk each: first chunks of this size, then of one image.
    /// Where the loss needs the whole batch, its chunks are all that can be smaller.
    fn smaller(&self) -> impl Iterator<Item = Self> {
        let images = self.batch_size * self.accum_iter;
        let sizes = [self.micro_batch, 1].into_iter();
        sizes.map(move |size| {
            let chunks = Self { micro_batch: size, ..*self };
            match self.whole_batch {
                Some(_) => chunks,
                None => Self { batch_size: size, accum_iter: images.div_ceil(size), ..chunks },
            }
        })
    }
}

/// Refuses a model whose weights do not fit into the memory that is free.
///
/// # Errors
/// [`Error::Setting`] with what it takes and what there is.
pub fn require_weights(parameters: usize) -> Result<()> {
    let needed = (parameters * F32) as u64 + PROGRAM_BYTES;
    require("weights", needed)
}

/// Refuses forward passes whose activations do not fit into the memory that is free.
///
/// # Errors
/// [`Error::Setting`] with what they take and what there is.
pub fn require_activations(bytes: usize) -> Result<()> {
    require("activations", bytes as u64)
}

fn require(what: &str, needed: u64) -> Result<()> {
    match available_bytes().filter(|&free| needed > free) {
        Some(free) => {
            let expected = format!("{what} that fit the {} that are free", gibibytes(free));
            Err(Error::setting("memory", expected, format!("about {}", gibibytes(needed))))
        }
        None => Ok(()),
    }
}

/// `1.30 GiB`.
#[must_use]
pub fn gibibytes(bytes: u64) -> String {
    format!("{:.2} GiB", bytes as f64 / f64::from(1 << 30))
}

/// Free memory of this machine, where the system tells.
#[must_use]
pub fn available_bytes() -> Option<u64> {
    status_bytes("/proc/meminfo", "MemAvailable:")
}

/// The largest resident memory of this process so far, where the system tells.
#[must_use]
pub fn peak_rss_bytes() -> Option<u64> {
    status_bytes("/proc/self/status", "VmHWM:")
}

/// A line `KEY  N kB` of one of Linux's text files.
fn status_bytes(path: &str, key: &str) -> Option<u64> {
    let text = std::fs::read_to_string(path).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(key))?;
    line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok().map(|kib| kib << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// About that of `vit-huge` on images of 224 pixels.
    fn huge() -> StepMemory {
        StepMemory {
            parameters: 657_000_000,
            copies: WEIGHTS_AND_MOMENTS,
            batch_size: 64,
            micro_batch: 4,
            accum_iter: 64,
            batches: 3,
            image_len: 3 * 224 * 224,
            activation_bytes: 400 << 20,
            whole_batch: None,
            threads: 2,
            neighbours: 1,
        }
    }

    #[test]
    fn a_step_that_does_not_fit_is_refused_with_settings_that_do() {
        let step = huge();
        let free = 16 << 30;
        assert!(step.bytes() > free, "{}", step.bytes());
        let message = step.refusal(free).to_string();
        let advised = step.smaller().next().expect("the first advice");
        assert!(advised.bytes() <= free, "{}", advised.bytes());
        assert!(message.contains("16.00 GiB") && message.contains("optim.batch_size=4"), "{message}");
        assert_eq!(advised.batch_size * advised.accum_iter, step.batch_size * step.accum_iter);
    }

    #[test]
    fn a_model_that_no_batch_makes_fit_is_said_to_be_one() {
        let message = huge().refusal(4 << 30).to_string();
        assert!(message.contains("no size of the batch"), "{message}");
    }

    #[test]
    fn gradients_are_those_of_the_tasks_and_the_levels_of_the_tree() {
        let of = |batch_size, threads, accum_iter| {
            StepMemory { batch_size, micro_batch: 4, threads, accum_iter, ..huge() }.gradients()
        };
        assert_eq!([of(4, 2, 1), of(8, 2, 1), of(16, 1, 1), of(64, 2, 1), of(64, 2, 8)], [1, 2, 3, 5, 6]);
    }
}
