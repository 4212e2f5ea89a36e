//! The task of classification: a pre-trained encoder with a new head, trained end to end on labelled images.

pub mod config;
pub mod evaluate;
mod judge;
mod labelled;
pub mod outcome;
pub mod recipes;
pub mod splits;
pub mod step;
pub mod summary;

pub use config::FinetuneConfig;
pub use outcome::Outcome;

use crate::base::Result;
use crate::checkpoint::Named;
use crate::data::{Batch, Dataset, LoaderConfig};
use crate::draw::report::Report;
use crate::models::classify::{Classifier, cross_entropy};
use crate::optim::{Group, groups};
use crate::tasks::Metrics;
use crate::tasks::classify::evaluate::Evaluation;
use crate::tasks::classify::splits::Splits;
use crate::tasks::confusion;
use crate::tasks::per_picture::PerPicture;
use crate::tasks::transfer::{Fitted, Start, StepOptions, load_best};
use crate::train::curves;
use crate::train::memory::StepMemory;
use crate::train::metrics::{Measured, Record, ValidationRecord};
use crate::train::source::{self, Source};
use crate::train::task::{
    Architecture, Effort, EvalCx, Findings, Losses, Opened, Outcome as _, StepCx, Task, Trivial, Validation,
};
use std::sync::Arc;
use step::Labelled;

/// Fine-tuning for classification.
pub struct Classify {
    /// Its images.
    pub images: Splits,
    /// Of the validation images after the last epoch of this process.
    validated: Option<Metrics>,
}

impl Task for Classify {
    type Config = FinetuneConfig;
    type Model = Classifier<f32>;
    type Start = Start;
    type Outcome = Outcome;

    const LOSS: &'static str = "loss (cross-entropy)";

