//! The task of semantic segmentation: a pre-trained trunk with a head that names the class of every pixel.

mod colour_table;
pub mod config;
pub mod evaluate;
mod judge;
pub mod metrics;
pub mod outcome;
pub mod pictures;
pub mod predictor;
pub mod step;
pub mod summary;

pub use config::SegmentConfig;
pub use metrics::PixelMetrics;
pub use outcome::Outcome;

use crate::base::Result;
use crate::checkpoint::Named;
use crate::config::sections::DataConfig;
use crate::data::subset::evenly_spaced;
use crate::data::{Batch, Dataset, LoaderConfig, Target, TargetKind};
use crate::draw::report::Report;
use crate::models::segment::Segmenter;
use crate::optim::{Group, groups};
use crate::tasks::confusion;
use crate::tasks::per_picture::PerPicture;
use crate::tasks::transfer::{DenseSplits, Fitted, Start, StepOptions, load_best};
use crate::train::curves;
use crate::train::input::Input;
use crate::train::memory::StepMemory;
use crate::train::metrics::{Measured, Record, ValidationRecord};
use crate::train::source::{self, Source};
use crate::train::task::{
    Architecture, Effort, EvalCx, Findings, Losses, Opened, Outcome as _, StepCx, Task, Trivial, Validation,
};
use crate::train::workers::WorkerPool;
use colour_table::ColourTable;
use evaluate::{Evaluation, evaluate};
use predictor::Predictor;
use step::Labelled;
use summary::Summary;

/// Images on a sheet of what is predicted.
const SHOWN: usize = 8;
/// Images on a sheet of the worst.
const WORST: usize = 12;

/// Fine-tuning for semantic segmentation.
pub struct Segment {
    /// Its images.
    pub images: DenseSplits,
}

impl Task for Segment {
    type Config = SegmentConfig;
    type Model = Segmenter<f32>;
    type Start = Start;
    type Outcome = Outcome;

    const TARGET: TargetKind = TargetKind::LabelMap;

    const LOSS: &'static str = "loss (cross-entropy of pixels)";

