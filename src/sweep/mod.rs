//! An ablation: pre-train at each value of one setting with each seed, and judge what every run is worth.
//!
//! ```text
//! ablation.toml                    the plan
//! mask-ratio=0.75/seed-0/
//!   pretrain/  finetune/           two run directories
//! method=mae/seed-0/pretrain/      where several fractions of the labels judge one run of pre-training
//! method=mae/seed-0/labels=0.1/    finetune/ of each; in task=segment/ and so on where several tasks judge it
//! method=mae/seed-0/optim.blr=0.1/ all of this again for a candidate of a setting that is tuned
//! results.csv                      what every run was worth; a cell is done when its line is there
//! resamples.csv  curves.csv        its scores on samples of the test pictures, and on validation images as they grew
//! results.md                       mean and standard deviation over the seeds, and differences
//! figure.svg  curves.svg  report.html   the same as a picture; all of it on one page
//! ```
//!
//! What learns from labels is pre-trained for each fraction, in the fraction's folder. An interrupted ablation goes on where it was, to
//! the step; with its plan and these tables alone, on whatever machine, with the cells that are left.

mod check;
pub mod cost;
mod curves;
pub mod difference;
pub mod epochs;
pub mod figure;
mod page;
pub mod plan;
pub mod resample;
pub mod results;
mod runs;
mod samples;
pub mod table;
pub mod tune;

pub use epochs::Epochs;
pub use plan::{Axis, Cell, EvalPlan, METHOD, Plan, Point, SCRATCH};
pub use runs::is_complete;
pub use table::{Place, Row};

use crate::base::{Error, Result};
use crate::checkpoint::{State, dir, keep};
use crate::config::sections::{DataConfig, RunConfig};
use crate::models::classify::Pooling;
use crate::tasks::Classify;
use crate::tasks::finetuning::with_transfer;
use crate::tasks::knn::Knn;
use crate::tasks::per_picture::PerPicture;
use crate::tasks::pretraining::with_method;
use crate::tasks::probe::head::Optimizer;
use crate::tasks::probe::{Probing, probe};
use crate::tasks::transfer::Transfer;
use crate::train::run_dir::write_atomic;
use crate::train::source::Source;
use crate::train::{Observer, RunDir};
use resample::Resampled;
use runs::{Finetuning, Pretraining};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use toml::Value;

const PLAN: &str = "ablation.toml";
const TABLE: &str = "results.csv";
const SAMPLES: &str = "resamples.csv";
const CURVES: &str = "curves.csv";

/// The fraction of the labels that validates a probe, where the data has no validation split.
const PROBE_VALIDATION: f64 = 0.1;