    const NEXT: &'static [&'static str] = &["vit-mae eval --checkpoint {run}"];

    fn about(&self, config: &FinetuneConfig) -> Vec<(&'static str, String)> {
        let (images, model, transfer) = (&self.images, &config.model, &config.finetune);
        let count = |set: Option<&Arc<dyn Dataset>>| match set.map(|set| set.len()) {
            None => "no images".to_owned(),
            Some(1) => "1 image".to_owned(),
            Some(n) => format!("{n} images"),
        };
        let (train, validation) = (count(Some(&images.train)), count(images.validation.as_ref()));
        let test = count(images.test.as_ref().ok());
        let from = transfer.origin();
        let split = format!("{train} to train on, {validation} to choose the epoch, {test} to judge it once");
        let mut about = vec![
            ("data", images.train.describe()),
            ("split", split),
            ("model", format!("{} (width/blocks/heads), {} classes, {from}", model.vit(), model.num_classes)),
            ("layers", format!("learning rate of each {} of that above it", transfer.layer_decay)),
        ];
        about.extend(images.test.as_ref().err().map(|why| ("note", format!("no test split: {why}"))));
        about
    }

    fn notes(&self) -> Vec<String> {
        let images = &self.images;
        let sets = std::iter::once(&images.all).chain(&images.validation).chain(&images.test);
        sets.flat_map(|set| set.notes().to_vec()).collect()
    }

    fn source(config: &FinetuneConfig) -> Result<Source> {
        Source::of(&config.data)
    }

    fn open(source: Source, config: &mut FinetuneConfig) -> Result<Opened<Self>> {
        let (images, skipped) = labelled::open(source, config)?;
        let (digest, train) = (images.all.digest()?, images.train.clone());
        Ok(Opened { task: Self { images, validated: None }, train, digest, skipped })
    }

    fn loader(config: &FinetuneConfig) -> LoaderConfig {
        let shape = (config.model.img_size, config.model.in_chans);
        let augment = config.augment.augment(source::crop_area(&config.data), config.data.flip);
        source::loader(&config.data, vec![augment], shape, config.optim.batch_size, config.run.seed)
    }

    fn mixes(config: &FinetuneConfig) -> bool {
        config.augment.mixing().is_possible()
    }

    fn memory(config: &FinetuneConfig, threads: usize) -> StepMemory {
        config.memory(threads)
    }

    fn architecture(config: &FinetuneConfig) -> Architecture {
        let (encoder, classes) = (config.model.vit(), config.finetune.classes.clone());
        Architecture { kind: "classifier", encoder, decoder: None, norm_pix_loss: None, classes }
    }

    fn model(config: &FinetuneConfig, start: &Start) -> Result<Classifier<f32>> {
        let (model, seed) = (&config.model, config.run.seed);
        Ok(match start.encoder(&model.vit())? {
            Some(encoder) => Classifier::from_encoder(encoder, model, seed),
            None => Classifier::initialised(model, seed),
        })
    }

    fn blank(config: &FinetuneConfig) -> Classifier<f32> {
        Classifier::new(&config.model)
    }

    fn start_again(config: &FinetuneConfig) -> Result<Start> {
        Start::again(&config.finetune)
    }

    fn groups(config: &FinetuneConfig, model: &Classifier<f32>) -> Vec<Group> {
        let (decay, transfer) = (config.optim.weight_decay, &config.finetune);
        groups::finetuning(model, decay, transfer.layer_decay, config.model.depth, transfer.tune_blocks)
    }

    fn ema_decay(config: &FinetuneConfig) -> Option<f64> {
        config.finetune.ema_decay
    }

    fn loss_and_grad(
        &mut self,
        model: &Classifier<f32>,
        mut batch: Batch,
        cx: &StepCx<'_, Self>,
    ) -> (Losses, Classifier<f32>) {
        let (config, epoch) = (cx.config, cx.epoch);
        let options = StepOptions::new(config, &config.finetune, epoch);
        let labels: Vec<usize> =
            batch.targets.iter().map(|target| target.class().expect("labelled data")).collect();
        let targets = cross_entropy::targets(&labels, config.model.num_classes, config.augment.smoothing);
        let [height, width] = config.model.img_size;
        // The first sample's address is as good as a number: no other batch of the epoch begins with it.
        let mix = config.augment.mixing().draw(height, width, options.seed, epoch, batch.samples[0]);
        mix.images(&mut batch.views[0]);
        let targets = mix.targets(&targets);
        let (images, targets, samples) = (batch.views[0].view(), targets.view(), &batch.samples[..]);
        let labelled = Labelled { images, targets, samples };
        let (loss, grad) = step::loss_and_gradient(model, &labelled, &options, cx.workers);
        (loss.into(), grad)
    }

    fn evaluate(&mut self, cx: &EvalCx<'_, Self>, step: u64, epoch: u64) -> Result<Option<Validation>> {
        let Some(set) = &self.images.validation else { return Ok(None) };
        let metrics = evaluate(cx, cx.model, set)?.metrics;
        let recall = (0..metrics.classes()).map(|class| metrics.recall(class)).collect();
        let values = [
            ("top1", Measured::Number(metrics.top1_share())),
            ("top5", Measured::Number(metrics.top5_share())),
            ("recall", Measured::PerClass(recall)),
        ];
        let details = ValidationRecord {
            step,
            epoch,
            images: metrics.images(),
            values: Named(values.map(|(name, value)| (name.to_owned(), value)).into()),
        };
        let scores = Named::scores([("accuracy", metrics.top1_share()), ("loss", metrics.cross_entropy())]);
        self.validated = Some(metrics);
        Ok(Some(Validation { scores, details: Some(details) }))
    }

    /// The most frequent class, by its accuracy, and all classes alike, by their cross-entropy: `ln K`.
    fn trivial_predictors(&self) -> Result<Vec<Trivial>> {
        let Some(set) = &self.images.validation else { return Ok(Vec::new()) };
        let mut images = vec![0_u32; set.classes().len()];
        set.labels()?.into_iter().for_each(|label| images[label] += 1);
        let most = f64::from(images.iter().copied().max().unwrap_or(0)) / set.len() as f64;
        let uniform = (images.len() as f64).ln();
        Ok(vec![
            Trivial { score: "accuracy", predicting: "the most frequent class", value: most },
            Trivial { score: "loss", predicting: "every class alike", value: uniform },
        ])
    }

    fn flops_per_image(config: &FinetuneConfig) -> f64 {
        config.model.flops_per_image()
    }

    /// The confusion matrix of the validation images.
    fn draw(&self, cx: &EvalCx<'_, Self>, epoch: u64) -> Result<()> {
        let Some(metrics) = &self.validated else { return Ok(()) };
        let title = format!("Validation images after epoch {epoch}");
        let png = confusion::draw(&metrics.confusion, &cx.config.finetune.classes, &title, "images")?;
        cx.run.write(&cx.run.confusion(), &png)
    }

    /// Judges the best checkpoint on the test split, and writes curves, pictures and `result.json`.
    fn conclude(
        &self,
        cx: &EvalCx<'_, Self>,
        records: &[Record],
        effort: Effort,
    ) -> Result<Findings<Outcome>> {
        let (dir, images) = (cx.run, &self.images);
        let loaded = load_best::<Self>(dir.path())?;
        let sets = [images.train.len(), images.validation.as_ref().map_or(0, |set| set.len())];
        let run = Fitted::of::<Self>(&loaded, sets, loaded.1.model.flops_per_image(), effort);
        let (best, config, checkpoint) = loaded;
        let chosen = checkpoint.state.history.last().expect("at least one epoch was trained");
        let mut outcome =
            Outcome { run, validation_accuracy: chosen.score("accuracy"), test_accuracy: None, test: None };
        let sheets = match &images.test {
            Ok(set) => {
                let evaluation = evaluate(cx, &best, set)?;
                outcome.tested(&evaluation, &config);
                let right = evaluation.judgements.iter().map(|judgement| judgement.rank == 0);
                outcome.run.per_picture = Some(PerPicture::accuracy(&**set, right));
                draw_test(cx, (&best, &config), (&evaluation, &**set), chosen.epoch)?
            }
            Err(_) => Vec::new(),
        };
        dir.write_result(&outcome)?;
        let accuracy = curves::score_svg(records, "accuracy")?;
        dir.write(&dir.accuracy_svg(), accuracy.as_bytes())?;
        let report = Report {
            title: format!("Classifier on {}", images.train.describe()),
            summary: outcome.summary(),
            curves: vec![("Accuracy on validation images".to_owned(), accuracy)],
            sheets_heading: "Pictures".to_owned(),
            sheets,
            notes: cx.config.finetune.remarks(outcome.run.validation_images, images.test.as_ref().err()),
            ..Report::default()
        };
        Ok(Findings { references: Vec::new(), outcome, report })
    }
}

