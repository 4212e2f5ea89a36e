//! What a pre-trained encoder's features are worth: from a checkpoint and labelled images to the figures.
//!
//! Whatever is chosen, such as a learning rate, is chosen on validation images: the data's own, or held out of the
//! training images.
//! The test images are judged once, at the end.

pub mod head;
pub mod scatter;

use crate::base::{Error, Result};
use crate::config::sections::DataConfig;
use crate::data::Dataset;
use crate::exec::engine::{Engine, Offloading};
use crate::models::classify::Pooling;
use crate::models::mae::Encoder;
use crate::tasks::Metrics;
use crate::tasks::classify::splits::Splits;
use crate::tasks::classify::summary::Summary;
use crate::tasks::features::{Listener, features};
use crate::tasks::knn::Knn;
use crate::tasks::metrics::{Judgement, judge};
use crate::tasks::per_picture::PerPicture;
use crate::tasks::pretrained::Pretrained;
use crate::tasks::probe::head::{Labelled, Optimizer, ProbeConfig, Trial, judgements, sweep};
use crate::train::input::Input;
use crate::train::readable::leave_out_bad;
use crate::train::source::Source;
use crate::train::source::use_data;
use serde::Serialize;
use std::collections::BTreeSet;
use std::path::PathBuf;

/// The reference's: 10 of 90 epochs.
const WARMUP_SHARE: f64 = 1.0 / 9.0;
/// Images in a step, where there are so many.
const BATCH_SIZE: usize = 256;

/// What is asked.
#[derive(Clone, Debug)]
pub struct Probing {
    /// A run directory or a checkpoint.
    pub checkpoint: PathBuf,
    /// The labelled images; those of the checkpoint if absent.
    pub data: Option<PathBuf>,
    /// Their format, if it cannot be recognised.
    pub format: Option<String>,
    /// Whether images that cannot be read are left out; as in pre-training if that left them out.
    pub skip_bad_images: bool,
    /// Share of the training images whose labels are used.
    pub label_share: f64,
    /// Fraction of those that validates, where the data has no validation split of its own.
    pub val_fraction: f64,
    /// What of the encoder's output is the feature.
    pub pooling: Pooling,
    /// Whether the encoder has its initial weights instead of the trained ones: the baseline.
    pub random_encoder: bool,
    /// The update rule.
    pub optimizer: Optimizer,
    /// Passes over the features.
    pub epochs: u64,
    /// Epochs of warm-up; a ninth of all if absent.
    pub warmup_epochs: Option<f64>,
    /// Images in a step; 256 if absent, or all.
    pub batch_size: Option<usize>,
    /// Learning rate per 256 images; the optimiser's own if absent.
    pub blr: Option<f64>,
    /// Whether several multiples of `blr` are tried on the validation images.
    pub sweep: bool,
    /// Decides which labels are kept and which validate, the probe's initial weights, the order of the images.
    pub seed: u64,
    /// The vote of the nearest neighbours, if asked for.
    pub knn: Option<Knn>,
    /// Where the encoder's products run. The classifiers on its features are trained on the CPU.
    pub offloading: Offloading,
}

/// What was found. Everything in it but the time follows from the program and [`Probing`].
#[derive(Clone, Debug, Serialize)]
pub struct ProbeReport {
    /// The folder of the checkpoint.
    pub checkpoint: PathBuf,
    /// Its optimiser step.
    pub step: u64,
    /// `pre-trained`, or `random`: initial weights.
    pub encoder: &'static str,
    /// What of its output is the feature.
    pub pool: Pooling,
    /// `D`.
    pub width: usize,
    /// The labelled images.
    pub data: String,
    /// Share of the training images whose labels were used.
    pub label_share: f64,
    /// Images trained on.
    pub train_images: usize,
    /// How the probe was trained.
    pub probe: ProbeConfig,
    /// The learning rates that were tried.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sweep: Vec<Trial>,
    /// Why images were left out.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub skipped: Vec<String>,
    /// The probe on the validation images.
    pub validation: Option<Summary>,
    /// The probe on the test images.
    pub test: Option<Summary>,
    /// The neighbours' vote on the images that judge.
    pub knn: Option<KnnReport>,
    /// Which images judge, and whether anything was chosen on them.
    pub judged_on: String,
    /// What there is beside the images that is not read.
    #[serde(skip)]
    pub notes: Vec<String>,
}

