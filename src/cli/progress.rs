//! Progress on stderr: a bar on a terminal, a line an epoch elsewhere.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::{IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use vit_mae::train::Watch;
use vit_mae::train::metrics::{EpochRecord, StepRecord};

/// Set by Ctrl-C; a run looks at it after every step.
static STOP: AtomicBool = AtomicBool::new(false);

/// A bar with epoch, step, loss, images per second and the time left.
pub(crate) struct Progress {
    bar: ProgressBar,
    epochs: u64,
    images_per_s: f64,
    on_terminal: bool,
}

impl Progress {
    pub(crate) fn new(epochs: u64, steps: u64) -> Self {
        let on_terminal = std::io::stderr().is_terminal();
        let target = if on_terminal { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(Some(steps), target);
        let style = "{bar:30.cyan/dim} step {pos}/{len} · {msg} · {eta} left";
        if let Ok(style) = ProgressStyle::with_template(style) {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(200));
        // A second Ctrl-C ends the program at once.
        let handler = || {
            if STOP.swap(true, Ordering::Relaxed) {
                std::process::exit(130);
            }
        };
        if let Err(error) = ctrlc::set_handler(handler) {
            eprintln!("Ctrl-C will not save the run: {error}");
        }
        Self { bar, epochs, images_per_s: 0.0, on_terminal }
    }
}

impl Watch for Progress {
    fn step(&mut self, record: &StepRecord, _total: u64) {
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
        let held_out = record.held_out_loss.map_or(String::new(), |loss| format!(", held out {loss:.4}"));
        let line = format!(
            "epoch {:>3}/{}: loss {:.4}{held_out}, {:.0} images/s",
            record.epoch, self.epochs, record.train_loss, record.images_per_s
        );
        if self.on_terminal {
            self.bar.println(line);
        } else {
            let _ = writeln!(std::io::stderr(), "{line}");
        }
    }

    fn stop(&self) -> bool {
        STOP.load(Ordering::Relaxed)
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
