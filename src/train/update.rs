//! One optimiser step, the same for every kind of training: accumulate, check, clip, update.

use super::metrics::{SkippedRecord, StepRecord};
use super::sections::{OnNonfinite, OptimConfig};
use super::workers::Workers;
use crate::base::{Error, Result};
use crate::data::Batch;
use crate::optim::{AdamW, Group, clip};
use crate::params::Params;
use std::time::Instant;

/// What became of a step.
pub enum Stepped {
    /// The weights were updated.
    Done(StepRecord),
    /// Its loss or gradient was not finite, and nothing was changed.
    Skipped(SkippedRecord),
    /// It was called off half-way, and nothing was changed.
    CalledOff,
}

/// Which step it is.
#[derive(Clone, Copy, Debug)]
pub struct At {
    /// Its number, counted from 1.
    pub step: u64,
    /// Epochs done, with the fraction of the current one.
    pub epoch: f64,
    /// Images that it takes.
    pub images: usize,
}

/// What an optimiser step reads and changes.
pub(super) struct Update<'a, P> {
    pub(super) model: &'a mut P,
    pub(super) adamw: &'a mut AdamW<P>,
    pub(super) groups: &'a [Group],
    pub(super) workers: &'a Workers<f32, P>,
    pub(super) optim: &'a OptimConfig,
    pub(super) on_nonfinite: OnNonfinite,
    pub(super) at: At,
}

impl<P: Params<f32>> Update<'_, P> {
    /// Takes the step: loss and gradient of the next `accum_iter` batches, checks, clipping, learning rate, update.
    /// Between two batches `call_off` is asked whether to stop.
    ///
    /// # Errors
    /// An image that cannot be read, a device that failed, or a loss or gradient that is not finite, where that ends the run.
    pub(super) fn take(
        self,
        batches: &mut dyn Iterator<Item = Result<Batch>>,
        call_off: &dyn Fn() -> bool,
        loss_and_gradient: impl Fn(&P, Batch) -> (f64, P),
    ) -> Result<Stepped> {
        let (begun, workers) = (Instant::now(), self.workers);
        let Some((loss, mut grad)) = self.accumulate(batches, call_off, loss_and_gradient)? else {
            return Ok(Stepped::CalledOff);
        };
        let stepped = self.apply(loss, &mut grad, begun);
        workers.give_back(grad);
        stepped
    }

    /// Mean loss and gradient of the iterations that make up the step; nothing if it was called off.
    fn accumulate(
        &self,
        batches: &mut dyn Iterator<Item = Result<Batch>>,
        call_off: &dyn Fn() -> bool,
        loss_and_gradient: impl Fn(&P, Batch) -> (f64, P),
    ) -> Result<Option<(f64, P)>> {
        let (accum_iter, workers) = (self.optim.accum_iter, self.workers);
        let mut total: Option<(f64, P)> = None;
        for batch in batches.take(accum_iter) {
            let batch = batch?;
            if let Some((_, gradients)) = total.take_if(|_| call_off()) {
                workers.give_back(gradients);
                return Ok(None);
            }
            let (loss, grad) = workers.with_weights(self.model, || loss_and_gradient(self.model, batch))?;
            total = Some(match total {
                None => (loss, grad),
                Some((sum, mut gradients)) => {
                    gradients.accumulate(&grad);
                    workers.give_back(grad);
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

    fn apply(self, loss: f64, grad: &mut P, begun: Instant) -> Result<Stepped> {
        let grad_norm = clip::norm(grad, self.groups);
        if let Some(skipped) = self.check_finite(loss, grad_norm, grad)? {
            return Ok(Stepped::Skipped(skipped));
        }
        if let Some(limit) = self.optim.clip_grad {
            clip::clip(grad, grad_norm, limit);
        }
        let At { step, epoch, images } = self.at;
        let lr = self.optim.schedule().lr_at(epoch);
        self.adamw.step(self.model, grad, self.groups, lr);
        self.workers.changed(self.groups);
        let images_per_s = images as f64 / begun.elapsed().as_secs_f64();
        let (weights_digest, chain) = (None, None);
        Ok(Stepped::Done(StepRecord {
            step,
            epoch,
            loss,
            lr,
            grad_norm,
            images_per_s,
            weights_digest,
            chain,
        }))
    }

    /// What is to be skipped, if anything is. Weights that are not finite cannot be skipped.
    fn check_finite(&self, loss: f64, grad_norm: f64, grad: &P) -> Result<Option<SkippedRecord>> {
        if loss.is_finite() && grad_norm.is_finite() {
            return Ok(None);
        }
        let step = self.at.step;
        if let Some(tensor) = clip::first_not_finite(self.model) {
            return Err(Error::NotFinite { step, tensor });
        }
        let tensor = match clip::first_not_finite(grad) {
            _ if !loss.is_finite() => "the loss".to_owned(),
            Some(name) => format!("the gradient of {name}"),
            None => "the norm of the gradient".to_owned(),
        };
        match self.on_nonfinite {
            OnNonfinite::Stop => Err(Error::NotFinite { step, tensor }),
            OnNonfinite::Skip => Ok(Some(SkippedRecord { step, tensor })),
        }
    }
}