/// The neighbours' vote.
#[derive(Clone, Debug, Serialize)]
pub struct KnnReport {
    /// Neighbours that voted.
    pub k: usize,
    /// `τ`.
    pub temperature: f64,
    /// What they reached.
    #[serde(flatten)]
    pub summary: Summary,
}

impl ProbeReport {
    /// What the probe reached on the images that judge.
    ///
    /// # Panics
    /// Never: there is always one of the two.
    #[must_use]
    pub fn judged(&self) -> &Summary {
        self.test.as_ref().or(self.validation.as_ref()).expect("something was judged")
    }
}

/// The images that judge, for pictures.
#[derive(Clone, Debug)]
pub struct Judged {
    /// What the probe makes of them.
    pub metrics: Metrics,
    /// Their features and classes.
    pub set: Labelled,
    /// The probe's accuracy on any choice of the test images; none without a test split.
    pub probe_per_picture: Option<PerPicture>,
    /// That of the neighbours' vote.
    pub knn_per_picture: Option<PerPicture>,
}

/// Answers.
///
/// # Errors
/// If the checkpoint is damaged, the data has no labels, or a setting cannot work with it.
pub fn probe(ask: &Probing, listener: &dyn Listener) -> Result<(ProbeReport, Judged)> {
    let mut pretrained = Pretrained::open(&ask.checkpoint)?;
    let data = &mut pretrained.data;
    use_data(data, ask.data.as_deref(), ask.format.as_deref());
    data.val_fraction = ask.val_fraction;
    data.skip_bad_images |= ask.skip_bad_images;
    let input = pretrained.input();
    let (sets, skipped) = open(&pretrained.data, &input, ask)?;
    let probe = ask.probe_config(sets.train.len())?;
    let backend = pretrained.run.gemm;
    let encoder = if ask.random_encoder { pretrained.initial() } else { pretrained.encoder };
    let checkpoint = pretrained.checkpoint;

    let engine = Engine::open(backend, ask.offloading)?;
    let parts = [Some(&sets.train), sets.validation.as_ref(), sets.test.as_ref().ok()];
    listener.begins(parts.iter().flatten().map(|set| set.len()).sum());
    let [train, validation, test] =
        parts.map(|set| set.map(|set| labelled(&encoder, ask.pooling, &**set, &input, &engine, listener)));
    let train = train.expect("there are images to train on")?;
    let (validation, test) = (validation.transpose()?, test.transpose()?);

    let names = sets.train.classes();
    let mut tried = Vec::new();
    let mut chosen = probe;
    if let Some(validation) = validation.as_ref().filter(|_| ask.sweep) {
        (chosen, tried) = sweep(&probe, &train, validation, names.len(), backend)?;
    }
    let model = chosen.train(&train, names.len(), backend)?;
    let judge_probe = |set: &Labelled| judgements(&model, set, backend);
    let count = |judged: &Vec<Judgement>| Metrics::of(judged, names.len());
    let on_test = test.as_ref().map(judge_probe);
    let per_picture = |judged: &[Judgement]| {
        let right = judged.iter().map(|judgement| judgement.rank == 0);
        sets.test.as_ref().ok().map(|set| PerPicture::accuracy(&**set, right))
    };
    let probe_per_picture = on_test.as_ref().and_then(|judged| per_picture(judged));
    let on_validation = validation.as_ref().map(|set| count(&judge_probe(set)));
    let on_test = on_test.as_ref().map(count);
    let judging = test.as_ref().or(validation.as_ref()).expect("checked: one of the two is there");
    let mut knn_per_picture = None;
    let knn = ask.knn.map(|knn| {
        let (bank, queries) = (train.features.view(), judging.features.view());
        let scores = knn.scores(bank, &train.labels, names.len(), queries, backend);
        let judged = judge(scores.view(), &judging.labels);
        knn_per_picture = per_picture(&judged);
        let summary = Summary::without_probabilities(&count(&judged), names);
        KnnReport { k: knn.k, temperature: knn.temperature, summary }
    });
    let report = ProbeReport {
        checkpoint: checkpoint.dir,
        step: checkpoint.state.step,
        encoder: if ask.random_encoder { "random" } else { "pre-trained" },
        pool: ask.pooling,
        width: train.features.ncols(),
        data: sets.train.describe(),
        label_share: ask.label_share,
        train_images: train.labels.len(),
        probe: chosen,
        judged_on: judged_on(test.is_some(), !tried.is_empty()),
        notes: notes(&sets),
        sweep: tried,
        skipped,
        validation: on_validation.as_ref().map(|metrics| Summary::new(metrics, names)),
        test: on_test.as_ref().map(|metrics| Summary::new(metrics, names)),
        knn,
    };
    let checked = "checked: one of the two is there";
    let metrics = on_test.or(on_validation).expect(checked);
    let set = test.or(validation).expect(checked);
    Ok((report, Judged { metrics, set, probe_per_picture, knn_per_picture }))
}

