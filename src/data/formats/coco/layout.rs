//! Where COCO's documents lie, and the images that they list.
//!
//! ```text
//! annotations/instances_train2017.json    train2017/a.jpg            as COCO, one document a split
//! annotations/instances_train.json        images/train/a.jpg
//! annotations/instances_default.json      images/a.jpg               without a split's name: a training set
//! train/_annotations.coco.json            train/a.jpg                as Roboflow, one folder a split; also annotations.json
//! _annotations.coco.json                  a.jpg                      a training set
//! ```

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use super::super::super::Split;
use super::super::layout::names;
use super::super::listing::{Listing, holds_images, list, only, tree};
use super::super::{file_name, has_extension, split_names};
use crate::base::{Error, Result};

/// The folder of documents.
const ANNOTATIONS: &str = "annotations";
/// The folder of images.
const IMAGES: &str = "images";
/// How a document in it begins.
const INSTANCES: &str = "instances_";
/// Documents beside their images.
const BESIDE: [&str; 2] = ["_annotations.coco.json", "annotations.json"];

/// Whether a path is that of a document or of a folder with one where it is expected.
pub(super) fn recognises(path: &Path) -> bool {
    if path.is_dir() { documents(path).is_ok_and(|all| !all.is_empty()) } else { has_extension(path, "json") }
}

/// The document of a split.
///
/// # Errors
/// If there is none, or several.
pub(super) fn document(root: &Path, split: Split) -> Result<PathBuf> {
    if !root.is_dir() {
        return Ok(root.to_path_buf());
    }
    let all = documents(root)?;
    let named = |wanted: Option<Split>| -> Vec<PathBuf> {
        all.iter().filter(|(of, _)| *of == wanted).map(|(_, path)| path.clone()).collect()
    };
    let mut found = named(Some(split));
    if found.is_empty() && split == Split::Train {
        found = named(None);
    }
    let (field, expected) = ("document of the split", format!("COCO's document for {split}"));
    let of_a_split = |file: &PathBuf| all.iter().any(|(split, path)| split.is_some() && path == file);
    let others: Vec<_> = in_annotations(root).into_iter().filter(|file| !of_a_split(file)).collect();
    if found.is_empty() && !others.is_empty() {
        let expected = format!("{expected}, {ANNOTATIONS}/{INSTANCES}*.json");
        return Err(Error::absent(root, field, expected, names(&others)));
    }
    only(root, field, &expected, found)
}

/// All JSON files among the annotations.
fn in_annotations(root: &Path) -> Vec<PathBuf> {
    let folders = list(root).map_or_else(|_| Vec::new(), |listing| listing.folders);
    let of_documents = folders.iter().filter(|folder| file_name(folder).eq_ignore_ascii_case(ANNOTATIONS));
    let files = of_documents.filter_map(|folder| Some(list(folder).ok()?.others)).flatten();
    files.filter(|file| has_extension(file, "json")).collect()
}

/// What to say of documents that are no split's, and of folders that are called like a split and have no document.
pub(super) fn left_over(root: &Path) -> Vec<String> {
    if !root.is_dir() {
        return Vec::new();
    }
    let of = |split: Split| Some((split, document(root, split).ok()?));
    let read: Vec<(Split, PathBuf)> = Split::ALL.into_iter().filter_map(of).collect();
    let is_read = |file: &PathBuf| read.iter().any(|(_, document)| document == file);
    let unread = in_annotations(root).into_iter().filter(|file| !is_read(file));
    let inside = |folder: PathBuf| list(&folder).map_or_else(|_| Vec::new(), |listing| listing.folders);
    let folders = [root.join(IMAGES), root.to_path_buf()].map(inside).concat();
    let has_none = |folder: &PathBuf| {
        split_names::of_path(folder).is_some_and(|split| read.iter().all(|(of, _)| *of != split))
            && holds_images(folder).unwrap_or(false)
    };
    let documents = unread.map(|file| format!("{}: of no split: not read", file.display()));
    let images = folders.into_iter().filter(has_none);
    documents
        .chain(images.map(|folder| format!("{}: no document of this split: not read", folder.display())))
        .collect()
}

