//! The binary version of CIFAR-10 and CIFAR-100: records of labels and three 32 × 32 planes of colour.
//!
//! ```text
//! CIFAR-10:  label                  · 1024 red · 1024 green · 1024 blue
//! CIFAR-100: coarse label · label   · 1024 red · 1024 green · 1024 blue
//! ```

use std::path::{Path, PathBuf};

use super::super::decode::read_file;
use super::super::{Dataset, Image, Split, count};
use super::store::MOST_HELD;
use super::{classes_in_words, file_name, has_extension};
use crate::base::files::text;
use crate::base::{Error, Result};

const SIDE: usize = 32;
const PLANE: usize = SIDE * SIDE;

/// What tells the two data sets apart.
struct Kind {
    name: &'static str,
    /// Bytes before the pixels; the last of them is the label.
    label_bytes: usize,
    classes: usize,
    /// The file with the names of the classes, one a line.
    names_file: &'static str,
    train: &'static [&'static str],
    test: &'static [&'static str],
}

const CIFAR_10: Kind = Kind {
    name: "CIFAR-10",
    label_bytes: 1,
    classes: 10,
    names_file: "batches.meta.txt",
    train: &[
        "data_batch_1.bin",
        "data_batch_2.bin",
        "data_batch_3.bin",
        "data_batch_4.bin",
        "data_batch_5.bin",
    ],
    test: &["test_batch.bin"],
};

const CIFAR_100: Kind = Kind {
    name: "CIFAR-100",
    label_bytes: 2,
    classes: 100,
    names_file: "fine_label_names.txt",
    train: &["train.bin"],
    test: &["test.bin"],
};

impl Kind {
    fn record(&self) -> usize {
        self.label_bytes + 3 * PLANE
    }

    fn files(&self, split: Split) -> &'static [&'static str] {
        match split {
            Split::Train => self.train,
            Split::Validation => &[],
            Split::Test => self.test,
        }
    }

    /// Whether `folder` holds any file of this kind.
    fn is_in(&self, folder: &Path) -> bool {
        self.train.iter().chain(self.test).any(|name| folder.join(name).is_file())
    }
}

/// CIFAR files in memory.
pub struct Cifar {
    kind: &'static Kind,
    path: PathBuf,
    files: Vec<(PathBuf, Vec<u8>)>,
    /// The names of the classes, or why they cannot be read.
    classes: Result<Vec<String>>,
    digest: u32,
}

impl Cifar {
    /// Opens one `.bin` file (CIFAR-100 if it is called `train.bin` or `test.bin`, else CIFAR-10), or the
    /// files of `split` in a folder, all of which must be there.
    ///
    /// # Errors
    /// If a file is missing, is not a whole number of records, or has a label out of range, by which a file of another
    /// kind is known: there is no header.
    pub fn open(path: &Path, split: Split) -> Result<Self> {
        let (kind, paths, folder) = if path.is_dir() {
            let Some(kind) = [&CIFAR_10, &CIFAR_100].into_iter().find(|kind| kind.is_in(path)) else {
                let expected =
                    "data_batch_1.bin to data_batch_5.bin and test_batch.bin, or train.bin, test.bin";
                return Err(Error::input(path, "CIFAR files", expected, "none of them"));
            };
            let files = kind.files(split);
            if !files.iter().any(|name| path.join(name).symlink_metadata().is_ok()) {
                let of_kind = format!("train or test: {}", kind.name);
                let expected = if files.is_empty() { of_kind } else { files.join(", ") };
                return Err(Error::absent(path, "split", expected, "none"));
            }
            (kind, files.iter().map(|name| path.join(name)).collect(), path)
        } else {
            let name = file_name(path);
            let is_100 = CIFAR_100.train.contains(&name.as_str()) || CIFAR_100.test.contains(&name.as_str());
            let kind = if is_100 { &CIFAR_100 } else { &CIFAR_10 };
            (kind, vec![path.to_path_buf()], path.parent().unwrap_or(Path::new("")))
        };
        let classes = class_names(kind, folder);
        let mut digest = crc32fast::Hasher::new();
        let mut files = Vec::with_capacity(paths.len());
        for path in paths {
            let bytes = read_file(&path, MOST_HELD)?;
            check(kind, &path, &bytes)?;
            digest.update(&bytes);
            files.push((path, bytes));
        }
        Ok(Self { kind, path: path.to_path_buf(), files, classes, digest: digest.finalize() })
    }

