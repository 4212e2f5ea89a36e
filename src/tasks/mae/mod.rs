//! The task of He et al. (2022): rebuild the patches that were removed.

pub mod config;
pub mod eval_set;
pub mod gallery;
pub mod load;
pub mod outcome;
pub mod presets;
pub mod step;

pub use config::Config;
pub use outcome::Outcome;

use crate::base::Result;
use crate::checkpoint::Named;
use crate::data::{Augment, Batch, Dataset, LoaderConfig};
use crate::draw::report::Report;
use crate::models::mae::cost::Cost;
use crate::models::mae::masking::len_keep;
use crate::models::mae::reconstruct::Stats;
use crate::models::mae::{Mae, Mask};
use crate::optim::{Group, groups};
use crate::train::eval_images::what_validated;
use crate::train::memory::StepMemory;
use crate::train::metrics::Record;
use crate::train::source::{Source, crop_area, loader, measure};
use crate::train::task::{
    Architecture, Effort, EvalCx, Findings, Losses, Opened, Outcome as _, StepCx, Task, Validation,
};
use eval_set::EvalSet;
use gallery::Rows;
use std::sync::Arc;

/// Images on the sheet of reconstructions.
const PICTURES: usize = 8;

/// Pre-training by reconstruction.
pub struct Pretrain {
    /// What it learns from.
    train: Arc<dyn Dataset>,
    /// Why there is no validation loss, if there is none.
    no_validation: Option<String>,
    /// What the best checkpoint is chosen by.
    validation: Option<EvalSet>,
    /// What the report names the loss of, and nothing else looks at.
    test: Option<EvalSet>,
    pictured: EvalSet,
}

impl Task for Pretrain {
    type Config = Config;
    type Model = Mae<f32>;
    type Start = ();
    type Outcome = Outcome;

    const LOSS: &'static str = "loss (mean squared error on masked patches)";

    const NEXT: &'static [&'static str] = &[
        "vit-mae reconstruct --checkpoint {run} IMAGE… --out rebuilt.png",
        "vit-mae pretrain --mask-ratio 0.9",
    ];

    fn about(&self, config: &Config) -> Vec<(&'static str, String)> {
        let (model, parameters) = (&config.model, config.model.parameters());
        let (width, depth, heads) = (model.decoder_embed_dim, model.decoder_depth, model.decoder_num_heads);
        let mut about = vec![
            ("data", self.train.describe()),
            (
                "model",
                format!(
                    "{}, decoder {width}/{depth}/{heads} (width/blocks/heads); {} parameters, {} of them trained",
                    model.vit(),
                    parameters.all,
                    parameters.trained,
                ),
            ),
            ("masking", format!("{:.0} % of the patches removed", 100.0 * config.mask.mask_ratio)),
        ];
        about.extend(self.no_validation.as_ref().map(|why| ("note", format!("no validation loss: {why}"))));
        about
    }

    fn notes(&self) -> Vec<String> {
        self.train.notes().to_vec()
    }

    fn source(config: &Config) -> Result<Source> {
        Source::for_pretraining(&config.data, &config.run)
    }

    fn open(source: Source, config: &mut Config) -> Result<Opened<Self>> {
        measure(&*source.train, &mut config.data, config.model.in_chans)?;
        let count = config.run.held_out_images;
        let [validation, test] = [&source.validation, &source.test]
            .map(|set| set.as_ref().ok().map(|set| EvalSet::new(config, set, count)).transpose());
        let pictured = source.validation.as_ref().or(source.test.as_ref()).unwrap_or(&source.train);
        let task = Self {
            train: source.train.clone(),
            validation: validation?,
            test: test?,
            pictured: EvalSet::new(config, pictured, PICTURES)?,
            no_validation: source.validation.err(),
        };
        let skipped = task.skipped();
        Ok(Opened { task, digest: source.train.digest()?, train: source.train, skipped })
    }

    fn loader(config: &Config) -> LoaderConfig {
        let shape = (config.model.img_size, config.model.in_chans);
        let augment = Augment { crop_area: crop_area(&config.data), flip: config.data.flip, ..Augment::NONE };
        loader(&config.data, vec![augment], shape, config.optim.batch_size, config.run.seed)
    }

    fn memory(config: &Config, threads: usize) -> StepMemory {
        config.memory(threads)
    }

    fn architecture(Config { model, .. }: &Config) -> Architecture {
        Architecture {
            kind: "masked autoencoder",
            encoder: model.vit(),
            decoder: Some(model.decoder_stack()),
            norm_pix_loss: Some(model.norm_pix_loss),
            classes: Vec::new(),
        }
    }

    fn model(config: &Config, (): &()) -> Result<Mae<f32>> {
        Ok(Mae::initialised(config.model.clone(), config.run.seed))
    }

    fn blank(config: &Config) -> Mae<f32> {
        Mae::new(config.model.clone())
    }

    fn start_again(_config: &Config) -> Result<()> {
        Ok(())
    }

    fn groups(config: &Config, model: &Mae<f32>) -> Vec<Group> {
        groups::pretraining(model, config.optim.weight_decay)
    }

    fn loss_and_grad(&mut self, model: &Mae<f32>, batch: Batch, cx: &StepCx<'_, Self>) -> (Losses, Mae<f32>) {
        let (masking, seed, size) = (cx.config.masking(), cx.config.run.seed, cx.config.optim.micro_batch);
        let masks: Vec<Mask> =
            batch.samples.iter().map(|&sample| masking.mask(seed, cx.epoch, sample)).collect();
        let (loss, grad) = step::loss_and_gradient(model, batch.views[0].view(), &masks, size, cx.workers);
        (loss.into(), grad)
    }

    fn evaluate(&mut self, cx: &EvalCx<'_, Self>, _: u64, _: u64) -> Result<Option<Validation>> {
        let Some(set) = &self.validation else { return Ok(None) };
        let loss = set.loss(cx.model, cx.workers)?;
        Ok(Some(Validation { scores: Named::scores([("loss", loss)]), details: None }))
    }

    fn flops_per_image(config: &Config) -> f64 {
        let len_keep = len_keep(config.model.num_patches(), config.mask.mask_ratio);
        Cost { config: &config.model, len_keep }.flops_per_image()
    }

    fn draw(&self, cx: &EvalCx<'_, Self>, epoch: u64) -> Result<()> {
        let set = &self.pictured;
        let rows = Rows { images: set.images.view(), masks: &set.masks, stats: Stats::Visible };
        cx.run.write_sheet(epoch, &gallery::draw(cx.model, cx.config, rows, cx.workers)?)
    }

    fn conclude(&self, cx: &EvalCx<'_, Self>, _: &[Record], effort: Effort) -> Result<Findings<Outcome>> {
        let outcome = Outcome::of(self, cx, effort)?;
        let report = Report {
            title: format!("Masked autoencoder on {}", self.train.describe()),
            summary: outcome.summary(),
            sheets_heading: "Reconstructions".to_owned(),
            sheets: cx.run.sheets_of_report()?,
            notes: vec![what_validated(
                self.validation.as_ref().map(|set| set.masks.len()),
                self.no_validation.as_deref(),
            )],
            ..Report::default()
        };
        Ok(Findings { references: outcome.references(), outcome, report })
    }
}

impl Pretrain {
    /// Images that could not be read and were left out of the validation, test and pictured images.
    fn skipped(&self) -> Vec<String> {
        let sets = self.validation.iter().chain(&self.test).chain([&self.pictured]);
        sets.flat_map(|set| set.skipped.clone()).collect()
    }
}
