//! WebDataset: images and their labels as members of tar files, the shards.
//!
//! ```text
//! train-000.tar:  0001.jpg · 0001.cls ("7") · 0002.jpg · 0002.cls · …
//!                 a/17.png · a/17.json ({"label": 7, …}) · …
//! ```
//!
//! `members` says what belongs together. `.cls` holds the class, a whole number or a name, `.json` an object with the
//! field `label` (or `cls`); where both are there, `.cls` counts. Other kinds (`.txt`, `.seg.png`) and hidden files are
//! left out. The shards, also several in one file (`cat a.tar b.tar`), are read through once; then images are read from
//! where they stand. Nothing is unpacked.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use super::super::decode::decode;
use super::super::{Dataset, Image, Split, count};
use super::images_in_words;
use super::labels::{Labels, ReadLabels};
use super::shard_index::{Index, ReadSoFar, Sample};
use super::shards::{self, Shards};
use crate::base::{Error, Result};

/// Tar shards; each image is read when it is asked for.
pub struct WebDataset {
    shards: Vec<PathBuf>,
    samples: Vec<Sample>,
    labels: Labels,
    notes: Vec<String>,
}

impl WebDataset {
    /// Indexes a shard, the shards that a pattern fits, or those of `split` in a folder.
    ///
    /// The classes are the labels in order of value or name; those of a test set in a folder are its training set's.
    ///
    /// # Errors
    /// If a shard is cut short or is no tar file, or a key has two images, two labels of a kind or no image.
    pub fn open(path: &Path, split: Split) -> Result<Self> {
        let (set, labels) = Self::index(shards::find(path, split, "tar")?)?;
        let labelled = labels.as_ref().is_ok_and(|labels| labels.iter().any(Option::is_some));
        let wanted = split != Split::Train && path.is_dir() && labelled;
        let training = wanted.then(|| shards::find(path, Split::Train, "tar").ok()).flatten();
        let training = training.map(Self::index).transpose()?;
        let training = training.as_ref().map(|(training, labels)| training.placed(labels.clone()));
        let labels = Labels::new(set.placed(labels), training);
        Ok(Self { labels, ..set })
    }

    fn index(Shards { files: shards, mut notes }: Shards) -> Result<(Self, ReadSoFar)> {
        let index = Index::new(&shards)?;
        if index.samples.is_empty() {
            let expected = "members called *.png, *.jpg or *.jpeg";
            return Err(Error::input(&shards[0], "images", expected, "no such member in any shard"));
        }
        notes.append(&mut index.notes(&span(&shards)));
        let Index { samples, labels, .. } = index;
        Ok((Self { shards, samples, labels: Labels::default(), notes }, labels))
    }

    /// The labels with where they stand.
    fn placed(&self, labels: ReadSoFar) -> Result<ReadLabels<'_>> {
        let place = |index: usize| {
            let Sample { shard, name, .. } = &self.samples[index];
            (self.shards[*shard].clone(), format!("label of member {name}"))
        };
        let none = "no .cls or .json member of the same key with one";
        Ok(ReadLabels { labels: labels?, names: None, place: Box::new(place), none })
    }
}

impl Dataset for WebDataset {
    fn len(&self) -> usize {
        self.samples.len()
    }

    fn image(&self, index: usize) -> Result<Image> {
        let Sample { shard, start, len, .. } = &self.samples[index];
        let shard = &self.shards[*shard];
        let mut file = File::open(shard).map_err(Error::read(shard))?;
        let mut bytes = Vec::new();
        file.seek(SeekFrom::Start(*start))
            .and_then(|_| file.take(*len).read_to_end(&mut bytes))
            .map_err(Error::read(shard))?;
        decode(Path::new(&self.source(index)), &bytes)
    }

    fn label(&self, index: usize) -> Option<usize> {
        self.labels.of(index)
    }

    fn classes(&self) -> &[String] {
        self.labels.classes()
    }

    fn label_problem(&self) -> Option<&Error> {
        self.labels.problem()
    }

    fn source(&self, index: usize) -> String {
        let Sample { shard, name, .. } = &self.samples[index];
        format!("{}, member {name}", self.shards[*shard].display())
    }

    fn describe(&self) -> String {
        format!(
            "{}: WebDataset, {} in {}, {}",
            span(&self.shards),
            images_in_words(self.len()),
            count(self.shards.len(), "shard", "shards"),
            self.labels.in_words()
        )
    }

    fn notes(&self) -> &[String] {
        &self.notes
    }

    fn size(&self) -> Option<(usize, usize)> {
        None
    }

    /// Of each member's name, place, length and label; pixels are not read.
    fn digest(&self) -> Result<u32> {
        let mut digest = crc32fast::Hasher::new();
        for Sample { shard, name, start, len, label } in &self.samples {
            digest.update(name.as_bytes());
            for number in [*shard as u64, *start, *len, *label] {
                digest.update(&number.to_le_bytes());
            }
        }
        Ok(digest.finalize())
    }
}

/// The first shard and the last.
fn span(shards: &[PathBuf]) -> String {
    match shards {
        [shard] => shard.display().to_string(),
        [first, .., last] => format!("{} to {}", first.display(), last.display()),
        [] => String::new(),
    }
}

/// Whether the path is a `.tar` file, a pattern for some, or a folder of them.
pub(super) fn recognises(path: &Path) -> bool {
    shards::recognises(path, "tar")
}
