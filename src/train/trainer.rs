//! A model in training, and what one optimiser step does to it: batch, masks, loss and gradient, learning
//! rate, update.

use super::config::{Config, OnNonfinite};
use super::metrics::{SkippedRecord, StepRecord};
use super::source::loader_config;
use super::step;
use super::workers::Workers;
use crate::base::{Error, Result};
use crate::data::{Batch, Dataset, Loader};
use crate::mae::{Mae, Mask};
use crate::optim::{AdamW, Group, clip, groups};
use crate::params::Params;
use std::sync::Arc;
use std::time::Instant;

/// Everything that an optimiser step reads or changes. It is a function of the settings, the data and the
/// number of steps done, and of nothing else.
pub struct Trainer {
    /// Every setting, with the data's statistics filled in.
    pub config: Config,
    /// The model.
    pub model: Mae<f32>,
    /// The optimiser's moments.
    pub adamw: AdamW<Mae<f32>>,
    /// How each tensor is updated.
    pub groups: Vec<Group>,
    /// Where batches come from.
    pub loader: Loader,
    /// Executors and gradients that are used again.
    pub workers: Workers<f32, Mae<f32>>,
}

/// What became of a step.
pub enum Stepped {
    /// The weights were updated.
    Done(StepRecord),
    /// Its loss or gradient was not finite, and nothing was changed.
    Skipped(SkippedRecord),
    /// It was called off half-way, and nothing was changed.
    CalledOff,
}

impl Trainer {
    /// A model with its initial weights.
    ///
    /// # Errors
    /// If the data cannot be used with these settings.
    pub fn new(config: Config, train: Arc<dyn Dataset>) -> Result<Self> {
        let loader = Loader::new(train, loader_config(&config))?;
        let batches = loader.steps_per_epoch();
        if config.optim.accum_iter > batches {
            let expected = format!("at most {batches}, the batches of an epoch");
            return Err(Error::setting("optim.accum_iter", expected, config.optim.accum_iter));
        }
        let model = Mae::initialised(config.model.clone(), config.run.seed);
        let [beta1, beta2] = config.optim.betas;
        Ok(Self {
            adamw: AdamW::new(&model, (beta1, beta2)),
            groups: groups::pretraining(&model, config.optim.weight_decay),
            workers: Workers::new(config.run.gemm),
            config,
            model,
            loader,
        })
    }

    /// Optimiser steps in an epoch; an incomplete accumulation at its end is dropped.
    pub fn steps_per_epoch(&self) -> u64 {
        (self.loader.steps_per_epoch() / self.config.optim.accum_iter) as u64
    }

    /// Images that one optimiser step sees.
    pub fn images_per_step(&self) -> usize {
        self.config.optim.batch_size * self.config.optim.accum_iter
    }

    /// The batches of an epoch, from optimiser step `first` of it on.
    #[expect(clippy::cast_possible_truncation, reason = "fewer than the samples of an epoch")]
    pub fn batches(&self, epoch: u64, first: u64) -> impl Iterator<Item = Result<Batch>> + use<> {
        self.loader.epoch(epoch, first as usize * self.config.optim.accum_iter)
    }

    /// Optimiser step `i` of an epoch, on the next `accum_iter` batches. Between two of them `call_off` is asked
    /// whether to go on.
    ///
    /// # Errors
    /// An image that cannot be read, or a loss or gradient that is not finite.
    pub fn step(
        &mut self,
        epoch: u64,
        i: u64,
        batches: &mut impl Iterator<Item = Result<Batch>>,
        call_off: &dyn Fn() -> bool,
    ) -> Result<Stepped> {
        let start = Instant::now();
        let (optim, number) = (&self.config.optim, epoch * self.steps_per_epoch() + i + 1);
        let Some((loss, mut grad)) = self.accumulate(epoch, batches, call_off)? else {
            return Ok(Stepped::CalledOff);
        };
        let grad_norm = clip::norm(&grad, &self.groups);
        if let Some(skipped) = self.check_finite(number, loss, grad_norm, &grad)? {
            self.workers.give_back(grad);
            return Ok(Stepped::Skipped(skipped));
        }
        if let Some(limit) = optim.clip_grad {
            clip::clip(&mut grad, grad_norm, limit);
        }
        // As the reference counts: iterations of all batches, those of a dropped accumulation included.
        let iterations = (i as f64 * optim.accum_iter as f64) / self.loader.steps_per_epoch() as f64;
        let at = epoch as f64 + iterations;
        let lr = self.config.schedule().lr_at(at);
        self.adamw.step(&mut self.model, &grad, &self.groups, lr);
        self.workers.give_back(grad);
        let images_per_s = self.images_per_step() as f64 / start.elapsed().as_secs_f64();
        let (weights_digest, chain) = (None, None);
        Ok(Stepped::Done(StepRecord {
            step: number,
            epoch: at,
            loss,
            lr,
            grad_norm,
            images_per_s,
            weights_digest,
            chain,
        }))
    }

    /// Mean loss and gradient of the `accum_iter` iterations that make up one step.
    fn accumulate(
        &self,
        epoch: u64,
        batches: &mut impl Iterator<Item = Result<Batch>>,
        call_off: &dyn Fn() -> bool,
    ) -> Result<Option<(f64, Mae<f32>)>> {
        let masking = self.config.masking();
        let accum_iter = self.config.optim.accum_iter;
        let mut total: Option<(f64, Mae<f32>)> = None;
        for batch in batches.take(accum_iter) {
            let batch = batch?;
            if let Some((_, gradients)) = total.take_if(|_| call_off()) {
                self.workers.give_back(gradients);
                return Ok(None);
            }
            let mask = |&sample: &u64| masking.mask(self.config.run.seed, epoch, sample);
            let masks: Vec<Mask> = batch.samples.iter().map(mask).collect();
            let micro_batch = self.config.optim.micro_batch;
            let images = batch.images.view();
            let (loss, grad) =
                step::loss_and_gradient(&self.model, images, &masks, micro_batch, &self.workers);
            total = Some(match total {
                None => (loss, grad),
                Some((sum, mut gradients)) => {
                    gradients.accumulate(&grad);
                    self.workers.give_back(grad);
                    (sum + loss, gradients)
                }
            });
        }
        let (loss, mut grad) = total.expect("an epoch has as many batches as its steps take");
        if accum_iter > 1 {
            grad.scale(1.0 / accum_iter as f32);
        }
        Ok(Some((loss / accum_iter as f64, grad)))
    }

    /// What is to be skipped, if anything is. Weights that are not finite cannot be skipped.
    fn check_finite(
        &self,
        step: u64,
        loss: f64,
        grad_norm: f64,
        grad: &Mae<f32>,
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
        match self.config.run.on_nonfinite {
            OnNonfinite::Stop => Err(Error::NotFinite { step, tensor }),
            OnNonfinite::Skip => Ok(Some(SkippedRecord { step, tensor })),
        }
    }
}
