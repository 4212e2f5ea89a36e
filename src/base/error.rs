//! The one error type: what was wrong, where, what was expected and what was found.
//!
//! A wrong shape *inside* the crate is a bug and panics with both shapes. Everything that comes from
//! outside (a file, a flag, an image, a checkpoint) is an [`Error`], and each variant knows its exit code.
//! It can be cloned: what is wrong with labels is found when data is opened, and an error whenever they are asked for.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Shorthand for a result with this crate's [`enum@Error`].
pub type Result<T> = std::result::Result<T, Error>;

/// Everything that can go wrong from the outside.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A flag or a configuration key has a value that cannot work.
    #[error("{key}: expected {expected}, found {found}")]
    Setting {
        /// The flag (`--mask-ratio`) or configuration key (`mask.ratio`).
        key: String,
        /// What would have been right, as advice.
        expected: String,
        /// What was given.
        found: String,
    },
    /// A file was read, but its content is not what it should be.
    #[error("{}: {field}: expected {expected}, found {found}", path.display())]
    Input {
        /// The file or folder.
        path: PathBuf,
        /// The part of it that is wrong: `magic number`, `blocks.0.norm1.weight`, `line 3`.
        field: String,
        /// What was expected there.
        expected: String,
        /// What stands there.
        found: String,
    },
    /// What is looked for, such as a split of a data set, is not there; nothing that is there is wrong.
    #[error("{}: {field}: expected {expected}, found {found}", path.display())]
    Absent {
        /// Where it was looked for.
        path: PathBuf,
        /// What was looked for.
        field: String,
        /// How it would be known.
        expected: String,
        /// What is there instead.
        found: String,
    },
    /// A model has weights with which nothing can be computed, or computes what is no number.
    #[error("{}: {tensor}: expected finite numbers, found others: are the weights sound?", path.display())]
    Unsound {
        /// The model's file or folder, or what it was shown.
        path: PathBuf,
        /// The weights or the output that are not finite.
        tensor: String,
    },
    /// A path could not be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        source: Arc<io::Error>,
    },
    /// A path could not be written.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        source: Arc<io::Error>,
    },
    /// A loss or a tensor stopped being a finite number during training.
    #[error(
        "step {step}: {tensor} is not finite. Try a lower --blr, more warm-up (--warmup-epochs) or \
         --clip-grad 1; --on-nonfinite skip leaves out single bad steps"
    )]
    NotFinite {
        /// The optimiser step, counted from 1.
        step: u64,
        /// The first tensor (or `loss`) with a value that is not finite.
        tensor: String,
    },
    /// A GPU gave up on the way: its memory ran out, or the driver failed.
    #[error(
        "{device} failed: {message}. If its memory ran out, try a smaller --batch-size, fewer --threads (each has \
         buffers of its own there) or --device cpu"
    )]
    Device {
        /// Which one: `cuda:0`.
        device: String,
        /// What the driver or cuBLAS said.
        message: String,
    },
    /// A check that was asked for found something wrong; what it found is already printed.
    #[error("{0}")]
    CheckFailed(String),
    /// The user or the system asked the run to end; it was saved first.
    #[error(
        "interrupted at step {step}; the run is saved in {} and goes on with --resume {}",
        run.display(),
        run.display()
    )]
    Interrupted {
        /// The run directory.
        run: PathBuf,
        /// The last finished optimiser step.
        step: u64,
        /// The signal's number: 2 is Ctrl-C, 15 a request to terminate.
        signal: u8,
    },
    /// A bug of this program: some code panicked.
    #[error("a bug in this program ended the run: {message}")]
    Panic {
        /// What the panic said.
        message: String,
    },
    /// Another of the processes that compute a run together failed, and so did the run.
    #[error("rank {rank}: {message}")]
    Rank {
        /// Which one.
        rank: usize,
        /// What it said.
        message: String,
        /// The exit code that goes with it.
        exit_code: u8,
    },
    /// A run ended early, for the reason given; what it saved before is intact.
    #[error(
        "{reason}. The checkpoint of step {step} in {} is intact, and --resume {} goes on from it",
        run.display(),
        run.display()
    )]
    Halted {
        /// Why.
        reason: Box<Error>,
        /// The run directory.
        run: PathBuf,
        /// Optimiser steps that the checkpoint holds.
        step: u64,
    },
}

