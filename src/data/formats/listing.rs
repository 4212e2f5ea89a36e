//! What stands in a folder: images, sub-folders and the rest, without what systems and this program leave behind.

use super::super::{count, embedded};
use super::{file_name, is_image_name};
use crate::base::{Error, Result};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Names that systems leave beside anybody's files. Names that begin with a dot are passed over, too.
const LEFT_BEHIND: [&str; 7] = [
    "__MACOSX",
    "Thumbs.db",
    "desktop.ini",
    "@eaDir",
    "$RECYCLE.BIN",
    "System Volume Information",
    "lost+found",
];

/// Endings of pictures that are not read.
const OTHER_PICTURES: [&str; 16] = [
    "bmp", "tif", "tiff", "webp", "gif", "heic", "heif", "avif", "jp2", "jxl", "ppm", "pgm", "jfif", "jpe",
    "dng", "svg",
];

/// The content of one folder, each list sorted by name.
pub(super) struct Listing {
    /// Files that are called like images that can be read.
    pub(super) images: Vec<PathBuf>,
    /// Sub-folders, links to folders among them; no run directories.
    pub(super) folders: Vec<PathBuf>,
    /// Other files.
    pub(super) others: Vec<PathBuf>,
}

/// Lists a folder, without hidden names and what systems leave behind.
pub(super) fn list(folder: &Path) -> Result<Listing> {
    if let Some(files) = embedded::files_in(folder) {
        let (images, others) = files.into_iter().partition(|path| is_image_name(path));
        return Ok(Listing { images, folders: Vec::new(), others });
    }
    let (mut images, mut folders, mut others) = (Vec::new(), Vec::new(), Vec::new());
    for entry in fs::read_dir(folder).map_err(Error::read(folder))? {
        let entry = entry.map_err(Error::read(folder))?;
        let (path, kind) = (entry.path(), entry.file_type().map_err(Error::read(folder))?);
        let name = file_name(&path);
        if name.starts_with('.') || LEFT_BEHIND.iter().any(|left| left.eq_ignore_ascii_case(&name)) {
            continue;
        }
        if kind.is_dir() || kind.is_symlink() && path.is_dir() {
            if !is_run(&path) {
                folders.push(path);
            }
        } else if is_image_name(&path) {
            images.push(path);
        } else {
            others.push(path);
        }
    }
    for list in [&mut images, &mut folders, &mut others] {
        list.sort();
    }
    Ok(Listing { images, folders, others })
}

/// Whether a folder is a run directory of this program, whose pictures are nobody's images.
fn is_run(folder: &Path) -> bool {
    let holds = |name: &str| folder.join(name).exists();
    holds("config.toml") && (holds("metrics.jsonl") || holds("checkpoint"))
}

/// The images in and below a folder, and what else is there.
#[derive(Default)]
pub(super) struct Tree {
    /// In the order of torchvision's `ImageFolder`: folders by path, in each its files by name.
    pub(super) images: Vec<PathBuf>,
    /// The folders in it that have sub-folders, and these.
    pub(super) folders: Vec<(PathBuf, Vec<PathBuf>)>,
    /// What is not read.
    pub(super) unread: Unread,
}

/// Gathers the images in and below a folder. Links to folders are followed, but not back into a folder that they are in.
///
/// # Errors
/// If a folder cannot be read.
pub(super) fn tree(folder: &Path) -> Result<Tree> {
    let (mut places, mut found) = (Vec::new(), Tree::default());
    descend(folder, &mut Vec::new(), &mut |at, Listing { images, folders, others }| {
        if !folders.is_empty() {
            found.folders.push((at.to_path_buf(), folders.clone()));
        }
        found.unread.add(others);
        places.push((at.to_path_buf(), std::mem::take(images)));
        true
    })?;
    // As text, as in Python: `a-b` stands before `a/b`, which a comparison part by part would turn round.
    places.sort_by(|(a, _), (b, _)| a.as_os_str().as_encoded_bytes().cmp(b.as_os_str().as_encoded_bytes()));
    found.images = places.into_iter().flat_map(|(_, images)| images).collect();
    Ok(found)
}

/// Whether there is an image in or below a folder.
///
/// # Errors
/// If a folder cannot be read.
pub(super) fn holds_images(folder: &Path) -> Result<bool> {
    let mut found = false;
    descend(folder, &mut Vec::new(), &mut |_, Listing { images, .. }| {
        found |= !images.is_empty();
        !found
    })?;
    Ok(found)
}

