//! Looks at every cell of a plan before anything runs, so that none fails after hours for a reason that could have been known.

use super::plan::{Axis, Cell, METHOD, Plan, Point};
use super::resample::groups;
use super::{PROBE_VALIDATION, epochs};
use crate::base::{Error, Result};
use crate::config::Settings;
use crate::config::sections::DataConfig;
use crate::data::LoaderConfig;
use crate::tasks::Classify;
use crate::tasks::classify::splits::Splits;
use crate::tasks::finetuning::{WithTransfer, with_transfer};
use crate::tasks::pretraining::{Method, WithMethod, with_method};
use crate::tasks::transfer::{Start, Transfer};
use crate::train::source::{Source, open_loader};
use crate::train::task::{Opened, Task};

/// How long a name and its value may be: less than what file systems take, since some characters need three.
const LONGEST: usize = 80;

/// Checks the settings of all cells, and if `opens`, that the data leaves a batch to learn from, and each fraction of its labels.
///
/// # Errors
/// The first setting that cannot work.
pub(super) fn check(plan: &Plan, opens: bool) -> Result<()> {
    let labels = &plan.judge.labels;
    if labels.is_empty() || !labels.is_sorted_by(|a, b| a < b) {
        let expected = "fractions of the labels, all different, ascending";
        return Err(Error::setting("--labels", expected, format!("{labels:?}")));
    }
    if let Some(share) = labels.iter().find(|&&share| !(share > 0.0 && share <= 1.0)) {
        return Err(Error::setting("--labels", "more than 0, at most 1", share));
    }
    let repeated = |values: &[String]| (1..values.len()).find(|&i| values[..i].contains(&values[i]));
    let values: Vec<String> = plan.vary.values.iter().map(Axis::label).collect();
    let seeds: Vec<String> = plan.seeds.iter().map(u64::to_string).collect();
    for (name, values) in [("seeds", seeds), ("vary.values", values)] {
        if let Some(again) = repeated(&values) {
            return Err(Error::setting(name, "each once", format!("{} twice", values[again])));
        }
    }
    if plan.judge.finetune.is_none() && !plan.judge.probe {
        return Err(Error::setting(
            "--no-finetune",
            "runs that are probed: --task classify",
            plan.judge.tasks.join(","),
        ));
    }
    let tasks = &plan.judge.tasks;
    if let Some(again) = repeated(tasks) {
        return Err(Error::setting("--task", "tasks, all different", &tasks[again]));
    }
    if plan.judge.curves && !plan.judge.probe {
        return Err(Error::setting("--curves", "runs that are probed: --task classify", tasks.join(",")));
    }
    epochs::check(&plan.judge.finetune_epochs, labels)?;
    if let Some(tune) = plan.tune.as_ref().filter(|tune| [METHOD, &plan.vary.key].contains(&&*tune.key)) {
        return Err(Error::setting("--tune", "a setting of pre-training that is not varied", &tune.name));
    }
    let given = ["run.seed", "finetune.label_share"];
    for (flag, axis) in [("--vary", Some(&plan.vary)), ("--tune", plan.tune.as_ref())] {
        if let Some(axis) = axis.filter(|axis| given.contains(&&*axis.key)) {
            return Err(Error::setting(flag, "a setting that --seeds and --labels do not give", &axis.name));
        }
    }
    if let Some((key, _)) = plan.finetune.iter().find(|(key, _)| given.contains(&&**key)) {
        return Err(Error::setting("--finetune-set", "a setting that --seeds and --labels do not give", key));
    }
    for axis in [Some(&plan.vary), plan.tune.as_ref()].into_iter().flatten() {
        let long = axis.values.iter().map(Axis::label).find(|value| axis.name.len() + value.len() > LONGEST);
        if let Some(value) = long {
            let expected =
                format!("names and values of at most {LONGEST} bytes together, which folders are called by");
            return Err(Error::setting(&axis.name, expected, value));
        }
    }
    for cell in plan.cells().chain(plan.trials()) {
        let point = plan.point(cell)?;
        with_method(
            point.method,
            Checking { plan, point, cell, opens: opens && cell.seed == plan.seeds[0] },
        )?;
    }
    Ok(())
}

/// Checks that test pictures have names that say their groups.
fn check_groups(source: &Source, group_by: &str) -> Result<()> {
    let Ok(test) = &source.test else { return Ok(()) };
    let names: Vec<String> = (0..test.len()).map(|index| test.source(index)).collect();
    groups(&names, Some(group_by)).map(drop)
}

/// Opens the data as a run would; the runs of other seeds find as many images.
fn open<T: Task>(mut config: T::Config) -> Result<()> {
    let Opened { train, .. } = T::open(T::source(&config)?, &mut config)?;
    open_loader(train, T::loader(&config), config.optim().accum_iter).map(drop)
}

/// Pre-training.
struct Checking<'a> {
    plan: &'a Plan,
    point: Point<'a>,
    cell: Cell<'a>,
    opens: bool,
}

impl WithMethod for Checking<'_> {
    type Output = ();

    fn run<M: Method>(self) -> Result<()> {
        let Self { plan, point, cell, opens } = self;
        let config: M::Config = point.config()?;
        config.run().engine()?;
        if plan.judge.curves && config.run().keep < 2 {
            return Err(Error::setting("run.keep", "2 or more checkpoints for --curves", config.run().keep));
        }
        // All values are judged with the same images.
        let judges = opens && *cell.value == plan.vary.values[0];
        if let Some(group_by) = plan.judge.group_by.as_deref().filter(|_| judges) {
            check_groups(&M::source(&config)?, group_by)?;
        }
        if judges && plan.judge.probe && cell.task == Classify::TRANSFER {
            let data = DataConfig { val_fraction: PROBE_VALIDATION, ..config.data().clone() };
            Splits::of(Source::of(&data)?, &data, cell.labels, cell.seed)?;
        }
        if let Some(recipe) = &plan.judge.finetune {
            let (start, opens) = (Start::scratch(&config), judges);
            with_transfer(cell.task, CheckingTransfer { plan, recipe, start, cell, opens })?;
        }
        let first =
            plan.cells().next().is_some_and(|first| (first.labels, first.task) == (cell.labels, cell.task));
        match opens {
            true if point.learns_from_labels() => open::<M>(config),
            true if first => {
                // How many images there are says enough; what their pixels are like is not asked.
                let (train, loader) = (M::source(&config)?.train, M::loader(&config));
                let (mean, std) = (vec![0.0; loader.channels], vec![1.0; loader.channels]);
                open_loader(train, LoaderConfig { mean, std, ..loader }, config.optim().accum_iter).map(drop)
            }
            _ => Ok(()),
        }
    }
}

/// What follows it.
struct CheckingTransfer<'a> {
    plan: &'a Plan,
    recipe: &'a str,
    start: Start,
    cell: Cell<'a>,
    opens: bool,
}

impl WithTransfer for CheckingTransfer<'_> {
    type Output = ();

    fn run<T: Transfer>(self) -> Result<()> {
        let Self { plan, recipe, start, cell, opens } = self;
        let config = plan.finetuning::<T>(recipe, &start, cell)?;
        if opens { open::<T>(config) } else { Ok(()) }
    }
}
