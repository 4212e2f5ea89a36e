//! Pre-training, read aloud: batch, masks, loss and gradient, learning rate, update; then pictures, curve
//! and checkpoint.

use super::config::Config;
use super::held_out::HeldOut;
use super::metrics::{EpochRecord, Record, StepRecord, Writer};
use super::report::Report;
use super::run_dir::{RunDir, write_atomic};
use super::source::{Source, loader_config};
use super::workers::Workers;
use super::{gallery, plot, save, step};
use crate::base::{Error, Result};
use crate::checkpoint::{self, State};
use crate::data::{Batch, Loader};
use crate::mae::baseline::Baselines;
use crate::mae::reconstruct::Stats;
use crate::mae::{Mae, Mask};
use crate::optim::{AdamW, Group, clip, groups};
use crate::params::Params;
use std::collections::BTreeSet;
use std::time::Instant;

/// Images on the sheet of reconstructions.
const PICTURES: usize = 8;

/// Whoever watches a run: draws progress, and may ask it to stop.
pub trait Watch {
    /// After every optimiser step, of `total`.
    fn step(&mut self, record: &StepRecord, total: u64);
    /// After every epoch.
    fn epoch(&mut self, record: &EpochRecord);
    /// Whether the run shall save and stop after this step.
    fn stop(&self) -> bool;
}

/// A run that is ready to start.
pub struct Pretraining {
    /// Every setting, with the data's statistics filled in.
    pub config: Config,
    /// The model.
    pub model: Mae<f32>,
    /// How each tensor is updated.
    pub groups: Vec<Group>,
    /// Where everything is written.
    pub run: RunDir,
    /// One line about the training data.
    pub data: String,
    /// Why there is no held-out loss, if there is none.
    pub no_held_out: Option<String>,
    loader: Loader,
    held_out: Option<HeldOut>,
    pictured: HeldOut,
    data_digest: u32,
    adamw: AdamW<Mae<f32>>,
    workers: Workers<f32, Mae<f32>>,
    history: Vec<EpochRecord>,
}

/// What a finished run reached.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Of the last epoch.
    pub last: EpochRecord,
    /// On the held-out images (or, without them, on the pictured ones).
    pub baselines: Baselines,
    /// Training images a second over the whole run.
    pub images_per_s: f64,
    /// Seconds from the first step to the report.
    pub wall_secs: f64,
    /// Whether the target was normalised patch by patch.
    pub norm_pix_loss: bool,
    /// Images that could not be read and were replaced or left out.
    pub skipped: Vec<String>,
}

impl Pretraining {
    /// Opens the data, initialises the model and makes the run directory, in this order: nothing is
    /// written before everything that can be wrong with the input was found right.
    ///
    /// # Errors
    /// If the data cannot be used with these settings, or `out` cannot be written.
    pub fn new(mut config: Config, out: impl FnOnce() -> Result<RunDir>) -> Result<Self> {
        let source = Source::open(&config)?;
        source.complete(&mut config)?;
        let loader = Loader::new(source.train.clone(), loader_config(&config))?;
        let batches = loader.steps_per_epoch();
        if config.optim.accum_iter > batches {
            let expected = format!("at most {batches}, the batches of an epoch");
            return Err(Error::setting("optim.accum_iter", expected, config.optim.accum_iter));
        }
        let count = config.run.held_out_images;
        let held_out =
            source.held_out.as_ref().ok().map(|test| HeldOut::new(&config, test, count)).transpose()?;
        let pictured = source.held_out.as_ref().unwrap_or(&source.train);
        let pictured = HeldOut::new(&config, pictured, PICTURES)?;
        let data_digest = source.train.digest()?;
        let model = Mae::initialised(config.model.clone(), config.run.seed);
        let [beta1, beta2] = config.optim.betas;
        let run = out()?;
        write_atomic(&run.config(), config.to_toml()?.as_bytes())?;
        Ok(Self {
            adamw: AdamW::new(&model, (beta1, beta2)),
            groups: groups::pretraining(&model, config.optim.weight_decay),
            workers: Workers::new(config.run.gemm),
            data: source.train.describe(),
            no_held_out: source.held_out.err(),
            history: Vec::new(),
            config,
            model,
            run,
            loader,
            held_out,
            pictured,
            data_digest,
        })
    }

    /// Optimiser steps in an epoch; an incomplete accumulation at its end is dropped.
    pub fn steps_per_epoch(&self) -> u64 {
        (self.loader.steps_per_epoch() / self.config.optim.accum_iter) as u64
    }

