//! `metrics.jsonl`: one JSON object per line, written as training goes, read back strictly.
//!
//! Each line reaches the file before the next step starts, so that a curve can be watched while it grows. A
//! checkpoint flushes the file and notes its length; a resumed run cuts it there and goes on.

use super::chain::Chain;
use crate::base::disk::{Disk, DiskFile, Os};
use crate::base::files::text;
use crate::base::{Error, Result};
use crate::checkpoint::{LogMark, Named};
use serde::{Deserialize, Deserializer, Serialize};
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

pub use crate::checkpoint::{Change, EpochRecord};

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
    /// Digest of the weights after this step, every `run.digest_every_steps`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weights_digest: Option<String>,
    /// Hash of this and all records before it, where there is a digest; see [`Chain`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chain: Option<String>,
}

/// A step that changed nothing, because its loss or gradient was not finite.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SkippedRecord {
    /// Optimiser steps done, this one counted.
    pub step: u64,
    /// What was not finite.
    pub tensor: String,
}

/// What was measured on the validation images after an epoch, in more detail than the epoch's scores.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ValidationRecord {
    /// Optimiser steps done.
    pub step: u64,
    /// Epochs done.
    pub epoch: u64,
    /// How many images there are.
    pub images: u64,
    /// What else is measured, as the task names it.
    #[serde(flatten)]
    pub values: Named<Measured>,
}

/// A measured value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Measured {
    /// One number.
    Number(f64),
    /// One number a class; `null` for a class without images.
    PerClass(Vec<Option<f64>>),
}

impl Measured {
    /// The numbers, NaN for a class without images.
    #[must_use]
    pub fn numbers(&self) -> Vec<f64> {
        match self {
            Self::Number(number) => vec![*number],
            Self::PerClass(numbers) => numbers.iter().map(|number| number.unwrap_or(f64::NAN)).collect(),
        }
    }
}

/// One line of the file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Record {
    /// `{"kind":"step",…}`
    Step(StepRecord),
    /// `{"kind":"epoch",…}`
    Epoch(EpochRecord),
    /// `{"kind":"skipped",…}`
    Skipped(SkippedRecord),
    /// `{"kind":"change",…}`: a setting that was changed when the run was resumed.
    Change(Change),
    /// `{"kind":"validation",…}`, before the line of its epoch.
    Validation(ValidationRecord),
}

impl Record {
    /// Optimiser steps done when this was logged.
    pub fn step(&self) -> u64 {
        match self {
            Self::Step(r) => r.step,
            Self::Epoch(r) => r.step,
            Self::Skipped(r) => r.step,
            Self::Change(r) => r.step,
            Self::Validation(r) => r.step,
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
    file: Box<dyn DiskFile>,
    bytes: u64,
    crc: crc32fast::Hasher,
    chain: Chain,
}

impl Writer {
    /// Starts an empty file.
    ///
    /// # Errors
    /// If it cannot be created.
    pub fn create(path: impl AsRef<Path>) -> Result<Self> {
        Self::create_on(&Os, path.as_ref())
    }

    /// [`Writer::create`] on any disk.
    ///
    /// # Errors
    /// As [`Writer::create`].
    pub fn create_on(disk: &dyn Disk, path: &Path) -> Result<Self> {
        let file = disk.create(path).map_err(Error::write(path))?;
        let (crc, chain) = (crc32fast::Hasher::new(), Chain::default());
        Ok(Self { path: path.to_path_buf(), file, bytes: 0, crc, chain })
    }

    /// Continues the file from where it was when a checkpoint was written: what was logged after that is cut
    /// off, because those steps are about to be run again. Returns the records before it, too.
    ///
    /// # Errors
    /// If that part of the file is not there any more as it was, or the file cannot be written.
    pub fn resume(disk: &dyn Disk, path: &Path, mark: LogMark) -> Result<(Self, Vec<Record>)> {
        let mut text = match fs::read(path) {
            Err(e) if e.kind() == ErrorKind::NotFound && mark.bytes == 0 => {
                return Ok((Self::create_on(disk, path)?, Vec::new()));
            }
            other => other.map_err(Error::read(path))?,
        };
        let expected = format!("the {} bytes that the checkpoint counts", mark.bytes);
        let wrong = |found: String| Err(Error::input(path, "log", &expected, found));
        match usize::try_from(mark.bytes) {
            Ok(len) if len <= text.len() => text.truncate(len),
            _ => return wrong(format!("{} bytes", text.len())),
        }
        let mut crc = crc32fast::Hasher::new();
        crc.update(&text);
        if crc.clone().finalize() != mark.crc {
            return wrong("others: the file was changed or damaged".to_owned());
        }
        let records = parse(path, &text)?;
        let file = disk.reopen(path, mark.bytes).map_err(Error::write(path))?;
        let chain = Chain(mark.chain);
        Ok((Self { path: path.to_path_buf(), file, bytes: mark.bytes, crc, chain }, records))
    }

    /// Appends one line. A step with a digest is given the value of the chain on the way.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn append(&mut self, mut record: Record) -> Result<Record> {
        self.chain.link(&record);
        if let Record::Step(StepRecord { weights_digest: Some(_), chain, .. }) = &mut record {
            *chain = Some(self.chain.hex());
        }
        let mut line = serde_json::to_vec(&record).map_err(|e| Error::write(&self.path)(e.into()))?;
        line.push(b'\n');
        self.file.write_all(&line).map_err(Error::write(&self.path))?;
        self.bytes += line.len() as u64;
        self.crc.update(&line);
        Ok(record)
    }

    /// Waits until everything is on the disk, and says how much that is.
    ///
    /// # Errors
    /// If it cannot be flushed.
    pub fn mark(&mut self) -> Result<LogMark> {
        self.file.sync().map_err(Error::write(&self.path))?;
        Ok(LogMark { bytes: self.bytes, crc: self.crc.clone().finalize(), chain: self.chain.0 })
    }
}

/// Reads every record. A last line without its newline is one that a crash cut short; it is left out.
///
/// # Errors
/// If the file cannot be read or a line is not a record; the error names the line.
pub fn read(path: &Path) -> Result<Vec<Record>> {
    parse(path, &fs::read(path).map_err(Error::read(path))?)
}

fn parse(path: &Path, bytes: &[u8]) -> Result<Vec<Record>> {
    let text = text(path, "text", bytes)?;
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    let lines = whole.lines().enumerate();
    lines
        .map(|(i, line)| {
            let field = format!("line {}", i + 1);
            serde_json::from_str(line)
                .map_err(|e| Error::input(path, field, "a record of a step, an epoch, a change", e))
        })
        .collect()
}

/// Follows the chain through the records of a log.
///
/// # Errors
/// At the first record whose `chain` is not the hash of what stands before it.
pub fn check_chain(path: &Path, records: &[Record]) -> Result<()> {
    let mut chain = Chain::default();
    for (i, record) in records.iter().enumerate() {
        chain.link(record);
        if let Record::Step(StepRecord { chain: Some(logged), .. }) = record
            && *logged != chain.hex()
        {
            let expected = format!("the hash of the lines up to here, {}", chain.hex());
            return Err(Error::input(path, format!("chain in line {}", i + 1), expected, logged));
        }
    }
    Ok(())
}
