//! Progress of an audit on stderr, on a terminal only.

use crate::cli::stderr::bar_target;
use indicatif::{ProgressBar, ProgressStyle};

/// A bar that counts parts; it goes away with the value.
pub(crate) struct Ticker(ProgressBar);

impl Ticker {
    pub(crate) fn new(parts: usize) -> Self {
        let bar = ProgressBar::with_draw_target(Some(parts as u64), bar_target());
        if let Ok(style) = ProgressStyle::with_template("{bar:30.cyan/dim} {pos}/{len} · {eta} left") {
            bar.set_style(style);
        }
        Self(bar)
    }

    /// One part is done.
    pub(crate) fn tick(&self) {
        self.0.inc(1);
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
