//! What `finetune`, `eval`, `predict` and `ablate` ask of detection.

use super::coco::{Evaluation as Curves, results};
use super::config::DetectConfig;
use super::evaluate::{SURE, evaluate};
use super::outcome::Outcome;
use super::predictor::Predictor;
use super::summary::Summary;
use super::{Detect, pictures};
use crate::base::{Error, Result};
use crate::config::origins::Resolved;
use crate::config::overrides::Overrides;
use crate::data::load_image;
use crate::data::rle::Rle;
use crate::draw::scatter::scatter_svg;
use crate::models::detect::Detector;
use crate::models::vit::VitConfig;
use crate::tasks::features::Listener;
use crate::tasks::per_picture::PerPicture;
use crate::tasks::transfer::{
    JudgeRequest, Judged, PredictRequest, Predicted, Recipes, Transfer, file_name, json, layered, load_best,
    percent, refuse, seen_as,
};
use crate::train::readable::readable;
use crate::train::task::Task;
use crate::train::workers::WorkerPool;
use serde::Serialize;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use toml::Table;

/// What would see windows.
const AT_ONCE: &str = "a model of maps: a detector sees an image at once";

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
    height: usize,
    width: usize,
    /// The surest first.
    objects: Vec<Answered<'a>>,
}

/// An object that was found.
#[derive(Serialize)]
struct Answered<'a> {
    class: &'a String,
    score: f64,
    /// `[x, y, w, h]` in pixels, as COCO has it.
    bbox: [f64; 4],
    /// As compressed runs in COCO's form; none without a mask head.
    #[serde(skip_serializing_if = "Option::is_none")]
    mask: Option<String>,
}

impl Transfer for Detect {
    const TRANSFER: &'static str = "detect";

    const SCORE: &'static str = "box AP";

