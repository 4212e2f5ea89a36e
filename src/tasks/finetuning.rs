//! What a pre-trained trunk can be fine-tuned for: each a line in [`with_transfer`].

use super::transfer::Transfer;
use super::{Classify, Detect, Segment};
use crate::base::{Error, Result};
use crate::checkpoint::State;
use crate::checkpoint::dir::{STATE, find};
use crate::config::settings::{kind, task_of};
use std::path::Path;

/// Something that can be done with any task of fine-tuning.
pub trait WithTransfer {
    /// What comes out.
    type Output;

    /// Does it.
    ///
    /// # Errors
    /// Its own.
    fn run<T: Transfer>(self) -> Result<Self::Output>;
}

/// A line of the list of tasks.
pub struct Listed {
    /// The task's name.
    pub name: &'static str,
    /// What it is.
    pub about: &'static str,
    /// What its score is called.
    pub score: &'static str,
}

/// The tasks, in the order in which they are listed.
pub const TRANSFERS: &[Listed] = &[
    listed::<Classify>("Name the class of an image"),
    listed::<Segment>("Name the class of every pixel: semantic segmentation"),
    listed::<Detect>("Find objects: their boxes, classes and masks"),
];

const fn listed<T: Transfer>(about: &'static str) -> Listed {
    Listed { name: T::TRANSFER, about, score: T::SCORE }
}

/// Does something with the task of this name. Every task has its line here.
///
/// # Errors
/// If there is no such task, or what is done fails.
pub fn with_transfer<W: WithTransfer>(name: &str, with: W) -> Result<W::Output> {
    match name {
        Classify::TRANSFER => with.run::<Classify>(),
        Segment::TRANSFER => with.run::<Segment>(),
        Detect::TRANSFER => with.run::<Detect>(),
        _ => Err(Error::setting("--task", format!("one of {}", names()), name)),
    }
}

/// The same with the task of the checkpoint in a run directory, or of this checkpoint.
///
/// # Errors
/// If there is no checkpoint, or as [`with_transfer_of`].
pub fn with_transfer_at<W: WithTransfer>(run: &Path, with: W) -> Result<W::Output> {
    let folder = find(run)?;
    with_transfer_of(&State::read(&folder.join(STATE))?.config_toml, &folder, with)
}

/// The same with the task whose settings these are, which stand in `path`.
///
/// # Errors
/// If they are those of pre-training, or what is done fails.
pub fn with_transfer_of<W: WithTransfer>(config_toml: &str, path: &Path, with: W) -> Result<W::Output> {
    let task = task_of(config_toml);
    if let Some(task) = task.as_deref().filter(|task| TRANSFERS.iter().any(|listed| listed.name == *task)) {
        return with_transfer(task, with);
    }
    let expected = format!("fine-tuning (`vit-mae finetune`) for one of: {}", names());
    Err(Error::input(path, "kind of run", expected, kind(task.as_deref())))
}

fn names() -> String {
    TRANSFERS.iter().map(|listed| listed.name).collect::<Vec<_>>().join(", ")
}