    /// Trains to the end. `command` is what the user typed, for the report.
    ///
    /// # Errors
    /// A loss that is not finite, an image that cannot be read, a file that cannot be written, or
    /// [`Error::Interrupted`] after saving. If it is an image and there is no checkpoint yet, the run
    /// directory goes away again.
    pub fn train(&mut self, command: &str, watch: &mut dyn Watch) -> Result<Outcome> {
        let outcome = self.all_epochs(command, watch);
        if let Err(Error::Input { .. } | Error::Read { .. }) = outcome
            && checkpoint::dir::find(self.run.path()).is_err()
        {
            self.run.discard()?;
        }
        outcome
    }

    fn all_epochs(&mut self, command: &str, watch: &mut dyn Watch) -> Result<Outcome> {
        let start = Instant::now();
        let mut metrics = Writer::create(self.run.metrics())?;
        let mut records = Vec::new();
        let epochs = self.config.optim.epochs;
        for epoch in 0..epochs {
            let record = self.epoch(epoch, &mut metrics, &mut records, watch)?;
            self.history.push(record.clone());
            records.push(Record::Epoch(record.clone()));
            metrics.append(&Record::Epoch(record.clone()))?;
            watch.epoch(&record);
            let due = |every: u64| (epoch + 1) % every == 0 || epoch + 1 == epochs;
            if due(self.config.run.pictures_every_epochs) {
                self.draw(epoch + 1)?;
            }
            if due(self.config.run.checkpoint_every_epochs) {
                self.save(epoch + 1, record.step)?;
            }
        }
        self.report(&records, command, start.elapsed().as_secs_f64())
    }

    /// One pass over the data.
    fn epoch(
        &mut self,
        epoch: u64,
        metrics: &mut Writer,
        records: &mut Vec<Record>,
        watch: &mut dyn Watch,
    ) -> Result<EpochRecord> {
        let (start, waited) = (Instant::now(), self.loader.waited());
        let (steps, accum_iter) = (self.steps_per_epoch(), self.config.optim.accum_iter);
        let images_per_step = self.config.optim.batch_size * accum_iter;
        let mut batches = self.loader.epoch(epoch, 0);
        let mut loss_sum = 0.0;
        for i in 0..steps {
            let step_start = Instant::now();
            let number = epoch * steps + i;
            let (loss, mut grad) = self.accumulate(epoch, &mut batches)?;
            let grad_norm = clip::norm(&grad, &self.groups);
            self.check_finite(number + 1, loss, grad_norm, &grad)?;
            if let Some(limit) = self.config.optim.clip_grad {
                clip::clip(&mut grad, grad_norm, limit);
            }
            // As the reference counts: iterations of all batches, those of a dropped accumulation included.
            let at = epoch as f64 + (i as f64 * accum_iter as f64) / self.loader.steps_per_epoch() as f64;
            let lr = self.config.schedule().lr_at(at);
            self.adamw.step(&mut self.model, &grad, &self.groups, lr);
            self.workers.give_back(grad);
            loss_sum += loss;

            let images_per_s = images_per_step as f64 / step_start.elapsed().as_secs_f64();
            let record = StepRecord { step: number + 1, epoch: at, loss, lr, grad_norm, images_per_s };
            if (number + 1).is_multiple_of(self.config.run.log_every_steps) {
                metrics.append(&Record::Step(record.clone()))?;
                records.push(Record::Step(record.clone()));
            }
            watch.step(&record, steps * self.config.optim.epochs);
            if watch.stop() {
                self.save(epoch, number + 1)?;
                return Err(Error::Interrupted { run: self.run.path().to_path_buf(), step: number + 1 });
            }
        }
        let wall_secs = start.elapsed().as_secs_f64();
        Ok(EpochRecord {
            epoch: epoch + 1,
            step: (epoch + 1) * steps,
            train_loss: loss_sum / steps as f64,
            held_out_loss: self.held_out.as_ref().map(|set| set.loss(&self.model, &self.workers)),
            wall_secs,
            images_per_s: (steps as f64 * images_per_step as f64) / wall_secs,
            data_wait_secs: self.loader.waited().saturating_sub(waited).as_secs_f64(),
        })
    }

