//! An ablation: pre-train at each value of one setting with each seed, and judge what every run is worth.
//!
//! ```text
//! ablation.toml                    the plan
//! mask-ratio=0.75/seed-0/
//!   pretrain/  finetune/           two run directories
//!   row.json                       what this run was worth; its point is done
//! results.csv  results.md          every run; mean and standard deviation over the seeds, and differences
//! figure.svg  report.html          the same as a picture; all of it on one page
//! ```
//!
//! An interrupted ablation goes on where it was, to the step.

pub mod difference;
pub mod figure;
mod page;
pub mod plan;
pub mod results;
pub mod table;

pub use plan::{Axis, EvalPlan, METHOD, Plan, Point};
pub use table::Row;

use crate::base::files::read_text;
use crate::base::{Error, Result};
use crate::checkpoint::{State, dir};
use crate::config::Settings;
use crate::config::sections::{DataConfig, RunConfig};
use crate::models::classify::Pooling;
use crate::tasks::finetuning::{WithTransfer, with_transfer};
use crate::tasks::knn::Knn;
use crate::tasks::pretraining::{Method, WithMethod, with_method};
use crate::tasks::probe::head::Optimizer;
use crate::tasks::probe::{Probing, probe};
use crate::tasks::transfer::{Start, Transfer};
use crate::train::RunDir;
use crate::train::run::{Observer, Run};
use crate::train::run_dir::write_atomic;
use crate::train::source::Source;
use std::fs;
use std::path::{Path, PathBuf};
use toml::Value;

const PLAN: &str = "ablation.toml";
const ROW: &str = "row.json";

/// What follows an ablation.
pub trait AblationObserver {
    /// A run begins or goes on: its name, epochs and steps. What it returns follows the run.
    fn begins<'a>(&'a mut self, name: &str, epochs: u64, steps: u64) -> Box<dyn Observer + 'a>;
    /// A point is done, or was done before.
    fn done(&mut self, row: &Row, of: usize);
}

/// A folder with a plan.
pub struct Ablation {
    /// The folder.
    pub folder: PathBuf,
    /// The plan.
    pub plan: Plan,
}

impl Ablation {
    /// A new ablation in an empty folder, or the one that is there already if its plan is the same.
    ///
    /// # Errors
    /// If a point cannot work, or the folder holds anything else.
    pub fn new(folder: &Path, plan: Plan) -> Result<Self> {
        plan.check()?;
        let path = folder.join(PLAN);
        if path.is_file() {
            let found = Plan::read(&path)?;
            if found != plan {
                let (expected, found) = ("the plan of this folder, or another --out", "another plan");
                return Err(Error::input(path, "plan", expected, found));
            }
        } else {
            RunDir::check(Some(folder), false)?;
            fs::create_dir_all(folder).map_err(Error::write(folder))?;
            write_atomic(&path, plan.to_toml()?.as_bytes())?;
        }
        Ok(Self { folder: folder.to_path_buf(), plan })
    }

    /// The ablation in a folder.
    ///
    /// # Errors
    /// If there is none.
    pub fn open(folder: &Path) -> Result<Self> {
        let plan = Plan::read(&folder.join(PLAN))?;
        Ok(Self { folder: folder.to_path_buf(), plan })
    }

    /// Runs what is left to run, and writes tables and figure after every point.
    ///
    /// # Errors
    /// Whatever ends a run; [`Error::Interrupted`] names this folder, from which the ablation goes on.
    pub fn run(&self, observer: &mut dyn AblationObserver) -> Result<Vec<Row>> {
        let mut rows = Vec::new();
        let points: Vec<(&Value, u64)> = self.plan.points().collect();
        for &(value, seed) in &points {
            let row = self.point(value, seed, observer).map_err(|error| self.name_folder(error))?;
            observer.done(&row, points.len());
            rows.push(row);
            self.write(&rows)?;
        }
        Ok(rows)
    }

    /// Tables and figure of the rows so far.
    fn write(&self, rows: &[Row]) -> Result<()> {
        let axis = &self.plan.vary;
        let write = |name: &str, text: String| write_atomic(&self.folder.join(name), text.as_bytes());
        write("results.csv", table::csv(axis, rows))?;
        write("results.md", results::markdown(axis, rows))?;
        let figure = figure::svg(axis, rows, &self.plan.judge.task)?;
        write("report.html", page::html(self, rows, figure.clone())?)?;
        write("figure.svg", figure)
    }

    /// Where a point's runs are.
    fn folder_of(&self, value: &Value, seed: u64) -> PathBuf {
        let name = format!("{}={}", self.plan.vary.name, Axis::label(value));
        self.folder.join(name.replace(['/', ' '], "_")).join(format!("seed-{seed}"))
    }

