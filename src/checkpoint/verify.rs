//! Checking a checkpoint byte by byte without loading it into a model.

use super::dir::{MODEL, NAME, OPTIMIZER, PREVIOUS, STATE, find, verified};
use super::state::State;
use super::{keep, tensors};
use crate::base::{Error, Result};
use std::fs;
use std::path::{Path, PathBuf};

/// What became of one file.
#[derive(Debug)]
pub struct FileCheck {
    /// The file.
    pub path: PathBuf,
    /// Its length, 0 if it is not there.
    pub bytes: u64,
    /// What it holds, in a few words, or what is wrong with it.
    pub verdict: std::result::Result<String, Error>,
}

/// One checkpoint.
#[derive(Debug)]
pub struct Verified {
    /// Its folder.
    pub dir: PathBuf,
    /// Where the run stood, if that could be read.
    pub state: Option<State>,
    /// Its three files.
    pub files: Vec<FileCheck>,
}

impl Verified {
    /// Whether every byte of every file is as it was written.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.files.iter().all(|file| file.verdict.is_ok())
    }
}

/// Checks every checkpoint of a run directory, or a single one.
///
/// # Errors
/// If there is none. Damage is not an error here but a verdict.
pub fn verify(path: &Path) -> Result<Vec<Verified>> {
    let mut dirs: Vec<PathBuf> = keep::older(path)?.into_iter().map(|(_, dir)| dir).collect();
    let current: Vec<PathBuf> =
        [PREVIOUS, NAME].map(|name| path.join(name)).into_iter().filter(|dir| dir.is_dir()).collect();
    if current.is_empty() && !dirs.is_empty() {
        // Older ones alone are no run that could be used.
        find(path)?;
    }
    dirs.extend(current);
    // Weights alone are no checkpoint: other programs' folders have a file of that name.
    let is_one = [STATE, OPTIMIZER].iter().any(|name| path.join(name).is_file());
    if dirs.is_empty() {
        dirs.push(if is_one { path.to_path_buf() } else { find(path)? });
    }
    Ok(dirs.into_iter().map(one).collect())
}

fn one(dir: PathBuf) -> Verified {
    let check = |name: &str, judge: &dyn Fn(&Path) -> Result<String>| {
        let path = dir.join(name);
        let bytes = fs::metadata(&path).map_or(0, |file| file.len());
        FileCheck { verdict: judge(&path), path, bytes }
    };
    let state = State::read(&dir.join(STATE));
    let sums = state.as_ref().ok().map(|state| state.checksums);
    let mut files = vec![
        check(MODEL, &|path| describe(path, sums.map(|sums| sums.model))),
        check(OPTIMIZER, &|path| {
            let described = describe(path, sums.map(|sums| sums.optimizer))?;
            both_moments(&tensors::File::open(dir.join(MODEL))?, &tensors::File::open(path)?)?;
            Ok(described)
        }),
    ];
    let (state, verdict) = match state {
        Ok(state) => {
            let verdict = settings(&dir.join(STATE), &state);
            (Some(state), verdict)
        }
        Err(error) => (None, Err(error)),
    };
    files.insert(0, FileCheck { verdict, ..check(STATE, &|_| Ok(String::new())) });
    Verified { dir, state, files }
}

fn settings(path: &Path, state: &State) -> Result<String> {
    let found = crc32fast::hash(state.config_toml.as_bytes());
    if found == state.config_digest {
        return Ok(format!("step {}, epoch {}", state.step, state.epoch));
    }
    Err(Error::input(path, "config digest", format!("{:08x}", state.config_digest), format!("{found:08x}")))
}

/// Number of tensors; `written` is the checksum from the state, if that could be read.
fn describe(path: &Path, written: Option<u32>) -> Result<String> {
    let Some(written) = written else {
        tensors::File::open(path)?;
        return Err(Error::input(path, "checksum", format!("one in {STATE}"), "none: that file is damaged"));
    };
    let file = verified(path, written)?;
    Ok(format!("{} tensors, checksum {written:08x}", file.names().len()))
}

/// Every tensor of the model has two moments of its own shape, and there are no others. Trained weights beside a moving
/// average and a task's own tensors have other names.
fn both_moments(model: &tensors::File, optimizer: &tensors::File) -> Result<()> {
    for name in model.names() {
        for moment in ["m", "v"].map(|prefix| format!("{prefix}.{name}")) {
            let (expected, found) = (model.shape(&name)?, optimizer.shape(&moment)?);
            if expected != found {
                let (expected, found) = (format!("shape {expected:?}"), format!("shape {found:?}"));
                return Err(Error::input(optimizer.path(), moment, expected, found));
            }
        }
    }
    let is_moment = |name: &&String| name.starts_with("m.") || name.starts_with("v.");
    let (expected, found) = (2 * model.names().len(), optimizer.names().iter().filter(is_moment).count());
    if expected != found {
        return Err(Error::input(optimizer.path(), "tensors", expected.to_string(), found));
    }
    Ok(())
}
