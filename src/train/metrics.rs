//! `metrics.jsonl`: one JSON object per line, written as training goes, read back strictly.
//!
//! Each line reaches the file before the next step starts, so that a curve can be watched while it grows
//! and a crash costs at most the line that was being written.

use super::run_dir::write_atomic;
use crate::base::{Error, Result};
use serde::{Deserialize, Deserializer, Serialize};
use std::fs::{File, OpenOptions, read_to_string};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

pub use crate::checkpoint::EpochRecord;

/// One logged optimiser step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StepRecord {
    /// Optimiser steps done.
    pub step: u64,
    /// Epochs done, with the fraction of the current one.
    pub epoch: f64,
    /// Loss of this step's batch.
    pub loss: f64,
    /// Learning rate of this step.
    pub lr: f64,
    /// Norm of the whole gradient before clipping.
    #[serde(deserialize_with = "null_is_nan")]
    pub grad_norm: f64,
    /// Training images per second since the last record.
    #[serde(deserialize_with = "null_is_nan")]
    pub images_per_s: f64,
}

/// One line of the file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Record {
    /// `{"kind":"step",…}`
    Step(StepRecord),
    /// `{"kind":"epoch",…}`
    Epoch(EpochRecord),
}

impl Record {
    /// Optimiser steps done when this was logged.
    pub fn step(&self) -> u64 {
        match self {
            Self::Step(r) => r.step,
            Self::Epoch(r) => r.step,
        }
    }
}

/// JSON has no word for a number that is not finite; it is written as `null`.
fn null_is_nan<'de, D: Deserializer<'de>>(value: D) -> std::result::Result<f64, D::Error> {
    Ok(Option::deserialize(value)?.unwrap_or(f64::NAN))
}

/// Appends records to the file.
#[derive(Debug)]
pub struct Writer {
    path: PathBuf,
    file: File,
}

impl Writer {
    /// Starts an empty file.
    ///
    /// # Errors
    /// If it cannot be created.
    pub fn create(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref().to_path_buf();
        let file = File::create(&path).map_err(Error::write(&path))?;
        Ok(Self { path, file })
    }

    /// Continues a file after a checkpoint at `step`: what was logged after it is dropped, because those
    /// steps are about to be run again. A file that is not there is started.
    ///
    /// # Errors
    /// If it cannot be read or written.
    pub fn resume(path: impl AsRef<Path>, step: u64) -> Result<Self> {
        let path = path.as_ref().to_path_buf();
        let records = match read(&path) {
            Err(Error::Read { source, .. }) if source.kind() == ErrorKind::NotFound => Vec::new(),
            other => other?,
        };
        let mut kept = Vec::new();
        for record in records.iter().filter(|record| record.step() <= step) {
            kept.extend(line(&path, record)?);
        }
        write_atomic(&path, &kept)?;
        let file = OpenOptions::new().append(true).open(&path).map_err(Error::write(&path))?;
        Ok(Self { path, file })
    }

    /// Appends one line.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn append(&mut self, record: &Record) -> Result<()> {
        let line = line(&self.path, record)?;
        self.file.write_all(&line).map_err(Error::write(&self.path))
    }
}

fn line(path: &Path, record: &Record) -> Result<Vec<u8>> {
    let mut line = serde_json::to_vec(record).map_err(|e| Error::write(path)(e.into()))?;
    line.push(b'\n');
    Ok(line)
}

/// Reads every record. A last line without its newline is one that a crash cut short; it is left out.
///
/// # Errors
/// If the file cannot be read or a line is not a record; the error names the line.
pub fn read(path: &Path) -> Result<Vec<Record>> {
    let text = read_to_string(path).map_err(Error::read(path))?;
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    let lines = whole.lines().enumerate();
    lines
        .map(|(i, line)| {
            let field = format!("line {}", i + 1);
            serde_json::from_str(line)
                .map_err(|e| Error::input(path, field, "a record of a step or an epoch", e))
        })
        .collect()
}
