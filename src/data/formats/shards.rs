//! Data sets in several files of one kind: which of them belong to a split.
//!
//! ```text
//! pets.tar                                     one file: taken as it is
//! 'pets/train-*.tar'                           a pattern with * ? [ ]: all files that fit
//! pets/train-000.tar  pets/test-000.tar        a folder: the split is a word of the file's name …
//! pets/train/000.tar  pets/data/train-000.tar  … or of the sub-folder's: train, test, val, data
//! ```
//!
//! A folder in which no name tells a split is a training set. Where some do, files without such a word are left out.

use super::super::Split;
use super::{file_name, has_extension, is_image_name, split_names};
use crate::base::{Error, Result};
use std::fs;
use std::path::{Path, PathBuf};

/// A sub-folder that may hold shards, beside those called like a split.
const DATA: &str = "data";

/// Whether this names several files rather than one that exists.
#[must_use]
pub fn is_pattern(path: &Path) -> bool {
    path.to_string_lossy().contains(['*', '?', '[']) && !path.exists()
}

/// The files of `split`, in the order of their names.
///
/// # Errors
/// If there are none.
pub(super) fn find(path: &Path, split: Split, extension: &str) -> Result<Vec<PathBuf>> {
    if path.is_dir() {
        return in_folder(path, split, extension);
    }
    if !is_pattern(path) {
        return Ok(vec![path.to_path_buf()]);
    }
    let expected = format!("a pattern that fits at least one .{extension} file");
    let wrong = |found: String| Error::input(path, "pattern", &*expected, found);
    let matches = glob::glob(&path.to_string_lossy()).map_err(|e| wrong(e.to_string()))?;
    let mut files = Vec::new();
    for found in matches {
        let found = found.map_err(|e| Error::read(e.path().to_path_buf())(e.into()))?;
        if found.is_file() {
            files.push(found);
        }
    }
    if files.is_empty() { Err(wrong("none".to_owned())) } else { Ok(files) }
}

/// Whether a folder holds shards, and no images or folders of another format.
pub(super) fn holds(folder: &Path, extension: &str) -> bool {
    let entries = || fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let foreign = |path: &PathBuf| {
        let name = file_name(path);
        !name.starts_with('.') && (is_image_name(path) || path.is_dir() && !may_hold(path))
    };
    all_in(folder, extension).is_ok_and(|files| !files.is_empty()) && !entries().any(|path| foreign(&path))
}

fn in_folder(folder: &Path, split: Split, extension: &str) -> Result<Vec<PathBuf>> {
    let files = all_in(folder, extension)?;
    if files.is_empty() {
        return Err(Error::input(folder, "shards", format!("files *.{extension}"), "none"));
    }
    let told: Vec<_> = files.iter().map(|path| told(folder, path)).collect();
    if split == Split::Train && told.iter().all(Option::is_none) {
        return Ok(files);
    }
    let chosen: Vec<_> = files.into_iter().zip(told).filter(|(_, told)| *told == Some(split)).collect();
    if chosen.is_empty() {
        let words = split_names::spelt(split);
        let expected = format!("a .{extension} file with one of the words {words} in its name");
        return Err(Error::input(folder, "split", expected, "none"));
    }
    Ok(chosen.into_iter().map(|(path, _)| path).collect())
}

/// The split that the path inside `folder` tells: its file name, or else the sub-folder.
fn told(folder: &Path, path: &Path) -> Option<Split> {
    let inside = path.strip_prefix(folder).unwrap_or(path);
    inside.iter().rev().find_map(|part| split_names::in_name(&part.to_string_lossy()))
}

/// Whether a sub-folder may hold shards, by its name.
fn may_hold(path: &Path) -> bool {
    let name = file_name(path);
    path.is_dir() && (name == DATA || split_names::of_word(&name).is_some())
}

/// All files with this ending in a folder and the sub-folders that may hold shards, sorted by path.
fn all_in(folder: &Path, extension: &str) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let (mut places, mut at) = (vec![folder.to_path_buf()], 0);
    while let Some(place) = places.get(at).cloned() {
        at += 1;
        for entry in fs::read_dir(&place).map_err(Error::read(&place))? {
            let path = entry.map_err(Error::read(&place))?.path();
            if at == 1 && may_hold(&path) {
                places.push(path);
            } else if has_extension(&path, extension) && !file_name(&path).starts_with('.') && path.is_file()
            {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}
