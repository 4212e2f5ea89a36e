//! The data that travels in the program: the files of `data/fashion-mini` and `data/photos`, seen under these paths from
//! any folder that has nothing there itself, and the scenes that are made of them.
//!
//! Bytes, names and order are those of the repository's own `data` folder, so a run on them has the same bits wherever it
//! is started.

use std::path::{Component, Path, PathBuf};

use super::scenes::spec::Spec;

/// A data set: its path, and its files by name, in order.
struct Set {
    path: &'static str,
    files: &'static [(&'static str, &'static [u8])],
}

/// The files of a data set, by name.
macro_rules! set {
    ($path:literal: $($name:literal),+ $(,)?) => {
        Set { path: $path, files: &[$(($name, include_bytes!(concat!("../../", $path, "/", $name)))),+] }
    };
}

static SETS: [Set; 2] = [
    set!(
        "data/fashion-mini":
        "LICENSE",
        "t10k-images-idx3-ubyte.gz",
        "t10k-labels-idx1-ubyte.gz",
        "train-images-idx3-ubyte.gz",
        "train-labels-idx1-ubyte.gz",
    ),
    set!(
        "data/photos":
        "alpine-landscape.jpg",
        "astronaut.jpg",
        "black-canyon.jpg",
        "cat.jpg",
        "coffee.jpg",
        "march-pastoral.jpg",
        "nagasaki-boats.jpg",
        "raccoon.jpg",
        "retina.jpg",
        "rocket.jpg",
    ),
];

/// The embedded set that lies at `path` or holds it, and what of `path` is below the set; none where the disk has a file or
/// folder in the set's place, which then is what is meant, as a whole.
fn set_at(path: &Path) -> Option<(&'static Set, PathBuf)> {
    let path: PathBuf = path.components().filter(|part| *part != Component::CurDir).collect();
    let below = |set: &'static Set| Some((set, path.strip_prefix(set.path).ok()?.to_path_buf()));
    let (set, rest) = SETS.iter().find_map(below)?;
    Path::new(set.path).symlink_metadata().is_err().then_some((set, rest))
}

/// The bytes of an embedded file.
pub(super) fn file(path: &Path) -> Option<&'static [u8]> {
    let (set, name) = set_at(path)?;
    set.files.iter().find(|(known, _)| name == Path::new(known)).map(|(_, bytes)| *bytes)
}

/// The bytes of the embedded file at a path as in the repository, whatever the disk has there.
///
/// # Panics
/// If there is none.
pub(super) fn bytes(path: &str) -> &'static [u8] {
    let named = |set: &'static Set| {
        let (_, bytes) = set.files.iter().find(|(name, _)| format!("{}/{name}", set.path) == path)?;
        Some(*bytes)
    };
    SETS.iter().find_map(named).unwrap_or_else(|| panic!("no embedded {path}"))
}

/// The paths of all files of the embedded set at `folder`, in order.
pub(super) fn files_in(folder: &Path) -> Option<Vec<PathBuf>> {
    let (set, rest) = set_at(folder)?;
    let paths = set.files.iter().map(|(name, _)| folder.join(name)).collect();
    rest.as_os_str().is_empty().then_some(paths)
}

/// Whether a path is that of an embedded set or of a file in one.
pub(super) fn has(path: &Path) -> bool {
    files_in(path).is_some() || file(path).is_some() || Spec::is_named(path)
}

/// Whether a path is that of a folder, on the disk or embedded.
#[must_use]
pub fn is_folder(path: &Path) -> bool {
    path.is_dir() || files_in(path).is_some()
}

/// Whether what is at a path may have several splits, as folders and scenes do.
#[must_use]
pub fn has_splits(path: &Path) -> bool {
    is_folder(path) || Spec::is_named(path)
}

/// A path as messages have it: says so where the data is the embedded one.
pub(super) fn shown(path: &Path) -> String {
    format!("{}{}", path.display(), if has(path) { " (embedded)" } else { "" })
}
