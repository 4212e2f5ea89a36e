//! `vit-mae finetune`.

use super::flags::{LabelledData, Training, print_config};
use super::joined::ranks;
use super::settings::{Override, choice, given, number, over_environment, pair, path, sides, whole};
use super::training::{resume, train};
use clap::builder::{PossibleValue, PossibleValuesParser};
use std::path::PathBuf;
use toml::Value;
use vit_mae::Result;
use vit_mae::base::out_file::check_spared;
use vit_mae::checkpoint::dir;
use vit_mae::config::Overrides;
use vit_mae::models::classify::Pooling;
use vit_mae::models::segment::HeadKind;
use vit_mae::tasks::Classify;
use vit_mae::tasks::finetuning::{TRANSFERS, WithTransfer, with_transfer, with_transfer_of};
use vit_mae::tasks::transfer::{DEFAULT_RECIPE, Start, Transfer};
use vit_mae::train::resume::settings_of;
use vit_mae::train::{Run, RunDir};

const EXAMPLES: &str = "\
Examples:
  vit-mae finetune --checkpoint runs/0001                   on the data that the run was pre-trained on
  vit-mae finetune --checkpoint runs/0001 --labels 0.1      with a tenth of the labels
  vit-mae finetune --checkpoint runs/0001 --from-scratch    the same recipe without pre-training
  vit-mae finetune --from-scratch --preset nano             an architecture that was never pre-trained
  vit-mae finetune --checkpoint runs/0001 --data my-photos --img-size 56
  vit-mae finetune --checkpoint runs/0001 --tune-blocks 0   the head alone
  vit-mae finetune --task segment --checkpoint runs/0001 --data scenes        a class for every pixel
  vit-mae finetune --resume runs/0002                       go on after an interruption, with the same bits

Settings are resolved as recipe < what the checkpoint gives (architecture, data, its mean and standard deviation) < --config \
file < environment (VIT_MAE_OPTIM__EPOCHS=3 is optim.epochs) < flags; --print-config shows the result. Part of the \
labelled images is held out (--val-fraction) and chooses the best epoch; the test split is judged once, at the end.";

/// Flags of `vit-mae finetune`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES, allow_negative_numbers = true)]
pub(crate) struct Args {
    /// What the pre-trained encoder is fine-tuned for
    #[arg(long, default_value = Classify::TRANSFER, value_parser = tasks(), conflicts_with = "resume")]
    task: String,
    /// The pre-training run whose encoder is fine-tuned
    #[arg(long, value_name = "RUN", required_unless_present_any = ["resume", "from_scratch"])]
    checkpoint: Option<PathBuf>,
    /// Start from random weights instead: the supervised baseline
    #[arg(long)]
    from_scratch: bool,
    /// With --from-scratch: the architecture and data of this preset
    #[arg(
        long,
        requires = "from_scratch",
        conflicts_with = "checkpoint",
        required_if_eq("from_scratch", "true")
    )]
    preset: Option<String>,
    /// Start from these settings: small, paper
    #[arg(long, default_value = DEFAULT_RECIPE)]
    recipe: String,

    #[command(flatten)]
    labelled: LabelledData,
    /// Use this fraction of the labels, class by class
    #[arg(long, value_name = "FRACTION")]
    labels: Option<f64>,
    /// Hold out this fraction of the labelled images to choose the best epoch, if the data has no validation split; 0 for
    /// the last epoch
    #[arg(long, visible_alias = "val-share", value_name = "FRACTION")]
    val_fraction: Option<f64>,
    /// Random resized crops of this fraction of the area, for example 0.6,1
    #[arg(long, value_name = "MIN,MAX", value_delimiter = ',', num_args = 1)]
    crop: Vec<f64>,
    /// In label maps 0 is no class but ignored, and class k is what files call k + 1 (ADE20K)
    #[arg(long)]
    reduce_zero_label: bool,
    /// Height and width of the images in pixels; positions are interpolated to it [default: the checkpoint's]
    #[arg(long, value_name = "H[,W]", value_delimiter = ',', num_args = 1)]
    img_size: Vec<usize>,

    /// What the head sees: the mean of the patches' tokens, or the class token
    #[arg(long)]
    pooling: Option<Pooling>,
    /// For segmentation, what gives the logits: UperNet on a pyramid of maps, or a linear map of the last tokens
    #[arg(long)]
    head: Option<HeadKind>,
    /// Train only the last K blocks and the head; 0 trains the head alone
    #[arg(long, value_name = "K")]
    tune_blocks: Option<usize>,
    /// Learning rate of a layer over that of the layer above it
    #[arg(long)]
    layer_decay: Option<f64>,
    /// Chance that a residual branch of the last block is left out; less below it
    #[arg(long)]
    drop_path: Option<f64>,
    /// Keep and judge a moving average of the weights with this decay, for example 0.999
    #[arg(long, value_name = "DECAY")]
    ema: Option<f64>,

    #[command(flatten)]
    pub(super) training: Training,
    /// Go on with the fine-tuning run in this directory from its last checkpoint
    #[arg(long, value_name = "RUN", conflicts_with_all = ["checkpoint", "preset", "from_scratch", "recipe", "out", "overwrite"])]
    resume: Option<PathBuf>,
}

