//! What every kind of training does with a batch's loss and gradient: accumulate, check, clip, update.

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

/// Mean loss and gradient of the `accum_iter` iterations that make up one step. Between two of them `call_off` is
/// asked whether to go on; if not, there is nothing.
///
/// # Errors
/// An image that cannot be read.
pub(super) fn accumulate<P: Params<f32>>(
    batches: &mut dyn Iterator<Item = Result<Batch>>,
    accum_iter: usize,
    workers: &Workers<f32, P>,
    call_off: &dyn Fn() -> bool,
    loss_and_gradient: impl Fn(Batch) -> (f64, P),
) -> Result<Option<(f64, P)>> {
    let mut total: Option<(f64, P)> = None;
    for batch in batches.take(accum_iter) {
        let batch = batch?;
        if let Some((_, gradients)) = total.take_if(|_| call_off()) {
            workers.give_back(gradients);
            return Ok(None);
        }
        let (loss, grad) = loss_and_gradient(batch);
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

/// What an update needs beside the gradient.
pub(super) struct Update<'a, P> {
    pub(super) model: &'a mut P,
    pub(super) adamw: &'a mut AdamW<P>,
    pub(super) groups: &'a [Group],
    pub(super) optim: &'a OptimConfig,
    pub(super) on_nonfinite: OnNonfinite,
    /// The step's number, counted from 1.
    pub(super) step: u64,
    /// Epochs done, with the fraction of the current one.
    pub(super) epoch: f64,
    /// When the step began, and how many images it took.
    pub(super) begun: Instant,
    pub(super) images: usize,
}

impl<P: Params<f32>> Update<'_, P> {
    /// Clips the gradient if that is asked for, sets the learning rate, updates the weights.
    ///
    /// # Errors
    /// A loss or gradient that is not finite, where that ends the run.
    pub(super) fn apply(self, loss: f64, grad: &mut P) -> Result<Stepped> {
        let grad_norm = clip::norm(grad, self.groups);
        if let Some(skipped) = self.check_finite(loss, grad_norm, grad)? {
            return Ok(Stepped::Skipped(skipped));
        }
        if let Some(limit) = self.optim.clip_grad {
            clip::clip(grad, grad_norm, limit);
        }
        let lr = self.optim.schedule().lr_at(self.epoch);
        self.adamw.step(self.model, grad, self.groups, lr);
        Ok(Stepped::Done(StepRecord {
            step: self.step,
            epoch: self.epoch,
            loss,
            lr,
            grad_norm,
            images_per_s: self.images as f64 / self.begun.elapsed().as_secs_f64(),
            weights_digest: None,
            chain: None,
        }))
    }

    /// What is to be skipped, if anything is. Weights that are not finite cannot be skipped.
    fn check_finite(&self, loss: f64, grad_norm: f64, grad: &P) -> Result<Option<SkippedRecord>> {
        if loss.is_finite() && grad_norm.is_finite() {
            return Ok(None);
        }
        let step = self.step;
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
