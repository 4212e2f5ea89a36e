//! BEiT-style pre-training (Bao et al. 2022): say which token each masked patch is. Tokens are nearest centroids of k-means,
//! since the paper's tokenizer cannot be had; so it is always named "BEiT-style (k-means tokens)".

pub mod codebook;
pub mod config;
pub mod eval_set;
pub mod gallery;
pub mod monitor;
pub mod outcome;
pub mod step;

pub use config::BeitSettings;
pub use outcome::Outcome;

use crate::base::Result;
use crate::checkpoint::Named;
use crate::data::{Augment, Batch, Dataset, LoaderConfig};
use crate::draw::report::Report;
use crate::models::beit::Beit;
use crate::optim::{Group, groups};
use crate::train::eval_images::what_validated;
use crate::train::memory::StepMemory;
use crate::train::metrics::Record;
use crate::train::run_dir::RunDir;
use crate::train::source::{Source, crop_area, loader};
use crate::train::task::{
    Architecture, Effort, EvalCx, Findings, Losses, Opened, Outcome as _, StepCx, Task, Trivial, Validation,
};
use codebook::Tokens;
use eval_set::EvalSet;
use std::sync::Arc;
use step::Masked;

/// What the method is called wherever it is named.
pub const NAME: &str = "BEiT-style (k-means tokens)";

/// Images on the sheet of tokens.
const PICTURES: usize = 8;

/// Pre-training by predicting tokens.
pub struct BeitStyle {
    /// What it learns from.
    train: Arc<dyn Dataset>,
    /// What is predicted.
    tokens: Tokens,
    /// Why there is no validation loss, if there is none.
    no_validation: Option<String>,
    /// What the best checkpoint is chosen by.
    validation: Option<EvalSet>,
    /// What is only reported.
    test: Option<EvalSet>,
    pictured: EvalSet,
}

impl Task for BeitStyle {
    type Config = BeitSettings;
    type Model = Beit<f32>;
    type Start = ();
    type Outcome = Outcome;

