//! What a run remembers beside its tensors: how far it is, its log, its history. Saved with every checkpoint,
//! from which a resumed run goes on as if it had never stopped.

use super::logs::board::Board;
use super::metrics::{EpochRecord, Record, Writer};
use super::run_dir::RunDir;
use crate::base::Result;
use crate::checkpoint::{Change, Position, State};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// The memory of a run; knows no model.
#[derive(Debug)]
pub struct RunLog {
    /// Where everything is written.
    pub run: RunDir,
    /// Whole epochs done.
    pub epoch: u64,
    /// How far the epoch after them is.
    pub position: Position,
    /// One record per finished epoch.
    pub history: Vec<EpochRecord>,
    /// Every record of the log.
    pub records: Vec<Record>,
    /// Settings that were changed on the way.
    pub changes: Vec<Change>,
    /// Images that could not be read and were replaced.
    pub skipped_images: BTreeSet<String>,
    /// Optimiser steps that the last checkpoint holds, if there is one.
    pub saved: Option<u64>,
    log: Writer,
    board: Option<Board>,
    clock: (Instant, Duration),
    started: Instant,
    earlier_secs: f64,
}

impl RunLog {
    /// That of a new run, with an empty log file.
    ///
    /// # Errors
    /// If the log cannot be written.
    pub fn begin(run: RunDir) -> Result<Self> {
        let log = Writer::create_on(run.disk(), &run.metrics())?;
        Ok(Self::with(run, log, Vec::new(), &State::default()))
    }

    /// As it was when a checkpoint was written.
    ///
    /// # Errors
    /// If the log is not the one that the checkpoint belongs to, or cannot be written.
    pub fn resume(run: RunDir, state: &State) -> Result<Self> {
        let (log, records) = Writer::resume(run.disk(), &run.metrics(), state.log)?;
        let mut run_log = Self { saved: Some(state.step), ..Self::with(run, log, records, state) };
        if !run_log.run.event_files()?.is_empty() {
            run_log.board = Some(Board::begin(&run_log.run, &run_log.records, state.step)?);
        }
        Ok(run_log)
    }

    /// As it was when a checkpoint was written, on a process that writes nothing: without the log's records.
    ///
    /// # Errors
    /// Never.
    pub fn elsewhere(run: RunDir, state: &State) -> Result<Self> {
        let log = Writer::create_on(run.disk(), &run.metrics())?;
        Ok(Self { saved: Some(state.step), ..Self::with(run, log, Vec::new(), state) })
    }

    /// Shows the run on TensorBoard, too, from its beginning on. A resumed run that was shown before already is.
    ///
    /// # Errors
    /// If the event file cannot be written.
    pub fn show_on_tensorboard(&mut self) -> Result<()> {
        if self.board.is_none() {
            self.board = Some(Board::begin(&self.run, &self.records, 0)?);
        }
        Ok(())
    }

    /// Shows the pictures of an epoch on TensorBoard, if the run is shown there.
    ///
    /// # Errors
    /// If a picture cannot be read, or the event file not be written.
    pub fn show_pictures(&mut self, epoch: u64) -> Result<()> {
        match &mut self.board {
            Some(board) => board.show_pictures(&self.run, &self.records, epoch),
            None => Ok(()),
        }
    }

    fn with(run: RunDir, log: Writer, records: Vec<Record>, state: &State) -> Self {
        let now = Instant::now();
        Self {
            run,
            log,
            board: None,
            records,
            epoch: state.epoch,
            position: state.position,
            history: state.history.clone(),
            changes: state.changes.clone(),
            skipped_images: state.skipped_images.iter().cloned().collect(),
            saved: None,
            clock: (now, Duration::ZERO),
            started: now,
            earlier_secs: state.wall_secs,
        }
    }

    /// Writes a line to the log.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn add(&mut self, record: Record) -> Result<()> {
        let record = self.log.append(record)?;
        if let Some(board) = &mut self.board {
            board.show(&record)?;
        }
        self.records.push(record);
        Ok(())
    }

    /// Counts a step of the current epoch.
    pub fn count_step(&mut self, loss: f64) {
        self.position.steps += 1;
        self.position.loss_sum += loss;
    }

    /// Counts a step of the current epoch that was skipped.
    pub fn count_skipped(&mut self) {
        self.position.steps += 1;
        self.position.skipped += 1;
    }

    /// Mean loss of the current epoch's steps; none if all were skipped.
    pub fn mean_loss(&self) -> Option<f64> {
        let counted = self.position.steps - self.position.skipped;
        (counted > 0).then(|| self.position.loss_sum / counted as f64)
    }

    /// Starts to measure; `waited` is the time for which data was waited for so far.
    pub fn start_clock(&mut self, waited: Duration) {
        self.clock = (Instant::now(), waited);
    }

    /// Adds the time since the clock was last looked at to the current epoch.
    pub fn read_clock(&mut self, waited: Duration) {
        let (start, waited_before) = self.clock;
        self.position.wall_secs += start.elapsed().as_secs_f64();
        self.position.data_wait_secs += waited.saturating_sub(waited_before).as_secs_f64();
        self.start_clock(waited);
    }

    /// Ends the current epoch.
    ///
    /// # Errors
    /// If the log cannot be written.
    pub fn finish_epoch(&mut self, record: EpochRecord) -> Result<()> {
        self.epoch = record.epoch;
        self.position = Position::default();
        self.history.push(record.clone());
        self.add(Record::Epoch(record))
    }

    /// Seconds spent on the run so far, over all resumptions.
    pub fn wall_secs(&self) -> f64 {
        self.earlier_secs + self.started.elapsed().as_secs_f64()
    }

    /// The part of a checkpoint's state that is its own. What the log holds so far is then on the disk: a
    /// checkpoint never counts lines that a power cut could take back.
    ///
    /// # Errors
    /// If the log cannot be flushed.
    pub fn state(&mut self) -> Result<State> {
        if let Some(board) = &mut self.board {
            board.sync()?;
        }
        Ok(State {
            epoch: self.epoch,
            position: self.position,
            log: self.log.mark()?,
            history: self.history.clone(),
            changes: self.changes.clone(),
            skipped_images: self.skipped_images.iter().cloned().collect(),
            wall_secs: self.wall_secs(),
            ..State::default()
        })
    }
}
