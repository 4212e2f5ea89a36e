//! What every training command does once its run is ready, or goes on: says what is about to happen, trains, says what came out.

use super::device::print_engine;
use super::flags::{Training, print_config};
use super::joined::ranks;
use super::progress::Progress;
use super::{count, outln, print_skipped, quoted, stderr};
use serde::Serialize;
use std::path::Path;
use toml::Value;
use vit_mae::Result;
use vit_mae::config::resolve::changed;
use vit_mae::config::{Overrides, Settings};
use vit_mae::optim::groups;
use vit_mae::tasks::mae::presets;
use vit_mae::train::resume::preview;
use vit_mae::train::task::Outcome;
use vit_mae::train::{Run, RunDir, Task};

/// Trains to the end, with what is about to happen before it and what came out after it, in words or as one document.
pub(crate) fn train<T: Task>(mut run: Run<T>, flags: &Training, threads: usize, command: &str) -> Result<()> {
    stderr::notes(&run.learner.task.notes());
    if flags.tensorboard {
        run.log.show_on_tensorboard()?;
    }
    if !flags.json {
        describe(&run, threads);
    }
    let mut progress = Progress::new(run.learner.config.optim().epochs, run.steps_total());
    let outcome = run.train(command, &mut progress)?;
    drop(progress);
    if flags.json {
        return print_json(run.log.run.path(), &outcome);
    }
    conclude(&run, &outcome);
    Ok(())
}

/// Goes on with the run at `path`; `method` is what it is called if a trunk is pre-trained by its task.
pub(crate) fn resume<T: Task>(
    path: &Path,
    flags: &Training,
    overrides: &Overrides,
    threads: usize,
    method: Option<&str>,
) -> Result<()> {
    let file = flags.config.as_deref();
    if flags.print_config {
        return print_config(&preview::<T::Config>(&RunDir::look_at(path)?, file, overrides)?);
    }
    let goes_on = |before: &_| Ok(changed(before, file, overrides)?.config);
    let run = Run::<T>::resume_among(ranks(), RunDir::open(path)?, goes_on)
        .map_err(|error| overrides.name_variable(error))?;
    let command = again(&run, method)?;
    train(run, flags, threads, &command)
}

/// The command of a new run with the settings of this one, and its start.
fn again<T: Task>(run: &Run<T>, method: Option<&str>) -> Result<String> {
    let settings = run.learner.config.to_table()?;
    let checkpoint =
        settings.get("finetune").and_then(|section| section.get("checkpoint")).and_then(Value::as_str);
    let task = T::Config::TASK.unwrap_or_default();
    let command = match (checkpoint, method) {
        (Some(run), _) => format!("finetune --task {task} --checkpoint {}", quoted(run)),
        (None, Some(method)) => format!("pretrain --method {method}"),
        // The settings replace the preset's architecture.
        (None, None) => format!("finetune --task {task} --from-scratch --preset {}", presets::DEFAULT),
    };
    Ok(format!("vit-mae {command} --config {}", quoted(&run.log.run.config().to_string_lossy())))
}

/// What is about to happen.
fn describe<T: Task>(run: &Run<T>, threads: usize) {
    let (config, learner) = (&run.learner.config, &run.learner);
    for (word, text) in learner.task.about(config) {
        outln!("{word:<8} {text}");
    }
    let (optim, size) = (config.optim(), learner.workers.ranks().size());
    let ranks = if size > 1 { format!(" on rank 0 of {size}") } else { String::new() };
    outln!("groups   {}", groups::summary(&learner.groups));
    outln!(
        "training {} of {}, batch {} × {}, lr {:.2e}; {threads} threads{ranks}",
        count(optim.epochs, "epoch"),
        count(learner.steps_per_epoch(), "step"),
        optim.batch_size,
        optim.accum_iter,
        optim.schedule().lr,
    );
    print_engine(learner.workers.engine());
    outln!("run      {}", run.log.run.path().display());
    if run.steps_done() > 0 {
        outln!("resumed  after {}", count(run.steps_done(), "step"));
    }
    let or_none = |value: &str| if value.is_empty() { "none".to_owned() } else { value.to_owned() };
    for change in run.log.changes.iter().filter(|change| change.step == run.steps_done()) {
        outln!("changed  {} from {} to {}", change.key, or_none(&change.from), or_none(&change.to));
    }
}

/// What came out, where it is, and what to try next.
fn conclude<T: Task>(run: &Run<T>, outcome: &T::Outcome) {
    outln!();
    for (name, value) in outcome.summary() {
        outln!("{name:<44} {value:>9}");
    }
    print_skipped(outcome.skipped());
    let dir = &run.log.run;
    outln!("\nLook at   {}", dir.report_html().display());
    if dir.reconstructions().is_dir() {
        outln!("          {}", dir.reconstructions().display());
    }
    for (i, next) in T::NEXT.iter().enumerate() {
        let lead = if i == 0 { "\nTry next " } else { "         " };
        outln!("{lead} {}", next.replace("{run}", &quoted(&dir.path().to_string_lossy())));
    }
}

/// What `--json` prints of a finished run: where it is, and what it reached.
fn print_json(run: &Path, outcome: &impl Serialize) -> Result<()> {
    #[derive(Serialize)]
    struct Document<'a, O> {
        run: &'a Path,
        #[serde(flatten)]
        outcome: &'a O,
    }
    outln!("{}", super::json_line(&Document { run, outcome })?);
    Ok(())
}