    const NEXT: &'static [&'static str] = &[
        "vit-mae eval --checkpoint {run} --out judged",
        "vit-mae predict --checkpoint {run} --out predicted IMAGE…",
    ];

    fn about(&self, config: &SegmentConfig) -> Vec<(&'static str, String)> {
        let (images, model, transfer) = (&self.images, &config.model, &config.finetune);
        let from = transfer.origin();
        let mut about = vec![
            ("data", images.train.describe()),
            ("model", format!("{}; head {}, {} classes, {from}", model.vit(), model.head, model.num_classes)),
            ("layers", format!("learning rate of each {} of that above it", transfer.layer_decay)),
        ];
        about.extend(images.about());
        about
    }

    fn notes(&self) -> Vec<String> {
        self.images.notes()
    }

    fn source(config: &SegmentConfig) -> Result<Source> {
        Source::of(&config.data)
    }

    fn open(source: Source, config: &mut SegmentConfig) -> Result<Opened<Self>> {
        let sections = (&mut config.data, &mut config.finetune, &config.run);
        let (size, channels) = (config.model.img_size, config.model.in_chans);
        let input = |data: &DataConfig| Input::of(data, (size, channels));
        let (images, skipped) = DenseSplits::open(source, Self::TARGET, sections, channels, input)?;
        config.model.num_classes = config.finetune.classes.len();
        let (digest, train) = (images.all.digest()?, images.train.clone());
        Ok(Opened { task: Self { images }, train, digest, skipped })
    }

    fn loader(config: &SegmentConfig) -> LoaderConfig {
        let shape = (config.model.img_size, config.model.in_chans);
        source::loader(
            &config.data,
            vec![config.augment.augment(&config.data, false)],
            shape,
            config.optim.batch_size,
            config.run.seed,
        )
    }

    fn memory(config: &SegmentConfig, threads: usize) -> StepMemory {
        config.memory(threads)
    }

    fn architecture(config: &SegmentConfig) -> Architecture {
        let (encoder, classes) = (config.model.vit(), config.finetune.classes.clone());
        Architecture { kind: "segmentation network", encoder, decoder: None, norm_pix_loss: None, classes }
    }

    fn model(config: &SegmentConfig, start: &Start) -> Result<Segmenter<f32>> {
        let (model, seed) = (&config.model, config.run.seed);
        Ok(match start.encoder(&model.vit())? {
            Some(encoder) => Segmenter::from_encoder(encoder, model, seed),
            None => Segmenter::initialised(model, seed),
        })
    }

    fn blank(config: &SegmentConfig) -> Segmenter<f32> {
        Segmenter::new(&config.model)
    }

    fn start_again(config: &SegmentConfig) -> Result<Start> {
        Start::again(&config.finetune)
    }

    fn groups(config: &SegmentConfig, model: &Segmenter<f32>) -> Vec<Group> {
        let (decay, transfer) = (config.optim.weight_decay, &config.finetune);
        groups::finetuning(model, decay, transfer.layer_decay, config.model.depth, transfer.tune_blocks)
    }

    fn ema_decay(config: &SegmentConfig) -> Option<f64> {
        config.finetune.ema_decay
    }

    fn loss_and_grad(
        &mut self,
        model: &Segmenter<f32>,
        batch: Batch,
        cx: &StepCx<'_, Self>,
    ) -> (Losses, Segmenter<f32>) {
        let (config, epoch) = (cx.config, cx.epoch);
        let options = StepOptions::new(config, &config.finetune, epoch);
        let map = |target: &Target| match target {
            Target::LabelMap(map) => map.clone(),
            other => panic!("a label map, not {other:?}"),
        };
        let maps: Vec<_> = batch.targets.iter().map(map).collect();
        let labelled = Labelled {
            images: batch.views[0].view(),
            maps: maps.iter().map(|map| map.view()).collect(),
            samples: &batch.samples,
        };
        let (losses, grad) = step::loss_and_gradient(model, &labelled, &options, cx.workers);
        let values = [("main_loss", losses.main), ("auxiliary_loss", losses.auxiliary)];
        (Losses::new(losses.total(&config.model), values), grad)
    }

    fn evaluate(&mut self, cx: &EvalCx<'_, Self>, step: u64, epoch: u64) -> Result<Option<Validation>> {
        let Some(set) = &self.images.validation else { return Ok(None) };
        let evaluation = judged(cx, cx.model, &**set)?;
        let metrics = &evaluation.metrics;
        let iou = (0..metrics.classes()).map(|class| metrics.iou(class)).collect();
        let details = ValidationRecord {
            step,
            epoch,
            images: set.len() as u64,
            values: Named(vec![("iou".to_owned(), Measured::PerClass(iou))]),
        };
        // Without a labelled pixel there is no score, which is not one of 0.
        let scores = Named::known_scores([
            ("miou", metrics.miou()),
            ("pixel_accuracy", metrics.aacc()),
            ("loss", evaluation.cross_entropy),
        ]);
        Ok(Some(Validation { scores, details: Some(details) }))
    }

    /// Always the most frequent class, and for each colour the class that most training pixels of that colour have.
    fn trivial_predictors(&self) -> Result<Vec<Trivial>> {
        let Some(set) = &self.images.validation else { return Ok(Vec::new()) };
        let table = ColourTable::of(&*self.images.train);
        let names = ["a class for each colour", "the most frequent class"];
        let trivial = |(metrics, predicting): (PixelMetrics, _)| Trivial {
            score: "miou",
            predicting,
            value: metrics.miou().unwrap_or(0.0),
        };
        Ok(table.judge(&**set)?.into_iter().zip(names).map(trivial).collect())
    }

    fn flops_per_image(config: &SegmentConfig) -> f64 {
        config.model.flops_per_image()
    }

    /// Validation images beside their true and their predicted maps.
    fn draw(&self, cx: &EvalCx<'_, Self>, epoch: u64) -> Result<()> {
        let Some(set) = &self.images.validation else { return Ok(()) };
        let shown: Vec<usize> = evenly_spaced(set.len(), SHOWN).collect();
        let predictor = Predictor::new(cx.model, &cx.config.data, false, cx.run.path());
        let note = format!("Validation images after epoch {epoch}.");
        let png = sheet(&predictor, &**set, cx.workers, &shown, &note, |_| None)?;
        cx.run.write_sheet(epoch, &png)
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
        let mut outcome = Outcome { run, validation_miou: chosen.score("miou"), test_miou: None, test: None };
        let mut sheets = dir.sheets_of_report()?;
        if let Ok(set) = &images.test {
            let evaluation = judged(cx, &best, &**set)?;
            let names = &config.finetune.classes;
            let test = Summary::new(&evaluation, names);
            let title = format!("Pixels of the test images, epoch {}", chosen.epoch);
            let png = confusion::draw(&evaluation.metrics.confusion, names, &title, "pixels")?;
            dir.write(&dir.confusion(), &png)?;
            sheets.push((
                "Pixels of the test split: true classes and what they were taken for".to_owned(),
                png,
            ));
            let predictor = Predictor::new(&best, &config.data, false, dir.path());
            if let Some(png) = worst_sheet(&predictor, &evaluation, &**set, cx.workers)? {
                dir.write(&dir.wrong(), &png)?;
                sheets.push(("Test images with the lowest mIoU".to_owned(), png));
            }
            outcome.test_miou = test.miou;
            outcome.test = Some(test);
            let overlaps = evaluation.overlaps;
            let miou = move |times: &[u32]| metrics::miou_over(&overlaps, times);
            outcome.run.per_picture = Some(PerPicture::new(&**set, miou));
        }
        dir.write_result(&outcome)?;
        let miou = curves::score_svg(records, "miou")?;
        let report = Report {
            title: format!("Segmentation of {}", images.train.describe()),
            summary: outcome.summary(),
            curves: vec![("mIoU on validation images".to_owned(), miou)],
            sheets_heading: "Pictures".to_owned(),
            sheets,
            notes: images.remarks(&cx.config.finetune, chosen),
            ..Report::default()
        };
        Ok(Findings { references: Vec::new(), outcome, report })
    }
}

