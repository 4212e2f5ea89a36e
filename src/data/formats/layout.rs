//! Which sub-folders of a folder of images are splits, and which are classes.
//!
//! ```text
//! train/ test/ …            two different splits of one pattern are splits: also training_set/ and test_set/
//! train/ heldout/           a split alone, beside folders without images or with a usual name for extra images
//! train/cat/ train/dog/ …   a split alone that has classes of its own
//! bus/ car/ train/          a class that is called like a split, which is said
//! ```
//!
//! What stands beside the splits is not read, and said.

use super::super::{Split, count};
use super::listing::{Listing, Tree, holds_images, list};
use super::split_names::{self, of_path, spelt};
use super::{file_name, images_in_words};
use crate::base::{Error, Result};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Usual names, without signs, of folders of further images beside a lone `train`.
const EXTRA: [&str; 6] = ["heldout", "holdout", "unlabeled", "unlabelled", "extra", "unsupervised"];

/// A folder that is read as a set of images, and what is to be said about it.
pub(super) struct Place {
    /// The folder of the split that was asked for.
    pub(super) folder: PathBuf,
    /// The training set's folder, if splits have folders of their own.
    pub(super) train: Option<PathBuf>,
    /// The folders of the other splits.
    pub(super) others: Vec<(Split, PathBuf)>,
    /// What stands beside the splits.
    pub(super) notes: Vec<String>,
}

/// Finds the folder of `split` in `root`.
///
/// # Errors
/// If there is none, there are several, or a folder cannot be read.
pub(super) fn find(root: &Path, split: Split) -> Result<Place> {
    let Listing { images, folders, .. } = list(root)?;
    let splits = splits(root, &folders)?;
    let beside: Vec<&PathBuf> = folders.iter().filter(|f| !splits.iter().any(|(_, of)| of == *f)).collect();
    let missing = |found: String| {
        let expected = format!("a sub-folder called {}", spelt(split).replace(", ", " or "));
        Err(Error::absent(root, "split", expected, found))
    };
    if splits.is_empty() {
        let notes = classes_called_like_splits(root, &folders).into_iter().collect();
        let place = Place { folder: root.to_path_buf(), train: None, others: splits, notes };
        return if split == Split::Train { Ok(place) } else { missing("none".to_owned()) };
    }
    let of = |split| splits.iter().filter(move |(found, _)| *found == split).map(|(_, folder)| folder);
    let folder = match &of(split).collect::<Vec<_>>()[..] {
        [folder] => innermost(folder, split)?,
        [] if split == Split::Train && !(beside.is_empty() && images.is_empty()) => {
            let loose = if images.is_empty() {
                String::new()
            } else {
                format!(" and {}", images_in_words(images.len()))
            };
            return missing(format!("none, but {}{loose}", names(&folders)));
        }
        [] => return missing("none".to_owned()),
        several => {
            let expected = format!("one folder for the {split} split (--data names a folder)");
            return Err(Error::input(root, "split", expected, names(several.iter().copied())));
        }
    };
    let mut notes = Vec::new();
    let called = names(splits.iter().map(|(_, folder)| folder));
    if !beside.is_empty() {
        notes.push(format!("{}: {} beside {called}: not read", root.display(), names(beside)));
    }
    if !images.is_empty() {
        let loose = count(images.len(), "image file", "image files");
        notes.push(format!("{}: {loose} beside {called}: not read", root.display()));
    }
    let train = of(Split::Train).next().map(|train| innermost(train, Split::Train)).transpose()?;
    let others = splits.into_iter().filter(|(other, _)| *other != split).collect();
    Ok(Place { folder, train, others, notes })
}

/// The sub-folders that are splits.
fn splits(root: &Path, folders: &[PathBuf]) -> Result<Vec<(Split, PathBuf)>> {
    let mut patterns = patterns(folders);
    let several: Vec<_> = patterns.iter().filter(|(_, found)| differ(found)).map(|(rest, _)| rest).collect();
    match &several[..] {
        [] => {}
        [rest] => {
            let rest = (*rest).clone();
            return Ok(patterns.remove(&rest).unwrap_or_default());
        }
        _ => {
            let found = names(several.iter().flat_map(|rest| &patterns[*rest]).map(|(_, folder)| folder));
            let expected = "the splits of one data set (--data names a folder)";
            return Err(Error::input(root, "split folders", expected, found));
        }
    }
    let mut alone = patterns.remove("").unwrap_or_default();
    alone.retain(|(_, folder)| holds_images(folder).unwrap_or(true));
    if alone.is_empty() {
        return Ok(alone);
    }
    let mut is_split = true;
    for folder in folders.iter().filter(|folder| !alone.iter().any(|(_, of)| of == *folder)) {
        let bare: String = split_names::words(&file_name(folder)).collect::<String>().to_lowercase();
        is_split &= EXTRA.contains(&&*bare) || !holds_images(folder)?;
    }
    for (_, folder) in &alone {
        is_split |= has_classes(folder)?;
    }
    Ok(if is_split { alone } else { Vec::new() })
}

