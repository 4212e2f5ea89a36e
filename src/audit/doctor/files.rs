//! Are the run's files whole, do they belong together, and how far did it get?

use super::Finding;
use super::evidence::Evidence;
use super::saved::Saved;
use super::words::{listed, number};
use crate::checkpoint::{Change, State};
use crate::config::Settings;
use crate::train::metrics::{self, EpochRecord};
use crate::train::{Task, resume, run_dir};
use std::fs;

const DAMAGED: &str = "restore the run directory from a copy, or train again: a damaged checkpoint is not \
                       to be trusted";

/// What a resumed or moved run may well have changed.
const MAY_DIFFER: [&str; 5] = ["run.", "data.path", "data.cache_mib", "optim.epochs", "optim.warmup_epochs"];

/// Checkpoint and log can be read to the end.
pub(super) fn files<T: Task>(evidence: &Evidence<T>) -> Vec<Finding> {
    let mut found = Vec::new();
    match &evidence.saved {
        Ok(saved) => found.extend(saved.damage.iter().map(|damage| Finding::problem(damage, DAMAGED))),
        Err(absent) if absent.damaged => found.push(Finding::problem(&absent.why, DAMAGED)),
        Err(_) if expects_checkpoint(evidence) => {
            let text = format!("there is no checkpoint, though step {} is done", evidence.steps_done());
            found.push(Finding::problem(text, DAMAGED));
        }
        Err(absent) => found.push(Finding::note(&absent.why)),
    }
    found.extend(log_beside_checkpoint(evidence));
    if let Ok(Err(why)) = evidence.saved.as_ref().map(|saved| saved.adamw.as_ref()) {
        found.push(Finding::problem(format!("the optimiser's moments: {why}"), DAMAGED));
    }
    let log = &evidence.log;
    if let Some(trouble) = &log.trouble {
        let advice = "look at the named line of metrics.jsonl; checks of the log used the lines before it";
        found.push(Finding::problem(trouble, advice));
    } else if evidence.is_converted() {
        found.push(Finding::note(
            "the weights were converted and not trained here: there is no log of their training",
        ));
    } else if log.lines == 0 && evidence.steps_done() == 0 {
        let advice = "wait for the first logged step, or look at what the program said when it ended";
        let text = "metrics.jsonl has no record: the run has just begun, or ended before its first step";
        found.push(Finding::problem(text, advice));
    }
    if log.torn {
        let text =
            "the last line of metrics.jsonl is cut short: the run is writing it, or was killed while it did";
        found.push(Finding::note(text));
    }
    let steps: Vec<u64> = log.steps.iter().map(|r| r.step).collect();
    if let Some((before, after)) = steps.iter().zip(&steps[1.min(steps.len())..]).find(|(a, b)| b <= a) {
        let text = format!("in metrics.jsonl, step {after} follows on step {before}");
        let advice = "find out whether two runs wrote into one directory; each needs its own --out";
        found.push(Finding::problem(text, advice));
    }
    if found.is_empty() {
        let saved = evidence.saved.as_ref().map_or(0, |saved| saved.state.step);
        found.push(Finding::ok(format!("the checkpoint of step {saved} and the log are whole")));
    }
    found
}

/// Whether an epoch is logged after which the run saves itself.
fn expects_checkpoint<T: Task>(evidence: &Evidence<T>) -> bool {
    let epochs = evidence.log.epochs.last().map_or(0, |r| r.epoch);
    // The last epoch's record is a moment older than its checkpoint.
    epochs > evidence.config.run().checkpoint_every_epochs || epochs >= evidence.config.optim().epochs
}

/// The log goes as far as the checkpoint, and says the same of each epoch.
fn log_beside_checkpoint<T: Task>(evidence: &Evidence<T>) -> Option<Finding> {
    let (saved, log) = (evidence.saved.as_ref().ok()?, &evidence.log);
    let advice = "do not trust the log of this run: it was cut, changed, or belongs to another run";
    let last = log.last_step();
    if log.lines > 0 && saved.state.step >= last.saturating_add(evidence.config.run().log_every_steps) {
        let text =
            format!("metrics.jsonl ends at step {last}, before the checkpoint's step {}", saved.state.step);
        return Some(Finding::problem(text, advice));
    }
    // The log has one word for all numbers that are not finite.
    let alike = |a: f64, b: f64| a == b || !a.is_finite() && !b.is_finite();
    let same_scores = |a: &EpochRecord, b: &EpochRecord| {
        let pairs = || a.scores.0.iter().zip(&b.scores.0);
        a.scores.0.len() == b.scores.0.len() && pairs().all(|(a, b)| a.0 == b.0 && alike(a.1, b.1))
    };
    let same = |a: &EpochRecord, b: &EpochRecord| {
        a.step == b.step && alike(a.train_loss, b.train_loss) && same_scores(a, b)
    };
    let history = &saved.state.history;
    let pair = log.epochs.iter().filter_map(|r| Some((r, history.iter().find(|h| h.epoch == r.epoch)?)));
    let Some((logged, kept)) = pair.into_iter().find(|(logged, kept)| !same(logged, kept)) else {
        return not_as_counted(evidence).map(|text| Finding::problem(text, advice));
    };
    let told = |record: &EpochRecord| {
        let others = record.scores.validation().filter(|(name, _)| *name != "loss");
        let others = others.map(|(name, score)| format!("{name} {}", number(score)));
        [number(record.train_loss)].into_iter().chain(others).collect::<Vec<_>>().join(", ")
    };
    let text = format!(
        "epoch {}: metrics.jsonl has the training loss {}, and the checkpoint remembers {}",
        logged.epoch,
        told(logged),
        told(kept)
    );
    Some(Finding::problem(text, advice))
}