/// What a network makes of images with label maps, seen as a whole.
fn judged(cx: &EvalCx<'_, Segment>, model: &Segmenter<f32>, set: &dyn Dataset) -> Result<Evaluation> {
    let predictor = Predictor::new(model, &cx.config.data, false, cx.run.path());
    evaluate(&predictor, &cx.config.finetune.classes, set, cx.workers, &(), |_, _| Ok(()))
}

/// The images with the lowest mIoU.
fn worst_sheet(
    predictor: &Predictor<'_>,
    evaluation: &Evaluation,
    set: &dyn Dataset,
    workers: &WorkerPool<f32, Segmenter<f32>>,
) -> Result<Option<Vec<u8>>> {
    let worst = evaluation.worst(WORST);
    if worst.is_empty() {
        return Ok(None);
    }
    let note = format!("The {} images with the lowest mIoU of {}.", worst.len(), set.len());
    let say = |index: usize| {
        let miou = evaluation.of_images[index].unwrap_or(0.0);
        Some(format!("no. {index}, mIoU {:.0} %", 100.0 * miou))
    };
    sheet(predictor, set, workers, &worst, &note, say).map(Some)
}

/// Some images beside their true and predicted maps.
fn sheet(
    predictor: &Predictor<'_>,
    set: &dyn Dataset,
    workers: &WorkerPool<f32, Segmenter<f32>>,
    shown: &[usize],
    note: &str,
    say: impl Fn(usize) -> Option<String>,
) -> Result<Vec<u8>> {
    let one = |&index: &usize| {
        let image = set.image(index)?;
        let seen = workers.run(true, |cx| predictor.see(&set.source(index), &image, None, cx))?;
        Ok((index, seen.map))
    };
    let maps = shown.iter().map(one).collect::<Result<_>>()?;
    pictures::sheet(set, maps, note, say)
}