/// Folders that are called like splits, by what remains of their names: `train_set` and `test_set` go together, `train`
/// and `test_tube` do not.
fn patterns(folders: &[PathBuf]) -> BTreeMap<String, Vec<(Split, PathBuf)>> {
    let mut found = BTreeMap::<String, Vec<_>>::new();
    for folder in folders {
        if let Some((split, rest)) = split_names::of_folder(&file_name(folder)) {
            found.entry(rest).or_default().push((split, folder.clone()));
        }
    }
    found
}

/// Whether there are two different splits.
fn differ(found: &[(Split, PathBuf)]) -> bool {
    found.iter().any(|(split, _)| *split != found[0].0)
}

/// Whether a folder has no images of its own but sub-folders with images.
fn has_classes(folder: &Path) -> Result<bool> {
    let Listing { images, folders, .. } = list(folder)?;
    let mut classes = 0;
    for folder in &folders {
        classes += usize::from(holds_images(folder)?);
    }
    Ok(images.is_empty() && classes >= 2)
}

/// The folder itself, or where nothing is in it but a folder of the same split's name, that one: some archives are
/// unpacked as `training_set/training_set/cats`.
fn innermost(folder: &Path, split: Split) -> Result<PathBuf> {
    let mut folder = folder.to_path_buf();
    loop {
        let Listing { images, folders, .. } = list(&folder)?;
        match &folders[..] {
            [only] if images.is_empty() && of_path(only) == Some(split) => folder.clone_from(only),
            _ => return Ok(folder),
        }
    }
}

/// What to say where a class is called like a split.
fn classes_called_like_splits(root: &Path, folders: &[PathBuf]) -> Option<String> {
    let bare = |folder: &PathBuf| {
        split_names::of_folder(&file_name(folder)).is_some_and(|(_, rest)| rest.is_empty())
            && holds_images(folder).unwrap_or(true)
    };
    let (like, beside): (Vec<&PathBuf>, Vec<_>) = folders.iter().partition(|folder| bare(folder));
    let (like, beside, root) = (names(like), names(beside), root.display());
    (!like.is_empty()).then(|| format!("{root}: {like} is read as a class, like {beside} beside it"))
}

/// Refuses classes that have splits inside: their test images would be trained on.
///
/// # Errors
/// Naming the first such class.
pub(super) fn refuse_splits_inside<'a>(set: &Path, classes: impl Iterator<Item = &'a Tree>) -> Result<()> {
    let inside = |tree: &'a Tree| {
        let splits = |(at, folders): &'a (PathBuf, Vec<PathBuf>)| {
            patterns(folders).into_values().find(|found| differ(found)).map(|found| (at, found))
        };
        tree.folders.iter().find_map(splits)
    };
    let mut inside = classes.filter_map(inside);
    let Some((at, found)) = inside.next() else { return Ok(()) };
    let expected = match inside.next() {
        None => format!("them at the top: --data {}", at.display()),
        Some(_) => "them above the classes: train/CLASS, test/CLASS".to_owned(),
    };
    let within = at.strip_prefix(set).unwrap_or(at).display();
    let found = format!("{} in {within}", names(found.iter().map(|(_, folder)| folder)));
    Err(Error::input(set, "split folders", expected, found))
}

/// The names of folders, the first few of many.
pub(super) fn names<'a>(folders: impl IntoIterator<Item = &'a PathBuf>) -> String {
    const MOST: usize = 8;
    let all: BTreeSet<String> = folders.into_iter().map(|folder| file_name(folder)).collect();
    let shown: Vec<&str> = all.iter().take(MOST).map(String::as_str).collect();
    let more = all.len().saturating_sub(MOST);
    shown.join(", ") + &if more > 0 { format!(" and {more} more") } else { String::new() }
}
