//! What `vit-mae ablate` says on stderr while it runs.

use super::progress::Progress;
use super::signals::Signals;
use super::stderr;
use indicatif::HumanDuration;
use serde_json::json;
use std::time::{Duration, Instant};
use vit_mae::Error;
use vit_mae::sweep::{AblationObserver, Row, table};
use vit_mae::train::Observer;

/// Says on stderr which run is on, and how far the whole is.
pub(super) struct Points {
    done: usize,
    signals: Signals,
    /// Points that were not done before, since `started`, and whether this one is of them.
    ran: u32,
    runs: bool,
    started: Instant,
}

impl Points {
    pub(super) fn new() -> Self {
        let signals = Signals::listen();
        // Between two runs all is saved.
        signals.end_at_once(true);
        Self { done: 0, signals, ran: 0, runs: false, started: Instant::now() }
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
        Box::new(Progress::heeding(self.signals.clone(), epochs, steps))
    }

    fn diverged(&mut self, row: &Row, error: &Error) {
        let text = format!("{} diverged and has no scores: {}", row.shown(), error.reason());
        stderr::line(text, &json!({ "kind": "diverged", "row": row, "reason": error.reason().to_string() }));
    }

    fn done(&mut self, row: &Row, of: usize) {
        self.done += 1;
        self.ran += u32::from(std::mem::take(&mut self.runs));
        let left = self.left(of);
        let measured = table::COLUMNS.iter().filter_map(|c| Some((c.name, (c.of)(row)?)));
        let measured: Vec<_> = measured.map(|(name, x)| format!("{name} {:.2} %", 100.0 * x)).collect();
        let tuned = row.tuned.as_ref().map_or(String::new(), |tuned| format!(", {tuned}"));
        let (done, Row { value, task, labels, seed, .. }) = (self.done, row);
        let rest = left.map_or(String::new(), |left| format!("; about {} left", HumanDuration(left)));
        let text = format!(
            "{done}/{of} done: {value}{tuned}, {task}, labels {labels}, seed {seed}: {}{rest}",
            measured.join(", ")
        );
        let seconds_left = left.map(|left| left.as_secs_f64());
        let json =
            json!({ "kind": "point", "done": done, "of": of, "seconds_left": seconds_left, "row": row });
        stderr::line(text, &json);
    }
}