/// What follows an ablation.
pub trait AblationObserver {
    /// A run begins or goes on: its name, epochs and steps. What it returns follows the run.
    fn begins<'a>(&'a mut self, name: &str, epochs: u64, steps: u64) -> Box<dyn Observer + 'a>;
    /// A cell whose training ended since a loss or gradient was not finite: its row has no scores.
    fn diverged(&mut self, row: &Row, error: &Error);
    /// A cell is done, or was done before.
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
    /// An ablation of which nothing is written yet, or the one that is in the folder already if its plan is the same.
    ///
    /// # Errors
    /// If a cell cannot work, or the folder has another plan.
    pub fn planned(folder: &Path, plan: Plan) -> Result<Self> {
        check::check(&plan, true)?;
        let path = folder.join(PLAN);
        if path.is_file() && Plan::read(&path)? != plan {
            let (expected, found) = ("the plan of this folder, or another --out", "another plan");
            return Err(Error::input(path, "plan", expected, found));
        }
        Ok(Self { folder: folder.to_path_buf(), plan })
    }

    /// A new ablation in an empty folder, or the one that is there already if its plan is the same.
    ///
    /// # Errors
    /// If a cell cannot work, or the folder holds anything else.
    pub fn new(folder: &Path, plan: Plan) -> Result<Self> {
        let planned = Self::planned(folder, plan)?;
        let path = folder.join(PLAN);
        if !path.is_file() {
            RunDir::check(Some(folder), false)?;
            fs::create_dir_all(folder).map_err(Error::write(folder))?;
            write_atomic(&path, planned.plan.to_toml()?.as_bytes())?;
        }
        Ok(planned)
    }

    /// The ablation in a folder.
    ///
    /// # Errors
    /// If there is none, or a cell cannot work.
    pub fn open(folder: &Path) -> Result<Self> {
        let path = folder.join(PLAN);
        let plan = Plan::read(&path)?;
        check::check(&plan, false).map_err(Error::at(&path))?;
        Ok(Self { folder: folder.to_path_buf(), plan })
    }

    /// Tables, figure and page of a folder once more, from its `results.csv`, `resamples.csv` and `curves.csv` alone; nothing is run.
    ///
    /// # Errors
    /// If the folder has no plan or no such table.
    pub fn redraw(folder: &Path) -> Result<(Self, Vec<Row>)> {
        let ablation = Self { folder: folder.to_path_buf(), plan: Plan::read(&folder.join(PLAN))? };
        let rows = ablation.read()?;
        ablation.draw(&rows)?;
        Ok((ablation, rows))
    }

    /// The rows that are done.
    ///
    /// # Errors
    /// If the tables cannot be read, or have a row that is not one of the plan's.
    pub fn rows(&self) -> Result<Vec<Row>> {
        let table = self.folder.join(TABLE);
        if !self.folder.join(PLAN).is_file() || !table.is_file() {
            return Ok(Vec::new());
        }
        self.read()
    }

    /// The rows of the tables, each of which is one of the plan's.
    fn read(&self) -> Result<Vec<Row>> {
        let (file, plan) = (|name: &str| self.folder.join(name), &self.plan);
        let mut rows = table::read_csv(&file(TABLE))?;
        let candidates = plan.tune.iter().flat_map(|axis| &axis.values);
        let mut planned = BTreeSet::new();
        for tuned in candidates.map(Some).chain([None]) {
            planned.extend(plan.cells().map(|cell| plan.row(Cell { tuned, ..cell }).place()));
        }
        if let Some(row) = rows.iter().find(|row| !planned.contains(&row.place())) {
            let expected = format!("rows of the plan in {PLAN}");
            return Err(Error::input(file(TABLE), "row", expected, row.place().join(", ")));
        }
        samples::read_csv(&file(SAMPLES), &mut rows)?;
        curves::read_csv(&file(CURVES), &mut rows)?;
        Ok(rows)
    }

    /// Runs what is left to run, and writes tables and figure after every cell.
    ///
    /// # Errors
    /// Whatever ends a run, or nothing to choose by what is tuned; [`Error::Interrupted`] names this folder, from which the ablation goes on.
    pub fn run(&self, observer: &mut dyn AblationObserver) -> Result<Vec<Row>> {
        let (plan, mut rows, mut done) = (&self.plan, Vec::new(), self.rows()?);
        let (trials, cells): (Vec<_>, Vec<_>) = (plan.trials().collect(), plan.cells().collect());
        // One trial of each value is a row of the table.
        let chosen = plan.tune.as_ref().map_or(0, |axis| trials.len() / axis.values.len().max(1));
        let of = trials.len() + cells.len() - chosen;
        let mut run = |cell: Cell<'_>, rows: &mut Vec<Row>| {
            let place = plan.row(cell).place();
            let before = done.iter().position(|row| row.place() == place).map(|i| done.remove(i));
            let is_new = before.is_none();
            let row = match before {
                Some(row) => row,
                None => match self.cell(cell, observer) {
                    // What diverges has no score; the others go on.
                    Err(error) if matches!(error.reason(), Error::NotFinite { .. }) => {
                        let row = plan.row(cell);
                        observer.diverged(&row, &error);
                        row
                    }
                    row => row.map_err(|error| self.name_folder(error))?,
                },
            };
            observer.done(&row, of);
            rows.push(row);
            // What was done before and comes later in the plan stays.
            if is_new { self.write(&[&rows[..], &done].concat()) } else { Ok(()) }
        };
        for &trial in &trials {
            run(trial, &mut rows)?;
            rows.last().map_or(Ok(()), tune::require)?;
        }
        tune::require_choice(plan, &rows)?;
        for cell in cells {
            let cell = Cell { tuned: tune::chosen(plan, &rows, plan.pretrained(cell)), ..cell };
            if !trials.contains(&cell) {
                run(cell, &mut rows)?;
            }
        }
        self.write(&[&rows[..], &done].concat())?;
        Ok(rows)
    }

    /// The rows so far, and what is drawn of them.
    fn write(&self, rows: &[Row]) -> Result<()> {
        let plan = &self.plan;
        let write = |name: &str, text: &[u8]| write_atomic(&self.folder.join(name), text);
        write(SAMPLES, &samples::csv(&plan.vary.name, rows)?)?;
        write(CURVES, &curves::csv(&plan.vary.name, rows)?)?;
        // Behind what belongs to its rows, which are done with it.
        write(TABLE, &table::csv(&plan.vary.name, rows)?)?;
        self.draw(rows)
    }

    /// Table, figures and page of these rows.
    fn draw(&self, rows: &[Row]) -> Result<()> {
        let plan = &self.plan;
        let write = |name: &str, text: &[u8]| write_atomic(&self.folder.join(name), text);
        write("results.md", results::markdown(plan, rows).as_bytes())?;
        let figure = figure::svg(plan, rows)?;
        write("figure.svg", figure.as_bytes())?;
        let (curves, place) = (curves::svg(plan, rows)?, self.folder.join("curves.svg"));
        match &curves {
            Some(svg) => write_atomic(&place, svg.as_bytes())?,
            None if place.is_file() => fs::remove_file(&place).map_err(Error::write(&place))?,
            None => {}
        }
        write("report.html", page::html(self, rows, figure, curves)?.as_bytes())
    }

    /// Where the runs of a value with a seed are.
    fn folder_of(&self, cell: Cell<'_>) -> PathBuf {
        // No two values have one folder.
        let escaped = |text: String| text.replace('%', "%25").replace('/', "%2F").replace(' ', "%20");
        let named = |axis: &Axis, value| escaped(format!("{}={}", axis.name, Axis::label(value)));
        let folder = self.folder.join(named(&self.plan.vary, cell.value)).join(format!("seed-{}", cell.seed));
        match self.plan.tune.as_ref().zip(cell.tuned).filter(|_| !self.plan.is_scratch(cell.value)) {
            Some((axis, tuned)) => folder.join(named(axis, tuned)),
            None => folder,
        }
    }

    /// Where what one fraction of the labels makes of them for a task is.
    fn folder_for(&self, cell: Cell<'_>) -> PathBuf {
        let (folder, task) = (self.folder_at(cell), cell.task);
        if self.plan.judge.tasks.len() > 1 { folder.join(format!("task={task}")) } else { folder }
    }

    /// Where what one fraction of the labels makes of them is.
    fn folder_at(&self, cell: Cell<'_>) -> PathBuf {
        let (folder, labels) = (self.folder_of(cell), cell.labels);
        if self.plan.judge.labels.len() > 1 { folder.join(format!("labels={labels}")) } else { folder }
    }

    /// Where the run of pre-training is that a cell is judged by.
    ///
    /// # Errors
    /// If there is no such method.
    pub fn pretrain_folder(&self, cell: Cell<'_>) -> Result<PathBuf> {
        let for_fraction = self.plan.point(cell)?.learns_from_labels();
        let cell = Cell { value: self.plan.pretrained(cell), ..cell };
        Ok(if for_fraction { self.folder_at(cell) } else { self.folder_of(cell) }.join("pretrain"))
    }

    /// One row of the table.
    fn cell(&self, cell: Cell<'_>, observer: &mut dyn AblationObserver) -> Result<Row> {
        let Cell { value, labels, task, seed, .. } = cell;
        let (plan, folder) = (&self.plan, self.folder_for(cell));
        fs::create_dir_all(&folder).map_err(Error::write(&folder))?;
        let (pretrained, scratch, row) =
            (self.pretrain_folder(cell)?, plan.is_scratch(value), plan.row(cell));
        let with = row.tuned.as_ref().map_or(String::new(), |tuned| format!(", {tuned}"));
        let named = |value: &Value| format!("{}={}{with}, seed {seed}", plan.vary.name, Axis::label(value));
        let (point, name) = (plan.point(cell)?, format!("{}: pre-training", named(plan.pretrained(cell))));
        let (method, out) = (point.method, &pretrained);
        let of_others = |folder: &dyn Fn(Cell<'_>) -> Result<PathBuf>| {
            let others = plan.seeds.iter().filter(|&&other| other != seed);
            others.map(|&seed| folder(Cell { seed, ..cell })).collect::<Result<Vec<_>>>()
        };
        let others = of_others(&|cell| self.pretrain_folder(cell))?;
        let pretraining = Pretraining { out, others: &others, name: &name, point, observer };
        let (data, run) = with_method(method, pretraining)?;
        let last = State::read(&dir::find(&pretrained)?.join(dir::STATE))?;
        let mut row = Row {
            pretrain_loss: last.history.last().filter(|_| !scratch).and_then(|epoch| epoch.score("loss")),
            pretrain_secs: if scratch { 0.0 } else { last.wall_secs },
            ..row
        };
        if plan.judge.probe && task == Classify::TRANSFER {
            let (report, judged) = probe(&self.probing(&pretrained, &data, &run, cell)?, &())?;
            row.resampled.extend(self.resampled(table::PROBE, judged.probe_per_picture.as_ref())?);
            row.resampled.extend(self.resampled(table::KNN, judged.knn_per_picture.as_ref())?);
            row.probe = Some(report.judged().top1);
            row.validation = report.validation.as_ref().map(|validation| validation.top1);
            row.knn = report.knn.map(|knn| knn.summary.top1);
            if plan.judge.curves && !scratch && Some(&labels) == plan.judge.labels.last() {
                row.curves = self.probed(&pretrained, &data, &run, cell)?;
                let point = |score| (table::PROBE.to_owned(), last.epoch, score);
                row.curves.extend(row.validation.map(point));
            }
        }
        if let Some(recipe) = &plan.judge.finetune {
            let by = if plan.judge.tasks.len() > 1 { format!(", {task}") } else { String::new() };
            let name = format!("{}, labels {labels}{by}: fine-tuning", named(value));
            let (out, name, pretrained) = (&folder.join("finetune"), &name, &pretrained);
            let others = of_others(&|cell| Ok(self.folder_for(cell).join("finetune")))?;
            let with = Finetuning { plan, recipe, cell, out, others: &others, name, pretrained, observer };
            let tuned = with_transfer(task, with)?;
            row.resampled.extend(self.resampled(table::FINETUNING, tuned.per_picture.as_ref())?);
            let curve = tuned.curve.into_iter();
            row.curves.extend(curve.map(|(step, score)| (table::FINETUNING.to_owned(), step, score)));
            (row.finetune, row.validation, row.finetune_secs) =
                (tuned.score, tuned.validation, Some(tuned.secs));
        }
        Ok(row)
    }

    /// The probe's scores on validation images after the epochs of pre-training before the last of which a checkpoint stayed.
    fn probed(
        &self,
        pretrained: &Path,
        data: &DataConfig,
        run: &RunConfig,
        cell: Cell<'_>,
    ) -> Result<Vec<(String, u64, f64)>> {
        let mut points = Vec::new();
        for (_, checkpoint) in keep::older(pretrained)? {
            let state = State::read(&checkpoint.join(dir::STATE))?;
            // One that an interruption left is in the middle of an epoch.
            if state.position.steps == 0 {
                let (report, _) = probe(&self.probing(&checkpoint, data, run, cell)?, &())?;
                let score = report.validation.map(|validation| validation.top1);
                points.extend(score.map(|score| (table::PROBE.to_owned(), state.epoch, score)));
            }
        }
        Ok(points)
    }

    /// A score on samples of the test pictures, if there are such.
    fn resampled(&self, column: &str, pictures: Option<&PerPicture>) -> Result<Option<Resampled>> {
        let by = self.plan.judge.group_by.as_deref();
        pictures.map(|pictures| Resampled::of(column, pictures, by)).transpose()
    }

    /// A linear probe on the class token, and at most 20 neighbours: fewer where there are few labels.
    fn probing(
        &self,
        pretrained: &Path,
        data: &DataConfig,
        run: &RunConfig,
        cell: Cell<'_>,
    ) -> Result<Probing> {
        let images = Source::of(data)?.train.len() as f64;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a fraction of a length")]
        let half = (images * cell.labels / 2.0) as usize;
        let knn = Knn::default();
        Ok(Probing {
            checkpoint: pretrained.to_path_buf(),
            data: None,
            format: None,
            skip_bad_images: data.skip_bad_images,
            label_share: cell.labels,
            val_fraction: PROBE_VALIDATION,
            pooling: Pooling::Class,
            random_encoder: self.plan.is_scratch(cell.value),
            optimizer: Optimizer::Sgd,
            epochs: 90,
            warmup_epochs: None,
            batch_size: None,
            blr: None,
            sweep: false,
            seed: cell.seed,
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
            Error::Halted { reason, step, .. } => Error::Halted { reason, run: self.folder.clone(), step },
            other => other,
        }
    }
}
