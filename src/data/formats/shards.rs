//! Data sets in several files of one kind: which of them belong to a split.
//!
//! ```text
//! pets.tar                                     one file: taken as it is
//! 'pets/train-*.tar'                           a pattern (`pattern`): all files that fit
//! pets/train-000.tar  pets/test-000.tar        a folder: the split is a word of the file's name …
//! pets/train/000.tar  pets/data/train-000.tar  … or of the sub-folder's
//! ```
//!
//! A folder in which no name tells a split is a training set. Where some do, files without such a word are left out, which
//! is said.

use super::super::Split;
use super::listing::{Listing, holds_images, list};
use super::{file_name, has_extension, layout, pattern, split_names};
use crate::base::{Error, Result};
use std::path::{Path, PathBuf};

/// A sub-folder that may hold shards of all splits.
const DATA: &str = "data";

/// The files of a split, and what is to be said about others.
pub(super) struct Shards {
    pub(super) files: Vec<PathBuf>,
    pub(super) notes: Vec<String>,
}

/// The files of `split`, in the order of their names.
///
/// # Errors
/// If there are none.
pub(super) fn find(path: &Path, split: Split, extension: &str) -> Result<Shards> {
    let files = if path.is_dir() {
        return in_folder(path, split, extension);
    } else if pattern::is_pattern(path) {
        pattern::files(path, extension)?
    } else {
        vec![path.to_path_buf()]
    };
    Ok(Shards { files, notes: Vec::new() })
}

/// Whether a path is called like such a file or a pattern for some, or is a folder that holds some and no images.
pub(super) fn recognises(path: &Path, extension: &str) -> bool {
    if !path.is_dir() {
        return has_extension(&pattern::first(path), extension);
    }
    places(path, extension).is_ok_and(|places| !places.is_empty())
        && holds_images(path).is_ok_and(|images| !images)
}

fn in_folder(folder: &Path, split: Split, extension: &str) -> Result<Shards> {
    let places = places(folder, extension)?;
    let own = |place: &Path| place == folder || is_usual(place);
    let sets: Vec<&PathBuf> = places.iter().map(|(place, _)| place).filter(|place| !own(place)).collect();
    if sets.len() > 1 {
        let expected = "one data set (--data names a folder)";
        return Err(Error::input(folder, "shards", expected, layout::names(sets)));
    }
    let files: Vec<PathBuf> = places.into_iter().flat_map(|(_, files)| files).collect();
    if files.is_empty() {
        return Err(Error::input(folder, "shards", format!("files *.{extension}"), "none"));
    }
    let told: Vec<_> = files.iter().map(|path| told(folder, path)).collect();
    if split == Split::Train && told.iter().all(Option::is_none) {
        return Ok(Shards { files, notes: Vec::new() });
    }
    let of = |wanted| {
        let files = files.iter().zip(&told).filter(move |(_, told)| **told == wanted);
        files.map(|(path, _)| path.clone()).collect::<Vec<_>>()
    };
    let (files, untold) = (of(Some(split)), of(None));
    if files.is_empty() {
        let words = split_names::spelt(split);
        let expected = format!("a .{extension} file with one of the words {words} in its name");
        return Err(Error::absent(folder, "split", expected, "none"));
    }
    let untold = (!untold.is_empty()).then(|| {
        format!(
            "{}: {}: no split in the name, beside others with one: not read",
            folder.display(),
            layout::names(&untold)
        )
    });
    Ok(Shards { files, notes: untold.into_iter().collect() })
}

/// The split that the path inside `folder` tells: its file name, or else the sub-folder.
fn told(folder: &Path, path: &Path) -> Option<Split> {
    let inside = path.strip_prefix(folder).unwrap_or(path);
    inside.iter().rev().find_map(|part| split_names::in_name(&part.to_string_lossy()))
}

/// Whether a sub-folder is called as if it held shards of this data set.
fn is_usual(path: &Path) -> bool {
    let name = file_name(path);
    name == DATA || split_names::of_folder(&name).is_some_and(|(_, rest)| rest.is_empty())
}

/// The folders that hold files with this ending, and these, sorted by path: the folder itself and usual sub-folders, or
/// else those called after data sets, of which the hub's repositories hold one or several.
fn places(folder: &Path, extension: &str) -> Result<Vec<(PathBuf, Vec<PathBuf>)>> {
    let with_ending = |place: &Path| -> Result<(Vec<PathBuf>, Vec<PathBuf>)> {
        let Listing { folders, mut others, .. } = list(place)?;
        others.retain(|path| has_extension(path, extension));
        Ok((others, folders))
    };
    let (own, folders) = with_ending(folder)?;
    let (usual, sets): (Vec<_>, Vec<_>) = folders.into_iter().partition(|path| is_usual(path));
    let mut places = vec![(folder.to_path_buf(), own)];
    for place in usual {
        let (files, _) = with_ending(&place)?;
        places.push((place, files));
    }
    places.retain(|(_, files)| !files.is_empty());
    if places.is_empty() {
        for place in sets {
            let (mut files, folders) = with_ending(&place)?;
            for sub_folder in folders.iter().filter(|path| is_usual(path)) {
                files.extend(with_ending(sub_folder)?.0);
            }
            places.push((place, files));
        }
        places.retain(|(_, files)| !files.is_empty());
    }
    Ok(places)
}
