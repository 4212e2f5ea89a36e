//! `vit-mae ablate --dry-run`: what a plan will take, and nothing of it done.

use super::outln;
use serde::Serialize;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use vit_mae::Result;
use vit_mae::bench;
use vit_mae::config::Settings;
use vit_mae::config::resolve::varied;
use vit_mae::sweep::{Ablation, Cell, Plan, cost, is_complete, tune};
use vit_mae::tasks::finetuning::{WithTransfer, with_transfer};
use vit_mae::tasks::pretraining::{Method, WithMethod, with_method};
use vit_mae::tasks::transfer::{Start, Table, Transfer};
use vit_mae::train::task::Task;

/// Seconds in which the speed of a kind of training is measured.
const MEASURED_SECS: f64 = 1.0;

/// What a row of the table will take.
#[derive(Serialize)]
struct Forecast {
    value: String,
    /// What the setting is that is tuned, if one is.
    tuned: Option<String>,
    task: String,
    labels: f64,
    seed: u64,
    /// Whether there is nothing left to do.
    done: bool,
    /// Operations of pre-training; 0 if another row's run serves this one, too.
    pretrain_flops: f64,
    /// Operations of fine-tuning.
    finetune_flops: f64,
    /// Of both, at the measured speed.
    hours: f64,
}

/// Prints each cell with its operations and hours.
pub(super) fn run(ablation: &Ablation, threads: usize, as_json: bool) -> Result<()> {
    let (plan, mut speeds, mut counted, mut rows) =
        (&ablation.plan, BTreeMap::new(), BTreeSet::new(), vec![]);
    let mut epochs = BTreeMap::new();
    let trials: Vec<Cell<'_>> = plan.trials().collect();
    let done = ablation.rows()?;
    // Where a candidate is not chosen yet, rows that follow the choice cost what they would with the first.
    let first = plan.tune.as_ref().and_then(|axis| axis.values.first());
    let chosen = |cell| tune::chosen(plan, &done, plan.pretrained(cell)).or(first);
    let cells = plan.cells().map(|cell| Cell { tuned: chosen(cell), ..cell });
    for cell in trials.iter().copied().chain(cells.filter(|cell| !trials.contains(cell))) {
        let row = plan.row(cell);
        let done = done.iter().any(|done| done.place() == row.place());
        let folder = ablation.pretrain_folder(cell)?;
        let pretrains = (!done && counted.insert(folder.clone())).then_some(folder);
        let (speeds, epochs) = (&mut speeds, &mut epochs);
        let asked = Asked { plan, cell, threads, speeds, epochs, pretrains, finetunes: !done };
        let [pretraining, finetuning] = with_method(plan.point(cell)?.method, asked)?;
        rows.push(Forecast {
            value: row.value,
            tuned: row.tuned,
            task: row.task,
            labels: row.labels,
            seed: row.seed,
            done,
            pretrain_flops: pretraining.flops,
            finetune_flops: finetuning.flops,
            hours: (pretraining.secs + finetuning.secs) / 3600.0,
        });
    }
    if as_json {
        outln!("{}", super::json(&rows)?);
        return Ok(());
    }
    print(plan, &rows, &speeds);
    Ok(())
}

fn print(plan: &Plan, rows: &[Forecast], speeds: &BTreeMap<String, f64>) {
    let gflop = |flops: f64| format!("{:.0}", flops / 1e9);
    let line = |row: &Forecast| {
        let hours = if row.done { "done".to_owned() } else { format!("{:.3}", row.hours) };
        let with = row.tuned.as_ref().map_or(String::new(), |tuned| format!(", {tuned}"));
        let value = format!("{}{with}", row.value);
        let place = [value, row.task.clone(), row.labels.to_string(), row.seed.to_string()];
        [&place[..], &[gflop(row.pretrain_flops), gflop(row.finetune_flops), hours]].concat()
    };
    let head = vec!["value", "task", "labels", "seed", "pre-training, GFLOP", "fine-tuning, GFLOP", "hours"];
    let table = Table { head, rows: rows.iter().map(line).collect() };
    let total = |of: fn(&Forecast) -> f64| rows.iter().map(of).sum::<f64>();
    outln!("{}: {} rows\n\n{}", plan.vary.name, rows.len(), table.lines().join("\n"));
    let flops = total(|row| row.pretrain_flops + row.finetune_flops);
    outln!("\n{} GFLOP in {:.2} hours of training steps;", gflop(flops), total(|row| row.hours));
    outln!("evaluation, pictures, probes and neighbours come on top.");
    if !speeds.is_empty() {
        outln!("Measured here and now:");
    }
    for (name, speed) in speeds {
        outln!("  {name}: {:.1} GFLOP/s", speed / 1e9);
    }
}

