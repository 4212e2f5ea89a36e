//! All splits that a data set has, and what is to be said about it.

use super::{Format, OfSplit, Split, embedded, open};
use crate::base::Result;
use std::path::Path;

/// The splits of a data set.
pub struct Contents {
    /// Those that are there, in the order of [`Split::ALL`]; at least one.
    pub splits: Vec<OfSplit>,
    /// What is there and not read, once each: [`super::Dataset::notes`], and splits without an image.
    pub notes: Vec<String>,
}

impl Contents {
    /// Opens every split of the data at `path`; a single file is a training set.
    ///
    /// # Errors
    /// If there is none, or one is there but damaged.
    pub fn open(path: &Path, format: Option<Format>) -> Result<Self> {
        let (mut splits, mut notes, mut no_train) = (Vec::new(), Vec::<String>::new(), None);
        for &split in if embedded::has_splits(path) { &Split::ALL[..] } else { &[Split::Train] } {
            match open(path, format, split) {
                Ok(dataset) => {
                    for note in dataset.notes() {
                        if !notes.contains(note) {
                            notes.push(note.clone());
                        }
                    }
                    splits.push((split, dataset));
                }
                Err(error) if !error.is_absence() => return Err(error),
                Err(error) if split == Split::Train => no_train = Some(error),
                Err(_) => {}
            }
        }
        match no_train {
            Some(error) if splits.is_empty() => return Err(error),
            Some(error) => notes.insert(0, format!("no training images: {error}")),
            None => {}
        }
        Ok(Self { splits, notes })
    }
}
