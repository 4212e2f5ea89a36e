//! What the commands that judge a model share: tables, and a folder for what they write.

use super::outln;
use std::fs;
use std::path::{Path, PathBuf};
use vit_mae::checkpoint::atomic::write_atomic;
use vit_mae::tasks::transfer::Table;
use vit_mae::{Error, Result};

/// Prints a table.
pub(crate) fn print_table(table: &Table) {
    table.lines().iter().for_each(|line| outln!("{line}"));
}

/// A folder in which a command leaves a few files, checked before the work.
pub(crate) struct Folder(PathBuf);

impl Folder {
    /// None if no folder is asked for.
    pub(crate) fn new(path: Option<&Path>, overwrite: bool, files: &[&str]) -> Result<Option<Self>> {
        let Some(path) = path else { return Ok(None) };
        if path.exists() && !path.is_dir() {
            let found = format!("{}, which is a file", path.display());
            return Err(Error::setting("--out", "a folder", found));
        }
        match files.iter().map(|name| path.join(name)).find(|file| file.exists()) {
            Some(file) if !overwrite => {
                Err(Error::setting("--out", "a folder without results, or --overwrite", file.display()))
            }
            _ => Ok(Some(Self(path.to_path_buf()))),
        }
    }

    /// Writes one of the files, whose name may be that of a file in a folder; makes what folders are not there.
    pub(crate) fn write(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let path = self.0.join(name);
        let folder = path.parent().unwrap_or(&self.0);
        fs::create_dir_all(folder).map_err(Error::write(folder))?;
        write_atomic(&path, bytes)
    }
}
