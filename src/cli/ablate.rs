//! `vit-mae ablate`.

use super::ablate_dry;
use super::device::DeviceFlags;
use super::finetune::tasks;
use super::pretrain::methods;
use super::progress::{self, Progress};
use super::settings::{assignments, given, over_environment, path, whole};
use super::{outln, stderr};
use indicatif::HumanDuration;
use serde_json::json;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::{Duration, Instant};
use toml::{Table, Value};
use vit_mae::config::{Overrides, Settings, keys};
use vit_mae::sweep::{
    Ablation, AblationObserver, Axis, EvalPlan, METHOD, Plan, Row, SCRATCH, results, table,
};
use vit_mae::tasks::mae::presets;
use vit_mae::tasks::pretraining::{Method, WithMethod, with_method};
use vit_mae::tasks::transfer::{DEFAULT_RECIPE, Transfer};
use vit_mae::tasks::{Classify, all_keys};
use vit_mae::train::Observer;
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
const PLANNING: [&str; 19] = [
    "vary",
    "tune",
    "seeds",
    "no_probe",
    "no_finetune",
    "labels",
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

    /// What every run is fine-tuned for; runs are probed for classification alone
    #[arg(long, default_value = Classify::TRANSFER, value_parser = tasks())]
    task: String,
    /// Fine-tuning starts from these settings: small, paper
    #[arg(long, default_value = DEFAULT_RECIPE)]
    recipe: String,
    /// Change any setting of fine-tuning; repeatable
    #[arg(long, value_name = "KEY=VALUE")]
    finetune_set: Vec<String>,
    /// Passes over the labelled images in fine-tuning
    #[arg(long)]
    finetune_epochs: Option<u64>,

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
    /// Only write tables, figure and report of that folder again, from its results.csv
    #[arg(long, requires = "resume", conflicts_with = "dry_run")]
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
        pretrain.extend(self.device.overrides());
        pretrain.extend(given([
            ("data.path", path(self.data.as_ref())?),
            ("optim.epochs", whole("--epochs", self.epochs)?),
        ]));
        let mut finetune = assignments(&self.finetune_set)?;
        finetune.extend(self.device.overrides());
        finetune.extend(given([("optim.epochs", whole("--finetune-epochs", self.finetune_epochs)?)]));
        let (pretrain, several) = (over_environment(pretrain)?, vary.key == METHOD);
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
        let (mut settings, mut texts, mut budget) = (BTreeMap::new(), Vec::new(), None);
        for method in methods {
            // The budget is what the first method takes with the most labels.
            for &labels in labels.iter().rev() {
                let resolve = |overrides: &Overrides| {
                    let vary = &vary.key;
                    with_method(&method, Resolving { args: self, labels, overrides, vary, several })
                };
                let mut resolved = resolve(&pretrain)?;
                if self.equal_compute {
                    let budget = *budget.get_or_insert(resolved.epochs as f64 * resolved.flops);
                    resolved = resolve(&resolved.for_operations(budget, &pretrain))?;
                }
                let Resolved { table, text, .. } = resolved;
                // With fewer labels the same operations are more epochs.
                let one_of_several =
                    self.equal_compute && self.labels.len() > 1 && table.contains_key("finetune");
                let name = if one_of_several { Plan::name_at(&method, labels) } else { method.clone() };
                texts.push(if several { format!("# {name}\n\n{text}") } else { text });
                settings.insert(name, table);
                if !one_of_several {
                    break;
                }
            }
        }
        let plan = Plan {
            vary,
            tune,
            seeds: (0..self.seeds).collect(),
            judge: EvalPlan {
                probe: !self.no_probe && self.task == Classify::TRANSFER,
                finetune: (!self.no_finetune).then(|| self.recipe.clone()),
                task: self.task.clone(),
                labels,
            },
            pretrain: settings,
            finetune,
        };
        Ok((plan, texts))
    }
}

/// The settings of pre-training by one method, and what they cost.
struct Resolved {
    table: Table,
    /// With where each came from, in TOML.
    text: String,
    epochs: u64,
    warmup_epochs: f64,
    /// Floating-point operations of an epoch, for each training image that there is.
    flops: f64,
}

