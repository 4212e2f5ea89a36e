//! Folders of images with a label map for each: a PNG file of the same name whose values or palette indices are classes.
//!
//! `label_layout` says where they lie. `classes.txt` has the names, one a line; without it the classes are those that occur
//! in the training set's maps, which are then all read at once. 255 is no class but ignored.

use std::path::{Path, PathBuf};

use ndarray::Array2;
use rayon::prelude::*;

use super::super::decode::{image_size, load_image};
use super::super::label_map::{MOST_CLASSES, check_classes, load_label_map};
use super::super::target::IGNORED;
use super::super::{Dataset, Image, Split, Target, TargetKind};
use super::label_layout::{self, Pairs};
use super::listing::digest_of;
use super::{classes_in_words, file_name, images_in_words};
use crate::base::files::read_text;
use crate::base::{Error, Result};

/// The file with the names of the classes.
pub(super) const CLASSES: &str = "classes.txt";

/// Images and label maps in files; both are read when they are asked for.
pub struct LabelMaps {
    root: PathBuf,
    pairs: Vec<(PathBuf, PathBuf)>,
    classes: Vec<String>,
    notes: Vec<String>,
}

impl LabelMaps {
    /// Lists the images of `split` and their maps by name. No file is read but `classes.txt`, or without it the maps of the
    /// training set.
    ///
    /// # Errors
    /// If there are no images for the split, or no names of classes and no map that can be read.
    pub fn open(root: &Path, split: Split) -> Result<Self> {
        let Pairs { pairs, mut notes } = label_layout::find(root, split)?;
        let names = root.join(CLASSES);
        let classes = if names.symlink_metadata().is_ok() {
            read_names(&names)?
        } else {
            let train =
                label_layout::find(root, Split::Train).map_or_else(|_| Vec::new(), |train| train.pairs);
            let classes = occurring(root, if train.is_empty() { &pairs } else { &train })?;
            let (last, names) = (classes.len() - 1, names.display());
            notes.push(format!("no {names}: the values are called class 0 to class {last}"));
            classes
        };
        Ok(Self { root: root.to_path_buf(), pairs, classes, notes })
    }
}

/// `class 0`, … up to the highest value in the maps. What cannot be read is told when it is asked for.
fn occurring(root: &Path, pairs: &[(PathBuf, PathBuf)]) -> Result<Vec<String>> {
    let highest = |pair: &(PathBuf, PathBuf)| -> Result<Option<u8>> {
        Ok(read_map(pair)?.into_iter().filter(|&value| value != IGNORED).max())
    };
    let each: Vec<Result<Option<u8>>> = pairs.par_iter().map(highest).collect();
    if let Some(&highest) = each.iter().flatten().flatten().max() {
        return Ok((0..=highest).map(|class| format!("class {class}")).collect());
    }
    let first = each.into_iter().find_map(Result::err).map(|error| error.to_string());
    let reason = first.unwrap_or_else(|| "every pixel is 255, which is ignored".to_owned());
    let found = format!("none; the first reason is: {reason}");
    Err(Error::input(root, "label maps", "at least one with a class", found))
}

/// The label map of an image.
fn read_map((image, map): &(PathBuf, PathBuf)) -> Result<Array2<u8>> {
    if map.exists() {
        return load_label_map(map);
    }
    let jpeg = ["jpg", "jpeg"].map(|ending| map.with_extension(ending)).into_iter().find(|map| map.exists());
    let found = jpeg.map_or_else(
        || "no such file".to_owned(),
        |jpeg| format!("{}, and JPEG does not keep the values of classes", file_name(&jpeg)),
    );
    Err(Error::input(map, "label map", format!("an 8-bit PNG file for {}", image.display()), found))
}

/// The names of the classes, one a line.
pub(super) fn read_names(path: &Path) -> Result<Vec<String>> {
    let text = read_text(path)?;
    let names: Vec<String> = text.trim_end().lines().map(|line| line.trim().to_owned()).collect();
    if let Some(line) = names.iter().position(String::is_empty) {
        return Err(Error::input(path, format!("line {}", line + 1), "the name of a class", "an empty line"));
    }
    if let Some(line) = (1..names.len()).find(|&line| names[..line].contains(&names[line])) {
        let expected = "a name of its own for each class";
        return Err(Error::input(path, format!("line {}", line + 1), expected, &names[line]));
    }
    if names.is_empty() || names.len() > MOST_CLASSES {
        let expected = format!("1 to {MOST_CLASSES} lines with the name of a class");
        return Err(Error::input(path, "class names", expected, names.len()));
    }
    Ok(names)
}

impl Dataset for LabelMaps {
    fn len(&self) -> usize {
        self.pairs.len()
    }

    fn image(&self, index: usize) -> Result<Image> {
        load_image(&self.pairs[index].0)
    }

    fn label(&self, _: usize) -> Option<usize> {
        None
    }

    fn target(&self, index: usize) -> Result<Target> {
        let (image, map) = &self.pairs[index];
        let labels = read_map(&self.pairs[index])?;
        let (height, width) = image_size(image)?;
        if labels.dim() != (height, width) {
            let expected = format!("{height}×{width} (height × width), as {}", image.display());
            let found = format!("{}×{}", labels.nrows(), labels.ncols());
            return Err(Error::input(map, "size of the label map", expected, found));
        }
        check_classes(map, &labels, self.classes.len())?;
        Ok(Target::LabelMap(labels))
    }

    fn target_kind(&self) -> TargetKind {
        TargetKind::LabelMap
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn source(&self, index: usize) -> String {
        self.pairs[index].0.display().to_string()
    }

    fn describe(&self) -> String {
        let (images, classes) = (images_in_words(self.len()), classes_in_words(self.classes.len(), None));
        format!("{}: label maps, {images}, {classes}", self.root.display())
    }

    fn size(&self) -> Option<(usize, usize)> {
        None
    }

    fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Of each file's path inside the folder and its length, and of the names of the classes; contents are not read.
    fn digest(&self) -> Result<u32> {
        let files = self.pairs.iter().flat_map(|(image, map)| [image.as_path(), map.as_path()]);
        let mut digest = crc32fast::Hasher::new_with_initial(digest_of(&self.root, files));
        self.classes.iter().for_each(|name| digest.update(name.as_bytes()));
        Ok(digest.finalize())
    }
}