/// Visits a folder and those below it until `visit` wants no more; `above` are the true paths of those that it is in.
fn descend(
    folder: &Path,
    above: &mut Vec<PathBuf>,
    visit: &mut impl FnMut(&Path, &mut Listing) -> bool,
) -> Result<bool> {
    let truly = folder.canonicalize().map_err(Error::read(folder))?;
    if above.iter().any(|above| above.starts_with(&truly)) {
        return Ok(true);
    }
    let mut listing = list(folder)?;
    if !visit(folder, &mut listing) {
        return Ok(false);
    }
    above.push(truly);
    for sub_folder in listing.folders {
        if !descend(&sub_folder, above, visit)? {
            return Ok(false);
        }
    }
    above.pop();
    Ok(true)
}

/// A CRC-32 of each file's path inside the folder `root` and of its length; contents are not read.
pub(super) fn digest_of<'a>(root: &Path, files: impl Iterator<Item = &'a Path>) -> u32 {
    let mut digest = crc32fast::Hasher::new();
    for path in files {
        for part in path.strip_prefix(root).unwrap_or(path) {
            digest.update(part.as_encoded_bytes());
            digest.update(b"/");
        }
        let len = match embedded::file(path) {
            Some(bytes) => bytes.len() as u64,
            // A broken link is a bad image, which may be skipped.
            None => fs::metadata(path).map_or(0, |metadata| metadata.len()),
        };
        digest.update(&len.to_le_bytes());
    }
    digest.finalize()
}

/// The one file that was found in a folder.
///
/// # Errors
/// That it is absent, or that there are several.
pub(super) fn only(folder: &Path, field: &str, expected: &str, found: Vec<PathBuf>) -> Result<PathBuf> {
    match <[PathBuf; 1]>::try_from(found) {
        Ok([file]) => Ok(file),
        Err(found) if found.is_empty() => Err(Error::absent(folder, field, expected, "none")),
        Err(found) => {
            let names: Vec<String> = found.iter().map(|path| file_name(path)).collect();
            let expected = format!("one file for the split (--data names a file): {expected}");
            Err(Error::input(folder, field, expected, names.join(", ")))
        }
    }
}

/// The file beside another that has the first of these names that is there, in any letter case.
pub(super) fn beside(path: &Path, names: &[String]) -> Option<PathBuf> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let others = list(folder).ok()?.others;
    let called =
        |name: &String| others.iter().find(|other| file_name(other).to_lowercase() == *name.to_lowercase());
    names.iter().find_map(called).and_then(|found| Some(path.with_file_name(found.file_name()?)))
}

/// How many files of which ending are not read, and the first of each.
#[derive(Default)]
pub(super) struct Unread(BTreeMap<String, (usize, PathBuf)>);

impl Unread {
    /// Counts files.
    pub(super) fn add(&mut self, files: &[PathBuf]) {
        for file in files {
            let ending = file.extension().map_or_else(String::new, |e| e.to_string_lossy().to_lowercase());
            self.0.entry(ending).or_insert_with(|| (0, file.clone())).0 += 1;
        }
    }

    /// Counts those of another.
    pub(super) fn merge(&mut self, other: &Self) {
        for (ending, (files, first)) in &other.0 {
            self.0.entry(ending.clone()).or_insert_with(|| (0, first.clone())).0 += files;
        }
    }

    /// What pictures of other kinds there are, and what to do about it: `3 files *.bmp (a.bmp, …), which are not read …`.
    pub(super) fn pictures(&self) -> Option<String> {
        let found: Vec<String> = self
            .0
            .iter()
            .filter(|(ending, _)| OTHER_PICTURES.contains(&ending.as_str()))
            .map(|(ending, (n, first))| {
                let more = if *n > 1 { ", …" } else { "" };
                format!("{} ({}{more})", in_words(ending, *n), first.display())
            })
            .collect();
        (!found.is_empty())
            .then(|| format!("{}, which are not read: convert them to PNG or JPEG", found.join(", ")))
    }

    /// All in words: `3 files *.bmp, 1 file *.txt`; empty if there is none.
    pub(super) fn all(&self) -> String {
        let words: Vec<String> = self.0.iter().map(|(ending, (n, _))| in_words(ending, *n)).collect();
        words.join(", ")
    }
}

fn in_words(ending: &str, n: usize) -> String {
    let files = count(n, "file", "files");
    if ending.is_empty() { format!("{files} without an ending") } else { format!("{files} *.{ending}") }
}
