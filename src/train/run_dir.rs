//! The run directory: where each file of a run lies, and the care not to write over anybody's work.

use super::lock::Lock;
use crate::base::disk::{Disk, Nowhere, Os};
use crate::base::{Error, Result};
use crate::checkpoint::atomic::{partial_name, write_atomic_on};
use crate::checkpoint::{dir as checkpoint, keep};
use serde::Serialize;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use crate::checkpoint::atomic::write_atomic;

/// Where numbered runs are made.
const RUNS: &str = "runs";
const CONFIG: &str = "config.toml";
/// The log's name.
pub const METRICS: &str = "metrics.jsonl";
const LOSS: &str = "loss.svg";
const REPORT: &str = "report.html";
const RESULT: &str = "result.json";
const CONFUSION: &str = "confusion.png";
const WRONG: &str = "wrong.png";
const CODEBOOK: &str = "codebook.safetensors";
const ACCURACY: &str = "accuracy.svg";
const RECONSTRUCTIONS: &str = "reconstructions";
const TENSORBOARD: &str = "tensorboard";

/// A folder that belongs to one run, and to this process as long as the value lives.
#[derive(Debug)]
pub struct RunDir {
    path: PathBuf,
    /// The folders that had to be made for it, innermost first.
    made: Vec<PathBuf>,
    disk: Arc<dyn Disk>,
    lock: Option<Lock>,
}

impl RunDir {
    /// Makes the folder of a new run: `out`, or the next free number `runs/0001`, `runs/0002`, ….
    ///
    /// # Errors
    /// If `out` holds anything and `overwrite` is false, another process writes to it, or a folder cannot be made.
    pub fn create(out: Option<PathBuf>, overwrite: bool) -> Result<Self> {
        match out {
            Some(path) => Self::create_at(path, overwrite),
            None => Self::create_numbered(Path::new(RUNS)),
        }
    }

    /// Refuses an `out` that [`RunDir::create`] would refuse, and makes nothing: for a look before hours of
    /// work.
    ///
    /// # Errors
    /// If `out` is a file, or holds anything and `overwrite` is false.
    pub fn check(out: Option<&Path>, overwrite: bool) -> Result<()> {
        let Some(path) = out else { return Ok(()) };
        let refuse = |found: String| Err(Error::setting("--out", "a new or an empty folder", found));
        if path.exists() && !path.is_dir() {
            return refuse(format!("{}, which is a file", path.display()));
        }
        let used = path.is_dir() && fs::read_dir(path).map_err(Error::read(path))?.next().is_some();
        if used && !overwrite {
            return refuse(format!("{} with files in it; use --overwrite or another --out", path.display()));
        }
        Ok(())
    }

    /// Makes the next free number below `runs`. Two programs that start at once get two numbers.
    ///
    /// # Errors
    /// If the folder cannot be read or made.
    pub fn create_numbered(runs: &Path) -> Result<Self> {
        let mut made = missing(runs);
        fs::create_dir_all(runs).map_err(Error::write(runs))?;
        let mut number = 1 + last_number(runs)?;
        loop {
            let path = runs.join(format!("{number:04}"));
            match fs::create_dir(&path) {
                Ok(()) => {
                    made.insert(0, path.clone());
                    return Self::locked(path, made);
                }
                Err(e) if e.kind() == ErrorKind::AlreadyExists => number += 1,
                Err(e) => return Err(Error::write(path)(e)),
            }
        }
    }

    fn create_at(path: PathBuf, overwrite: bool) -> Result<Self> {
        Self::check(Some(&path), overwrite)?;
        let made = missing(&path);
        fs::create_dir_all(&path).map_err(Error::write(&path))?;
        let run = Self::locked(path, made)?;
        if overwrite {
            run.remove_own_files()?;
        }
        Ok(run)
    }

