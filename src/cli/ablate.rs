//! `vit-mae ablate`.

use super::ablate_dry;
use super::ablate_methods::Methods;
use super::ablate_progress::Points;
use super::device::DeviceFlags;
use super::finetune::tasks;
use super::outln;
use super::pretrain::methods;
use super::settings::{assignments, given, over_environment, path, whole};
use std::path::PathBuf;
use vit_mae::sweep::{Ablation, Axis, Epochs, EvalPlan, METHOD, Plan, Row, SCRATCH, results};
use vit_mae::tasks::Classify;
use vit_mae::tasks::mae::presets;
use vit_mae::tasks::transfer::{DEFAULT_RECIPE, Transfer};
use vit_mae::{Error, Result};

const EXAMPLES: &str = "\
Examples:
  vit-mae ablate --vary mask-ratio=0.25,0.5,0.75,0.9 --epochs 5 --out ratio
  vit-mae ablate --vary mask-ratio=0.1,0.2,0.3,0.4,0.5,0.6,0.7,0.8,0.9 --seeds 3 --data fashion-mnist --out ratio
  vit-mae ablate --vary decoder-depth=1,2,4 --labels 0.1 --no-probe --out depth
  vit-mae ablate --vary norm-pix=true,false --no-finetune --out target
  vit-mae ablate --vary mask-strategy=random,grid,block --out strategy
  vit-mae ablate --vary method=mae,moco-v3,beit,supervised --labels 0.1 --equal-compute --out methods
  vit-mae ablate --vary method=mae,supervised,scratch --labels 0.02,0.1,1 --seeds 3 --out labels
  vit-mae ablate --vary method=mae,scratch --labels 0.02,1 --finetune-epochs 0.02:60,1:10 --out labels
  vit-mae ablate --vary method=mae,scratch --task segment,detect --data scenes --preset photo --out dense
  vit-mae ablate --vary method=mae,moco-v3 --tune optim.blr=5e-4,1.5e-3 --out tuned
  vit-mae ablate --vary method=mae,supervised --labels 0.1,1 --dry-run        what that would take
  vit-mae ablate --plan labels/ablation.toml --out again   the same study in another folder
  vit-mae ablate --resume ratio                            go on after an interruption
  vit-mae ablate --resume ratio --redraw                   tables and figure again, from results.csv

Every value is pre-trained with every seed, then judged by a linear probe, by its nearest neighbours and by fine-tuning, with each \
fraction of the labels; only what learns from labels is pre-trained for each fraction. The method scratch is not pre-trained: the same \
recipes judge random weights. All values have their first seed before any has its second. \
The folder gets report.html, figure.svg, results.md, results.csv and every run; after every row they are up to date.

Settings of pre-training are resolved as for pretrain, preset < --config file < environment < flags; the environment \
does not reach fine-tuning, which --finetune-set changes.";

/// The flags that make a plan, which a folder or a file that has one already does not take.
const PLANNING: [&str; 21] = [
    "vary",
    "tune",
    "seeds",
    "no_probe",
    "no_finetune",
    "labels",
    "group_by",
    "curves",
    "method",
    "preset",
    "config",
    "set",
    "data",
    "epochs",
    "equal_compute",
    "task",
    "recipe",
    "finetune_set",
    "finetune_epochs",
    "device",
    "tf32",
];