/// What a classifier makes of labelled images.
fn evaluate(
    cx: &EvalCx<'_, Classify>,
    model: &Classifier<f32>,
    set: &Arc<dyn Dataset>,
) -> Result<Evaluation> {
    let (engine, ranks) = (cx.workers.engine(), cx.workers.ranks());
    cx.config.evaluator(model, &cx.config.input(), cx.run.path(), engine).evaluate_among(ranks, set)
}

/// The confusion matrix of the test images, and those on which the classifier is most confidently wrong.
fn draw_test(
    cx: &EvalCx<'_, Classify>,
    (best, config): (&Classifier<f32>, &FinetuneConfig),
    (evaluation, set): (&Evaluation, &dyn Dataset),
    epoch: u64,
) -> Result<Vec<(String, Vec<u8>)>> {
    let (run, title) = (cx.run, format!("Test images, epoch {epoch}"));
    let png = confusion::draw(&evaluation.metrics.confusion, &config.finetune.classes, &title, "images")?;
    run.write(&run.confusion(), &png)?;
    let mut sheets = vec![("Confusion matrix of the test split".to_owned(), png)];
    let input = config.input();
    let evaluator = config.evaluator(best, &input, run.path(), cx.workers.engine());
    if let Some(png) = evaluator.wrong_sheet(evaluation, set)? {
        run.write(&run.wrong(), &png)?;
        sheets.push(("Most confidently wrong".to_owned(), png));
    }
    Ok(sheets)
}