impl Resolved {
    /// The overrides with which it takes `budget` operations for each image that there is, as nearly as whole epochs come to it.
    #[expect(clippy::cast_possible_truncation, reason = "epochs are far fewer")]
    fn for_operations(&self, budget: f64, overrides: &Overrides) -> Overrides {
        let mut overrides = overrides.clone();
        let epochs = (budget / self.flops).round().max(1.0);
        if epochs != self.epochs as f64 {
            let warmup = self.warmup_epochs * epochs / self.epochs as f64;
            let flags = [("optim.epochs", (epochs as i64).into()), ("optim.warmup_epochs", warmup.into())];
            overrides.flags.extend(flags.map(|(key, value): (&str, Value)| (key.to_owned(), value)));
        }
        overrides
    }
}

/// Resolves the settings of pre-training by one method.
struct Resolving<'a> {
    args: &'a Args,
    /// The fraction of the labels that it learns from, if it learns from labels.
    labels: f64,
    overrides: &'a Overrides,
    vary: &'a str,
    /// Whether other methods are tried as well: then a setting that only others have is theirs alone.
    several: bool,
}

impl WithMethod for Resolving<'_> {
    type Output = Resolved;

    fn run<M: Method>(self) -> Result<Resolved> {
        let Self { args, labels, overrides, vary, several } = self;
        let (all, own) = (all_keys(), keys::<M::Config>());
        let mut overrides = overrides.clone();
        overrides.flags.retain(|(key, _)| !several || own.contains(key) || !all.contains(key));
        let mut resolved = M::layered(&args.preset, args.config.as_deref(), &overrides)?;
        if !several {
            resolved.origins.set(vary, "varied by --vary");
        }
        let optim = resolved.config.optim();
        let (epochs, warmup_epochs) = (optim.epochs, optim.warmup_epochs);
        let table = resolved.config.to_table()?;
        // Who learns from labels sees the labelled images alone.
        let share = if table.contains_key("finetune") { labels } else { 1.0 };
        let flops = share * M::flops_per_image(&resolved.config);
        Ok(Resolved { table, text: resolved.to_toml()?, epochs, warmup_epochs, flops })
    }
}

/// Says on stderr which run is on, and how far the whole is.
struct Points {
    done: usize,
    signal: Arc<AtomicUsize>,
    /// Points that were not done before, since `started`, and whether this one is of them.
    ran: u32,
    runs: bool,
    started: Instant,
}

impl Points {
    fn new() -> Self {
        Self { done: 0, signal: progress::signals(), ran: 0, runs: false, started: Instant::now() }
    }

    /// The time that the others will take, by the mean of those that were run.
    fn left(&self, of: usize) -> Option<Duration> {
        let others = u32::try_from(of - self.done).ok().filter(|&others| others > 0)?;
        Some(self.started.elapsed().checked_div(self.ran)? * others)
    }
}

impl AblationObserver for Points {
    fn begins<'a>(&'a mut self, name: &str, epochs: u64, steps: u64) -> Box<dyn Observer + 'a> {
        self.runs = true;
        stderr::line(name, &json!({ "kind": "run", "name": name, "epochs": epochs, "steps": steps }));
        Box::new(Progress::heeding(self.signal.clone(), epochs, steps))
    }

    fn done(&mut self, row: &Row, of: usize) {
        self.done += 1;
        self.ran += u32::from(std::mem::take(&mut self.runs));
        let left = self.left(of);
        let measured = table::COLUMNS.iter().filter_map(|c| Some((c.name, (c.of)(row)?)));
        let measured: Vec<_> = measured.map(|(name, x)| format!("{name} {:.2} %", 100.0 * x)).collect();
        let tuned = row.tuned.as_ref().map_or(String::new(), |tuned| format!(", {tuned}"));
        let (done, value, labels, seed) = (self.done, &row.value, row.labels, row.seed);
        let rest = left.map_or(String::new(), |left| format!("; about {} left", HumanDuration(left)));
        let text = format!(
            "{done}/{of} done: {value}{tuned}, labels {labels}, seed {seed}: {}{rest}",
            measured.join(", ")
        );
        let seconds_left = left.map(|left| left.as_secs_f64());
        let json =
            json!({ "kind": "point", "done": done, "of": of, "seconds_left": seconds_left, "row": row });
        stderr::line(text, &json);
    }
}
