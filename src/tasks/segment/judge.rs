//! What `finetune`, `eval`, `predict` and `ablate` ask of segmentation.

use super::Segment;
use super::evaluate::evaluate;
use super::outcome::Outcome;
use super::predictor::Predictor;
use super::summary::Summary;
use crate::base::Result;
use crate::base::csv::csv_bytes;
use crate::data::{Target, load_image};
use crate::draw::overlay::overlay;
use crate::draw::palette::label_map_png;
use crate::models::segment::Segmenter;
use crate::tasks::confusion;
use crate::tasks::features::Listener;
use crate::tasks::per_picture::PerPicture;
use crate::tasks::transfer::{
    JudgeRequest, Judged, LIST, OVERLAY, PredictRequest, Predicted, Recipes, Transfer, file_name, json,
    load_best, percent, refuse, seen_as,
};
use crate::train::readable::readable;
use crate::train::task::Task;
use crate::train::workers::WorkerPool;
use ndarray::Array2;
use serde::Serialize;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// The document of `eval`.
#[derive(Serialize)]
struct Report {
    checkpoint: PathBuf,
    step: u64,
    data: String,
    /// Whether images were seen window by window.
    slide: bool,
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
    /// What its map is called among the files.
    file: String,
    height: usize,
    width: usize,
    /// Of the classes that are seen, the largest first.
    classes: Vec<Part<'a>>,
}

/// A class and the fraction of the pixels that were predicted as it.
#[derive(Serialize)]
struct Part<'a> {
    class: &'a String,
    fraction: f64,
}

impl Transfer for Segment {
    const TRANSFER: &'static str = "segment";

    const SCORE: &'static str = "mIoU";

    const JUDGED_FILES: &'static [&'static str] =
        &["evaluation.json", "confusion.png", "worst.png", "predictions"];

    const RECIPES: &'static Recipes =
        &[("small", include_str!("recipes/small.toml")), ("paper", include_str!("recipes/paper.toml"))];

    fn score(outcome: &Outcome) -> Option<f64> {
        outcome.test_miou.or(outcome.validation_miou)
    }

    fn per_picture(outcome: &Outcome) -> Option<&PerPicture> {
        outcome.run.per_picture.as_ref()
    }

    fn judge(request: &JudgeRequest<'_>, listener: &dyn Listener) -> Result<Judged> {
        let (model, mut config, checkpoint) = load_best::<Self>(request.checkpoint)?;
        let (images, notes) = request.images(&mut config.data)?;
        let images = seen_as(Self::TARGET, images);
        let (images, skipped) = readable(images, &config.input(), config.data.skip_bad_images)?;
        let workers = WorkerPool::<f32, Segmenter<f32>>::new((request.engine)(config.run.gemm)?);
        let names = &config.finetune.classes;
        let predictor = Predictor::new(&model, &config.data, request.slide, &checkpoint.dir);
        let mut maps = Vec::new();
        listener.begins(images.len());
        let evaluation = evaluate(&predictor, names, &*images, &workers, listener, |_, map| {
            if request.draws() {
                maps.push(label_map_png(map)?);
            }
            Ok(())
        })?;
        let report = Report {
            step: checkpoint.state.step,
            data: images.describe(),
            slide: request.slide,
            skipped,
            summary: Summary::new(&evaluation, names),
            checkpoint: checkpoint.dir.clone(),
        };
        let (json, summary) = (json(&report)?, &report.summary);
        let mut files = Vec::new();
        if request.draws() {
            let title = format!(
                "{} on {} images of {}: mIoU {}",
                report.checkpoint.display(),
                summary.images,
                report.data,
                percent(summary.miou)
            );
            files.push(("evaluation.json".to_owned(), json.clone().into_bytes()));
            files.push((
                "confusion.png".to_owned(),
                confusion::draw(&evaluation.metrics.confusion, names, &title, "pixels")?,
            ));
            let worst = super::worst_sheet(&predictor, &evaluation, &*images, &workers)?;
            files.extend(worst.map(|sheet| ("worst.png".to_owned(), sheet)));
            let (mut taken, mut list) = (BTreeSet::new(), Vec::new());
            for (index, map) in maps.into_iter().enumerate() {
                let source = images.source(index);
                let name = format!("{}.png", file_name(Path::new(&source), index, &mut taken));
                files.push((format!("predictions/{name}"), map));
                list.push([name, source]);
            }
            files.push((format!("predictions/{LIST}"), csv_bytes(["file", "image"], &list)?));
        }
        let head = vec![
            ("checkpoint", format!("{}, step {}", report.checkpoint.display(), report.step)),
            ("data", report.data.clone()),
            ("images", if report.slide { "window by window" } else { "as a whole" }.to_owned()),
        ];
        let tables = vec![summary.table(names), summary.classes()];
        Ok(Judged { head, tables, json, files, notes, skipped: report.skipped })
    }

    fn predict(request: &PredictRequest<'_>) -> Result<Predicted> {
        refuse(
            "--top",
            request.top.is_some(),
            "a classifier: a segmentation network names one class for each pixel",
        )?;
        let (model, config, checkpoint) = load_best::<Self>(request.checkpoint)?;
        let workers = WorkerPool::<f32, Segmenter<f32>>::new((request.engine)(config.run.gemm)?);
        let names = &config.finetune.classes;
        let predictor = Predictor::new(&model, &config.data, request.slide, &checkpoint.dir);
        let (mut answers, mut files, mut lines) = (Vec::new(), Vec::new(), Vec::new());
        let mut taken = BTreeSet::new();
        for (index, path) in request.pictures.iter().enumerate() {
            let (source, image) = (path.display().to_string(), load_image(path)?);
            let map = workers.run(true, |cx| predictor.see(&source, &image, None, cx))?.map;
            let classes = parts(&map, names);
            lines.push(source.clone());
            let widest = classes.iter().map(|part| part.class.chars().count()).max().unwrap_or(0);
            lines.extend(
                classes
                    .iter()
                    .map(|part| format!("  {:<widest$}  {:>8}", part.class, percent(Some(part.fraction)))),
            );
            let name = file_name(path, index, &mut taken);
            let file = format!("{name}.png");
            files.push((file.clone(), label_map_png(&map)?));
            let (over, _) = overlay(&image, &Target::LabelMap(map));
            files.push((format!("{name}{OVERLAY}.png"), over.to_png_bytes()?));
            answers.push(Answer { image: path, file, height: image.height, width: image.width, classes });
        }
        workers.engine().check()?;
        Ok(Predicted { lines, json: json(&answers)?, files })
    }
}

/// The classes of a map, the largest first.
fn parts<'a>(map: &Array2<u8>, names: &'a [String]) -> Vec<Part<'a>> {
    let mut pixels = vec![0_usize; names.len()];
    map.iter().for_each(|&class| pixels[usize::from(class)] += 1);
    let seen = names.iter().zip(pixels).filter(|(_, pixels)| *pixels > 0);
    let mut parts: Vec<_> =
        seen.map(|(class, pixels)| Part { class, fraction: pixels as f64 / map.len() as f64 }).collect();
    parts.sort_by(|a, b| b.fraction.total_cmp(&a.fraction));
    parts
}
