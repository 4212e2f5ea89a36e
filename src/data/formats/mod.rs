//! The file formats: one file each, one line each in the table `FORMATS`.

use std::fmt;
use std::fs;
use std::path::Path;
use std::str::{FromStr, Utf8Chunk};
use std::sync::Arc;

pub use pattern::is_pattern;

use super::scenes::{Scenes, spec::Spec};
use super::{Dataset, Split, count, embedded};
use crate::base::guard::guarded;
use crate::base::{Error, Result};

mod boxes;
pub mod cifar;
pub mod coco;
pub mod folder;
mod foreign;
pub mod idx;
mod label_layout;
pub mod label_maps;
mod labels;
mod layout;
mod listing;
mod members;
pub mod npy;
mod npy_header;
pub mod parquet;
mod pattern;
mod shard_index;
mod shards;
mod split_names;
mod store;
pub mod voc;
pub mod webdataset;

/// A way to store images in files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// IDX files as of MNIST and Fashion-MNIST, compressed with gzip or not.
    Idx,
    /// The binary version of CIFAR-10 or CIFAR-100.
    Cifar,
    /// `NumPy` arrays, `.npy`.
    Npy,
    /// Tar files of images and labels, as `WebDataset` has them.
    WebDataset,
    /// Parquet files as on the Hugging Face hub; needs the feature `parquet`.
    Parquet,
    /// Images with a label map each, as ADE20K and Pascal VOC have them.
    LabelMaps,
    /// Images with boxes and masks of objects, as COCO has them.
    Coco,
    /// Images with boxes of objects, as Pascal VOC has them.
    Voc,
    /// Pictures made of the embedded data, see [`super::scenes`].
    Scenes,
    /// PNG and JPEG files, in one folder or in one sub-folder per class.
    Folder,
}

/// A split and its images.
pub type OfSplit = (Split, Arc<dyn Dataset>);

/// How one format is called, recognised and opened.
struct Entry {
    format: Format,
    name: &'static str,
    /// Whether an existing path looks like this format, judged by names only.
    recognises: fn(&Path) -> bool,
    open: fn(&Path, Split) -> Result<Arc<dyn Dataset>>,
}

/// All formats; the first that recognises a path opens it.
#[rustfmt::skip]
const FORMATS: [Entry; 10] = [
    Entry { format: Format::Idx, name: "idx", recognises: idx::recognises, open: |p, s| Ok(Arc::new(idx::Idx::open(p, s)?)) },
    Entry { format: Format::Cifar, name: "cifar", recognises: cifar::recognises, open: |p, s| Ok(Arc::new(cifar::Cifar::open(p, s)?)) },
    Entry { format: Format::Npy, name: "npy", recognises: npy::recognises, open: |p, s| Ok(Arc::new(npy::Npy::open(p, s)?)) },
    Entry { format: Format::WebDataset, name: "webdataset", recognises: webdataset::recognises, open: |p, s| Ok(Arc::new(webdataset::WebDataset::open(p, s)?)) },
    Entry { format: Format::Parquet, name: "parquet", recognises: parquet::recognises, open: parquet::open },
    Entry { format: Format::Scenes, name: "scenes", recognises: Spec::is_named, open: |p, s| Ok(Arc::new(Scenes::open(p, s)?)) },
    Entry { format: Format::LabelMaps, name: "label-maps", recognises: label_layout::recognises, open: |p, s| Ok(Arc::new(label_maps::LabelMaps::open(p, s)?)) },
    Entry { format: Format::Coco, name: "coco", recognises: coco::recognises, open: |p, s| Ok(Arc::new(coco::Coco::open(p, s)?)) },
    Entry { format: Format::Voc, name: "voc", recognises: voc::recognises, open: |p, s| Ok(Arc::new(voc::Voc::open(p, s)?)) },
    Entry { format: Format::Folder, name: "folder", recognises: embedded::is_folder, open: |p, s| Ok(Arc::new(folder::Folder::open(p, s)?)) },
];

/// Opens the data set at `path`, in the format given or else recognised.
///
/// A path to a single file is taken as it is, and so is a pattern with `*`, `?`, `[ ]` or `{ }` that names several shards;
/// `split` chooses among the files of a folder.
///
/// # Errors
/// If the path is missing, is none of the formats, or its content is not what its format demands.
pub fn open(path: impl AsRef<Path>, format: Option<Format>, split: Split) -> Result<Arc<dyn Dataset>> {
    let path = path.as_ref();
    let Entry { name, open, .. } = entry_for(path, format)?;
    // Images are decoded later, behind a guard of their own; here are archives, tables and compressed arrays.
    guarded(path, &format!("{name} data"), || open(path, split))
}

