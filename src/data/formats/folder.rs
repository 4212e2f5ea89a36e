//! A folder of PNG and JPEG files: flat, or with one sub-folder per class.
//!
//! ```text
//! photos/a.png                 no labels
//! photos/cat/a.png             one class per sub-folder, in the order of their names
//! photos/train/cat/a.png       the same per split, if there are no sub-folders but train, test, val
//! ```
//!
//! Hidden files and files of other types are ignored, unless nothing is left. So are sub-folders without images beside
//! flat images; beside classes they are classes without images, which classification refuses.

use std::fs;
use std::path::{Path, PathBuf};

use super::super::decode::load_image;
use super::super::{Dataset, Image, Split, count, embedded};
use super::{classes_in_words, file_name, is_image_name, split_names};
use crate::base::{Error, Result};

/// The image files of a folder; each is read when it is asked for.
pub struct Folder {
    root: PathBuf,
    files: Vec<(PathBuf, Option<usize>)>,
    classes: Vec<String>,
    /// The first class of a test set that its training set does not have.
    label_problem: Option<Error>,
}

impl Folder {
    /// Lists the images of `split` under `root`, sorted by class and name.
    ///
    /// A folder without sub-folders for the splits is a training set. If there is a `train` folder, its
    /// sub-folders are the classes of the test set too, so that a label means the same in both.
    ///
    /// # Errors
    /// If a folder cannot be read, holds no images (or none for this split), has images both beside and
    /// inside of sub-folders.
    pub fn open(root: &Path, split: Split) -> Result<Self> {
        let (folder, train) = split_folder(root, split)?;
        let (images, sub_folders) = list(&folder)?;
        let mut by_class = Vec::new();
        for sub_folder in sub_folders {
            by_class.push((file_name(&sub_folder), list(&sub_folder)?.0));
        }
        if by_class.iter().all(|(_, images)| images.is_empty()) {
            by_class.clear();
        }
        if images.is_empty() && by_class.is_empty() {
            let expected = "PNG or JPEG files (.png, .jpg, .jpeg), or one sub-folder of them per class";
            return Err(Error::input(folder, "images", expected, "none"));
        }
        if !images.is_empty() && !by_class.is_empty() {
            let names: Vec<&str> = by_class.iter().map(|(name, _)| name.as_str()).collect();
            let found = format!("{} beside the sub-folders {}", images.len(), names.join(", "));
            return Err(Error::input(folder, "images", "all of them in sub-folders, or none", found));
        }
        let mut classes = match train {
            Some(train) if split != Split::Train && !by_class.is_empty() => Self::open_split(&train)?.classes,
            _ => by_class.iter().map(|(name, _)| name.clone()).collect(),
        };
        let mut files: Vec<_> = images.into_iter().map(|path| (path, None)).collect();
        let mut label_problem = None;
        for (name, images) in by_class {
            let class = classes.iter().position(|class| *class == name);
            if class.is_none() && !images.is_empty() {
                let expected = format!("one of the training set's ({})", classes.join(", "));
                label_problem.get_or_insert_with(|| Error::input(&folder, "class", expected, name));
            }
            files.extend(images.into_iter().map(|path| (path, class)));
        }
        if label_problem.is_some() {
            for (_, class) in &mut files {
                *class = None;
            }
            classes.clear();
        }
        Ok(Self { root: folder, files, classes, label_problem })
    }

    /// Opens a folder that is a split itself.
    fn open_split(folder: &Path) -> Result<Self> {
        Self::open(folder, Split::Train)
    }
}

impl Dataset for Folder {
    fn len(&self) -> usize {
        self.files.len()
    }

    fn image(&self, index: usize) -> Result<Image> {
        load_image(&self.files[index].0)
    }

    fn label(&self, index: usize) -> Option<usize> {
        self.files[index].1
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn label_problem(&self) -> Option<&Error> {
        self.label_problem.as_ref()
    }

    fn source(&self, index: usize) -> String {
        self.files[index].0.display().to_string()
    }

    fn describe(&self) -> String {
        let labels = classes_in_words(self.classes.len(), self.label_problem.as_ref());
        format!(
            "{}: folder, {}, {labels}",
            embedded::shown(&self.root),
            count(self.len(), "image file", "image files")
        )
    }

    fn size(&self) -> Option<(usize, usize)> {
        None
    }

    /// Of each file's path inside the folder and its length; contents are not read.
    fn digest(&self) -> Result<u32> {
        let mut digest = crc32fast::Hasher::new();
        for (path, _) in &self.files {
            let inside = path.strip_prefix(&self.root).unwrap_or(path);
            for part in inside {
                digest.update(part.to_string_lossy().as_bytes());
                digest.update(b"/");
            }
            let len = match embedded::file(path) {
                Some(bytes) => bytes.len() as u64,
                None => fs::metadata(path).map_err(Error::read(path))?.len(),
            };
            digest.update(&len.to_le_bytes());
        }
        Ok(digest.finalize())
    }
}

/// The folder that holds `split`, and the one with the training set if splits have folders of their own.
fn split_folder(root: &Path, split: Split) -> Result<(PathBuf, Option<PathBuf>)> {
    let (_, sub_folders) = list(root)?;
    let of = |path: &PathBuf| split_names::of_word(&file_name(path));
    let named = |split| sub_folders.iter().find(|path| of(path) == Some(split)).cloned();
    let has_splits = !sub_folders.is_empty() && sub_folders.iter().all(|path| of(path).is_some());
    if split == Split::Train && !has_splits {
        return Ok((root.to_path_buf(), None));
    }
    let missing = || {
        let expected = format!("a sub-folder called {}", split_names::spelt(split));
        Error::input(root, "split", expected, "none")
    };
    Ok((named(split).filter(|_| has_splits).ok_or_else(missing)?, named(Split::Train)))
}

/// The image files and the sub-folders in `folder`, without hidden ones, each sorted by name.
fn list(folder: &Path) -> Result<(Vec<PathBuf>, Vec<PathBuf>)> {
    if let Some(files) = embedded::files_in(folder) {
        return Ok((files.into_iter().filter(|path| is_image_name(path)).collect(), Vec::new()));
    }
    let (mut images, mut sub_folders) = (Vec::new(), Vec::new());
    for entry in fs::read_dir(folder).map_err(Error::read(folder))? {
        let path = entry.map_err(Error::read(folder))?.path();
        if file_name(&path).starts_with('.') {
            continue;
        }
        if path.is_dir() {
            sub_folders.push(path);
        } else if is_image_name(&path) {
            images.push(path);
        }
    }
    images.sort();
    sub_folders.sort();
    Ok((images, sub_folders))
}
