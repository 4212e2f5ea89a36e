//! The tasks: one folder each, with its settings, its loss, how it is judged, its pictures and presets; and one line
//! each in [`with_task_of`].

pub mod classify;
pub mod mae;

use crate::base::{Error, Result};
use crate::train::settings::task_of;
use crate::train::task::Task;
use std::path::Path;

/// Something that can be done with any task.
pub trait WithTask {
    /// What comes out.
    type Output;

    /// Does it.
    ///
    /// # Errors
    /// Its own.
    fn run<T: Task>(self) -> Result<Self::Output>;
}

/// Does something with the task whose settings these are, which stand in `path`. Every task has its line here.
///
/// # Errors
/// If there is no such task, or what is done fails.
pub fn with_task_of<W: WithTask>(config_toml: &str, path: &Path, with: W) -> Result<W::Output> {
    match task_of(config_toml).as_deref() {
        None => with.run::<mae::Pretrain>(),
        Some("classify") => with.run::<classify::Classify>(),
        Some(other) => Err(Error::input(path, "task", "none, or classify", other)),
    }
}
