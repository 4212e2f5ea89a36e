//! Labels that are whole numbers: their classes are 0 to the largest, and a test set has its training set's.

use crate::base::{Error, Result};
use std::path::{Path, PathBuf};

/// More classes than any data set has: a damaged label must not make names for four billion.
const MOST_CLASSES: i64 = 1 << 16;

/// A number as a label.
///
/// # Errors
/// Naming `path` and `field` if it is negative or absurdly large.
pub(super) fn label(path: &Path, field: impl Into<String>, number: i64) -> Result<u32> {
    let label = u32::try_from(number).ok().filter(|_| number < MOST_CLASSES);
    label.ok_or_else(|| Error::input(path, field, format!("a class from 0 to {}", MOST_CLASSES - 1), number))
}

/// 0 to the largest label.
pub(super) fn classes_in(labels: impl IntoIterator<Item = u32>) -> usize {
    labels.into_iter().max().map_or(0, |last| last as usize + 1)
}

/// The names of numbered classes: their numbers.
pub(super) fn numbered(classes: usize) -> Vec<String> {
    (0..classes).map(|class| class.to_string()).collect()
}

/// Refuses a label of a test set that is none of the `classes` of the training set; `place` says for an image the
/// file and the part of it in which its label stands.
pub(super) fn covered(
    labels: impl IntoIterator<Item = u32>,
    classes: usize,
    training: &Path,
    place: impl Fn(usize) -> (PathBuf, String),
) -> Result<()> {
    match labels.into_iter().enumerate().find(|&(_, label)| label as usize >= classes) {
        Some((index, label)) => {
            let (path, field) = place(index);
            let expected = format!("less than {classes}, the number of classes in {}", training.display());
            Err(Error::input(path, field, expected, label))
        }
        None => Ok(()),
    }
}

/// The labels in a file beside an array of images, and the names of their classes; `training` is the labels file of the
/// training set whose classes these are, if there is one.
///
/// # Errors
/// If a file cannot be read, there are not as many labels as `images` in the file given, or one is no class of the
/// training set.
pub(super) fn beside<N: Copy + Into<u32>>(
    path: &Path,
    (images, images_path): (usize, &Path),
    training: Option<&Path>,
    read: impl Fn(&Path) -> Result<Vec<N>>,
) -> Result<(Vec<N>, Vec<String>)> {
    let labels = read(path)?;
    if labels.len() != images {
        let expected = format!("{images}, as there are images in {}", images_path.display());
        return Err(Error::input(path, "number of labels", expected, labels.len()));
    }
    let numbers = |labels: &[N]| labels.iter().map(|&label| label.into()).collect::<Vec<u32>>();
    let classes = match training {
        None => classes_in(numbers(&labels)),
        Some(training) => {
            let classes = classes_in(numbers(&read(training)?));
            let place = |index| (path.to_path_buf(), format!("label of image {index}"));
            covered(numbers(&labels), classes, training, place)?;
            classes
        }
    };
    Ok((labels, numbered(classes)))
}
