//! `metrics.jsonl`: one JSON object per line, written as training goes, read back strictly.
//!
//! Each line reaches the file before the next step starts, so that a curve can be watched while it grows. A
//! checkpoint flushes the file and notes its length; a resumed run cuts it there and goes on.

use super::chain::Chain;
use crate::base::disk::{Disk, DiskFile, Os};
use crate::base::files::text;
use crate::base::{Error, Result};
use crate::checkpoint::LogMark;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

pub use super::record::{Change, EpochRecord, Measured, Record, SkippedRecord, StepRecord, ValidationRecord};

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
        let crc = check_mark(path, &mut text, mark)?;
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

/// Cuts a log back to what a checkpoint counts of it, and returns the CRC-32 until there.
///
/// # Errors
/// If that part of the file is not there any more as it was.
pub(crate) fn check_mark(path: &Path, text: &mut Vec<u8>, mark: LogMark) -> Result<crc32fast::Hasher> {
    let expected = format!("the {} bytes that the checkpoint counts", mark.bytes);
    let wrong = |found: String| Err(Error::input(path, "log", &expected, found));
    match usize::try_from(mark.bytes) {
        Ok(len) if len <= text.len() => text.truncate(len),
        _ => return wrong(format!("{} bytes", text.len())),
    }
    let mut crc = crc32fast::Hasher::new();
    crc.update(text);
    if crc.clone().finalize() != mark.crc {
        return wrong("others: the file was changed or damaged".to_owned());
    }
    Ok(crc)
}

/// Reads every record. A last line without its newline is one that a crash cut short; it is left out.
///
/// # Errors
/// If the file cannot be read or a line is not a record; the error names the line.
pub fn read(path: &Path) -> Result<Vec<Record>> {
    parse(path, &fs::read(path).map_err(Error::read(path))?)
}

/// Whether the last line of a log is one that a crash cut short, or that is being written.
#[must_use]
pub fn is_torn(log: &[u8]) -> bool {
    log.last().is_some_and(|last| *last != b'\n')
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