/// The folder of the images that a document lists: where most of the first of them are.
pub(super) fn images<'a>(document: &Path, names: impl Iterator<Item = &'a str> + Clone) -> PathBuf {
    /// How many are looked for.
    const FIRST: usize = 100;
    let folders = folders(document);
    let there =
        |folder: &PathBuf| names.clone().take(FIRST).filter(|name| folder.join(name).exists()).count();
    let counts: Vec<usize> = folders.iter().map(there).collect();
    let most = counts.iter().max().copied().unwrap_or(0);
    let at = counts.iter().position(|&count| count == most).unwrap_or(0);
    folders.into_iter().nth(at).unwrap_or_default()
}

/// Images in a document's folder that it does not list; none where the folder may hold those of other documents, too.
pub(super) fn unlisted<'a>(
    document: &Path,
    folder: &Path,
    names: impl Iterator<Item = &'a str>,
) -> Result<Vec<PathBuf>> {
    let beside = document.parent().unwrap_or(Path::new(""));
    let of_split = split_names::of_path(folder).is_some();
    let documents =
        || list(beside).map(|files| files.others.iter().filter(|file| has_extension(file, "json")).count());
    if !of_split && documents()? > 1 {
        return Ok(Vec::new());
    }
    let listed: HashSet<PathBuf> = names.map(|name| folder.join(name)).collect();
    let own = |image: &PathBuf| {
        // A sub-folder that is called like a split has a document of its own.
        let inside = image.strip_prefix(folder).ok().and_then(Path::parent);
        let sub_folder = inside.and_then(|inside| inside.iter().next());
        !listed.contains(image) && sub_folder.and_then(|name| split_names::of_path(name.as_ref())).is_none()
    };
    Ok(tree(folder)?.images.into_iter().filter(own).collect())
}

/// Folders in which a document's images may lie, the likeliest first.
fn folders(document: &Path) -> Vec<PathBuf> {
    let beside = document.parent().unwrap_or(Path::new("")).to_path_buf();
    if !file_name(&beside).eq_ignore_ascii_case(ANNOTATIONS) {
        return vec![beside.clone(), beside.join(IMAGES)];
    }
    let root = beside.parent().unwrap_or(Path::new("")).to_path_buf();
    let images = root.join(IMAGES);
    let of_document = split_names::in_name(&file_name(document));
    let same_split = |folder: &PathBuf| {
        let split = split_names::of_path(folder);
        split.is_some() && split == of_document
    };
    let inside = |folder: &Path| list(folder).map_or_else(|_| Vec::new(), |listing| listing.folders);
    let splits = [&images, &root].map(|folder| inside(folder)).concat();
    splits.into_iter().filter(same_split).chain([images, root]).collect()
}

/// All documents in a folder, with the split that the name of document or folder tells.
fn documents(root: &Path) -> Result<Vec<(Option<Split>, PathBuf)>> {
    let Listing { folders, others, .. } = list(root)?;
    let beside = |files: Vec<PathBuf>| {
        files.into_iter().filter(|file| BESIDE.contains(&&*file_name(file).to_lowercase()))
    };
    let mut found: Vec<_> = beside(others).map(|file| (None, file)).collect();
    for folder in folders {
        let name = file_name(&folder);
        if name.eq_ignore_ascii_case(ANNOTATIONS) {
            let instances = |file: &PathBuf| {
                has_extension(file, "json") && file_name(file).to_lowercase().starts_with(INSTANCES)
            };
            let files = list(&folder)?.others.into_iter().filter(instances);
            found.extend(files.map(|file| (split_names::in_name(&file_name(&file)), file)));
        } else if let Some(split) = split_names::of_path(&folder) {
            found.extend(beside(list(&folder)?.others).map(|file| (Some(split), file)));
        }
    }
    Ok(found)
}
