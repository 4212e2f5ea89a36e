//! What every task of fine-tuning shares: where it starts, what is taken over, and what it answers once it is trained.

mod config;
mod judge;
mod start;

pub use config::TransferConfig;
pub use judge::{JudgeRequest, Judged, PredictRequest, Predicted, Table, json, percent};
pub use start::Start;

use crate::base::Result;
use crate::config::origins::Resolved;
use crate::config::overrides::Overrides;
use crate::tasks::features::Listener;
use crate::train::task::Task;
use std::path::Path;
use toml::Table as Toml;

/// A task that a pre-trained trunk is fine-tuned for.
pub trait Transfer: Task<Start = Start> {
    /// Its name.
    const TRANSFER: &'static str;

    /// What one number says how good a model is, as a heading; between 0 and 1.
    const SCORE: &'static str;

    /// What [`Transfer::judge`] writes.
    const JUDGED_FILES: &'static [&'static str];

    /// The settings of a new run: a recipe, what its start gives and where that comes from, a file, the environment and
    /// flags, in this order.
    ///
    /// # Errors
    /// An unknown recipe or key, a value of the wrong type, a file that is not TOML, or settings that cannot work together.
    fn layered(
        recipe: &str,
        given: (Toml, &str),
        file: Option<&Path>,
        overrides: &Overrides,
    ) -> Result<Resolved<Self::Config>>;

    /// The score of a finished run: on test images, or else on those that chose its epoch.
    fn score(outcome: &Self::Outcome) -> Option<f64>;

    /// Judges a finished model on data with labels.
    ///
    /// # Errors
    /// If there is no such model, or the data cannot be used with it.
    fn judge(request: &JudgeRequest<'_>, listener: &dyn Listener) -> Result<Judged>;

    /// Says what a finished model sees in pictures.
    ///
    /// # Errors
    /// If there is no such model, or a picture cannot be read.
    fn predict(request: &PredictRequest<'_>) -> Result<Predicted>;
}
