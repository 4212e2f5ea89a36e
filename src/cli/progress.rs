//! Progress on stderr: a bar on a terminal, a line an epoch elsewhere, JSON on request.

use super::joined::ranks;
use super::stderr::{self, bar_target, draws_bars, is_json};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use serde_json::json;
use signal_hook::consts::{SIGINT, SIGTERM, SIGUSR1};
use signal_hook::flag;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
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
    /// The signal that asked to stop, or 0; a run looks at it after every step.
    signal: Arc<AtomicUsize>,
}

impl Progress {
    pub(crate) fn new(epochs: u64, steps: u64) -> Self {
        Self::heeding(signals(), epochs, steps)
    }

    /// One of several runs in a row, which stop at one signal.
    pub(crate) fn heeding(signal: Arc<AtomicUsize>, epochs: u64, steps: u64) -> Self {
        let bar = ProgressBar::with_draw_target(Some(steps), bar_target());
        let style = "{bar:30.cyan/dim} step {pos}/{len} · {msg} · {eta} left";
        if let Ok(style) = ProgressStyle::with_template(style) {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(200));
        Self { bar, epochs, images_per_s: 0.0, said: None, signal }
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
        u8::try_from(self.signal.load(Ordering::Relaxed)).ok().filter(|&signal| signal > 0)
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// The number of the signal that asks to stop, or 0, from now on.
pub(crate) fn signals() -> Arc<AtomicUsize> {
    let signal = Arc::default();
    if let Err(error) = listen(&signal) {
        let why = format!("Ctrl-C will not save the run: {error}");
        stderr::line(&why, &json!({ "kind": "note", "message": why }));
    }
    signal
}

/// From now on Ctrl-C (SIGINT) and SIGTERM, and on several ranks SIGUSR1, ask the run to save and stop. A Ctrl-C after that ends the program at
/// once.
fn listen(signal: &Arc<AtomicUsize>) -> std::io::Result<()> {
    let asked = Arc::new(AtomicBool::new(false));
    // In this order: the first Ctrl-C finds the flag unset, then sets it.
    flag::register_conditional_shutdown(SIGINT, 128 + SIGINT, Arc::clone(&asked))?;
    // Launchers forward SIGUSR1 to all ranks at once, and give them time.
    let more = if ranks().size() > 1 { &[SIGUSR1][..] } else { &[] };
    for number in [SIGINT, SIGTERM].iter().chain(more).copied() {
        flag::register(number, Arc::clone(&asked))?;
        flag::register_usize(number, Arc::clone(signal), number.unsigned_abs() as usize)?;
    }
    Ok(())
}
