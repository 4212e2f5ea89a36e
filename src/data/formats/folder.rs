//! A folder of PNG and JPEG files: flat, or with one sub-folder per class.
//!
//! ```text
//! photos/a.png                 no labels
//! photos/cat/a.png             one class per sub-folder, in the order of their names …
//! photos/cat/x/b.png           … with all images below it, as torchvision's ImageFolder has it
//! photos/train/cat/a.png       the same per split (`layout` says what is a split)
//! ```
//!
//! Hidden files, run directories and what systems leave behind are passed over. Sub-folders without images are no classes.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::super::decode::load_image;
use super::super::{Dataset, Image, Split, count, embedded};
use super::layout::{self, Place};
use super::listing::{Listing, Tree, Unread, digest_of, holds_images, list, tree};
use super::{classes_in_words, file_name, foreign};
use crate::base::{Error, Result};

/// The image files of a folder; each is read when it is asked for.
pub struct Folder {
    root: PathBuf,
    files: Vec<(PathBuf, Option<usize>)>,
    classes: Vec<String>,
    /// Why the folders cannot be classes: the first that the training set does not have, or two that are spelt the same.
    label_problem: Option<Error>,
    notes: Vec<String>,
}

impl Folder {
    /// Lists the images of `split` under `root`, sorted by class and name.
    ///
    /// A folder without sub-folders for the splits is a training set. If there is a `train` folder, its
    /// sub-folders are the classes of the other splits too, so that a label means the same in all.
    ///
    /// # Errors
    /// If a folder cannot be read, holds no images (or none for this split), has images both beside and
    /// inside of sub-folders, or has splits inside of classes.
    pub fn open(root: &Path, split: Split) -> Result<Self> {
        let Place { folder, train, others, mut notes } = layout::find(root, split)?;
        for (split, other) in others {
            if !holds_images(&other)?
                && let Err(error) = Content::of(&other)
            {
                notes.push(format!("no {split} images: {error}"));
            }
        }
        let mut content = Content::of(&folder)?;
        notes.append(&mut content.notes);
        let train = train.filter(|_| split != Split::Train);
        let train = train.map(|train| Ok((Content::of(&train)?, train))).transpose()?;
        if let Some((Content { classes, .. }, train)) = &train
            && (content.classes.is_empty() && !classes.is_empty())
        {
            let (folder, train) = (folder.display(), train.display());
            notes.push(format!("{folder}: images without class folders, which {train} has"));
        }
        let labels = content.labels(&folder, train.as_ref().map(|(train, _)| train));
        let (classes, label_problem) = match labels {
            Ok(classes) => (classes, None),
            Err(problem) => (Vec::new(), Some(problem)),
        };
        let mut files: Vec<_> = content.loose.into_iter().map(|path| (path, None)).collect();
        for (path, images) in content.classes {
            let name = file_name(&path);
            let class = classes.iter().position(|class| *class == name);
            files.extend(images.into_iter().map(|path| (path, class)));
        }
        Ok(Self { root: folder, files, classes, label_problem, notes })
    }
}

/// What a folder of one split holds.
struct Content {
    /// Images in no sub-folder; none if there are classes.
    loose: Vec<PathBuf>,
    /// Sub-folders with images.
    classes: Vec<(PathBuf, Vec<PathBuf>)>,
    notes: Vec<String>,
}

