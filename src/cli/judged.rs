//! What the commands that judge a classifier share: their tables, and a folder for what they write.

use super::outln;
use std::fs;
use std::path::{Path, PathBuf};
use vit_mae::checkpoint::atomic::write_atomic;
use vit_mae::tasks::classify::summary::Summary;
use vit_mae::{Error, Result};

/// The head of a table with a line for each set of images.
pub(crate) fn print_head() {
    outln!("{:<26} {:>8} {:>9} {:>9} {:>14}", "", "images", "top-1", "top-5", "cross-entropy");
}

/// A line of it.
pub(crate) fn print_row(name: &str, summary: &Summary) {
    let Summary { images, top1, top5, cross_entropy, .. } = summary;
    let cross_entropy = cross_entropy.map_or(String::new(), |x| format!("{x:.4}"));
    outln!("{name:<26} {images:>8} {:>7.2} % {:>7.2} % {cross_entropy:>14}", 100.0 * top1, 100.0 * top5);
}

/// What the figures of all images are about: `all classes`, `3 of the 10 classes`.
pub(crate) fn classes_in_words(summary: &Summary) -> String {
    match (summary.classes_with_images, summary.per_class.len()) {
        (some, all) if some < all => format!("{some} of the {all} classes"),
        _ => "all classes".to_owned(),
    }
}

/// A table with a line for each class that has images, or that an image was taken for.
pub(crate) fn print_classes(summary: &Summary) {
    let classes = || summary.per_class.iter().filter(|class| class.images > 0 || class.precision.is_some());
    let names = classes().map(|class| class.class.chars().count());
    let widest = names.max().unwrap_or(0).max("class".len());
    outln!("{:<widest$} {:>8} {:>9} {:>11}", "class", "images", "recall", "precision");
    let percent =
        |share: Option<f64>| share.map_or("-".to_owned(), |share| format!("{:.2} %", 100.0 * share));
    for class in classes() {
        let (recall, precision) = (percent(class.recall), percent(class.precision));
        outln!("{:<widest$} {:>8} {recall:>9} {precision:>11}", class.class, class.images);
    }
}

/// A folder in which a command leaves a few files, checked before the work.
pub(crate) struct Folder(PathBuf);

impl Folder {
    /// None if no folder is asked for.
    pub(crate) fn new(path: Option<&Path>, overwrite: bool, files: &[&str]) -> Result<Option<Self>> {
        let Some(path) = path else { return Ok(None) };
        if path.exists() && !path.is_dir() {
            let found = format!("{}, which is a file", path.display());
            return Err(Error::setting("--out", "a folder", found));
        }
        match files.iter().map(|name| path.join(name)).find(|file| file.exists()) {
            Some(file) if !overwrite => {
                Err(Error::setting("--out", "a folder without results, or --overwrite", file.display()))
            }
            _ => Ok(Some(Self(path.to_path_buf()))),
        }
    }

    /// Writes one of the files; makes the folder if it is not there.
    pub(crate) fn write(&self, name: &str, bytes: &[u8]) -> Result<()> {
        fs::create_dir_all(&self.0).map_err(Error::write(&self.0))?;
        write_atomic(&self.0.join(name), bytes)
    }
}