/// Flags of `vit-mae ablate`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES, allow_negative_numbers = true)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub(crate) struct Args {
    /// method, mask-ratio, mask-strategy, decoder-depth, decoder-width, norm-pix, epochs or section.key, and its values
    #[arg(long, value_name = "NAME=V,V,…", required_unless_present_any = ["resume", "plan"])]
    vary: Option<String>,
    /// Choose a setting of pre-training for every value: with seed 0 and the most labels, by the score on validation images
    #[arg(long, value_name = "NAME=V,V,…")]
    tune: Option<String>,
    /// Run every value with so many seeds: 0, 1, …
    #[arg(long, value_name = "N", default_value_t = 2)]
    seeds: u64,
    /// Do not probe
    #[arg(long)]
    no_probe: bool,
    /// Do not fine-tune
    #[arg(long, conflicts_with = "no_probe")]
    no_finetune: bool,
    /// Judge with this fraction of the labels, class by class, or with each of several
    #[arg(long, value_name = "FRACTION,…", value_delimiter = ',', default_value = "1")]
    labels: Vec<f64>,
    /// Intervals resample test pictures together whose file names are the same up to the last TEXT, such as tiles of a photograph
    #[arg(long, value_name = "TEXT")]
    group_by: Option<String>,
    /// Also probe all checkpoints of pre-training that stay, with the most labels; run.keep says how many stay
    #[arg(long, conflicts_with = "no_probe")]
    curves: bool,

    /// How encoders are pre-trained, unless that is what is varied
    #[arg(long, default_value = "mae", value_parser = methods())]
    method: String,
    /// Pre-training starts from these settings
    #[arg(long, default_value = presets::DEFAULT)]
    preset: String,
    /// A TOML file with settings of pre-training to change
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Change any setting of pre-training; repeatable
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Print every setting of pre-training as resolved, and where it came from, in TOML; do nothing else
    #[arg(long, conflicts_with_all = ["json", "resume"])]
    print_config: bool,
    /// Images: a folder with one sub-folder a class, IDX, CIFAR, NumPy or WebDataset files [preset nano brings some]
    #[arg(long, value_name = "PATH")]
    data: Option<PathBuf>,
    /// Passes over the data in pre-training
    #[arg(long)]
    epochs: Option<u64>,
    /// Give every method as many epochs as cost the operations of the first one's
    #[arg(long)]
    equal_compute: bool,

    /// What every run is fine-tuned for, or each of several that the data serves; runs are probed for classification alone
    #[arg(long, value_name = "TASK,…", value_delimiter = ',', default_value = Classify::TRANSFER, value_parser = tasks())]
    task: Vec<String>,
    /// Fine-tuning starts from these settings: small, paper
    #[arg(long, default_value = DEFAULT_RECIPE)]
    recipe: String,
    /// Change any setting of fine-tuning; repeatable
    #[arg(long, value_name = "KEY=VALUE")]
    finetune_set: Vec<String>,
    /// Passes over the labelled images in fine-tuning, or for each of --labels its own: 0.01:40,0.1:12,1:3
    #[arg(long, value_name = "N|FRACTION:N,…")]
    finetune_epochs: Option<String>,

    /// Threads; does not change a single bit of the result [default: one a core]
    #[arg(long)]
    threads: Option<usize>,
    #[command(flatten)]
    device: DeviceFlags,
    /// The folder of the ablation; one with the same plan goes on where it was
    #[arg(long, value_name = "DIR", required_unless_present_any = ["resume", "print_config", "dry_run"])]
    out: Option<PathBuf>,
    /// Go on with the ablation in this folder
    #[arg(long, value_name = "DIR", conflicts_with_all = PLANNING, conflicts_with_all = ["plan", "out"])]
    resume: Option<PathBuf>,
    /// Only write tables, figure and report of that folder again, from its results.csv, resamples.csv and curves.csv
    #[arg(long, requires = "resume", conflicts_with = "dry_run", conflicts_with_all = PLANNING, conflicts_with_all = ["plan", "out"])]
    redraw: bool,
    /// The plan is that of this file, the ablation.toml of a folder, and not that of the flags
    #[arg(long, value_name = "FILE", conflicts_with_all = PLANNING, conflicts_with = "print_config")]
    plan: Option<PathBuf>,
    /// Print what every row will take, in floating-point operations and in hours at a speed that is measured for a second; run nothing
    #[arg(long, conflicts_with = "print_config")]
    dry_run: bool,
    /// Print every run as one JSON document on stdout, and nothing else there
    #[arg(long)]
    json: bool,
}

