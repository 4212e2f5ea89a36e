//! Which images are kept, and which of these validate: a function of the seed.
//!
//! Where labels count ([`labelled_split`]) the choice is by class.
//!
//! Each class has a random order of its own, drawn from `rng(seed, Split, class, 0)`. A fraction of the labels is
//! the front of every order, so the 1 % of a seed are part of its 10 %. Of each order, evenly spread places
//! validate whatever is kept: an image that trains with 1 % of the labels does not validate with 10 %.

use super::Dataset;
use crate::base::rng::{Purpose, permutation, rng};
use crate::base::{Error, Result};

/// What errors ask for where labels are missing.
pub const LABELLED: &str =
    "labelled images: one sub-folder per class, or labels as docs/data.md has them for each format";

/// The images to learn from and the images to choose by, as indices of the data set, ascending. No image is
/// in both.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrainValidation {
    /// To learn from.
    pub train: Vec<usize>,
    /// To choose settings and checkpoints by; empty if the fraction is 0.
    pub validation: Vec<usize>,
}

/// Fewer validation images than these would choose by chance.
pub const FEWEST_VALIDATION: usize = 8;

/// Of `images` images, `min(⌊fraction · images⌋, most)` validate and the rest trains; the choice does not look at labels.
/// Where that is less than [`FEWEST_VALIDATION`], all train.
///
/// # Panics
/// If the fraction is not at least 0 and less than 1.
#[must_use]
pub fn validation_split(images: usize, fraction: f64, most: usize, seed: u64) -> TrainValidation {
    assert!((0.0..1.0).contains(&fraction), "a validation fraction of {fraction}");
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 ≤ fraction < 1")]
    let validating = ((fraction * images as f64) as usize).min(most);
    let validating = if validating < FEWEST_VALIDATION { 0 } else { validating };
    // Classes count from 0: this address is nobody's else.
    let mut validation = permutation(&mut rng(seed, Purpose::Split, u64::MAX, 0), images);
    let mut train = validation.split_off(validating);
    train.sort_unstable();
    validation.sort_unstable();
    TrainValidation { train, validation }
}

/// Keeps a fraction of `images` images whose labels are not of single classes, such as label maps: `round(label_share · images)`,
/// halves up, ascending. What a seed keeps of a smaller fraction it keeps of a larger one, too.
///
/// # Errors
/// If the fraction is out of range or leaves no image.
pub fn labelled_share(images: usize, label_share: f64, seed: u64) -> Result<Vec<usize>> {
    if !(label_share > 0.0 && label_share <= 1.0) {
        return Err(Error::setting(LABEL_SHARE, "more than 0 and at most 1", label_share));
    }
    let kept = rounded(label_share, images);
    if kept == 0 {
        let found = format!("{label_share} of {images} images");
        return Err(Error::setting(LABEL_SHARE, "a fraction that leaves an image to train on", found));
    }
    // Classes count from 0, and the last address is validation's.
    let mut order = permutation(&mut rng(seed, Purpose::Split, u64::MAX - 1, 0), images);
    order.truncate(kept);
    order.sort_unstable();
    Ok(order)
}

/// Keeps the fraction `label_share` of each class, and of what was kept takes the fraction `validation_share` out for
/// validation.
///
/// Of a class of `n` images `k = round(label_share · n)` are kept and `v = round(validation_share · k)`
/// validate, halves rounded up; `k − v` train.
///
/// # Errors
/// If a fraction is out of range (`0 < label_share ≤ 1`, `0 ≤ validation_share < 1`), an image has no label, or a
/// class is left without an image to train on or, unless its fraction is 0, without one to validate by. The
/// message names the class and the numbers.
pub fn labelled_split(
    dataset: &dyn Dataset,
    label_share: f64,
    validation_share: f64,
    seed: u64,
) -> Result<TrainValidation> {
    if !(label_share > 0.0 && label_share <= 1.0) {
        return Err(Error::setting(LABEL_SHARE, "more than 0 and at most 1", label_share));
    }
    if !(0.0..1.0).contains(&validation_share) {
        return Err(Error::setting(VALIDATION_SHARE, "at least 0 and less than 1", validation_share));
    }
    let mut split = TrainValidation::default();
    for (class, images) in by_class(dataset)?.into_iter().enumerate() {
        let kept = rounded(label_share, images.len());
        let order = permutation(&mut rng(seed, Purpose::Split, class as u64, 0), images.len());
        let (mut train, mut validation) = (Vec::new(), Vec::new());
        for (place, &at) in order[..kept].iter().enumerate() {
            // Where the rounded fraction grows: evenly spread places, `v` of them among the first `k`.
            let validates = rounded(validation_share, place + 1) > rounded(validation_share, place);
            let part = if validates { &mut validation } else { &mut train };
            part.push(images[at]);
        }
        if train.is_empty() || (validation.is_empty() && validation_share > 0.0) {
            let (key, share) = match kept {
                0 | 1 => (LABEL_SHARE, label_share),
                _ => (VALIDATION_SHARE, validation_share),
            };
            let expected = match validation_share {
                0.0 => "a fraction that leaves each class an image to train on",
                _ => "a fraction that leaves each class an image to train on and one to validate by",
            };
            let (n, name) = (images.len(), &dataset.classes()[class]);
            let (to_train, to_validate) = (train.len(), validation.len());
            let found = format!(
                "{share}: {kept} of the {n} images of class {name:?} are kept, {to_train} to train on and {to_validate} to validate by"
            );
            return Err(Error::setting(key, expected, found));
        }
        split.train.append(&mut train);
        split.validation.append(&mut validation);
    }
    split.train.sort_unstable();
    split.validation.sort_unstable();
    Ok(split)
}

/// The keys that messages name.
const LABEL_SHARE: &str = "finetune.label_share";
const VALIDATION_SHARE: &str = "data.val_fraction";

/// `round(fraction · n)`, halves up.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 ≤ share ≤ 1")]
fn rounded(share: f64, n: usize) -> usize {
    (share * n as f64).round() as usize
}

/// The images of each class.
///
/// # Errors
/// If an image has no label, or a class no image.
fn by_class(dataset: &dyn Dataset) -> Result<Vec<Vec<usize>>> {
    let mut images = vec![Vec::new(); dataset.classes().len()];
    for (index, label) in dataset.labels()?.into_iter().enumerate() {
        images[label].push(index);
    }
    if let Some(class) = images.iter().position(Vec::is_empty) {
        let found = format!("none of class {:?} ({})", dataset.classes()[class], dataset.describe());
        return Err(Error::setting("--data", "at least one image of every class", found));
    }
    Ok(images)
}