/// What was expected and what was found in a part of a file whose name its reader knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch {
    expected: String,
    found: String,
}

impl Mismatch {
    /// Of these.
    pub fn new(expected: impl Into<String>, found: impl ToString) -> Self {
        Self { expected: expected.into(), found: found.to_string() }
    }

    /// In this part of a file.
    pub fn at(self, path: impl AsRef<Path>, field: impl Into<String>) -> Error {
        Error::input(path, field, self.expected, self.found)
    }
}

impl Error {
    /// A flag or key with an impossible value.
    pub fn setting(key: impl Into<String>, expected: impl Into<String>, found: impl ToString) -> Self {
        Self::Setting { key: key.into(), expected: expected.into(), found: found.to_string() }
    }

    /// A file whose content is wrong.
    pub fn input(
        path: impl AsRef<Path>,
        field: impl Into<String>,
        expected: impl Into<String>,
        found: impl ToString,
    ) -> Self {
        Self::Input {
            path: path.as_ref().to_path_buf(),
            field: field.into(),
            expected: expected.into(),
            found: found.to_string(),
        }
    }

    /// A model that is of no use.
    pub fn unsound(path: impl AsRef<Path>, tensor: impl Into<String>) -> Self {
        Self::Unsound { path: path.as_ref().to_path_buf(), tensor: tensor.into() }
    }

    /// For `map_err` on what is asked of a model in training: its weights are the run's, not somebody's input.
    pub fn in_training(step: u64) -> impl FnOnce(Self) -> Self {
        move |error| match error {
            Self::Unsound { tensor, .. } => Self::NotFinite { step, tensor },
            other => other,
        }
    }

    /// Something that may be there, and is not.
    pub fn absent(
        path: impl AsRef<Path>,
        field: impl Into<String>,
        expected: impl Into<String>,
        found: impl ToString,
    ) -> Self {
        Self::Absent {
            path: path.as_ref().to_path_buf(),
            field: field.into(),
            expected: expected.into(),
            found: found.to_string(),
        }
    }

    /// For `map_err` on a setting that an image cannot be brought to, or that comes from a file: the error becomes one that names it.
    pub fn at(source: impl AsRef<Path>) -> impl FnOnce(Self) -> Self {
        move |error| match error {
            Self::Setting { key, expected, found } => Self::input(source, key, expected, found),
            other => other,
        }
    }

    /// For `map_err` on a failed read.
    pub fn read(path: impl AsRef<Path>) -> impl FnOnce(io::Error) -> Self {
        let path = path.as_ref().to_path_buf();
        move |source| Self::Read { path, source: Arc::new(source) }
    }

    /// For `map_err` on a failed write.
    pub fn write(path: impl AsRef<Path>) -> impl FnOnce(io::Error) -> Self {
        let path = path.as_ref().to_path_buf();
        move |source| Self::Write { path, source: Arc::new(source) }
    }

    /// Whether something is not there, rather than there and wrong.
    #[must_use]
    pub fn is_absence(&self) -> bool {
        matches!(self, Self::Absent { .. })
    }

    /// What went wrong, without the run that it ended.
    #[must_use]
    pub fn reason(&self) -> &Self {
        match self {
            Self::Halted { reason, .. } => reason.reason(),
            error => error,
        }
    }

    /// The process's exit code: 1 failed, 2 bad usage or input, 128 + signal (130, 143) interrupted after saving.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Setting { .. }
            | Self::Input { .. }
            | Self::Unsound { .. }
            | Self::Absent { .. }
            | Self::Read { .. } => 2,
            Self::Write { .. }
            | Self::NotFinite { .. }
            | Self::Device { .. }
            | Self::Panic { .. }
            | Self::CheckFailed(_) => 1,
            Self::Interrupted { signal, .. } => 128 + (signal & 0x7f),
            Self::Rank { exit_code, .. } => *exit_code,
            Self::Halted { reason, .. } => reason.exit_code(),
        }
    }
}
