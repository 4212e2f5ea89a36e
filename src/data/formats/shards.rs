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
use super::{file_name, has_extension, is_image_name};
use crate::base::{Error, Result};
use std::fs;
use std::path::{Path, PathBuf};

/// Words for the splits; validation stands in where there is no test set.
const TRAIN: &[&str] = &["train", "training"];
const TEST: &[&str] = &["test"];
const VALIDATION: &[&str] = &["val", "valid", "validation"];

/// Sub-folders that may hold shards.
const SUB_FOLDERS: [&str; 5] = ["data", "train", "test", "val", "validation"];

/// Whether this names several files rather than one that exists.
pub(super) fn is_pattern(path: &Path) -> bool {
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
        !name.starts_with('.') && (is_image_name(path) || path.is_dir() && !SUB_FOLDERS.contains(&&*name))
    };
    all_in(folder, extension).is_ok_and(|files| !files.is_empty()) && !entries().any(|path| foreign(&path))
}

fn in_folder(folder: &Path, split: Split, extension: &str) -> Result<Vec<PathBuf>> {
    let files = all_in(folder, extension)?;
    if files.is_empty() {
        return Err(Error::input(folder, "shards", format!("files *.{extension}"), "none"));
    }
    let of = |words: &[&str]| -> Vec<PathBuf> {
        files.iter().filter(|path| tells(folder, path, words)).cloned().collect()
    };
    let (train, test, validation) = (of(TRAIN), of(TEST), of(VALIDATION));
    let untold = train.is_empty() && test.is_empty() && validation.is_empty();
    let chosen = match split {
        Split::Train if untold => files,
        Split::Train => train,
        Split::Test if test.is_empty() => validation,
        Split::Test => test,
    };
    if chosen.is_empty() {
        let word = if split == Split::Train { "train" } else { "test or val" };
        let expected = format!("a .{extension} file with the word {word} in its name");
        return Err(Error::input(folder, "split", expected, "none"));
    }
    Ok(chosen)
}

/// Whether a word of the path inside `folder` is one of `words`.
fn tells(folder: &Path, path: &Path, words: &[&str]) -> bool {
    let inside = path.strip_prefix(folder).unwrap_or(path).to_string_lossy().to_lowercase();
    inside.split(|c: char| !c.is_alphanumeric()).any(|word| words.contains(&word))
}

/// All files with this ending in a folder and the sub-folders that may hold shards, sorted by path.
fn all_in(folder: &Path, extension: &str) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let sub_folders = SUB_FOLDERS.iter().map(|name| folder.join(name)).filter(|path| path.is_dir());
    for place in std::iter::once(folder.to_path_buf()).chain(sub_folders) {
        for entry in fs::read_dir(&place).map_err(Error::read(&place))? {
            let path = entry.map_err(Error::read(&place))?.path();
            if has_extension(&path, extension) && !file_name(&path).starts_with('.') && path.is_file() {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}
