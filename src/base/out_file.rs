//! A file that a command is asked to write: what cannot be meant is refused before the work.

use super::{Error, Result};
use std::path::{Path, PathBuf};

/// Refuses a `path` whose name has none of these endings, which is a folder or in none, or which is there already and may
/// not be overwritten. `flag` is what the error names.
///
/// # Errors
/// The first of these that is so.
pub fn check_out_file(flag: &str, path: &Path, endings: &[&str], overwrite: bool) -> Result<()> {
    let refuse = |expected: &str| Err(Error::setting(flag, expected, path.display()));
    let ends_in = |ending: &&str| path.extension().is_some_and(|found| found.eq_ignore_ascii_case(ending));
    if !endings.iter().any(ends_in) {
        return refuse(&format!("a file name that ends in .{}", endings.join(" or .")));
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    if path.is_dir() || folder.is_some_and(|folder| !folder.is_dir()) {
        return refuse("a file in a folder that exists");
    }
    if path.exists() && !overwrite {
        return refuse("a new file, or --overwrite");
    }
    Ok(())
}

/// Refuses to write what is one of those that are `read`, lies in a folder that is, or is a folder in which one lies; `what` they
/// are. `flag` is what the error names.
///
/// # Errors
/// If it is: what is read is not overwritten, whatever other flags say.
pub fn check_spared(flag: &str, path: &Path, read: &[PathBuf], what: &str) -> Result<()> {
    let Ok(place) = path.canonicalize() else { return Ok(()) };
    let meets = |read: PathBuf| place.starts_with(&read) || read.starts_with(&place);
    if read.iter().any(|read| read.canonicalize().is_ok_and(meets)) {
        let expected = format!("another place than {what}, which are not overwritten");
        return Err(Error::setting(flag, expected, path.display()));
    }
    Ok(())
}