    /// One value with one seed.
    fn point(&self, value: &Value, seed: u64, observer: &mut dyn AblationObserver) -> Result<Row> {
        let label = Axis::label(value);
        let name = format!("{}={label}", self.plan.vary.name);
        let folder = self.folder_of(value, seed);
        let done = folder.join(ROW);
        if done.is_file() {
            let wrong = |e: serde_json::Error| Error::input(&done, "row", "the result of a run", e);
            return serde_json::from_str(&read_text(&done)?).map_err(wrong);
        }
        fs::create_dir_all(&folder).map_err(Error::write(&folder))?;
        let pretrained = folder.join("pretrain");
        let pretraining = format!("{name}, seed {seed}: pre-training");
        let point = self.plan.point(value, seed)?;
        let (method, out) = (point.method, &pretrained);
        let (data, run) = with_method(method, Pretraining { out, name: &pretraining, point, observer })?;
        let last = State::read(&dir::find(&pretrained)?.join(dir::STATE))?;
        let mut row = Row {
            value: label,
            seed,
            pretrain_loss: last.history.last().and_then(|epoch| epoch.score("loss")),
            probe: None,
            knn: None,
            finetune: None,
            pretrain_secs: last.wall_secs,
            finetune_secs: None,
        };
        if self.plan.judge.probe {
            let (report, _) = probe(&self.probing(&pretrained, &data, &run, seed)?, &())?;
            row.probe = Some(report.judged().top1);
            row.knn = report.knn.map(|knn| knn.summary.top1);
        }
        if let Some(recipe) = &self.plan.judge.finetune {
            let finetuning = format!("{name}, seed {seed}: fine-tuning");
            let (plan, out) = (&self.plan, folder.join("finetune"));
            let (out, name, pretrained) = (&out, &finetuning, &pretrained);
            let with = Finetuning { plan, recipe, seed, out, name, pretrained, observer };
            let (score, secs) = with_transfer(&plan.judge.task, with)?;
            (row.finetune, row.finetune_secs) = (score, Some(secs));
        }
        let json = serde_json::to_vec_pretty(&row).map_err(|e| Error::write(&done)(e.into()))?;
        write_atomic(&done, &json)?;
        Ok(row)
    }

    /// A linear probe on the class token, and at most 20 neighbours: fewer where there are few labels.
    fn probing(&self, pretrained: &Path, data: &DataConfig, run: &RunConfig, seed: u64) -> Result<Probing> {
        let images = Source::of(data)?.train.len() as f64;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a fraction of a length")]
        let half = (images * self.plan.judge.label_share / 2.0) as usize;
        let knn = Knn::default();
        Ok(Probing {
            checkpoint: pretrained.to_path_buf(),
            data: None,
            format: None,
            skip_bad_images: data.skip_bad_images,
            label_share: self.plan.judge.label_share,
            val_fraction: 0.1,
            pooling: Pooling::Class,
            random_encoder: false,
            optimizer: Optimizer::Sgd,
            epochs: 90,
            warmup_epochs: None,
            batch_size: None,
            blr: None,
            sweep: false,
            seed,
            knn: Some(Knn { k: knn.k.min(half.max(1)), ..knn }),
            offloading: run.offloading(),
        })
    }

    /// An interrupted run's error names its own directory; here the whole goes on.
    fn name_folder(&self, error: Error) -> Error {
        match error {
            Error::Interrupted { step, signal, .. } => {
                Error::Interrupted { run: self.folder.clone(), step, signal }
            }
            other => other,
        }
    }
}

/// A run of pre-training: begun, gone on with where it was interrupted, or left alone if it is done.
struct Pretraining<'a> {
    out: &'a Path,
    name: &'a str,
    point: Point<'a>,
    observer: &'a mut dyn AblationObserver,
}

impl WithMethod for Pretraining<'_> {
    /// What it learnt from, and where it ran.
    type Output = (DataConfig, RunConfig);

    fn run<M: Method>(self) -> Result<Self::Output> {
        let Self { out, name, point, observer } = self;
        let config: M::Config = point.config()?;
        let (epochs, output) = (config.optim().epochs, (config.data().clone(), config.run().clone()));
        if is_complete(out, epochs) {
            return Ok(output);
        }
        let mut run = if let Ok(run) = RunDir::open(out) {
            Run::<M>::resume(run, |before| Ok(before.clone()))?
        } else {
            let start = M::start_again(&config)?;
            Run::<M>::new(config, &start, || RunDir::create(Some(out.to_path_buf()), true))?
        };
        let mut watch = observer.begins(name, epochs, run.steps_total());
        run.train("", &mut *watch)?;
        Ok(output)
    }
}

/// A run of fine-tuning: begun, or gone on with where it was interrupted.
struct Finetuning<'a> {
    plan: &'a Plan,
    recipe: &'a str,
    seed: u64,
    out: &'a Path,
    name: &'a str,
    pretrained: &'a Path,
    observer: &'a mut dyn AblationObserver,
}

impl WithTransfer for Finetuning<'_> {
    /// What it reached, and the seconds it took.
    type Output = (Option<f64>, f64);

    fn run<T: Transfer>(self) -> Result<Self::Output> {
        let Self { plan, recipe, seed, out, name, pretrained, observer } = self;
        let mut run = if let Ok(run) = RunDir::open(out) {
            Run::<T>::resume(run, |before| Ok(before.clone()))?
        } else {
            let start = Start::pretrained(pretrained)?;
            let config = plan.finetuning::<T>(recipe, &start, seed)?;
            Run::<T>::new(config, &start, || RunDir::create(Some(out.to_path_buf()), true))?
        };
        let epochs = run.learner.config.optim().epochs;
        let mut watch = observer.begins(name, epochs, run.steps_total());
        let outcome = run.train("", &mut *watch)?;
        Ok((T::score(&outcome), run.log.wall_secs()))
    }
}

/// Whether a run has done all of its epochs.
fn is_complete(out: &Path, epochs: u64) -> bool {
    let state = dir::find(out).and_then(|folder| State::read(&folder.join(dir::STATE)));
    state.is_ok_and(|state| state.epoch >= epochs)
}
