//! A run on TensorBoard while it trains: an event file in `RUN/tensorboard` that grows with the log.
//!
//! Every process that works on a run writes a file of its own; TensorBoard reads them in the order of their names. A file
//! begins with the word that the run was started at the step of its checkpoint. Readers then drop what earlier files have at
//! that step and after it, so that steps which are taken again are not shown twice.

use super::event_file::Event;
use super::tensorboard::{NAME, Picture, pictures, scalars, whole};
use crate::base::disk::DiskFile;
use crate::base::{Error, Result};
use crate::train::metrics::Record;
use crate::train::run_dir::RunDir;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The file that this process writes.
#[derive(Debug)]
pub struct Board {
    path: PathBuf,
    file: Box<dyn DiskFile>,
    /// Tags and epochs of pictures that it holds.
    shown: BTreeSet<(&'static str, u64)>,
}

impl Board {
    /// Begins a file with what `records` and the pictures of the run show from step `from` on.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn begin(run: &RunDir, records: &[Record], from: u64) -> Result<Self> {
        let folder = run.tensorboard();
        run.disk().create_dir_all(&folder).map_err(Error::write(&folder))?;
        let now = since_1970();
        let path = folder.join(format!("{NAME}{:010}.{:09}", now.as_secs(), now.subsec_nanos()));
        let file = run.disk().create(&path).map_err(Error::write(&path))?;
        let mut board = Self { path, file, shown: BTreeSet::new() };
        board.write(&Event::version(now.as_secs_f64()))?;
        board.write(&Event::start(now.as_secs_f64(), whole(from)))?;
        for record in records.iter().filter(|record| record.step() >= from) {
            board.show(record)?;
            if let Record::Epoch(epoch) = record {
                board.show_pictures(run, records, epoch.epoch)?;
            }
        }
        Ok(board)
    }

    /// Adds a record's numbers.
    ///
    /// # Errors
    /// If they cannot be written.
    pub fn show(&mut self, record: &Record) -> Result<()> {
        scalars(record, since_1970().as_secs_f64()).map_or(Ok(()), |event| self.write(&event))
    }

    /// Adds those pictures of an epoch that it does not hold yet; `records` tell its step.
    ///
    /// # Errors
    /// If a picture cannot be read, or the file not be written.
    pub fn show_pictures(&mut self, run: &RunDir, records: &[Record], epoch: u64) -> Result<()> {
        let step = records.iter().find_map(|record| match record {
            Record::Epoch(record) if record.epoch == epoch => Some(record.step),
            _ => None,
        });
        let Some(step) = step else { return Ok(()) };
        let of_epoch = |picture: &Picture| picture.epoch == epoch;
        for picture in pictures(run, records)?.into_iter().filter(of_epoch) {
            if self.shown.insert((picture.tag, epoch)) {
                self.write(&picture.event(step, since_1970().as_secs_f64())?)?;
            }
        }
        Ok(())
    }

    /// Waits until everything is on the disk.
    ///
    /// # Errors
    /// If it cannot be flushed.
    pub fn sync(&mut self) -> Result<()> {
        self.file.sync().map_err(Error::write(&self.path))
    }

    fn write(&mut self, event: &Event) -> Result<()> {
        self.file.write_all(&event.record()).map_err(Error::write(&self.path))
    }
}

fn since_1970() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}
