//! Which checkpoints stay: the last few, and the best.
//!
//! ```text
//! checkpoint/                    the last one
//! checkpoints/step-00000120/     those before it, and the best
//! ```
//!
//! A folder is emptied only after it was renamed to `checkpoint.partial`, a name that no reader looks at; so a
//! crash in the middle of it leaves nothing that could be taken for a checkpoint.

use super::atomic::sync_dir;
use super::dir::{NAME, PARTIAL, PREVIOUS, STATE, find};
use super::state::State;
use super::target::CheckpointTarget;
use crate::base::disk::Disk;
use crate::base::{Error, Result};
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// The folder of the older checkpoints.
pub const OLDER: &str = "checkpoints";

/// The older checkpoints of a run with the steps in their names, in order.
///
/// # Errors
/// If the folder is there and cannot be read.
pub fn older(run: &Path) -> Result<Vec<(u64, PathBuf)>> {
    let folder = run.join(OLDER);
    let entries = match fs::read_dir(&folder) {
        Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => return Ok(Vec::new()),
        other => other.map_err(Error::read(&folder))?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.map_err(Error::read(&folder))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if let Some(step) = name.strip_prefix("step-").and_then(|digits| digits.parse().ok()) {
            found.push((step, path));
        }
    }
    found.sort();
    Ok(found)
}

/// Brings a run directory in order after a checkpoint was written, or after a crash at any instant: gives
/// `checkpoint.previous` its place, removes what is incomplete, and all checkpoints but those that shall stay and the best.
///
/// # Errors
/// If something cannot be renamed or removed; a checkpoint is then still found.
pub fn settle(target: CheckpointTarget<'_>) -> Result<()> {
    let CheckpointTarget { disk, run, .. } = target;
    let (current, previous, partial) = (run.join(NAME), run.join(PREVIOUS), run.join(PARTIAL));
    remove(disk, &partial)?;
    if previous.exists() {
        if current.join(STATE).exists() {
            shelve(disk, run, &previous)?;
        } else {
            rename(disk, &previous, &current)?;
        }
    }
    let Ok(last) = State::read(&current.join(STATE)) else { return Ok(()) };
    prune(target, &last)
}

/// The folder of the best checkpoint; of equally good ones the last.
///
/// # Errors
/// If there is none, or the last one cannot be read.
pub fn best(run: &Path) -> Result<PathBuf> {
    let last = find(run)?;
    let state = State::read(&last.join(STATE))?;
    let older = older(run)?;
    let step = best_step(&state, &older);
    let best = older.into_iter().find(|(older, _)| Some(*older) == step);
    Ok(best.map_or(last, |(_, folder)| folder))
}

/// Which of the older checkpoints is better than the last and all others.
fn best_step(last: &State, older: &[(u64, PathBuf)]) -> Option<u64> {
    let metric = |path: &Path| State::read(&path.join(STATE)).ok().and_then(|state| state.selection_metric());
    let mut best = (last.selection_metric().unwrap_or(f64::INFINITY), None);
    // From the last on, so that of equals it does not matter which others are still there.
    for (step, path) in older.iter().rev() {
        if let Some(better) = metric(path).filter(|s| *step < last.step && *s < best.0) {
            best = (better, Some(*step));
        }
    }
    best.1
}

/// Moves the checkpoint before the last one to the older ones.
fn shelve(disk: &dyn Disk, run: &Path, previous: &Path) -> Result<()> {
    // What cannot be read any more, and what was written twice at one step, is of no use.
    let Ok(state) = State::read(&previous.join(STATE)) else { return discard(disk, run, previous) };
    let shelf = run.join(OLDER);
    let place = shelf.join(format!("step-{:08}", state.step));
    if place.exists() {
        return discard(disk, run, previous);
    }
    disk.create_dir_all(&shelf).map_err(Error::write(&shelf))?;
    rename(disk, previous, &place)?;
    sync_dir(disk, &shelf)
}

/// Removes the older checkpoints that are neither among the newest `keep − 1` nor the best of all.
fn prune(
    CheckpointTarget { disk, run, keep, within_epochs }: CheckpointTarget<'_>,
    last: &State,
) -> Result<()> {
    let mut older = older(run)?;
    let best = best_step(last, &older);
    // Steps at or after the last one are of a future that a return to an older checkpoint has undone.
    let (past, undone): (Vec<_>, Vec<_>) = older.drain(..).partition(|(step, _)| *step < last.step);
    let of_interruption = |(_, path): &(u64, PathBuf)| {
        !within_epochs && State::read(&path.join(STATE)).is_ok_and(|state| state.position.steps > 0)
    };
    let (passing, past): (Vec<_>, Vec<_>) = past.into_iter().partition(of_interruption);
    let leaving = past.len().saturating_sub(keep.saturating_sub(1));
    let leaving = past.into_iter().take(leaving).filter(|(step, _)| Some(*step) != best);
    leaving.chain(passing).chain(undone).try_for_each(|(_, path)| discard(disk, run, &path))?;
    let shelf = run.join(OLDER);
    if fs::read_dir(&shelf).is_ok_and(|mut entries| entries.next().is_none()) {
        remove(disk, &shelf)?;
    }
    Ok(())
}

/// Takes a folder its name first, then its content; in between the names must reach the disk, or a power cut could
/// give it its name back.
fn discard(disk: &dyn Disk, run: &Path, dir: &Path) -> Result<()> {
    let partial = run.join(PARTIAL);
    rename(disk, dir, &partial)?;
    sync_dir(disk, run)?;
    sync_dir(disk, dir.parent().unwrap_or(run))?;
    remove(disk, &partial)
}

fn rename(disk: &dyn Disk, from: &Path, to: &Path) -> Result<()> {
    disk.rename(from, to).map_err(Error::write(to))
}

fn remove(disk: &dyn Disk, dir: &Path) -> Result<()> {
    match disk.remove_dir_all(dir) {
        Err(e) if e.kind() != ErrorKind::NotFound => Err(Error::write(dir)(e)),
        _ => Ok(()),
    }
}