    /// Opens the folder of an earlier run; its checkpoint's folder will do, too.
    ///
    /// # Errors
    /// If it has no `config.toml`, which every run writes first, or another process writes to it.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let run = Self::look_at(path)?;
        Self::locked(run.path, Vec::new())
    }

    /// The same to be looked at while somebody else may write to it: nothing must be written through it.
    ///
    /// # Errors
    /// If it has no `config.toml`, which every run writes first.
    pub fn look_at(path: impl AsRef<Path>) -> Result<Self> {
        let mut path = path.as_ref();
        if let Some(run) = path.parent().filter(|_| path.ends_with(checkpoint::NAME)) {
            path = run;
        }
        if path.join(CONFIG).is_file() {
            return Ok(Self { path: path.to_path_buf(), made: Vec::new(), disk: Arc::new(Os), lock: None });
        }
        Err(Error::input(path, CONFIG, "a run directory, which has one", "no such file"))
    }

    /// The folder of a run that another process writes to: nothing is written through it.
    #[must_use]
    pub fn elsewhere(path: PathBuf) -> Self {
        Self { path, made: Vec::new(), disk: Arc::new(Nowhere), lock: None }
    }

    fn locked(path: PathBuf, made: Vec<PathBuf>) -> Result<Self> {
        let lock = Some(Lock::take(&path)?);
        Ok(Self { path, made, disk: Arc::new(Os), lock })
    }

    /// The same folder, with everything from here on written to another disk: a test's, on which writes fail.
    #[must_use]
    pub fn on(self, disk: Arc<dyn Disk>) -> Self {
        Self { disk, ..self }
    }

    /// What the run is written with.
    pub fn disk(&self) -> &dyn Disk {
        &*self.disk
    }

    /// Writes one of the run's files, whole or not at all.
    ///
    /// # Errors
    /// If it cannot be written; the previous content is then still there.
    pub fn write(&self, path: &Path, bytes: &[u8]) -> Result<()> {
        write_atomic_on(self.disk(), path, bytes)
    }

    /// Writes `result.json`: what a fine-tuned model reached.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn write_result(&self, outcome: &impl Serialize) -> Result<()> {
        let path = self.result();
        let json = serde_json::to_vec_pretty(outcome).map_err(|e| Error::write(&path)(e.into()))?;
        self.write(&path, &json)
    }

    /// Takes a run that never came to anything off the disk again, with the folders made for it. Only the process that the folder
    /// belongs to does.
    ///
    /// # Errors
    /// If a file of it cannot be removed.
    pub fn discard(&mut self) -> Result<()> {
        if self.lock.is_none() {
            return Ok(());
        }
        self.remove_own_files()?;
        self.lock = None;
        // From inside out; a folder that somebody else has put something into stays.
        let _ = self.made.iter().try_for_each(fs::remove_dir);
        Ok(())
    }

    /// Removes what a run writes, by name, and nothing else; a folder goes only if that empties it.
    fn remove_own_files(&self) -> Result<()> {
        let mut own = Vec::new();
        let every = [self.config(), self.metrics(), self.loss_svg(), self.report_html()];
        let finetuning = [self.result(), self.confusion(), self.wrong(), self.accuracy_svg()];
        for file in every.into_iter().chain(finetuning).chain([self.codebook()]) {
            own.push(partial_name(&file));
            own.push(file);
        }
        let mut folders = vec![self.reconstructions()];
        let checkpoints = [checkpoint::NAME, checkpoint::PREVIOUS, checkpoint::PARTIAL];
        let older = keep::older(&self.path)?.into_iter().map(|(_, folder)| folder);
        for folder in checkpoints.map(|name| self.path.join(name)).into_iter().chain(older) {
            own.extend([checkpoint::MODEL, checkpoint::OPTIMIZER, checkpoint::STATE].map(|f| folder.join(f)));
            folders.push(folder);
        }
        folders.push(self.path.join(keep::OLDER));
        own.extend(self.sheets()?);
        own.extend(self.event_files()?);
        folders.push(self.tensorboard());
        for file in own {
            match fs::remove_file(&file) {
                Err(e) if !is_absent(&e) => return Err(Error::write(file)(e)),
                _ => {}
            }
        }
        for folder in folders {
            match fs::remove_dir(&folder) {
                Err(e) if !is_absent(&e) && e.kind() != ErrorKind::DirectoryNotEmpty => {
                    return Err(Error::write(folder)(e));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// The folder itself, which is also what [`crate::checkpoint::Checkpoint::write`] wants.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// `config.toml`: every setting as resolved.
    pub fn config(&self) -> PathBuf {
        self.path.join(CONFIG)
    }

    /// `metrics.jsonl`: one object per logged step and per epoch.
    pub fn metrics(&self) -> PathBuf {
        self.path.join(METRICS)
    }

    /// `loss.svg`: the curve.
    pub fn loss_svg(&self) -> PathBuf {
        self.path.join(LOSS)
    }

    /// `report.html`: curves and pictures in one file.
    pub fn report_html(&self) -> PathBuf {
        self.path.join(REPORT)
    }

    /// `result.json`: what a fine-tuned model reached.
    pub fn result(&self) -> PathBuf {
        self.path.join(RESULT)
    }

    /// `confusion.png`: true classes against predicted ones.
    pub fn confusion(&self) -> PathBuf {
        self.path.join(CONFUSION)
    }

    /// `wrong.png`: the test images on which a model is most wrong.
    pub fn wrong(&self) -> PathBuf {
        self.path.join(WRONG)
    }

    /// `codebook.safetensors`: the centroids whose numbers are the tokens of BEiT-style pre-training.
    pub fn codebook(&self) -> PathBuf {
        self.path.join(CODEBOOK)
    }

    /// `accuracy.svg`: the accuracy on validation images, epoch by epoch.
    pub fn accuracy_svg(&self) -> PathBuf {
        self.path.join(ACCURACY)
    }

    /// `reconstructions/`: the folder of the sheets.
    pub fn reconstructions(&self) -> PathBuf {
        self.path.join(RECONSTRUCTIONS)
    }

    /// `tensorboard/`: the folder of the event files.
    pub fn tensorboard(&self) -> PathBuf {
        self.path.join(TENSORBOARD)
    }

    /// The event files written so far.
    ///
    /// # Errors
    /// If the folder cannot be read.
    pub fn event_files(&self) -> Result<Vec<PathBuf>> {
        let names = names_in(&self.tensorboard())?.into_iter().filter(|name| is_event_file(name));
        Ok(names.map(|name| self.tensorboard().join(name)).collect())
    }

    /// `reconstructions/epoch-0010.png`: the sheet after an epoch.
    pub fn sheet(&self, epoch: u64) -> PathBuf {
        self.reconstructions().join(format!("epoch-{epoch:04}.png"))
    }

    /// Writes the sheet after an epoch.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn write_sheet(&self, epoch: u64, png: &[u8]) -> Result<()> {
        let folder = self.reconstructions();
        self.disk().create_dir_all(&folder).map_err(Error::write(&folder))?;
        self.write(&self.sheet(epoch), png)
    }

    /// The sheets written so far, by epoch.
    ///
    /// # Errors
    /// If the folder cannot be read.
    pub fn sheets(&self) -> Result<Vec<PathBuf>> {
        Ok(self.sheets_by_epoch()?.into_iter().map(|(_, path)| path).collect())
    }

    /// What the sheets are called in a report, and their bytes; the last one first.
    ///
    /// # Errors
    /// If one of them cannot be read.
    pub fn sheets_of_report(&self) -> Result<Vec<(String, Vec<u8>)>> {
        let read = |(epoch, path): (u64, PathBuf)| {
            Ok((format!("epoch {epoch:04}"), fs::read(&path).map_err(Error::read(&path))?))
        };
        self.sheets_by_epoch()?.into_iter().rev().map(read).collect()
    }

    /// The same with the epochs.
    ///
    /// # Errors
    /// If the folder cannot be read.
    pub fn sheets_by_epoch(&self) -> Result<Vec<(u64, PathBuf)>> {
        let folder = self.reconstructions();
        let mut sheets: Vec<(u64, PathBuf)> = names_in(&folder)?
            .iter()
            .filter_map(|name| {
                let epoch = name.strip_prefix("epoch-")?.strip_suffix(".png")?.parse().ok()?;
                Some((epoch, folder.join(name)))
            })
            .collect();
        sheets.sort();
        Ok(sheets)
    }
}

/// `path` and the folders above it as far as they do not exist, innermost first.
fn missing(path: &Path) -> Vec<PathBuf> {
    let folders = path.ancestors().take_while(|p| !p.as_os_str().is_empty() && !p.exists());
    folders.map(Path::to_path_buf).collect()
}

/// The highest number that names something in `runs`, or 0.
fn last_number(runs: &Path) -> Result<u32> {
    let numbers = names_in(runs)?.into_iter().filter_map(|name| name.parse().ok());
    Ok(numbers.max().unwrap_or(0))
}

fn names_in(folder: &Path) -> Result<Vec<String>> {
    let entries = match fs::read_dir(folder) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(Error::read(folder))?,
    };
    let mut names = Vec::new();
    for entry in entries {
        names.push(entry.map_err(Error::read(folder))?.file_name().to_string_lossy().into_owned());
    }
    Ok(names)
}

/// Nothing of ours is there: no such name, or a foreign file where a run has a folder.
fn is_absent(e: &std::io::Error) -> bool {
    matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

/// Whether a file is one that TensorBoard reads, by its name.
#[must_use]
pub fn is_event_file(name: &str) -> bool {
    name.contains("tfevents")
}
