//! One optimiser step, the same for every task: batches, loss and gradient, checks, clipping, learning rate, update.

use super::metrics::{SkippedRecord, StepRecord};
use super::run_dir::RunDir;
use super::save;
use super::source::open_loader;
use super::task::{EvalCx, Losses, StepCx, StepInfo, Task, Validation};
use super::together;
use super::workers::WorkerPool;
use crate::base::{Error, Result};
use crate::checkpoint::{Checkpoint, CheckpointTarget, State};
use crate::config::sections::{OnNonfinite, OptimConfig};
use crate::config::settings::Settings;
use crate::data::{Batch, Dataset, Loader, Part};
use crate::exec::ranks::{One, Ranks};
use crate::optim::{AdamW, Group, clip};
use crate::params::Params;
use std::sync::Arc;
use std::time::Instant;

pub use super::sum::{map, own_chunks, sum, sum_and_map};

/// What became of a step.
pub enum StepOutcome {
    /// The weights were updated.
    Done(StepRecord),
    /// Its loss or gradient was not finite, and nothing was changed.
    Skipped(SkippedRecord),
    /// It was stopped half-way, and nothing was changed.
    Stopped,
}

/// A model in training: everything that an optimiser step reads or changes. It is a function of the settings, the data
/// and the number of steps done, and of nothing else.
pub struct Learner<T: Task> {
    /// What is learnt.
    pub task: T,
    /// Every setting, with what follows from the data filled in.
    pub config: T::Config,
    /// The model.
    pub model: T::Model,
    /// The moving average of the weights, if one is kept.
    pub averaged: Option<T::Model>,
    /// The optimiser's moments.
    pub adamw: AdamW<T::Model>,
    /// How each tensor is updated.
    pub groups: Vec<Group>,
    /// Where batches come from.
    pub loader: Loader,
    /// Executors and gradients that are used again.
    pub workers: WorkerPool<f32, T::Model>,
}

impl<T: Task> Learner<T> {
    /// A model that is about to be trained on `train`.
    ///
    /// # Errors
    /// If the data cannot be used with these settings, or the machine has not the memory or the device for them.
    pub fn new(
        task: T,
        config: T::Config,
        train: Arc<dyn Dataset>,
        model: impl FnOnce(&T::Config) -> Result<T::Model>,
    ) -> Result<Self> {
        Self::among(Arc::new(One), task, config, train, model)
    }

    /// The same on one of several ranks, each of which computes its share of the chunks of every batch.
    ///
    /// # Errors
    /// As [`Learner::new`], or if there are more ranks than chunks.
    pub fn among(
        ranks: Arc<dyn Ranks>,
        task: T,
        mut config: T::Config,
        train: Arc<dyn Dataset>,
        model: impl FnOnce(&T::Config) -> Result<T::Model>,
    ) -> Result<Self> {
        // Again, since the data has had its say: how many classes there are, for example.
        config.validate()?;
        let mut loader = open_loader(train, T::loader(&config), config.optim().accum_iter)?;
        let chunks = together::chunks(config.optim());
        if ranks.size() > 1 {
            let rows = together::rows(config.optim(), &*ranks, ranks.rank())?;
            loader = loader.only(Part { rows, mirrored: T::mixes(&config) });
        }
        T::memory(&config, rayon::current_num_threads()).among(&*ranks).require()?;
        let engine = config.run_mut().open_engine()?;
        let model = model(&config)?;
        let [beta1, beta2] = config.optim().betas;
        Ok(Self {
            adamw: AdamW::new(&model, (beta1, beta2)),
            averaged: T::ema_decay(&config).map(|_| model.clone()),
            groups: T::groups(&config, &model),
            workers: WorkerPool::new(engine).among(ranks, chunks),
            task,
            config,
            model,
            loader,
        })
    }

    /// The weights that are evaluated and kept: their moving average, where there is one.
    pub fn eval_model(&self) -> &T::Model {
        self.averaged.as_ref().unwrap_or(&self.model)
    }

    /// What the task judges, in a run's directory.
    pub fn eval_cx<'a>(&'a self, run: &'a RunDir) -> EvalCx<'a, T> {
        EvalCx { config: &self.config, model: self.eval_model(), workers: &self.workers, run }
    }

