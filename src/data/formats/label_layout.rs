//! Where images and their label maps lie: two folders with the same names in them, in one of two layouts.
//!
//! ```text
//! images/SPLIT/a.jpg       annotations/SPLIT/a.png          as ADE20K; without folders for splits, a training set
//! JPEGImages/a.jpg         SegmentationClass/a.png          as Pascal VOC: ImageSets/Segmentation/SPLIT.txt lists names
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::super::Split;
use super::super::decode::read_file;
use super::layout::{self, Place};
use super::listing::{Listing, Tree, list, only, tree};
use super::{file_name, foreign, has_extension, images_in_words, split_names};
use crate::base::files::text;
use crate::base::{Error, Result};

/// More than any list of names.
const MOST_LIST_BYTES: u64 = 64 << 20;

/// The images of one split, each with the file of its label map, which need not be there.
pub(super) struct Pairs {
    /// Image and label map.
    pub(super) pairs: Vec<(PathBuf, PathBuf)>,
    /// What is there and not read.
    pub(super) notes: Vec<String>,
}

/// Names in a list, each with its image.
pub(super) type Named = Vec<(String, PathBuf)>;

/// Whether a folder has one of the layouts: images beside pictures of annotations, or the folders of Pascal VOC.
pub(super) fn recognises(root: &Path) -> bool {
    let holds_maps = |folder: PathBuf| tree(&folder).is_ok_and(|tree| !tree.images.is_empty());
    match (sub_folder(root, "images"), sub_folder(root, "annotations")) {
        (Some(_), Some(annotations)) => holds_maps(annotations),
        _ => sub_folder(root, "jpegimages").is_some() && sub_folder(root, "segmentationclass").is_some(),
    }
}

/// Finds the images of `split` and their maps.
///
/// # Errors
/// If a folder cannot be read, or there are no images for this split.
pub(super) fn find(root: &Path, split: Split) -> Result<Pairs> {
    if let (Some(images), Some(maps)) = (sub_folder(root, "images"), sub_folder(root, "annotations")) {
        return in_folders(&images, &maps, split);
    }
    if let (Some(images), Some(maps)) =
        (sub_folder(root, "jpegimages"), sub_folder(root, "segmentationclass"))
    {
        return in_lists(root, &images, &maps, split);
    }
    let expected = "the folders images and annotations, or JPEGImages and SegmentationClass";
    let Listing { folders, .. } = list(root)?;
    let found = if folders.is_empty() { "none".to_owned() } else { layout::names(&folders) };
    Err(Error::input(root, "label maps", expected, found))
}

/// `images/SPLIT` and `annotations/SPLIT`.
fn in_folders(images: &Path, maps: &Path, split: Split) -> Result<Pairs> {
    let Place { folder, others, mut notes, .. } = layout::find(images, split)?;
    let in_splits = folder != images;
    for (other, folder) in &others {
        let there = images_in(folder).and_then(|_| folder_of(maps, *other));
        notes.extend(there.err().map(|error| format!("no {other} images: {error}")));
    }
    let map_folders = if in_splits { list(maps)?.folders } else { Vec::new() };
    for map_folder in map_folders {
        let of = split_names::of_path(&map_folder);
        if of != Some(split) && !others.iter().any(|(other, _)| Some(*other) == of) {
            notes.push(format!("{}: no images of this name: not read", map_folder.display()));
        }
    }
    let maps = if in_splits { folder_of(maps, split)? } else { maps.to_path_buf() };
    let (Tree { images: files, unread, .. }, mut there) = (images_in(&folder)?, by_stem(&maps)?);
    notes.extend(unread.pictures().map(|pictures| format!("{}: {pictures}", folder.display())));
    let with_map = |image: PathBuf| {
        let stem = image.strip_prefix(&folder).unwrap_or(&image).with_extension("");
        let map = there.remove(&stem).unwrap_or_else(|| maps.join(png_of(stem)));
        (image, map)
    };
    let pairs = files.into_iter().map(with_map).collect();
    notes.extend(unpaired(&maps, &there));
    Ok(Pairs { pairs, notes })
}

/// The images in and below a folder.
///
/// # Errors
/// That there are none, or a folder cannot be read.
fn images_in(folder: &Path) -> Result<Tree> {
    let tree = tree(folder)?;
    if tree.images.is_empty() {
        let found = foreign::instead_of_images(folder, &tree.unread);
        return Err(Error::absent(folder, "images", "PNG or JPEG files (.png, .jpg, .jpeg)", found));
    }
    Ok(tree)
}

/// The file of a map by its name without ending, in which there may be dots.
fn png_of(stem: PathBuf) -> PathBuf {
    let mut name = stem.into_os_string();
    name.push(".png");
    name.into()
}

/// The names in `ImageSets/Segmentation/SPLIT.txt`.
fn in_lists(root: &Path, images: &Path, maps: &Path, split: Split) -> Result<Pairs> {
    let (named, notes) = listed(root, "Segmentation", images, split)?;
    let pairs = named.into_iter().map(|(name, image)| (image, maps.join(format!("{name}.png")))).collect();
    Ok(Pairs { pairs, notes })
}

