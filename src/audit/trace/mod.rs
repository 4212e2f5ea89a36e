//! One training step under the microscope: every intermediate, every gradient and the update, written to
//! `trace.safetensors` and shown, step by step, on one page, `trace.html`.
//!
//! Reading order: [`start`] (which model, which images) → [`step`] (the step itself, recorded) → [`picture`],
//! `excerpt` and [`quote`] (what the page is made of) → [`stages`] (the way of the student) → [`page`].

mod excerpt;
pub mod page;
pub mod picture;
pub mod quote;
pub mod stages;
pub mod start;
pub mod step;

pub use start::{Batch, Start};
pub use step::Trace;

use crate::base::disk::Os;
use crate::base::{Error, Result};
use crate::checkpoint::atomic::write_atomic;
use crate::checkpoint::tensors;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The page's name in the folder.
pub const PAGE: &str = "trace.html";
/// The tensors' name in the folder.
pub const TENSORS: &str = "trace.safetensors";

/// The two files of a written trace and their lengths.
#[derive(Debug)]
pub struct Written {
    /// `trace.html`.
    pub page: PathBuf,
    /// Its length.
    pub page_bytes: u64,
    /// `trace.safetensors`.
    pub tensors: PathBuf,
    /// Its length.
    pub tensors_bytes: u64,
}

/// Refuses a folder that a trace cannot be written to, and makes nothing.
///
/// # Errors
/// If `out` is no folder, or holds anything but an earlier trace.
pub fn check_out(out: &Path) -> Result<()> {
    let refuse = |found: String| {
        Err(Error::setting("--out", "a new or empty folder, or one with an earlier trace", found))
    };
    if !out.exists() {
        return Ok(());
    }
    if !out.is_dir() {
        return refuse(format!("{}, which is a file", out.display()));
    }
    for entry in fs::read_dir(out).map_err(Error::read(out))? {
        let name = entry.map_err(Error::read(out))?.file_name();
        if name != PAGE && name != TENSORS {
            return refuse(format!("{}, which holds {}", out.display(), name.display()));
        }
    }
    Ok(())
}

/// Writes both files, each whole or not at all.
///
/// # Errors
/// If the folder is refused by [`check_out`], or a file cannot be written.
pub fn write(trace: &Trace, out: &Path) -> Result<Written> {
    check_out(out)?;
    let page = page::html(trace)?;
    fs::create_dir_all(out).map_err(Error::write(out))?;
    let written = Written {
        page: out.join(PAGE),
        page_bytes: page.len() as u64,
        tensors: out.join(TENSORS),
        tensors_bytes: 0,
    };
    let partial = crate::checkpoint::atomic::partial_name(&written.tensors);
    let metadata = BTreeMap::from([("golden".to_owned(), trace.metadata().to_string())]);
    let entries = trace.tensors().into_iter().map(|(name, (shape, values))| (name, shape, values));
    let poured = tensors::write_mixed(&Os, &partial, entries, &metadata)
        .and_then(|_| fs::rename(&partial, &written.tensors).map_err(Error::write(&written.tensors)));
    if poured.is_err() {
        let _ = fs::remove_file(&partial); // the first error is the one to tell
    }
    poured?;
    write_atomic(&written.page, page.as_bytes())?;
    let tensors_bytes = fs::metadata(&written.tensors).map_err(Error::read(&written.tensors))?.len();
    Ok(Written { tensors_bytes, ..written })
}
