//! The task of object detection: a pre-trained trunk with a feature pyramid and the heads of Mask R-CNN.
//!
//! Reading order: [`config`] → [`sampling`] (what a step's losses are taken over) → [`step`] → [`predictor`] (images of any size) →
//! [`coco`] and [`mod@evaluate`] (how it is judged) → [`summary`], [`pictures`] and `judge` (what users see of it).

pub mod anchor_cover;
pub mod coco;
pub mod config;
pub mod evaluate;
pub mod explain;
mod judge;
pub mod outcome;
pub mod pictures;
pub mod predictor;
pub mod sampling;
pub mod step;
pub mod summary;

pub use config::DetectConfig;
pub use outcome::Outcome;

use crate::base::Result;
use crate::checkpoint::Named;
use crate::config::sections::DataConfig;
use crate::data::{Batch, Dataset, Instance, LoaderConfig, Subset, Target, TargetKind};
use crate::draw::report::Report;
use crate::models::detect::Detector;
use crate::optim::{Group, groups};
use crate::tasks::per_picture::PerPicture;
use crate::tasks::transfer::{DenseSplits, Fitted, Start, StepOptions, load_best};
use crate::train::curves;
use crate::train::input::Input;
use crate::train::memory::StepMemory;
use crate::train::metrics::{Measured, Record, ValidationRecord};
use crate::train::source::{self, Source};
use crate::train::task::{
    Architecture, Effort, EvalCx, Findings, Losses, Opened, Outcome as _, StepCx, Task, Validation,
};
use anchor_cover::AnchorCover;
use coco::{Matches, Overlap, Protocol};
use evaluate::{Evaluation, evaluate};
use predictor::Predictor;
use step::Annotated;
use summary::Summary;

/// Images on a sheet of what is found.
const SHOWN: usize = 8;
/// Images on a sheet of the worst.
const WORST: usize = 12;

/// Fine-tuning for object detection.
pub struct Detect {
    /// Its images.
    pub images: DenseSplits,
    /// What its anchors match.
    pub cover: AnchorCover,
}

impl Task for Detect {
    type Config = DetectConfig;
    type Model = Detector<f32>;
    type Start = Start;
    type Outcome = Outcome;

    const TARGET: TargetKind = TargetKind::Instances;

    const LOSS: &'static str = "loss (five terms of Mask R-CNN)";