    const JUDGED_FILES: &'static [&'static str] =
        &["evaluation.json", "detections.json", "precision-recall.svg", "worst.png"];

    const RECIPES: &'static Recipes =
        &[("small", include_str!("recipes/small.toml")), ("paper", include_str!("recipes/paper.toml"))];

    /// Anchors, quotas and the rule for levels follow from the size of the images, so the settings are resolved twice where that
    /// size is itself a setting.
    fn layered(
        recipe: &str,
        given: (Table, &str),
        file: Option<&Path>,
        overrides: &Overrides,
    ) -> Result<Resolved<DetectConfig>> {
        let model = given.0.get("model").cloned().unwrap_or(Table::new().into());
        let wrong = |e| Error::setting("model", "an architecture", e);
        let mut vit = trunk(model).map_err(wrong)?;
        loop {
            let usual = DetectConfig::usual(&vit)?;
            let given = (given.0.clone(), given.1);
            let resolved: Resolved<DetectConfig> =
                layered(usual, Self::RECIPES, recipe, given, file, overrides)?;
            let settled = resolved.config.model.vit();
            if settled.img_size == vit.img_size {
                return Ok(resolved);
            }
            vit = settled;
        }
    }

    fn score(outcome: &Outcome) -> Option<f64> {
        outcome.test_box_ap.or(outcome.validation_box_ap)
    }

    fn per_picture(outcome: &Outcome) -> Option<&PerPicture> {
        outcome.run.per_picture.as_ref()
    }

    fn judge(request: &JudgeRequest<'_>, listener: &dyn Listener) -> Result<Judged> {
        refuse("--slide", request.slide, AT_ONCE)?;
        let (model, mut config, checkpoint) = load_best::<Self>(request.checkpoint)?;
        let (images, mut notes) = request.images(&mut config.data)?;
        let images = seen_as(Self::TARGET, images);
        let (images, skipped) = readable(images, &config.input(), config.data.skip_bad_images)?;
        let workers = WorkerPool::<f32, Detector<f32>>::new((request.engine)(config.run.gemm)?);
        let names = &config.finetune.classes;
        let predictor = Predictor::new(&model, &config.data, &checkpoint.dir)?;
        listener.begins(images.len());
        let evaluation = evaluate(&predictor, names, &*images, &workers, listener)?;
        notes.extend(evaluation.note.clone());
        let report = Report {
            step: checkpoint.state.step,
            data: images.describe(),
            skipped,
            summary: Summary::new(&evaluation, names),
            checkpoint: checkpoint.dir.clone(),
        };
        let (json, summary) = (json(&report)?, &report.summary);
        let mut files = Vec::new();
        if request.draws() {
            let found = evaluation.images.iter().map(|image| (image.id, &image.detections[..]));
            files.push(("evaluation.json".to_owned(), json.clone().into_bytes()));
            files.push(("detections.json".to_owned(), results::document(found, &images.category_ids())));
            let title =
                format!("{} on {} images of {}", report.checkpoint.display(), summary.images, report.data);
            let curves = precision_recall(&evaluation.boxes, evaluation.masks.as_ref(), &title)?;
            files.push(("precision-recall.svg".to_owned(), curves.into_bytes()));
            let worst = super::worst_sheet(&evaluation, &*images)?;
            files.extend(worst.map(|sheet| ("worst.png".to_owned(), sheet)));
        }
        let head = vec![
            ("checkpoint", format!("{}, step {}", report.checkpoint.display(), report.step)),
            ("data", report.data.clone()),
        ];
        let tables = vec![summary.table(), summary.classes(), summary.errors()];
        Ok(Judged { head, tables, json, files, notes, skipped: report.skipped })
    }

    fn predict(request: &PredictRequest<'_>) -> Result<Predicted> {
        refuse("--slide", request.slide, AT_ONCE)?;
        refuse("--top", request.top.is_some(), "a classifier: a detector names one class for each object")?;
        let (model, config, checkpoint) = load_best::<Self>(request.checkpoint)?;
        let workers = WorkerPool::<f32, Detector<f32>>::new((request.engine)(config.run.gemm)?);
        let names = &config.finetune.classes;
        let predictor = Predictor::new(&model, &config.data, &checkpoint.dir)?;
        let (mut answers, mut files, mut lines) = (Vec::new(), Vec::new(), Vec::new());
        let mut taken = BTreeSet::new();
        for (index, path) in request.pictures.iter().enumerate() {
            let (source, image) = (path.display().to_string(), load_image(path)?);
            let found = workers.run(true, |cx| predictor.see(&source, &image, cx))?;
            lines.push(source);
            let widest = names.iter().map(|name| name.chars().count()).max().unwrap_or(0);
            let sure = found.iter().filter(|found| found.score >= SURE);
            lines.extend(sure.map(|found| {
                let [x1, y1, x2, y2] = found.bbox;
                let (name, score) = (&names[found.class], percent(Some(found.score)));
                format!("  {name:<widest$}  {score:>8}  x {x1:.0} to {x2:.0}, y {y1:.0} to {y2:.0}")
            }));
            let name = file_name(path, index, &mut taken);
            files.push((format!("{name}.png"), pictures::picture(&image, &found, names).to_png_bytes()?));
            let objects = found.iter().map(|found| Answered {
                class: &names[found.class],
                score: found.score,
                bbox: super::coco::corner_and_size(found.bbox),
                mask: found.mask.as_ref().map(Rle::string),
            });
            let objects = objects.collect();
            answers.push(Answer { image: path, height: image.height, width: image.width, objects });
        }
        workers.engine().check()?;
        Ok(Predicted { lines, json: json(&answers)?, files })
    }
}

/// The trunk that a start gives, of whose settings some may be another network's.
fn trunk(model: toml::Value) -> std::result::Result<VitConfig, toml::de::Error> {
    let mut model: Table = model.try_into()?;
    model.remove("num_classes");
    Table::try_into(model)
}

/// Precision against recall, means over the classes.
pub(super) fn precision_recall(boxes: &Curves, masks: Option<&Curves>, title: &str) -> Result<String> {
    let curve = |what: &str, curves: &Curves, overlap: f64| {
        let precision = curves.precision_at(overlap)?;
        let points =
            precision.iter().enumerate().map(|(recall, &precision)| (recall as f64 / 100.0, precision));
        Some((format!("{what}, overlap {overlap}"), points.collect()))
    };
    let boxes = [0.5, 0.75].map(|overlap| curve("boxes", boxes, overlap));
    let masks = masks.into_iter().flat_map(|masks| [0.5, 0.75].map(|overlap| curve("masks", masks, overlap)));
    let groups = boxes.into_iter().chain(masks).flatten().collect();
    scatter_svg(&groups, title, ["recall", "precision"])
}