/// As [`open`] for a split that need not be there: the data, or in words why there is none.
///
/// # Errors
/// If the split is there but damaged.
pub fn open_if_there(
    path: impl AsRef<Path>,
    format: Option<Format>,
    split: Split,
) -> Result<std::result::Result<Arc<dyn Dataset>, String>> {
    let path = path.as_ref();
    if !embedded::has_splits(path) {
        return Ok(Err(format!("a single file has no {split} split")));
    }
    match open(path, format, split) {
        Err(error) if error.is_absence() => Ok(Err(error.to_string())),
        other => other.map(Ok),
    }
}

/// What a model is judged on: the test split, or the validation split of data that has no test split (as `ImageNet`
/// is laid out), with why it has none; else in words why there is neither.
///
/// # Errors
/// If one of them is there but damaged.
pub fn open_judged(
    path: impl AsRef<Path>,
    format: Option<Format>,
) -> Result<std::result::Result<(OfSplit, Option<String>), String>> {
    let path = path.as_ref();
    let no_test = match open_if_there(path, format, Split::Test)? {
        Ok(test) => return Ok(Ok(((Split::Test, test), None))),
        Err(why) => why,
    };
    Ok(match open_if_there(path, format, Split::Validation)? {
        Ok(validation) => Ok(((Split::Validation, validation), Some(no_test))),
        Err(_) => Err(no_test),
    })
}

/// Whether a path names files: on the disk, several by a pattern, or embedded ones.
#[must_use]
pub fn is_there(path: &Path) -> bool {
    path.try_exists().unwrap_or(true) || is_pattern(path) || embedded::has(path)
}

/// The format in which [`open`] opens a path.
///
/// # Errors
/// If the path is missing or is recognised by none of the formats.
pub fn recognise(path: impl AsRef<Path>) -> Result<Format> {
    entry_for(path.as_ref(), None).map(|entry| entry.format)
}

fn entry_for(path: &Path, format: Option<Format>) -> Result<&'static Entry> {
    if !is_pattern(path) && !embedded::has(path) {
        fs::metadata(path).map_err(Error::read(path))?;
    }
    let chosen = FORMATS.iter().find(|entry| match format {
        Some(format) => entry.format == format,
        None => (entry.recognises)(path),
    });
    chosen.ok_or_else(|| {
        let expected = "a folder of images, an IDX file (*-ubyte, *-ubyte.gz), a CIFAR file (*.bin), a NumPy file \
                        (*.npy), WebDataset shards (*.tar) or Parquet files (*.parquet); --format names one that \
                        cannot be recognised";
        let found = foreign::of_file(path).unwrap_or_else(|| "a file of another name".to_owned());
        Error::input(path, "data format", expected, found)
    })
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = FORMATS.iter().find(|entry| entry.format == *self).map_or("unknown", |entry| entry.name);
        f.pad(name)
    }
}

impl FromStr for Format {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let found = FORMATS.iter().find(|entry| entry.name == name).map(|entry| entry.format);
        found.ok_or_else(|| Error::setting("--format", FORMATS.map(|entry| entry.name).join(", "), name))
    }
}

/// The last part of a path as text, in which different names stay different: a byte that is no UTF-8 is spelt `\xE8`.
fn file_name(path: &Path) -> String {
    spelt_out(path.file_name().unwrap_or_default().as_encoded_bytes())
}

/// Bytes as text; those that are no UTF-8 are spelt `\xE8`.
fn spelt_out(bytes: &[u8]) -> String {
    let text = |chunk: Utf8Chunk| {
        let spelt: Vec<String> = chunk.invalid().iter().map(|byte| format!("\\x{byte:02X}")).collect();
        chunk.valid().to_owned() + &spelt.concat()
    };
    bytes.utf8_chunks().map(text).collect()
}

/// Whether a file is called like an image that can be read.
fn is_image_name(path: &Path) -> bool {
    ["png", "jpg", "jpeg"].iter().any(|extension| has_extension(path, extension))
}

/// `1 image`, `2 images`.
fn images_in_words(n: usize) -> String {
    count(n, "image", "images")
}

/// `grey`, `3 channels`.
fn channels_in_words(n: usize) -> String {
    if n == 1 { "grey".to_owned() } else { count(n, "channel", "channels") }
}

/// `no labels`, `10 classes`, or that there is a problem with the labels.
fn classes_in_words(n: usize, problem: Option<&Error>) -> String {
    match problem {
        Some(_) => "labels that cannot be used".to_owned(),
        None if n == 0 => "no labels".to_owned(),
        None => count(n, "class", "classes"),
    }
}

/// Whether a file name ends in `.extension`, in small or capital letters.
fn has_extension(path: &Path, extension: &str) -> bool {
    path.extension().is_some_and(|found| found.eq_ignore_ascii_case(extension))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_formats_are_read_back() {
        for entry in FORMATS {
            assert_eq!(entry.format.to_string().parse::<Format>().unwrap(), entry.format);
        }
        let message = "tar".parse::<Format>().unwrap_err().to_string();
        assert_eq!(
            message,
            "--format: expected idx, cifar, npy, webdataset, parquet, scenes, label-maps, coco, voc, folder, found tar"
        );
    }
}