/// The names in Pascal VOC's list `ImageSets/KIND/SPLIT.txt`, each with its image, which need not be there; and what to say of images
/// that no list of this kind names.
///
/// # Errors
/// If there is no such list, several, or no name in it.
pub(super) fn listed(root: &Path, kind: &str, images: &Path, split: Split) -> Result<(Named, Vec<String>)> {
    let sets = sub_folder(root, "imagesets").and_then(|sets| sub_folder(&sets, &kind.to_lowercase()));
    let sets = sets.unwrap_or_else(|| root.join("ImageSets").join(kind));
    let of_split = |path: &PathBuf| {
        let stem = path.with_extension("");
        has_extension(path, "txt") && split_names::of_word(&file_name(&stem)) == Some(split)
    };
    let lists = if sets.is_dir() { list(&sets)?.others } else { Vec::new() };
    let expected = format!("{split}.txt, a list of names");
    let file =
        only(&sets, "split", &expected, lists.iter().filter(|list| of_split(list)).cloned().collect())?;
    let bytes = read_file(&file, MOST_LIST_BYTES)?;
    let there = by_name(images)?;
    let names = text(&file, "list of names", &bytes)?.lines().map(str::trim).filter(|name| !name.is_empty());
    let image = |name: &str| there.get(name).cloned().unwrap_or_else(|| images.join(format!("{name}.jpg")));
    let named: Vec<_> = names.map(|name| (name.to_owned(), image(name))).collect();
    if named.is_empty() {
        return Err(Error::input(&file, "list of names", "at least one", "none"));
    }
    let mut seen = BTreeSet::new();
    if let Some((again, _)) = named.iter().find(|(name, _)| !seen.insert(name)) {
        return Err(Error::input(&file, "list of names", "each once", format!("{again} twice")));
    }
    let mut left = there.clone();
    for (name, _) in &named {
        left.remove(name);
    }
    for list in lists.iter().filter(|list| has_extension(list, "txt") && **list != file) {
        let Ok(bytes) = read_file(list, MOST_LIST_BYTES) else { continue };
        for line in String::from_utf8_lossy(&bytes).lines().map(str::trim) {
            left.remove(line);
            // A class's list has a number behind each name.
            left.remove(line.split_whitespace().next().unwrap_or_default());
        }
    }
    Ok((named, not_read(left.values(), &format!("in no list of {}", sets.display())).into_iter().collect()))
}

/// What to say of images that nothing names.
pub(super) fn not_read<'a>(images: impl ExactSizeIterator<Item = &'a PathBuf>, why: &str) -> Option<String> {
    let number = images_in_words(images.len());
    let first = images.into_iter().next()?.display();
    Some(format!("{number} {why}: not read ({first})"))
}

/// The images in a folder by their names without endings.
///
/// # Errors
/// If two have the same, or the folder cannot be read.
pub(super) fn by_name(images: &Path) -> Result<BTreeMap<String, PathBuf>> {
    unique(list(images)?.images, |path| file_name(&path.with_extension("")))
}

/// Files by what they are known by.
///
/// # Errors
/// If two are known by the same.
fn unique<K: Ord>(files: Vec<PathBuf>, key: impl Fn(&Path) -> K) -> Result<BTreeMap<K, PathBuf>> {
    let mut known = BTreeMap::new();
    for file in files {
        if let Some(other) = known.insert(key(&file), file.clone()) {
            let expected = "one picture of each name, whatever its ending";
            return Err(Error::input(&other, "name", expected, format!("{} beside it", file_name(&file))));
        }
    }
    Ok(known)
}

/// The sub-folder of a name in small letters, however it is spelt.
pub(super) fn sub_folder(root: &Path, name: &str) -> Option<PathBuf> {
    let Listing { folders, .. } = list(root).ok()?;
    folders.into_iter().find(|folder| file_name(folder).to_lowercase() == name)
}

/// The folder of a split's maps.
fn folder_of(maps: &Path, split: Split) -> Result<PathBuf> {
    let mut folders = list(maps)?.folders;
    folders.retain(|folder| split_names::of_path(folder) == Some(split));
    only(maps, "split", &format!("a sub-folder for {split}, as the images have"), folders)
}

/// The label maps in and below a folder by their paths in it, without endings.
///
/// # Errors
/// If two have the same, or a folder cannot be read.
fn by_stem(maps: &Path) -> Result<BTreeMap<PathBuf, PathBuf>> {
    let stem = |map: &Path| map.strip_prefix(maps).unwrap_or(map).with_extension("");
    unique(tree(maps)?.images.into_iter().filter(|path| is_map(path)).collect(), stem)
}

fn is_map(path: &Path) -> bool {
    has_extension(path, "png")
}

/// What to say of maps without an image.
fn unpaired(maps: &Path, left: &BTreeMap<PathBuf, PathBuf>) -> Option<String> {
    let first = left.values().next()?.display();
    let n = images_in_words(left.len()).replace("image", "label map");
    Some(format!("{}: {n} without an image: not read ({first})", maps.display()))
}
