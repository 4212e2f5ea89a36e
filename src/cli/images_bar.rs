//! Progress of sending images through a model, on stderr, on a terminal only.

use super::stderr::bar_target;
use indicatif::{ProgressBar, ProgressStyle};
use vit_mae::tasks::features::Listener;

/// A bar that counts images; it goes away with the value.
pub(crate) struct ImagesBar(ProgressBar);

impl ImagesBar {
    pub(crate) fn new() -> Self {
        let bar = ProgressBar::with_draw_target(Some(0), bar_target());
        let style = "{bar:30.cyan/dim} {pos}/{len} images · {per_sec} · {eta} left";
        if let Ok(style) = ProgressStyle::with_template(style) {
            bar.set_style(style);
        }
        Self(bar)
    }
}

impl Listener for ImagesBar {
    fn begins(&self, images: usize) {
        self.0.inc_length(images as u64);
    }

    fn finished(&self, images: usize) {
        self.0.inc(images as u64);
    }
}

impl Drop for ImagesBar {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