/// A run's operations and seconds.
#[derive(Default)]
struct Taken {
    flops: f64,
    secs: f64,
}

/// What a cell's runs will take.
struct Asked<'a> {
    plan: &'a Plan,
    cell: Cell<'a>,
    threads: usize,
    /// Operations a second, by the name of the method or task: measured once each.
    speeds: &'a mut BTreeMap<String, f64>,
    /// Operations of an epoch, by the method or task and the cell but for its seed: for each the data is opened once.
    epochs: &'a mut BTreeMap<String, f64>,
    /// Where it pre-trains, if no other row's run serves this one, too.
    pretrains: Option<PathBuf>,
    finetunes: bool,
}

impl Asked<'_> {
    fn take<T: Task>(&mut self, config: T::Config, method: &'static str) -> Result<Taken> {
        let but_for_the_seed = format!("{method}: {:?}", Cell { seed: 0, ..self.cell });
        let epoch = match self.epochs.entry(but_for_the_seed) {
            Entry::Occupied(known) => *known.get(),
            Entry::Vacant(new) => *new.insert(cost::epoch_flops::<T>(&config)?),
        };
        let flops = config.optim().epochs as f64 * epoch;
        let speed = if let Some(&speed) = self.speeds.get(method) {
            speed
        } else {
            let (name, threads, of_image) = (String::new(), self.threads, T::flops_per_image(&config));
            // A batch is measured, all of which has labels.
            let all = vec![("finetune.label_share".to_owned(), 1.0.into())];
            let table = config.to_table()?;
            let config = if table.contains_key("finetune") { varied(table, all)? } else { config };
            let bench = bench::Plan::<T> { config, method, name, threads, secs: MEASURED_SECS };
            let speed = bench.images_per_s()?.median * of_image;
            self.speeds.insert(method.to_owned(), speed);
            speed
        };
        Ok(Taken { flops, secs: flops / speed })
    }
}

impl WithMethod for Asked<'_> {
    /// Pre-training and fine-tuning.
    type Output = [Taken; 2];

    fn run<M: Method>(mut self) -> Result<Self::Output> {
        let config: M::Config = self.plan.point(self.cell)?.config()?;
        let start = Start::scratch(&config);
        let left = self.pretrains.take().filter(|out| !is_complete(out, config.optim().epochs));
        let pretraining = left.map_or(Ok(Taken::default()), |_| self.take::<M>(config, M::METHOD))?;
        let finetuning = match &self.plan.judge.finetune {
            Some(recipe) if self.finetunes => {
                with_transfer(self.cell.task, AskedTransfer { asked: self, start, recipe })?
            }
            _ => Taken::default(),
        };
        Ok([pretraining, finetuning])
    }
}

/// What its fine-tuning will take.
struct AskedTransfer<'a, 'b> {
    asked: Asked<'a>,
    start: Start,
    recipe: &'b str,
}

impl WithTransfer for AskedTransfer<'_, '_> {
    type Output = Taken;

    fn run<T: Transfer>(self) -> Result<Taken> {
        let Self { mut asked, start, recipe } = self;
        let config = asked.plan.finetuning::<T>(recipe, &start, asked.cell)?;
        asked.take::<T>(config, T::TRANSFER)
    }
}