/// Runs what is left to run, and prints the table.
pub(crate) fn run(args: &Args) -> Result<()> {
    let threads = super::start_threads(args.threads)?;
    if args.print_config {
        let (_, texts) = args.resolve()?;
        outln!("{}", texts.join("\n").trim_end());
        return Ok(());
    }
    if let (Some(folder), true) = (&args.resume, args.redraw) {
        let (ablation, rows) = Ablation::redraw(folder)?;
        return args.print(&ablation, &rows);
    }
    let out = args.out.as_deref().unwrap_or(".".as_ref());
    let begin = if args.dry_run { Ablation::planned } else { Ablation::new };
    let ablation = match (&args.resume, &args.plan) {
        (Some(folder), _) => Ablation::open(folder)?,
        (None, Some(plan)) => begin(out, Plan::read(plan)?)?,
        (None, None) => begin(out, args.resolve()?.0)?,
    };
    if args.dry_run {
        return ablate_dry::run(&ablation, threads, args.json);
    }
    args.print(&ablation, &ablation.run(&mut Points::new())?)
}

impl Args {
    fn print(&self, ablation: &Ablation, rows: &[Row]) -> Result<()> {
        if self.json {
            outln!("{}", super::json_line(&rows)?);
            return Ok(());
        }
        outln!("{}", results::markdown(&ablation.plan, rows));
        let folder = ablation.folder.display();
        outln!(
            "Look at   {folder}/report.html\n          {folder}/results.md\n          {folder}/results.csv"
        );
        Ok(())
    }

    /// The plan, and each method's settings of pre-training with where they came from, in TOML.
    fn resolve(&self) -> Result<(Plan, Vec<String>)> {
        let vary = Axis::parse("--vary", self.vary.as_deref().unwrap_or_default())?;
        if !(1..=1000).contains(&self.seeds) {
            return Err(Error::setting("--seeds", "1 to 1000", self.seeds));
        }
        let mut pretrain = assignments(&self.set)?;
        if pretrain.iter().any(|(key, _)| key == "run.seed") {
            return Err(Error::setting("--set", "a setting that --seeds does not give", "run.seed"));
        }
        pretrain.extend(self.device.overrides());
        pretrain.extend(given([
            ("data.path", path(self.data.as_ref())?),
            ("optim.epochs", whole("--epochs", self.epochs)?),
        ]));
        let mut finetune = assignments(&self.finetune_set)?;
        finetune.extend(self.device.overrides());
        let (all, finetune_epochs) = match self.finetune_epochs.as_deref().map(Epochs::parse).transpose()? {
            Some(Epochs::Each(each)) => (None, each),
            Some(Epochs::All(epochs)) => (Some(epochs), Vec::new()),
            None => (None, Vec::new()),
        };
        finetune.extend(given([("optim.epochs", whole("--finetune-epochs", all)?)]));
        let (pretrain, several) = (over_environment(pretrain)?, vary.key == METHOD);
        if let Some(seed) = pretrain.environment.iter().find(|variable| variable.key == "run.seed") {
            let expected = "unset: --seeds gives the seeds";
            return Err(Error::setting(&seed.name, expected, &seed.text));
        }
        let mut methods =
            if several { vary.values.iter().map(Axis::label).collect() } else { vec![self.method.clone()] };
        methods.retain(|method| method != SCRATCH);
        let mut labels = self.labels.clone();
        labels.sort_by(f64::total_cmp);
        if self.equal_compute && !several {
            return Err(Error::setting(
                "--equal-compute",
                "methods that are compared: --vary method=…",
                "one",
            ));
        }
        let tune = self.tune.as_deref().map(|text| Axis::parse("--tune", text)).transpose()?;
        if self.equal_compute && tune.as_ref().is_some_and(|axis| axis.key == "optim.epochs") {
            return Err(Error::setting(
                "--tune",
                "a setting that --equal-compute does not give",
                "optim.epochs",
            ));
        }
        let (settings, texts) = Methods {
            preset: &self.preset,
            config: self.config.as_deref(),
            overrides: &pretrain,
            vary: &vary.key,
            labels: &labels,
            equal_compute: self.equal_compute,
        }
        .resolve(&methods)?;
        let plan = Plan {
            vary,
            tune,
            seeds: (0..self.seeds).collect(),
            judge: EvalPlan {
                probe: !self.no_probe && self.task.iter().any(|task| task == Classify::TRANSFER),
                finetune: (!self.no_finetune).then(|| self.recipe.clone()),
                tasks: self.task.clone(),
                labels,
                finetune_epochs,
                group_by: self.group_by.clone(),
                curves: self.curves,
            },
            pretrain: settings,
            finetune,
        };
        Ok((plan, texts))
    }
}