impl Content {
    fn of(folder: &Path) -> Result<Self> {
        let Listing { images: loose, folders, others } = list(folder)?;
        let (mut unread, mut notes) = (Unread::default(), Vec::new());
        unread.add(&others);
        let (mut classes, mut empty) = (Vec::new(), Vec::new());
        for sub_folder in folders {
            let tree = tree(&sub_folder)?;
            unread.merge(&tree.unread);
            if tree.images.is_empty() { &mut empty } else { &mut classes }.push((sub_folder, tree));
        }
        let names = |of: &[(PathBuf, Tree)]| layout::names(of.iter().map(|(folder, _)| folder));
        if loose.is_empty() && classes.is_empty() {
            let expected = "PNG or JPEG files (.png, .jpg, .jpeg), or one sub-folder of them per class";
            let found = foreign::instead_of_images(folder, &unread);
            return Err(Error::absent(folder, "images", expected, found));
        }
        if !loose.is_empty() && !classes.is_empty() {
            let found = format!("{} beside the sub-folders {}", loose.len(), names(&classes));
            return Err(Error::input(folder, "images", "all of them in sub-folders, or none", found));
        }
        layout::refuse_splits_inside(folder, classes.iter().map(|(_, tree)| tree))?;
        let place = folder.display();
        if !classes.is_empty() {
            notes.extend(empty.iter().map(|(folder, tree)| no_class(folder, tree)));
        }
        notes.extend(nested(folder, &classes));
        if let [(only, Tree { folders, .. })] = &classes[..]
            && let Some((at, inside)) = folders.first()
            && (at == only && inside.len() > 1)
        {
            let (only, inside) = (only.display(), layout::names(inside));
            notes.push(format!("{place}: one class; if {inside} are classes: --data {only}"));
        }
        notes.extend(unread.pictures().map(|pictures| format!("{place}: {pictures}")));
        let classes = classes.into_iter().map(|(folder, tree)| (folder, tree.images)).collect();
        Ok(Self { loose, classes, notes })
    }

    /// The classes of these images: their own, or those of the training set.
    ///
    /// # Errors
    /// If two are spelt the same, or one is none of the training set's.
    fn labels(&self, folder: &Path, train: Option<&Self>) -> Result<Vec<String>> {
        let own = self.names()?;
        let Some(train) = train.filter(|_| !own.is_empty()) else { return Ok(own) };
        let classes = train.names()?;
        match own.into_iter().find(|name| !classes.contains(name)) {
            None => Ok(classes),
            Some(name) => {
                let expected = format!("one of the training set's ({})", classes.join(", "));
                Err(Error::input(folder, "class", expected, name))
            }
        }
    }

    /// The names of the classes.
    ///
    /// # Errors
    /// If two are spelt the same, of which one is no UTF-8.
    fn names(&self) -> Result<Vec<String>> {
        let names: Vec<String> = self.classes.iter().map(|(folder, _)| file_name(folder)).collect();
        let mut seen = BTreeSet::new();
        match names.iter().position(|name| !seen.insert(name)) {
            None => Ok(names),
            Some(class) => {
                let found = format!("another folder that is spelt {}", names[class]);
                Err(Error::input(&self.classes[class].0, "class", "a name of its own", found))
            }
        }
    }
}

/// What to say of images that lie deeper than in their class's folder.
fn nested(set: &Path, classes: &[(PathBuf, Tree)]) -> Option<String> {
    let all = classes.iter().flat_map(|(class, tree)| tree.images.iter().map(move |image| (class, image)));
    let mut deep = all.filter(|(class, image)| image.parent() != Some(class)).map(|(_, image)| image);
    let first = deep.next()?.display();
    let images = count(1 + deep.count(), "image", "images");
    Some(format!(
        "{}: {images} in folders below those of the classes count as theirs: {first}",
        set.display()
    ))
}

/// What to say of a sub-folder without images.
fn no_class(folder: &Path, tree: &Tree) -> String {
    let held = tree.unread.all();
    let held = if held.is_empty() { "nothing".to_owned() } else { held };
    let what = foreign::beside_images(folder).map_or(String::new(), |what| format!(" ({what}: not read)"));
    format!("{}: no class, since it holds no PNG or JPEG file but {held}{what}", folder.display())
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

    fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Of each file's path inside the folder and its length; contents are not read.
    fn digest(&self) -> Result<u32> {
        Ok(digest_of(&self.root, self.files.iter().map(|(path, _)| path.as_path())))
    }
}
