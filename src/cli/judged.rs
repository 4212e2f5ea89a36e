//! What the commands that judge a model share: tables, and a folder for what they write.

use super::{outln, visible};
use std::fs;
use std::path::{Path, PathBuf};
use vit_mae::checkpoint::atomic::write_atomic;
use vit_mae::tasks::transfer::{LIST, Table};
use vit_mae::{Error, Result};

/// Prints a table.
pub(crate) fn print_table(table: &Table) {
    table.lines().iter().for_each(|line| outln!("{}", visible(line)));
}

/// A folder in which a command leaves a few files, checked before the work.
pub(crate) struct Folder {
    path: PathBuf,
    /// What was left there before, and goes when something new is written.
    old: Vec<PathBuf>,
}

impl Folder {
    /// None if no folder is asked for.
    pub(crate) fn new(path: Option<&Path>, overwrite: bool, files: &[&str]) -> Result<Option<Self>> {
        let Some(path) = path else { return Ok(None) };
        if path.exists() && !path.is_dir() {
            let found = format!("{}, which is a file", path.display());
            return Err(Error::setting("--out", "a folder", found));
        }
        let old: Vec<PathBuf> =
            files.iter().map(|name| path.join(name)).filter(|file| file.exists()).collect();
        match old.first() {
            Some(file) if !overwrite => {
                Err(Error::setting("--out", "a folder without results, or --overwrite", file.display()))
            }
            _ => Ok(Some(Self { path: path.to_path_buf(), old })),
        }
    }

    /// Writes one of the files, whose name may be that of a file in a folder; makes what folders are not there.
    pub(crate) fn write(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let path = self.path.join(name);
        let folder = path.parent().unwrap_or(&self.path);
        fs::create_dir_all(folder).map_err(Error::write(folder))?;
        write_atomic(&path, bytes)
    }

    /// Writes files in place of all that was left there before; what is not written this time goes when the new is there.
    pub(crate) fn replace(&self, files: &[(String, Vec<u8>)]) -> Result<()> {
        let before: Vec<PathBuf> = self.old.iter().flat_map(|old| left_before(old)).collect();
        files.iter().try_for_each(|(name, bytes)| self.write(name, bytes))?;
        let new: Vec<PathBuf> = files.iter().map(|(name, _)| self.path.join(name)).collect();
        let gone = before.iter().filter(|old| !new.contains(old));
        gone.into_iter().try_for_each(|old| fs::remove_file(old).map_err(Error::write(old)))
    }
}

/// A file that was left before, or what a folder's list says was written there: no other file of that folder is this program's.
fn left_before(old: &Path) -> Vec<PathBuf> {
    if !old.is_dir() {
        return vec![old.to_path_buf()];
    }
    let Ok(mut list) = csv::Reader::from_path(old.join(LIST)) else { return Vec::new() };
    let names = list.records().filter_map(|row| row.ok()?.get(0).map(PathBuf::from));
    let of_folder = names.filter(|name| name.components().count() == 1).map(|name| old.join(name));
    of_folder.filter(|path| path.is_file()).chain([old.join(LIST)]).collect()
}