    const NEXT: &'static [&'static str] = &[
        "vit-mae eval --checkpoint {run} --out judged",
        "vit-mae predict --checkpoint {run} --out predicted IMAGE…",
    ];

    fn about(&self, config: &DetectConfig) -> Vec<(&'static str, String)> {
        let (images, model, transfer) = (&self.images, &config.model, &config.finetune);
        let from = transfer.origin();
        let heads = if model.mask_head { "boxes and masks" } else { "boxes (the data has no masks)" };
        let mut about = vec![
            ("data", images.train.describe()),
            ("model", format!("{}; {heads}, {} classes, {from}", model.vit(), model.num_classes)),
            ("layers", format!("learning rate of each {} of that above it", transfer.layer_decay)),
            ("anchors", self.cover.line(model)),
        ];
        about.extend(images.about());
        about
    }

    fn notes(&self) -> Vec<String> {
        self.images.notes()
    }

    fn source(config: &DetectConfig) -> Result<Source> {
        Source::of(&config.data)
    }

    fn open(source: Source, config: &mut DetectConfig) -> Result<Opened<Self>> {
        let sections = (&mut config.data, &mut config.finetune, &config.run);
        let (size, channels) = (config.model.img_size, config.model.in_chans);
        let input = |data: &DataConfig| Input::of(data, (size, channels));
        let (images, skipped) = DenseSplits::open(source, Self::TARGET, sections, channels, input)?;
        config.model.num_classes = config.finetune.classes.len();
        let cover = AnchorCover::of(&*images.train, &config.model, config.data.skip_bad_images)?;
        config.model.mask_head &= cover.masks > 0 || anchor_cover::has_masks(&*images.train);
        let (digest, train) = (images.all.digest()?, images.train.clone());
        Ok(Opened { task: Self { images, cover }, train, digest, skipped })
    }

    fn loader(config: &DetectConfig) -> LoaderConfig {
        let shape = (config.model.img_size, config.model.in_chans);
        let views = vec![config.augment.augment(&config.data, true)];
        source::loader(&config.data, views, shape, config.optim.batch_size, config.run.seed)
    }

    fn memory(config: &DetectConfig, threads: usize) -> StepMemory {
        config.memory(threads)
    }

    fn architecture(config: &DetectConfig) -> Architecture {
        let (encoder, classes) = (config.model.vit(), config.finetune.classes.clone());
        Architecture { kind: "detection network", encoder, decoder: None, norm_pix_loss: None, classes }
    }

    fn model(config: &DetectConfig, start: &Start) -> Result<Detector<f32>> {
        let (model, seed) = (&config.model, config.run.seed);
        Ok(match start.encoder(&model.vit())? {
            Some(encoder) => Detector::from_encoder(encoder, model, seed),
            None => Detector::initialised(model, seed),
        })
    }

    fn blank(config: &DetectConfig) -> Detector<f32> {
        Detector::new(&config.model)
    }

    fn start_again(config: &DetectConfig) -> Result<Start> {
        Start::again(&config.finetune)
    }

    fn groups(config: &DetectConfig, model: &Detector<f32>) -> Vec<Group> {
        let (decay, transfer) = (config.optim.weight_decay, &config.finetune);
        groups::finetuning(model, decay, transfer.layer_decay, config.model.depth, transfer.tune_blocks)
    }

    fn ema_decay(config: &DetectConfig) -> Option<f64> {
        config.finetune.ema_decay
    }

    fn loss_and_grad(
        &mut self,
        model: &Detector<f32>,
        batch: Batch,
        cx: &StepCx<'_, Self>,
    ) -> (Losses, Detector<f32>) {
        let (config, epoch) = (cx.config, cx.epoch);
        let options = StepOptions::new(config, &config.finetune, epoch);
        let objects = batch.targets.iter().map(of_target).collect();
        let annotated = Annotated { images: batch.views[0].view(), objects, samples: &batch.samples };
        let (losses, grad) = step::loss_and_gradient(model, &annotated, &options, cx.workers);
        let values = [
            ("rpn_class_loss", losses.rpn_cls),
            ("rpn_box_loss", losses.rpn_box),
            ("class_loss", losses.cls),
            ("box_loss", losses.bbox),
            ("mask_loss", losses.mask),
        ];
        (Losses::new(losses.total(), values), grad)
    }

    fn evaluate(&mut self, cx: &EvalCx<'_, Self>, step: u64, epoch: u64) -> Result<Option<Validation>> {
        let Some(set) = &self.images.validation else { return Ok(None) };
        let evaluation = judged(cx, cx.model, &**set)?;
        let (boxes, masks) = (&evaluation.boxes, evaluation.masks.as_ref());
        let details = ValidationRecord {
            step,
            epoch,
            images: set.len() as u64,
            values: Named(vec![("box_ap".to_owned(), Measured::PerClass(boxes.classes()))]),
        };
        let [ap, ap50, ..] = boxes.figures();
        let mask_ap = masks.and_then(|masks| masks.figures()[0]);
        // Without an object there is no average precision, which is not one of 0.
        let scores = Named::known_scores([("box_ap", ap), ("box_ap50", ap50), ("mask_ap", mask_ap)]);
        Ok(Some(Validation { scores, details: Some(details) }))
    }

    fn flops_per_image(config: &DetectConfig) -> f64 {
        config.model.flops_per_image()
    }

    /// Validation images beside their true and their found objects.
    fn draw(&self, cx: &EvalCx<'_, Self>, epoch: u64) -> Result<()> {
        let Some(set) = &self.images.validation else { return Ok(()) };
        let some = Subset::evenly_spaced(set.clone(), SHOWN);
        let evaluation = judged(cx, cx.model, &some)?;
        let shown: Vec<_> = evaluation.images.iter().enumerate().collect();
        let note =
            format!("Validation images after epoch {epoch}; objects found with a score of 0.5 or more.");
        cx.run.write_sheet(epoch, &pictures::sheet(&some, &shown, &note, |_| None)?)
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
        let mut outcome = Outcome {
            run,
            validation_box_ap: chosen.score("box_ap"),
            test_box_ap: None,
            test_mask_ap: None,
            test: None,
        };
        let mut sheets = dir.sheets_of_report()?;
        let step = explain::sheet(&best, &config, &*images.train, cx.workers)?;
        sheets.extend(step.map(|png| ("What a training step is taken over".to_owned(), png)));
        let mut notes = images.remarks(&cx.config.finetune, chosen);
        let mut curves =
            vec![("Box AP on validation images".to_owned(), curves::score_svg(records, "box_ap")?)];
        if let Ok(set) = &images.test {
            let evaluation = judged(cx, &best, &**set)?;
            let test = Summary::new(&evaluation, &config.finetune.classes);
            notes.extend(evaluation.note.as_ref().map(|note| format!("Of the test split there is {note}.")));
            let title = format!("Test images, epoch {}", chosen.epoch);
            let svg = judge::precision_recall(&evaluation.boxes, evaluation.masks.as_ref(), &title)?;
            curves.push(("Precision against recall on the test split".to_owned(), svg));
            if let Some(png) = worst_sheet(&evaluation, &**set)? {
                dir.write(&dir.wrong(), &png)?;
                sheets.push(("Test images with the most errors".to_owned(), png));
            }
            (outcome.test_box_ap, outcome.test_mask_ap) = (test.box_ap(), test.mask_ap());
            outcome.test = Some(test);
            let matches = Matches::new(&evaluation.images, Overlap::Boxes, &Protocol::default());
            outcome.run.per_picture = Some(PerPicture::new(&**set, move |times| matches.ap(times)));
        }
        dir.write_result(&outcome)?;
        let report = Report {
            title: format!("Detection of {}", images.train.describe()),
            summary: outcome.summary(),
            curves,
            sheets_heading: "Pictures".to_owned(),
            sheets,
            notes,
            ..Report::default()
        };
        Ok(Findings { references: Vec::new(), outcome, report })
    }
}