/// Opens the images, and refuses what cannot be judged or chosen with them; also why some were left out.
fn open(data: &DataConfig, input: &Input, ask: &Probing) -> Result<(Splits, Vec<String>)> {
    let splits = Splits::of(Source::of(data)?, data, ask.label_share, ask.seed);
    let mut splits = splits.map_err(as_flag)?;
    let parts = [Some(&mut splits.train), splits.validation.as_mut(), splits.test.as_mut().ok()];
    let skipped = leave_out_bad(parts.into_iter().flatten(), input, data.skip_bad_images)?;
    if let (Err(why), None) = (&splits.test, &splits.validation) {
        let found = format!("0, and no test split: {why}");
        return Err(Error::setting("--val-fraction", "images to judge by: more than 0", found));
    }
    if ask.sweep && splits.validation.is_none() {
        return Err(Error::setting("--sweep", "a --val-fraction above 0, to choose by", ask.val_fraction));
    }
    if let Some(knn) = ask.knn {
        let (k, most) = (knn.k, splits.train.len());
        if !(1..=most).contains(&k) {
            return Err(Error::setting("--k", format!("1 to {most}, the images to train on"), k));
        }
        if !(knn.temperature > 0.0 && knn.temperature.is_finite()) {
            return Err(Error::setting("--temperature", "more than 0", knn.temperature));
        }
    }
    Ok((splits, skipped))
}

impl Probing {
    fn probe_config(&self, images: usize) -> Result<ProbeConfig> {
        let config = ProbeConfig {
            optimizer: self.optimizer,
            epochs: self.epochs,
            warmup_epochs: self.warmup_epochs.unwrap_or(self.epochs as f64 * WARMUP_SHARE),
            batch_size: self.batch_size.unwrap_or(BATCH_SIZE.min(images)),
            blr: self.blr.unwrap_or(self.optimizer.default_blr()),
            seed: self.seed,
        };
        config.check(images)?;
        Ok(config)
    }
}

/// Features and classes of a set.
fn labelled(
    encoder: &Encoder<f32>,
    pooling: Pooling,
    set: &dyn Dataset,
    input: &Input,
    engine: &Engine,
    listener: &dyn Listener,
) -> Result<Labelled> {
    let labels = set.labels()?;
    let features = features(encoder, pooling, set, input, engine, listener)?;
    match features.iter().position(|x| !x.is_finite()) {
        None => Ok(Labelled { features, labels }),
        Some(at) => {
            let found = "a number that is not finite: is the checkpoint sound?";
            let image = set.source(at / features.ncols());
            Err(Error::input(image, "features", "finite numbers", found))
        }
    }
}

/// Splitting names its own settings; here they are flags.
fn as_flag(error: Error) -> Error {
    match error {
        Error::Setting { key, expected, found } => {
            let flag = match key.as_str() {
                "finetune.label_share" => "--labels",
                "data.val_fraction" => "--val-fraction",
                other => other,
            };
            Error::setting(flag, expected, found)
        }
        other => other,
    }
}

fn judged_on(test: bool, swept: bool) -> String {
    match (test, swept) {
        (true, _) => "the test images, looked at once, after everything was chosen",
        (false, false) => "the validation images: this data has no test split; nothing was chosen on them",
        (false, true) => {
            "the validation images: this data has no test split. The learning rate was chosen on them, so these figures \
             flatter it"
        }
    }
    .to_owned()
}

/// What was left out of the data, each once: a validation split may be part of the training images.
fn notes(sets: &Splits) -> Vec<String> {
    let all = std::iter::once(&sets.all).chain(&sets.validation).flat_map(|set| set.notes().to_vec());
    all.collect::<BTreeSet<String>>().into_iter().collect()
}
