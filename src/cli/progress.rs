//! Progress on stderr: a bar on a terminal, a line an epoch elsewhere, JSON on request.

use super::signals::Signals;
use super::stderr::{self, bar_target, draws_bars, is_json};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use std::time::{Duration, Instant};
use vit_mae::train::Observer;
use vit_mae::train::metrics::{EpochRecord, Record, StepRecord};

/// In JSON, steps are said so often at most.
const PAUSE: Duration = Duration::from_secs(1);

/// A bar with epoch, step, loss, images per second and the time left.
pub(crate) struct Progress {
    bar: ProgressBar,
    epochs: u64,
    images_per_s: f64,
    /// When a step was last said in JSON.
    said: Option<Instant>,
    /// A run looks at them after every step.
    signals: Signals,
}

impl Progress {
    pub(crate) fn new(epochs: u64, steps: u64) -> Self {
        Self::heeding(Signals::listen(), epochs, steps)
    }

    /// One of several runs in a row, which stop at one signal.
    pub(crate) fn heeding(signals: Signals, epochs: u64, steps: u64) -> Self {
        signals.end_at_once(false);
        let bar = ProgressBar::with_draw_target(Some(steps), bar_target());
        let style = "{bar:30.cyan/dim} step {pos}/{len} · {msg} · {eta} left";
        if let Ok(style) = ProgressStyle::with_template(style) {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(200));
        Self { bar, epochs, images_per_s: 0.0, said: None, signals }
    }
}

/// A record of the log, and how many there will be.
#[derive(Serialize)]
struct Counted {
    #[serde(flatten)]
    record: Record,
    epochs: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    steps: Option<u64>,
}

impl Progress {
    /// Says a step in JSON, if a second has passed or it is the last.
    fn say_step(&mut self, record: &StepRecord, total: u64) {
        let due = self.said.is_none_or(|said| said.elapsed() >= PAUSE);
        if due || record.step == total {
            self.said = Some(Instant::now());
            let record = Record::Step(record.clone());
            stderr::line("", &Counted { record, epochs: self.epochs, steps: Some(total) });
        }
    }
}

impl Observer for Progress {
    fn step(&mut self, record: &StepRecord, total: u64) {
        if is_json() {
            return self.say_step(record, total);
        }
        // A running mean over about ten steps: single steps are noisy.
        let first = self.images_per_s == 0.0;
        let weight = if first { 1.0 } else { 0.1 };
        self.images_per_s += weight * (record.images_per_s - self.images_per_s);
        self.bar.set_position(record.step);
        self.bar.set_message(format!(
            "epoch {:.0}/{} · loss {:.4} · {:.0} images/s",
            record.epoch.floor() + 1.0,
            self.epochs,
            record.loss,
            self.images_per_s
        ));
    }

    fn epoch(&mut self, record: &EpochRecord) {
        let score = |(name, score): (&str, f64)| match name {
            "loss" => format!(", validation {score:.4}"),
            _ if name.ends_with("accuracy") => format!(", {} {:.2} %", name.replace('_', " "), 100.0 * score),
            _ => format!(", {} {score:.4}", name.replace('_', " ")),
        };
        let scores: String = record.scores.validation().map(score).collect();
        let line = format!(
            "epoch {:>3}/{}: loss {:.4}{scores}, {:.0} images/s",
            record.epoch, self.epochs, record.train_loss, record.images_per_s
        );
        if draws_bars() {
            self.bar.println(line);
        } else {
            let record = Record::Epoch(record.clone());
            stderr::line(line, &Counted { record, epochs: self.epochs, steps: None });
        }
    }

    fn should_stop(&self) -> Option<u8> {
        self.signals.asked()
    }

    fn trained(&mut self) {
        self.signals.end_at_once(true);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