/// Why the run cannot go on with its log, if it cannot: what the checkpoint counts of it is not there any more.
fn not_as_counted<T: Task>(evidence: &Evidence<T>) -> Option<String> {
    let saved = evidence.saved.as_ref().ok().filter(|_| evidence.log.trouble.is_none())?;
    let path = evidence.run.join(run_dir::METRICS);
    let mut text = fs::read(&path).ok()?;
    metrics::check_mark(&path, &mut text, saved.state.log).err().map(|error| error.to_string())
}

/// `config.toml` says what the checkpoint was trained with.
pub(super) fn settings<T: Task>(evidence: &Evidence<T>) -> Vec<Finding> {
    let config = match &evidence.config_file {
        Ok(config) => config,
        Err(why) => {
            let text = format!("{why}; the checkpoint's own settings were used");
            return vec![Finding::problem(
                text,
                "restore config.toml; the checkpoint holds the settings, and `vit-mae inspect` prints their digest",
            )];
        }
    };
    let Ok(saved) = &evidence.saved else {
        return vec![Finding::not_done(
            "there is no checkpoint whose settings could be compared with config.toml",
        )];
    };
    let Ok(trained) = T::Config::from_toml(&saved.state.config_toml, &evidence.run) else {
        return vec![Finding::not_done("the checkpoint's settings cannot be read")];
    };
    // A resumed run has its changes in config.toml at once, and in the checkpoint with the next one.
    let may_differ = |change: &Change| {
        MAY_DIFFER.iter().any(|start| change.key.starts_with(start))
            || evidence.log.changes.iter().any(|logged| logged.key == change.key)
    };
    let differing = resume::differences(&trained, config, 0).unwrap_or_default();
    let (harmless, grave): (Vec<Change>, Vec<Change>) = differing.into_iter().partition(may_differ);
    let told = |changes: &[Change]| {
        let or_nothing = |value: &str| if value.is_empty() { "nothing" } else { value }.to_owned();
        let one = |Change { key, from, to, .. }: &Change| {
            format!("{key} is {}, and the checkpoint has {}", or_nothing(to), or_nothing(from))
        };
        listed(&changes.iter().map(one).collect::<Vec<_>>())
    };
    let mut found = Vec::new();
    if !grave.is_empty() {
        let text = format!(
            "config.toml is not what the checkpoint was trained with: {}. The checks used the checkpoint's settings",
            told(&grave)
        );
        let advice =
            "do not trust config.toml of this run: it was changed after training, or belongs to another run";
        found.push(Finding::problem(text, advice));
    }
    if !harmless.is_empty() {
        let text = format!("config.toml differs from the checkpoint's settings: {}", told(&harmless));
        found.push(Finding::note(text));
    }
    let changes: Vec<String> =
        evidence.log.changes.iter().map(|c| format!("{} after step {}", c.key, c.step)).collect();
    if !changes.is_empty() {
        found.push(Finding::note(format!("settings were changed on the way: {}", listed(&changes))));
    }
    if saved.state.seed != trained.run().seed {
        let text =
            format!("the checkpoint's seed is {}, its settings say {}", saved.state.seed, trained.run().seed);
        found.push(Finding::problem(text, DAMAGED));
    }
    if found.is_empty() {
        found.push(Finding::ok("config.toml says what the checkpoint was trained with"));
    }
    found
}

/// The data is there and is the data of the run.
pub(super) fn data<T: Task>(evidence: &Evidence<T>) -> Vec<Finding> {
    let data = match &evidence.data {
        Ok(data) => data,
        Err(why) => {
            let why = format!("{why}. Checks that need images were left out");
            return vec![
                Finding::not_done(why).advising("name the place of the data with --data to have every check"),
            ];
        }
    };
    let about = data.source.train.describe();
    match &evidence.saved {
        Ok(saved) if saved.state.is_converted() => {
            vec![Finding::ok(format!("{about}: the run was not trained on any data yet"))]
        }
        Ok(saved) if saved.state.data_digest != data.digest => {
            let text = format!(
                "{about}: its digest is {:08x}, and the run was trained on {:08x}",
                data.digest, saved.state.data_digest
            );
            vec![Finding::warning(text, "find the data that the run was trained on, and name it with --data")]
        }
        Ok(_) => vec![Finding::ok(format!("{about}: the digest is that of the run"))],
        Err(_) => vec![Finding::ok(about)],
    }
}

/// How far the run got.
pub(super) fn progress<T: Task>(evidence: &Evidence<T>) -> Vec<Finding> {
    let done = evidence.steps_done();
    let Some(planned) = evidence.steps_planned() else {
        let why = match evidence.data {
            Ok(_) => "the data has fewer images than a step takes",
            Err(_) => "how many are planned cannot be known without the data",
        };
        return vec![Finding::note(format!("{done} steps done; {why}"))];
    };
    let mut text = format!("step {done} of {planned}");
    let mut finding = Finding::ok(&text);
    if done < planned && evidence.is_converted() {
        finding = Finding::note(format!("{text}: it was not trained yet"));
    } else if done < planned {
        text.push_str(": the run is going on, or was interrupted");
        finding = Finding::note(&text);
    }
    if let Ok(Saved { state: State { step, .. }, .. }) = &evidence.saved
        && *step < done
    {
        let text = format!("{text}; the checkpoint, which the checks of tensors saw, is of step {step}");
        finding = Finding::note(text);
    }
    vec![finding]
}