    /// Mean loss and gradient of the `accum_iter` iterations that make up one step.
    fn accumulate(
        &self,
        epoch: u64,
        batches: &mut impl Iterator<Item = Result<Batch>>,
    ) -> Result<(f64, Mae<f32>)> {
        let masking = self.config.masking();
        let accum_iter = self.config.optim.accum_iter;
        let mut total: Option<(f64, Mae<f32>)> = None;
        for batch in batches.take(accum_iter) {
            let batch = batch?;
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
        Ok((loss / accum_iter as f64, grad))
    }

    fn check_finite(&self, step: u64, loss: f64, grad_norm: f64, grad: &Mae<f32>) -> Result<()> {
        if loss.is_finite() && grad_norm.is_finite() {
            return Ok(());
        }
        let tensor = match clip::first_not_finite(&self.model) {
            Some(name) => name,
            None if !loss.is_finite() => "the loss".to_owned(),
            None => match clip::first_not_finite(grad) {
                Some(name) => format!("the gradient of {name}"),
                None => "the norm of the gradient".to_owned(),
            },
        };
        Err(Error::NotFinite { step, tensor })
    }

    fn save(&self, epoch: u64, step: u64) -> Result<()> {
        if let Some(tensor) = clip::first_not_finite(&self.model) {
            return Err(Error::NotFinite { step, tensor });
        }
        let config_toml = self.config.to_toml()?;
        let state = State {
            step,
            epoch,
            seed: self.config.run.seed,
            config_digest: crc32fast::hash(config_toml.as_bytes()),
            data_digest: self.data_digest,
            history: self.history.clone(),
            config_toml,
            ..State::default()
        };
        save::save(self.run.path(), state, &self.model, &self.adamw)
    }

    fn draw(&self, epoch: u64) -> Result<()> {
        let set = &self.pictured;
        let png = gallery::draw(&self.model, &self.config, set.images.view(), &set.masks, Stats::Visible)?;
        write_atomic(&self.run.sheet(epoch), &png)
    }

    /// Writes `loss.svg` and `report.html`.
    fn report(&self, records: &[Record], command: &str, wall_secs: f64) -> Result<Outcome> {
        let last = self.history.last().cloned().expect("at least one epoch was trained");
        let baselines =
            self.held_out.as_ref().unwrap_or(&self.pictured).baselines(&self.model, &self.workers);
        let images = last.epoch as f64 * self.steps_per_epoch() as f64;
        let images = images * (self.config.optim.batch_size * self.config.optim.accum_iter) as f64;
        let beside = self.held_out.iter().chain([&self.pictured]).flat_map(|set| set.skipped.clone());
        let skipped: BTreeSet<String> = self.loader.skipped().into_iter().chain(beside).collect();
        let outcome = Outcome {
            norm_pix_loss: self.config.model.norm_pix_loss,
            last,
            baselines,
            images_per_s: images / wall_secs,
            wall_secs,
            skipped: skipped.into_iter().collect(),
        };

        let loss_svg = plot::loss_svg(records, &outcome.references())?;
        write_atomic(&self.run.loss_svg(), loss_svg.as_bytes())?;
        let mut sheets = Vec::new();
        for path in self.run.sheets()?.into_iter().rev() {
            let name = path.file_stem().unwrap_or_default().to_string_lossy().replace("epoch-", "epoch ");
            sheets.push((name, std::fs::read(&path).map_err(Error::read(&path))?));
        }
        let report = Report {
            title: format!("Masked autoencoder on {}", self.data),
            summary: outcome.summary(self.config.model.parameters().all),
            settings_toml: self.config.to_toml()?,
            loss_svg,
            lr_svg: plot::lr_svg(records)?,
            sheets,
            notes: self.notes(&outcome),
            command: command.to_owned(),
        };
        report.write(&self.run.report_html())?;
        Ok(outcome)
    }

    fn notes(&self, outcome: &Outcome) -> Vec<String> {
        let held_out = self.no_held_out.iter().map(|why| {
            format!(
                "No held-out loss: {why}. The trivial predictors were tried on the pictured training images."
            )
        });
        let skipped = outcome.skipped.iter().map(|image| format!("Skipped: {image}"));
        let groups = std::iter::once(format!("Parameter groups: {}.", groups::summary(&self.groups)));
        groups.chain(held_out).chain(skipped).collect()
    }
}

impl Outcome {
    /// The trivial predictors, for the curve's dashed lines.
    #[must_use]
    pub fn references(&self) -> Vec<(String, f64)> {
        let named = self.baselines.named(self.norm_pix_loss).into_iter();
        named.map(|(name, loss)| (format!("predicting {name}"), loss)).collect()
    }

    /// The numbers on top of the report.
    #[must_use]
    pub fn summary(&self, parameters: usize) -> Vec<(String, String)> {
        let mut rows = vec![("training loss, last epoch".to_owned(), format!("{:.4}", self.last.train_loss))];
        if let Some(loss) = self.last.held_out_loss {
            rows.push(("held-out loss".to_owned(), format!("{loss:.4}")));
        }
        rows.extend(self.references().into_iter().map(|(name, loss)| (name, format!("{loss:.4}"))));
        rows.push(("images per second".to_owned(), format!("{:.0}", self.images_per_s)));
        rows.push(("wall time".to_owned(), format!("{:.0} s", self.wall_secs)));
        rows.push(("parameters".to_owned(), parameters.to_string()));
        rows
    }
}