fn of_target(target: &Target) -> &[Instance] {
    match target {
        Target::Instances(instances) => instances,
        other => panic!("objects, not {other:?}"),
    }
}

/// What a network finds in images with objects.
fn judged(cx: &EvalCx<'_, Detect>, model: &Detector<f32>, set: &dyn Dataset) -> Result<Evaluation> {
    let predictor = Predictor::new(model, &cx.config.data, cx.run.path())?;
    evaluate(&predictor, &cx.config.finetune.classes, set, cx.workers, &())
}

/// The images with the most errors.
fn worst_sheet(evaluation: &Evaluation, set: &dyn Dataset) -> Result<Option<Vec<u8>>> {
    let worst = evaluation.worst(WORST);
    if worst.is_empty() {
        return Ok(None);
    }
    let note =
        format!("The {} images with the most errors of {}, at a score of 0.5.", worst.len(), set.len());
    let shown: Vec<_> = worst.iter().map(|&(index, _)| (index, &evaluation.images[index])).collect();
    let say = |index: usize| {
        let errors = worst.iter().find(|(worst, _)| *worst == index)?.1;
        Some(format!("no. {index}, {} missed, {} wrong", errors.missed, errors.total() - errors.missed))
    };
    pictures::sheet(set, &shown, &note, say).map(Some)
}