    const LOSS: &'static str = "loss (cross-entropy of masked patches' k-means tokens)";

    const NEXT: &'static [&'static str] =
        &["vit-mae probe --checkpoint {run} --knn", "vit-mae finetune --checkpoint {run}"];

    fn about(&self, config: &BeitSettings) -> Vec<(&'static str, String)> {
        let (model, ratio) = (config.beit(), 100.0 * config.mask.mask_ratio);
        let parameters =
            format!("{} parameters, {} of them trained", model.parameters(), model.trained_parameters());
        let from = config.beit.codebook.as_ref().map_or_else(
            || "k-means of the training images".to_owned(),
            |path| format!("codebook {}", path.display()),
        );
        let kind = if config.beit.normalised { "normalised patches" } else { "patches" };
        let crc = self.tokens.crc();
        let mut about = vec![
            ("data", self.train.describe()),
            ("method", NAME.to_owned()),
            ("model", format!("{} (width/blocks/heads); {parameters}", config.model)),
            ("tokens", format!("{} of {kind}: {from}, digest {crc:08x}", config.beit.tokens)),
            ("masking", format!("blocks, up to {ratio:.0} % of the patches")),
        ];
        about.extend(self.no_validation.as_ref().map(|why| ("note", format!("no validation loss: {why}"))));
        about
    }

    fn notes(&self) -> Vec<String> {
        self.train.notes().to_vec()
    }

    fn source(config: &BeitSettings) -> Result<Source> {
        Source::for_pretraining(&config.data, &config.run)
    }

    fn open(source: Source, config: &mut BeitSettings) -> Result<Opened<Self>> {
        let tokens = codebook::of_run(&*source.train, config, &())?;
        let count = config.run.held_out_images;
        let [validation, test] = [&source.validation, &source.test]
            .map(|set| set.as_ref().ok().map(|set| EvalSet::new(config, set, count)).transpose());
        let pictured = source.validation.as_ref().or(source.test.as_ref()).unwrap_or(&source.train);
        let task = Self {
            tokens,
            train: source.train.clone(),
            validation: validation?,
            test: test?,
            pictured: EvalSet::new(config, pictured, PICTURES)?,
            no_validation: source.validation.err(),
        };
        let sets = task.validation.iter().chain(&task.test).chain([&task.pictured]);
        let skipped = sets.flat_map(|set| set.of.skipped.clone()).collect();
        Ok(Opened { task, digest: source.train.digest()?, train: source.train, skipped })
    }

    fn loader(config: &BeitSettings) -> LoaderConfig {
        let shape = (config.model.img_size, config.model.in_chans);
        let augment = Augment { crop_area: crop_area(&config.data), flip: config.data.flip, ..Augment::NONE };
        loader(&config.data, vec![augment], shape, config.optim.batch_size, config.run.seed)
    }

    fn memory(config: &BeitSettings, threads: usize) -> StepMemory {
        config.memory(threads)
    }

    fn architecture(config: &BeitSettings) -> Architecture {
        let encoder = config.model.clone();
        Architecture { kind: NAME, encoder, decoder: None, norm_pix_loss: None, classes: Vec::new() }
    }

    fn model(config: &BeitSettings, (): &()) -> Result<Beit<f32>> {
        Ok(Beit::initialised(&config.beit(), config.run.seed))
    }

    fn blank(config: &BeitSettings) -> Beit<f32> {
        Beit::new(&config.beit())
    }

    fn start_again(_config: &BeitSettings) -> Result<()> {
        Ok(())
    }

    fn groups(config: &BeitSettings, model: &Beit<f32>) -> Vec<Group> {
        groups::pretraining(model, config.optim.weight_decay)
    }

    fn loss_and_grad(
        &mut self,
        model: &Beit<f32>,
        batch: Batch,
        cx: &StepCx<'_, Self>,
    ) -> (Losses, Beit<f32>) {
        let (masking, seed, size) = (cx.config.masking(), cx.config.run.seed, cx.config.optim.micro_batch);
        let masked: Vec<bool> =
            batch.samples.iter().flat_map(|&sample| masking.mask(seed, cx.epoch, sample).masked).collect();
        let batch = Masked { images: batch.views[0].view(), masked: &masked };
        step::loss_and_gradient(model, &self.tokens.tokenizer, batch, size, cx.workers)
    }

    fn evaluate(&mut self, cx: &EvalCx<'_, Self>, _: u64, _: u64) -> Result<Option<Validation>> {
        let Some(set) = &self.validation else { return Ok(None) };
        let seen = set.judge(cx.model, &self.tokens.tokenizer, cx.workers)?;
        let [accuracy, entropy, used] = seen.values();
        let scores = Named::scores([("loss", seen.loss()), accuracy, entropy, used]);
        Ok(Some(Validation { scores, details: None }))
    }

    fn trivial_predictors(&self) -> Result<Vec<Trivial>> {
        Ok(self.validation.as_ref().map_or(Vec::new(), |set| set.trivial(&self.tokens.tokenizer)))
    }

    fn flops_per_image(config: &BeitSettings) -> f64 {
        config.beit().flops_per_image(config.masking().target)
    }

    fn prepare(&self, run: &RunDir) -> Result<()> {
        self.tokens.write_on(run.disk(), &run.codebook())
    }

    fn draw(&self, cx: &EvalCx<'_, Self>, epoch: u64) -> Result<()> {
        let png = gallery::draw(cx.model, &self.tokens.tokenizer, cx.config, &self.pictured, cx.workers)?;
        cx.run.write_sheet(epoch, &png)
    }

    fn conclude(&self, cx: &EvalCx<'_, Self>, _: &[Record], effort: Effort) -> Result<Findings<Outcome>> {
        let outcome = Outcome::of(self, cx, effort)?;
        let uniform = (cx.config.beit.tokens as f64).ln();
        let report = Report {
            title: format!("{NAME} on {}", self.train.describe()),
            summary: outcome.summary(),
            sheets_heading: "Tokens, drawn by their centroids".to_owned(),
            sheets: cx.run.sheets_of_report()?,
            notes: vec![what_validated(
                self.validation.as_ref().map(|set| set.of.samples.len()),
                self.no_validation.as_deref(),
            )],
            ..Report::default()
        };
        let references = vec![("every token alike".to_owned(), uniform)];
        Ok(Findings { outcome, references, report })
    }
}

impl BeitStyle {
    /// The images on which trivial predictors are tried.
    fn judged(&self) -> &EvalSet {
        self.validation.as_ref().unwrap_or(&self.pictured)
    }
}
