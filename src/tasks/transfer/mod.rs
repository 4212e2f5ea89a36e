//! What every task of fine-tuning shares: where it starts, what is taken over, and what it answers once it is trained.

mod config;
mod dense;
mod fitted;
mod judge;
mod load;
mod recipes;
mod start;
mod step_options;
mod view;

pub use config::TransferConfig;
pub use dense::{DenseSplits, of_kind, same_classes, seen_as};
pub use fitted::Fitted;
pub(crate) use judge::refuse;
pub use judge::{
    JudgeRequest, Judged, LIST, OVERLAY, PredictRequest, Predicted, Table, file_name, json, percent,
};
pub use load::{Loaded, load, load_best};
pub use recipes::{DEFAULT_RECIPE, Recipes, layered};
pub use start::Start;
pub use step_options::StepOptions;
pub use view::ViewConfig;

use crate::base::Result;
use crate::config::origins::Resolved;
use crate::config::overrides::Overrides;
use crate::tasks::features::Listener;
use crate::tasks::per_picture::PerPicture;
use crate::train::task::Task;
use std::path::Path;

/// A task that a pre-trained trunk is fine-tuned for.
pub trait Transfer: Task<Start = Start> {
    /// Its name.
    const TRANSFER: &'static str;

    /// What one number says how good a model is, as a heading; between 0 and 1.
    const SCORE: &'static str;

    /// What [`Transfer::judge`] writes.
    const JUDGED_FILES: &'static [&'static str];

    /// Its recipes, [`DEFAULT_RECIPE`] among them.
    const RECIPES: &'static Recipes;

    /// The settings of a new run ([`layered`]).
    ///
    /// # Errors
    /// As [`layered`].
    fn layered(
        recipe: &str,
        given: (toml::Table, &str),
        file: Option<&Path>,
        overrides: &Overrides,
    ) -> Result<Resolved<Self::Config>> {
        layered(toml::Table::new(), Self::RECIPES, recipe, given, file, overrides)
    }

    /// The score of a finished run: on test images, or else on those that chose its epoch.
    fn score(outcome: &Self::Outcome) -> Option<f64>;

    /// The score of a finished run on any choice of the test pictures; none without a test split.
    fn per_picture(outcome: &Self::Outcome) -> Option<&PerPicture>;

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