/// The tasks as values of a flag, each with what it is.
pub(super) fn tasks() -> PossibleValuesParser {
    PossibleValuesParser::new(TRANSFERS.iter().map(|task| PossibleValue::new(task.name).help(task.about)))
}

/// Trains, and says what came out.
pub(crate) fn run(args: &Args) -> Result<()> {
    let threads = super::start_threads(args.training.threads)?;
    let overrides = over_environment(args.overrides()?)?;
    let with = Finetuning { args, overrides: &overrides, threads };
    match &args.resume {
        None => with_transfer(&args.task, with),
        Some(path) => {
            let settings = settings_of(&RunDir::look_at(path)?)?;
            with_transfer_of(&settings, path, with)
        }
    }
}

/// What is asked, whatever the task.
struct Finetuning<'a> {
    args: &'a Args,
    overrides: &'a Overrides,
    threads: usize,
}

impl WithTransfer for Finetuning<'_> {
    type Output = ();

    fn run<T: Transfer>(self) -> Result<()> {
        let Self { args, overrides, threads } = self;
        if let Some(path) = &args.resume {
            return resume::<T>(path, &args.training, overrides, threads, None);
        }
        let start = args.start()?;
        let file = args.training.config.as_deref();
        let resolved = T::layered(&args.recipe, (start.given()?, &args.origin()), file, overrides)?;
        if args.training.print_config {
            return print_config(&resolved);
        }
        // Everything is looked at before a folder is made.
        let (out, overwrite) = (&args.training.out, args.training.overwrite);
        RunDir::check(out.as_deref(), overwrite)?;
        if let (Some(out), Some(start)) = (out, &args.checkpoint) {
            check_spared("--out", out, &[dir::find(start)?], "the weights that it starts from")?;
        }
        let new = || RunDir::create(out.clone(), overwrite);
        let run = Run::<T>::new_among(ranks(), resolved.config, &start, new)?;
        train(run, &args.training, threads, &super::command_line())
    }
}

impl Args {
    /// Where a new run starts.
    fn start(&self) -> Result<Start> {
        match (&self.checkpoint, self.from_scratch) {
            (Some(run), false) => Start::pretrained(run),
            (Some(run), true) => Start::architecture_of(run),
            (None, _) => Start::preset(self.preset.as_deref().unwrap_or_default()),
        }
    }

    /// Where the settings come from that its start gives.
    fn origin(&self) -> String {
        match (&self.checkpoint, &self.preset) {
            (Some(run), _) => format!("checkpoint {}", run.display().to_string().escape_debug()),
            (None, preset) => format!("preset {}", preset.as_deref().unwrap_or_default()),
        }
    }

    /// The flags that were given, as settings.
    fn overrides(&self) -> Result<Vec<Override>> {
        let (mut all, labelled) = (self.training.overrides()?, &self.labelled);
        all.extend(given([
            ("data.path", path(labelled.data.as_ref())?),
            ("data.format", labelled.format.clone().map(Value::from)),
            ("data.crop", pair("--crop", &self.crop)?),
            ("data.skip_bad_images", labelled.skip_bad_images.then(|| true.into())),
            ("data.val_fraction", number(self.val_fraction)),
            ("model.img_size", sides("--img-size", &self.img_size)?),
            ("model.pooling", choice(self.pooling)),
            ("model.head", choice(self.head)),
            ("data.reduce_zero_label", self.reduce_zero_label.then(|| true.into())),
            ("finetune.label_share", number(self.labels)),
            ("finetune.tune_blocks", whole("--tune-blocks", self.tune_blocks)?),
            ("finetune.layer_decay", number(self.layer_decay)),
            ("finetune.drop_path", number(self.drop_path)),
            ("finetune.ema_decay", number(self.ema)),
        ]));
        Ok(all)
    }
}