    /// The file of image `index`, the number it has there, and its record.
    fn record(&self, index: usize) -> (&Path, usize, &[u8]) {
        let size = self.kind.record();
        let mut within = index;
        for (path, bytes) in &self.files {
            let records = bytes.len() / size;
            if within < records {
                return (path, within, &bytes[within * size..(within + 1) * size]);
            }
            within -= records;
        }
        panic!("image {index} of {}", self.len());
    }
}

impl Dataset for Cifar {
    fn len(&self) -> usize {
        self.files.iter().map(|(_, bytes)| bytes.len() / self.kind.record()).sum()
    }

    fn image(&self, index: usize) -> Result<Image> {
        let planes = &self.record(index).2[self.kind.label_bytes..];
        // The file has planes, an `Image` has pixels: channel fastest.
        let pixels = (0..PLANE).flat_map(|at| [planes[at], planes[PLANE + at], planes[2 * PLANE + at]]);
        Ok(Image::new(SIDE, SIDE, 3, pixels.collect()))
    }

    fn label(&self, index: usize) -> Option<usize> {
        self.classes.is_ok().then(|| usize::from(self.record(index).2[self.kind.label_bytes - 1]))
    }

    fn classes(&self) -> &[String] {
        self.classes.as_deref().unwrap_or_default()
    }

    fn label_problem(&self) -> Option<&Error> {
        self.classes.as_ref().err()
    }

    fn source(&self, index: usize) -> String {
        let (path, within, _) = self.record(index);
        format!("{}, image {within}", path.display())
    }

    fn describe(&self) -> String {
        let name = self.kind.name;
        let classes = classes_in_words(self.kind.classes, self.label_problem());
        let images = count(self.len(), "image", "images");
        format!("{}: {name}, {images} of {SIDE}×{SIDE}, colour, {classes}", self.path.display())
    }

    fn size(&self) -> Option<(usize, usize)> {
        Some((SIDE, SIDE))
    }

    fn digest(&self) -> Result<u32> {
        Ok(self.digest)
    }

    fn in_memory(&self) -> bool {
        true
    }
}

/// Whether the path is a `.bin` file or a folder with a file that is called as CIFAR's are.
pub(super) fn recognises(path: &Path) -> bool {
    if path.is_dir() { CIFAR_10.is_in(path) || CIFAR_100.is_in(path) } else { has_extension(path, "bin") }
}

/// Refuses a file that is not made of whole records with labels in range.
fn check(kind: &Kind, path: &Path, bytes: &[u8]) -> Result<()> {
    let record = kind.record();
    if bytes.is_empty() || !bytes.len().is_multiple_of(record) {
        let expected = format!("a multiple of {record} bytes, the length of a {} record", kind.name);
        return Err(Error::input(path, "file length", expected, format!("{} bytes", bytes.len())));
    }
    for (index, record) in bytes.chunks_exact(record).enumerate() {
        let label = usize::from(record[kind.label_bytes - 1]);
        if label >= kind.classes {
            let expected = format!("less than {} ({})", kind.classes, kind.name);
            return Err(Error::input(path, format!("label of image {index}"), expected, label));
        }
    }
    Ok(())
}

/// The names that stand beside the data, or else the numbers of the classes.
fn class_names(kind: &Kind, folder: &Path) -> Result<Vec<String>> {
    let path = folder.join(kind.names_file);
    if !path.is_file() {
        return Ok((0..kind.classes).map(|class| class.to_string()).collect());
    }
    let bytes = read_file(&path, 1 << 16)?;
    let names: Vec<String> = text(&path, "class names", &bytes)?
        .lines()
        .map(str::trim)
        .filter(|l| !l.is_empty())
        .map(str::to_owned)
        .collect();
    if names.len() == kind.classes {
        Ok(names)
    } else {
        let expected = format!("{} lines with a name", kind.classes);
        Err(Error::input(path, "class names", expected, names.len()))
    }
}
