//! The task of Chen, Xie & He (2021): tell the two crops of an image from those of the batch's other images.

pub mod config;
pub mod evaluate;
pub mod outcome;
mod recipes;
pub mod step;

pub use config::MocoV3Config;
pub use evaluate::EvalSet;
pub use outcome::Outcome;

use crate::base::Result;
use crate::checkpoint::Named;
use crate::data::{Batch, Dataset, Image, LoaderConfig, Subset};
use crate::draw::report::Report;
use crate::models::mae::Encoder;
use crate::models::moco::model::QueryStatistics;
use crate::models::moco::step::Step;
use crate::models::moco::{BaseEncoder, Moco, momentum};
use crate::optim::{Group, clip, groups};
use crate::params::{Params, Tensor, TensorMut};
use crate::tasks::visualise::sheet::{self, EncoderMaps};
use crate::train::curves;
use crate::train::memory::StepMemory;
use crate::train::metrics::Record;
use crate::train::readable::leave_out_bad;
use crate::train::source::{Source, loader, measure};
use crate::train::task::{
    Architecture, Effort, EvalCx, Findings, Losses, Opened, Outcome as _, StepCx, StepInfo, Task, Validation,
};
use std::sync::Arc;
use step::Crops;

/// Images that are drawn.
const PICTURES: usize = 4;
/// The prefix of the momentum encoder's tensors in a checkpoint.
const MOMENTUM: &str = "momentum.";

/// Contrastive pre-training with a momentum encoder.
pub struct MocoV3 {
    /// What it learns from.
    train: Arc<dyn Dataset>,
    /// The moving average of trunk and projector.
    pub encoder: BaseEncoder<f32>,
    /// Of the step that is about to change the weights.
    pending: Option<Pending>,
    /// Why there is no validation loss, if there is none.
    no_validation: Option<String>,
    /// What the best checkpoint is chosen by.
    validation: Option<EvalSet>,
    /// What the report names the loss of, and nothing else looks at.
    test: Option<EvalSet>,
    /// Images whose attention and features are drawn, each with where it comes from.
    pictured: Vec<(String, Image)>,
}

/// What changes with the weights, and not if the step is skipped.
struct Pending {
    encoder: BaseEncoder<f32>,
    statistics: [QueryStatistics<f32>; 2],
}

impl Task for MocoV3 {
    type Config = MocoV3Config;
    type Model = Moco<f32>;
    type Start = ();
    type Outcome = Outcome;

    const LOSS: &'static str = "loss (contrastive, both terms)";

