//! What `finetune`, `eval`, `predict` and `ablate` ask of classification.

use super::evaluate::Prediction;
use super::outcome::Outcome;
use super::summary::Summary;
use super::{Classify, recipes};
use crate::base::{Error, Result};
use crate::tasks::confusion;
use crate::tasks::features::Listener;
use crate::tasks::per_picture::PerPicture;
use crate::tasks::transfer::{
    JudgeRequest, Judged, PredictRequest, Predicted, Recipes, Transfer, json, load_best, refuse,
};
use crate::train::readable::readable;
use serde::Serialize;
use std::path::PathBuf;

/// The document of `eval`.
#[derive(Serialize)]
struct Report {
    checkpoint: PathBuf,
    step: u64,
    data: String,
    /// Why images were left out.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    skipped: Vec<String>,
    #[serde(flatten)]
    summary: Summary,
}

/// The document of `predict`, for an image.
#[derive(Serialize)]
struct Answer<'a> {
    image: &'a PathBuf,
    predictions: Vec<Prediction>,
}

/// How many classes `predict` names where nothing else is asked.
const NAMED: usize = 5;

/// What would see windows.
const AT_ONCE: &str = "a model of maps: a classifier sees an image at once";

impl Transfer for Classify {
    const TRANSFER: &'static str = "classify";

    const SCORE: &'static str = "accuracy";

    const JUDGED_FILES: &'static [&'static str] = &["evaluation.json", "confusion.png", "wrong.png"];

    const RECIPES: &'static Recipes = recipes::RECIPES;

    fn score(outcome: &Outcome) -> Option<f64> {
        outcome.test_accuracy.or(outcome.validation_accuracy)
    }

    fn per_picture(outcome: &Outcome) -> Option<&PerPicture> {
        outcome.run.per_picture.as_ref()
    }

    fn judge(request: &JudgeRequest<'_>, listener: &dyn Listener) -> Result<Judged> {
        refuse("--slide", request.slide, AT_ONCE)?;
        let (model, mut config, checkpoint) = load_best::<Self>(request.checkpoint)?;
        let (images, notes) = request.images(&mut config.data)?;
        let input = config.input();
        let (images, skipped) = readable(images, &input, config.data.skip_bad_images)?;
        let engine = (request.engine)(config.run.gemm)?;
        let evaluator = config.evaluator(&model, &input, &checkpoint.dir, &engine);
        listener.begins(images.len());
        let evaluation = evaluator.evaluate(&*images, listener)?;
        let classes = &config.finetune.classes;
        let report = Report {
            step: checkpoint.state.step,
            data: images.describe(),
            skipped,
            summary: Summary::new(&evaluation.metrics, classes),
            checkpoint: checkpoint.dir.clone(),
        };
        let (json, summary) = (json(&report)?, &report.summary);
        let mut files = Vec::new();
        if request.draws() {
            let title = format!(
                "{} on {} images of {}: {:.1} % right",
                report.checkpoint.display(),
                summary.images,
                report.data,
                100.0 * summary.top1
            );
            let [evaluated, matrix, wrong] =
                ["evaluation.json", "confusion.png", "wrong.png"].map(str::to_owned);
            files.push((evaluated, json.clone().into_bytes()));
            files.push((matrix, confusion::draw(&evaluation.metrics.confusion, classes, &title, "images")?));
            files.extend(evaluator.wrong_sheet(&evaluation, &*images)?.map(|sheet| (wrong, sheet)));
        }
        let head = vec![
            ("checkpoint", format!("{}, step {}", report.checkpoint.display(), report.step)),
            ("data", report.data.clone()),
        ];
        let tables =
            vec![Summary::table([(summary.classes_in_words().as_str(), summary)]), summary.classes()];
        Ok(Judged { head, tables, json, files, notes, skipped: report.skipped })
    }

    fn predict(request: &PredictRequest<'_>) -> Result<Predicted> {
        refuse("--slide", request.slide, AT_ONCE)?;
        let top = request.top.unwrap_or(NAMED);
        if top == 0 {
            return Err(Error::setting("--top", "at least 1", top));
        }
        let (model, config, checkpoint) = load_best::<Self>(request.checkpoint)?;
        let (input, engine) = (config.input(), (request.engine)(config.run.gemm)?);
        let evaluator = config.evaluator(&model, &input, &checkpoint.dir, &engine);
        let answers = request.pictures.iter().zip(evaluator.predict(request.pictures, top)?);
        let answers: Vec<Answer> =
            answers.map(|(image, predictions)| Answer { image, predictions }).collect();
        let widest = config.finetune.classes.iter().map(|class| class.chars().count()).max().unwrap_or(0);
        let mut lines = Vec::new();
        for answer in &answers {
            lines.push(answer.image.display().to_string());
            lines.extend(answer.predictions.iter().map(|Prediction { class, probability }| {
                format!("  {class:<widest$}  {:>6.2} %", 100.0 * probability)
            }));
        }
        Ok(Predicted { lines, json: json(&answers)?, files: Vec::new() })
    }
}