    /// Lets this rank alone judge or draw: nothing of it is shared with the others.
    pub fn alone<R>(&self, run: &RunDir, work: impl FnOnce(&EvalCx<'_, T>) -> R) -> R {
        let cx = self.eval_cx(run);
        if self.workers.ranks().size() == 1 {
            return work(&cx);
        }
        work(&EvalCx { workers: &self.workers.alone(), ..cx })
    }

    /// What the model reaches on validation images after so many epochs.
    ///
    /// # Errors
    /// If one of them cannot be read.
    pub fn evaluate(&mut self, run: &RunDir, epoch: u64) -> Result<Option<Validation>> {
        let step = epoch * self.steps_per_epoch();
        let model = self.averaged.as_ref().unwrap_or(&self.model);
        let cx = EvalCx { config: &self.config, model, workers: &self.workers, run };
        self.task.evaluate(&cx, step, epoch)
    }

    /// Optimiser steps in an epoch; an incomplete accumulation at its end is dropped.
    pub fn steps_per_epoch(&self) -> u64 {
        (self.loader.steps_per_epoch() / self.config.optim().accum_iter) as u64
    }

    /// Images that one optimiser step sees.
    pub fn images_per_step(&self) -> usize {
        self.config.optim().batch_size * self.config.optim().accum_iter
    }

    /// Which step optimiser step `i` of an epoch is. Its fraction of the epoch counts as the reference does: iterations of
    /// all batches, those of a dropped accumulation included.
    fn info(&self, epoch: u64, i: u64) -> StepInfo {
        let iterations = i as f64 * self.config.optim().accum_iter as f64;
        let done = iterations / self.loader.steps_per_epoch() as f64;
        let step = epoch * self.steps_per_epoch() + i + 1;
        StepInfo { step, epoch: epoch as f64 + done, images: self.images_per_step() }
    }

    /// The batches of an epoch, from optimiser step `first` of it on.
    #[expect(clippy::cast_possible_truncation, reason = "fewer than the samples of an epoch")]
    pub fn batches(&self, epoch: u64, first: u64) -> impl Iterator<Item = Result<Batch>> + use<T> {
        self.loader.epoch(epoch, first as usize * self.config.optim().accum_iter)
    }

    /// Optimiser step `i` of an epoch: loss and gradient of the next `accum_iter` batches, checks, clipping, learning
    /// rate, update. Between two batches `should_stop` is asked for the signal that asks to stop, if any.
    ///
    /// # Errors
    /// An image that cannot be read, a device that failed, or a loss or gradient that is not finite, where that ends the run.
    pub fn step(
        &mut self,
        epoch: u64,
        i: u64,
        batches: &mut dyn Iterator<Item = Result<Batch>>,
        should_stop: &dyn Fn() -> Option<u8>,
    ) -> Result<StepOutcome> {
        let (begun, info) = (Instant::now(), self.info(epoch, i));
        let Some((losses, mut grad)) = self.loss_and_grad(epoch, info, batches, should_stop)? else {
            return Ok(StepOutcome::Stopped);
        };
        let outcome = self.update(info, losses, &mut grad, begun);
        self.workers.recycle(grad);
        outcome
    }

    /// Mean losses and gradient of the iterations that make up the step; nothing if it was stopped.
    fn loss_and_grad(
        &mut self,
        epoch: u64,
        info: StepInfo,
        batches: &mut dyn Iterator<Item = Result<Batch>>,
        should_stop: &dyn Fn() -> Option<u8>,
    ) -> Result<Option<(Losses, T::Model)>> {
        let Self { task, config, model, workers, .. } = self;
        let (accum_iter, model) = (config.optim().accum_iter, &*model);
        let cx = StepCx { config, epoch, info, workers };
        let mut total: Option<(Losses, T::Model)> = None;
        for batch in batches.take(accum_iter) {
            let mut batch = batch?;
            let stop = total.as_ref().and_then(|_| should_stop());
            let stop = together::begin_batch(workers.ranks(), config.optim(), &mut batch, stop)?;
            if let Some((_, gradients)) = total.take_if(|_| stop.is_some()) {
                workers.recycle(gradients);
                return Ok(None);
            }
            let (losses, grad) = workers.checked(|| task.loss_and_grad(model, batch, &cx))?;
            total = Some(match total {
                None => (losses, grad),
                Some((mut sum, mut gradients)) => {
                    gradients.accumulate_in_parallel(&grad);
                    workers.recycle(grad);
                    sum.add(&losses);
                    (sum, gradients)
                }
            });
        }
        let (mut losses, mut grad) = total.expect("an epoch has as many batches as its steps take");
        if accum_iter > 1 {
            grad.scale(1.0 / accum_iter as f32);
            losses.divide(accum_iter);
        }
        Ok(Some((losses, grad)))
    }

    fn update(
        &mut self,
        info: StepInfo,
        Losses { loss, values }: Losses,
        grad: &mut T::Model,
        begun: Instant,
    ) -> Result<StepOutcome> {
        let StepInfo { step, epoch, images } = info;
        let grad_norm = clip::norm(grad, &self.groups);
        if let Some(skipped) = self.check_finite(step, loss, grad_norm, grad)? {
            return Ok(StepOutcome::Skipped(skipped));
        }
        let OptimConfig { clip_grad, .. } = *self.config.optim();
        if let Some(limit) = clip_grad {
            clip::clip(grad, grad_norm, limit);
        }
        let lr = self.config.optim().schedule().lr_at(epoch);
        self.adamw.step(&mut self.model, grad, &self.groups, lr);
        self.average();
        self.task.after_update(&mut self.model, info);
        let images_per_s = images as f64 / begun.elapsed().as_secs_f64();
        let (weights_digest, chain) = (None, None);
        let record =
            StepRecord { step, epoch, loss, lr, grad_norm, images_per_s, values, weights_digest, chain };
        Ok(StepOutcome::Done(record))
    }

    /// What is to be skipped, if anything is. Weights that are not finite cannot be skipped.
    fn check_finite(
        &self,
        step: u64,
        loss: f64,
        grad_norm: f64,
        grad: &T::Model,
    ) -> Result<Option<SkippedRecord>> {
        if loss.is_finite() && grad_norm.is_finite() {
            return Ok(None);
        }
        if let Some(tensor) = clip::first_not_finite(&self.model) {
            return Err(Error::NotFinite { step, tensor });
        }
        let tensor = match clip::first_not_finite(grad) {
            _ if !loss.is_finite() => "the loss".to_owned(),
            Some(name) => format!("the gradient of {name}"),
            None => "the norm of the gradient".to_owned(),
        };
        match self.config.run().on_nonfinite {
            OnNonfinite::Stop => Err(Error::NotFinite { step, tensor }),
            OnNonfinite::Skip => Ok(Some(SkippedRecord { step, tensor })),
        }
    }

    /// `a ← d a + (1 − d) w` with `d = min(decay, (1 + t) / (10 + t))` after step `t`: short runs are not dragged
    /// down by their first weights (the schedule of TensorFlow's `ExponentialMovingAverage`).
    fn average(&mut self) {
        let (Some(averaged), Some(decay)) = (&mut self.averaged, T::ema_decay(&self.config)) else {
            return;
        };
        let t = self.adamw.steps as f64;
        let keep = decay.min((1.0 + t) / (10.0 + t));
        #[expect(clippy::cast_possible_truncation, reason = "rounding to f32 is the purpose")]
        let (keep, take) = (keep as f32, (1.0 - keep) as f32);
        for (average, weight) in averaged.tensors_mut().into_iter().zip(self.model.tensors()) {
            average.data.write().iter_mut().zip(weight.data).for_each(|(a, w)| *a = keep * *a + take * w);
        }
    }

    /// Writes a checkpoint, whole or not at all.
    ///
    /// # Errors
    /// If it cannot be written; the previous one is then still there.
    pub fn write_checkpoint(&self, target: CheckpointTarget<'_>, state: State) -> Result<()> {
        save::save(target, state, &self.model, &self.adamw, self.averaged.as_ref(), &self.task.extras())
    }

    /// Takes weights, moments, moving average and the task's extras from a checkpoint.
    ///
    /// # Errors
    /// If they are not those of this model and task.
    pub fn restore(&mut self, checkpoint: &Checkpoint) -> Result<()> {
        let extras = self.task.extras_mut();
        save::restore(checkpoint, &mut self.model, &mut self.adamw, self.averaged.as_mut(), extras)
    }

    /// Takes over what rank 0 has learnt so far: weights, moving average and the task's extras, and where a run goes on also the
    /// optimiser's moments and count of steps.
    ///
    /// # Errors
    /// If a rank has failed on the way here.
    pub fn take_over(&mut self, resumed: bool) -> Result<()> {
        let ranks = self.workers.ranks();
        if ranks.size() == 1 {
            return Ok(());
        }
        let steps = together::from_first(ranks, &self.adamw.steps.to_le_bytes())?;
        self.adamw.steps = steps.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
        let mut tensors = self.model.tensors_mut();
        tensors.extend(self.averaged.iter_mut().flat_map(Params::tensors_mut));
        tensors.extend(self.task.extras_mut().into_iter().flat_map(|(_, tensors)| tensors));
        if resumed {
            tensors.extend(self.adamw.m.tensors_mut());
            tensors.extend(self.adamw.v.tensors_mut());
        }
        together::spread(ranks, tensors.into_iter().map(|tensor| tensor.data.write()));
        Ok(())
    }
}