    const NEXT: &'static [&'static str] =
        &["vit-mae probe --checkpoint {run}", "vit-mae finetune --checkpoint {run}"];

    fn about(&self, config: &MocoV3Config) -> Vec<(&'static str, String)> {
        let (moco, parameters) = (&config.moco, config.architecture().parameters());
        let frozen = if moco.stop_grad_conv1 { ", patch projection frozen" } else { "" };
        let mut about = vec![
            ("data", self.train.describe()),
            (
                "model",
                format!(
                    "{} (width/blocks/heads), heads {}/{} (hidden/output){frozen}; {parameters} parameters",
                    config.model, moco.mlp_dim, moco.out_dim
                ),
            ),
            (
                "contrast",
                format!(
                    "each image against {} others, temperature {}",
                    config.optim.batch_size - 1,
                    moco.temperature
                ),
            ),
        ];
        about.extend(self.no_validation.as_ref().map(|why| ("note", format!("no validation loss: {why}"))));
        about
    }

    fn notes(&self) -> Vec<String> {
        self.train.notes().to_vec()
    }

    fn source(config: &MocoV3Config) -> Result<Source> {
        Source::for_pretraining(&config.data, &config.run)
    }

    fn open(source: Source, config: &mut MocoV3Config) -> Result<Opened<Self>> {
        measure(&*source.train, &mut config.data, config.model.in_chans)?;
        let most = config.run.held_out_images;
        let set = |images: &std::result::Result<Arc<dyn Dataset>, String>| match images {
            Ok(images) => EvalSet::new(config, Self::loader(config), &source.train, images, most),
            Err(_) => Ok(None),
        };
        let (validation, test) = (set(&source.validation)?, set(&source.test)?);
        let too_few = || "one image alone cannot be told from others".to_owned();
        let mut pictured = source.validation.as_ref().unwrap_or(&source.train).clone();
        pictured = Arc::new(Subset::evenly_spaced(pictured, PICTURES));
        leave_out_bad([&mut pictured], &config.input(), config.data.skip_bad_images)?;
        let load = |index| Ok((pictured.source(index), pictured.image(index)?));
        let task = Self {
            pictured: (0..pictured.len()).map(load).collect::<Result<_>>()?,
            train: source.train.clone(),
            encoder: Self::model(config, &())?.base,
            pending: None,
            no_validation: source.validation.err().or_else(|| validation.is_none().then(too_few)),
            validation,
            test,
        };
        let skipped = task.validation.iter().chain(&task.test).flat_map(|set| set.skipped.clone()).collect();
        Ok(Opened { digest: source.train.digest()?, train: source.train, task, skipped })
    }

    fn loader(config: &MocoV3Config) -> LoaderConfig {
        let shape = (config.model.img_size, config.model.in_chans);
        loader(&config.data, config.views(), shape, config.optim.batch_size, config.run.seed)
    }

    fn memory(config: &MocoV3Config, threads: usize) -> StepMemory {
        config.memory(threads)
    }

    fn architecture(config: &MocoV3Config) -> Architecture {
        Architecture {
            kind: "contrastive network (MoCo v3)",
            encoder: config.model.clone(),
            decoder: None,
            norm_pix_loss: None,
            classes: Vec::new(),
        }
    }

    fn model(config: &MocoV3Config, (): &()) -> Result<Moco<f32>> {
        Ok(Moco::initialised(config.architecture(), config.run.seed))
    }

    fn blank(config: &MocoV3Config) -> Moco<f32> {
        Moco::new(config.architecture())
    }

    fn start_again(_config: &MocoV3Config) -> Result<()> {
        Ok(())
    }

    fn groups(config: &MocoV3Config, model: &Moco<f32>) -> Vec<Group> {
        model.groups(config.optim.weight_decay)
    }

    /// The coefficient of the moving average follows the epochs done, with their fraction, as in the original.
    fn loss_and_grad(
        &mut self,
        model: &Moco<f32>,
        batch: Batch,
        cx: &StepCx<'_, Self>,
    ) -> (Losses, Moco<f32>) {
        let config = cx.config;
        let m = momentum::coefficient(config.moco.momentum, cx.info.epoch, config.optim.epochs as f64);
        let views = [batch.views[0].view(), batch.views[1].view()];
        let crops = Crops { views, micro_batch: config.optim.micro_batch };
        let (Step { contrast, encoder }, grad) =
            step::loss_and_gradient(model, &self.encoder, m, crops, cx.workers);
        let mut losses = Losses::new(
            contrast.loss(),
            [("contrast_accuracy", contrast.accuracy()), ("query_std", contrast.query_std)],
        );
        // A spike here comes before one of the loss (Chen et al. 2021, §4.2).
        if !config.moco.stop_grad_conv1 {
            losses.values.0.push(("conv1_grad_norm".to_owned(), conv1_norm(&grad)));
        }
        self.pending = Some(Pending { encoder, statistics: contrast.statistics });
        (losses, grad)
    }

    fn after_update(&mut self, model: &mut Moco<f32>, _: StepInfo) {
        let Pending { encoder, statistics } = self.pending.take().expect("a step's loss was computed");
        self.encoder = encoder;
        model.track(&statistics);
    }

    fn extras(&self) -> Vec<(&'static str, Vec<Tensor<'_, f32>>)> {
        vec![(MOMENTUM, self.encoder.tensors())]
    }

    fn extras_mut(&mut self) -> Vec<(&'static str, Vec<TensorMut<'_, f32>>)> {
        vec![(MOMENTUM, self.encoder.tensors_mut())]
    }

    fn evaluate(&mut self, cx: &EvalCx<'_, Self>, _: u64, _: u64) -> Result<Option<Validation>> {
        let Some(set) = &self.validation else { return Ok(None) };
        let judged = set.judge(cx.config, cx.model, &self.encoder, cx.workers)?;
        let scores = Named::known_scores([
            ("loss", Some(judged.loss)),
            ("contrast_accuracy", Some(judged.accuracy)),
            ("knn_accuracy", judged.knn),
        ]);
        Ok(Some(Validation { scores, details: None }))
    }

    fn flops_per_image(config: &MocoV3Config) -> f64 {
        config.architecture().flops_per_image(config.optim.batch_size)
    }

    /// What the trunk sees in some images: where its class token attends, and which patches are alike to it.
    fn draw(&self, cx: &EvalCx<'_, Self>, epoch: u64) -> Result<()> {
        let (trunk, input) = (&cx.model.base.trunk, cx.config.input());
        let encoder = Encoder { vit: trunk.vit.clone(), norm: trunk.pool.norm.clone() };
        let name = format!("epoch {epoch}");
        let maps = EncoderMaps::new(name, &encoder, &input, &self.pictured, cx.workers.engine())?;
        let names: Vec<String> = self.pictured.iter().map(|(source, _)| source.clone()).collect();
        cx.run.write_sheet(epoch, &sheet::draw(&[maps], &names, sheet::READING)?)
    }

    fn conclude(
        &self,
        cx: &EvalCx<'_, Self>,
        records: &[Record],
        effort: Effort,
    ) -> Result<Findings<Outcome>> {
        let outcome = Outcome::of(self, cx, effort)?;
        let mut curves = Vec::new();
        if outcome.last.score("knn_accuracy").is_some() {
            let svg = curves::score_svg(records, "knn_accuracy")?;
            curves.push((
                "Validation images named by their neighbours among the training images".to_owned(),
                svg,
            ));
        }
        let report = Report {
            title: format!("MoCo v3 on {}", self.train.describe()),
            summary: outcome.summary(),
            curves,
            sheets_heading: "What the trunk sees".to_owned(),
            sheets: cx.run.sheets_of_report()?,
            notes: vec![match (&self.validation, &self.no_validation) {
                (Some(set), _) => format!(
                    "{} validation images, none of them trained on, chose the best checkpoint by their loss.",
                    set.images()
                ),
                (None, why) => format!("No validation loss: {}.", why.as_deref().unwrap_or_default()),
            }],
            ..Report::default()
        };
        Ok(Findings { outcome, references: Vec::new(), report })
    }
}

/// The norm of the patch projection's gradient.
fn conv1_norm(grad: &Moco<f32>) -> f64 {
    let projection = &grad.base.trunk.vit.patch_embed;
    clip::norm(projection, &groups::pretraining(projection, 0.0))
}
