//! `NumPy` arrays as `numpy.save` writes them: images in one `.npy` file, labels in another beside it.
//!
//! ```text
//! images: [N, H, W] or [N, H, W, C], uint8, or float32 from 0 to 1
//! labels: [N] or [N, 1], any type of whole numbers, from 0
//!
//! a folder: train-images.npy · train-labels.npy      or train_images, train_labels
//!           x_train.npy      · y_train.npy           or X_train
//!           train.npy        · train-labels.npy      or train_labels, train.labels
//!           images.npy       · labels.npy            or x and y: a training set
//!           the same with test or t10k, or with val, valid, validation or dev, for train
//! a file:   NAME.npy and its labels under the same rules; without labels if there is no such file
//! ```

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use super::super::decode::open_regular;
use super::super::{Dataset, Image, Split};
use super::labels::{self, label};
use super::npy_header::Header;
use super::store::{MOST_HELD, Store};
use super::{channels_in_words, classes_in_words, has_extension, images_in_words, split_names};
use crate::base::{Error, Result};

/// Bytes that are read at once; whole numbers of values.
const BLOCK: usize = 1 << 20;

/// How a pixel is stored.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Pixel {
    U8,
    F32,
}

impl Pixel {
    fn bytes(self) -> usize {
        match self {
            Self::U8 => 1,
            Self::F32 => 4,
        }
    }
}

/// An array of images, with its labels if their file stands beside it.
pub struct Npy {
    path: PathBuf,
    images: usize,
    /// Rows, columns, channels.
    shape: [usize; 3],
    pixels: Store,
    /// How they lie in the store: always bytes where they are held in memory.
    stored: Pixel,
    labels: Vec<u32>,
    classes: Vec<String>,
    digest: u32,
}

impl Npy {
    /// Opens a file of images, or that of `split` in a folder.
    ///
    /// A float `x` becomes the byte `round(255 x)`, so an array that was divided by 255 comes back exactly. The
    /// classes are 0 to the largest label; those of a test set in a folder are its training set's.
    ///
    /// # Errors
    /// If a header is not as above, a file is longer or shorter than its header says, a float is not from 0 to 1,
    /// there are not as many labels as images, or the test set has a label that is no class of the training set.
    pub fn open(path: &Path, split: Split) -> Result<Self> {
        Self::open_holding(path, split, MOST_HELD)
    }

    /// As [`Npy::open`], holding at most `most_held` bytes of pixels in memory.
    fn open_holding(path: &Path, split: Split, most_held: u64) -> Result<Self> {
        let folder = path.is_dir().then_some(path);
        let path = folder.map_or_else(|| Ok(path.to_path_buf()), |folder| find_in(folder, split))?;
        let (file, file_len) = open_regular(&path)?;
        let mut source = BufReader::new(file);
        let header = Header::read(&path, &mut source)?;
        let stored = match &*header.descr {
            "|u1" | "<u1" | "u1" | "=u1" => Pixel::U8,
            "<f4" => Pixel::F32,
            other => {
                let expected =
                    "|u1 (uint8) or <f4 (little-endian float32): save x.astype('uint8') or x.astype('<f4')";
                return Err(Error::input(&path, "descr", expected, other));
            }
        };
        let values = header.values(&path, file_len, stored.bytes())?;
        let (images, shape) = image_shape(&path, &header.shape)?;
        let (pixels, stored, content) =
            read_pixels(&path, source, &header, shape, (values, stored), most_held)?;
        let mut digest = crc32fast::Hasher::new_with_initial(content);
        let (mut labels, mut classes) = (Vec::new(), Vec::new());
        if let Some(labels_path) = labels_beside(&path) {
            let training = folder.filter(|_| split != Split::Train).and_then(training_labels);
            (labels, classes) =
                labels::beside(&labels_path, (images, &path), training.as_deref(), read_labels)?;
            for label in &labels {
                digest.update(&label.to_le_bytes());
            }
        }
        let digest = digest.finalize();
        Ok(Self { path, images, shape, pixels, stored, labels, classes, digest })
    }
}

impl Dataset for Npy {
    fn len(&self) -> usize {
        self.images
    }

    fn image(&self, index: usize) -> Result<Image> {
        let [height, width, channels] = self.shape;
        let size = height * width * channels;
        let bytes = self.stored.bytes();
        let stored = self.pixels.read(index * size * bytes, size * bytes)?;
        let pixels = match self.stored {
            Pixel::U8 => stored,
            Pixel::F32 => floats(&stored)
                .enumerate()
                .map(|(i, x)| level(&self.path, index * size + i, self.shape, x))
                .collect::<Result<_>>()?,
        };
        Ok(Image::new(height, width, channels, pixels))
    }

    fn label(&self, index: usize) -> Option<usize> {
        self.labels.get(index).map(|&label| label as usize)
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn source(&self, index: usize) -> String {
        format!("{}, image {index}", self.path.display())
    }

    fn describe(&self) -> String {
        let [height, width, channels] = self.shape;
        format!(
            "{}: NumPy, {} of {height}×{width}, {}, {}",
            self.path.display(),
            images_in_words(self.images),
            channels_in_words(channels),
            classes_in_words(self.classes.len())
        )
    }

    fn size(&self) -> Option<(usize, usize)> {
        Some((self.shape[0], self.shape[1]))
    }

    fn digest(&self) -> Result<u32> {
        Ok(self.digest)
    }

    fn in_memory(&self) -> bool {
        self.pixels.is_held()
    }
}

/// Whether the path is a `.npy` file, or a folder that holds images under one of the names above.
pub(super) fn recognises(path: &Path) -> bool {
    if path.is_dir() {
        return Split::ALL.iter().any(|&split| find_in(path, split).is_ok());
    }
    has_extension(path, "npy")
}

/// The number of images, and rows, columns and channels of each.
fn image_shape(path: &Path, shape: &[usize]) -> Result<(usize, [usize; 3])> {
    let (images, height, width, channels) = match *shape {
        [n, height, width] => (n, height, width, 1),
        [_, channels @ (1 | 3 | 4), _, width] if width > 4 => {
            let expected = "channels last, [N, H, W, C]: save x.transpose(0, 2, 3, 1)";
            return Err(Error::input(
                path,
                "shape",
                expected,
                format!("{shape:?}, {channels} channels first"),
            ));
        }
        [n, height, width, channels] => (n, height, width, channels),
        _ => {
            return Err(Error::input(path, "shape", "[N, H, W] or [N, H, W, C]", format!("{shape:?}")));
        }
    };
    if shape.contains(&0) {
        return Err(Error::input(path, "shape", "at least 1 along each axis", format!("{shape:?}")));
    }
    Ok((images, [height, width, channels]))
}

/// Reads all pixels once, holds them as bytes if they are few enough, and returns a CRC-32 of header and content.
fn read_pixels(
    path: &Path,
    mut source: BufReader<File>,
    header: &Header,
    shape: [usize; 3],
    (values, pixel): (usize, Pixel),
    most_held: u64,
) -> Result<(Store, Pixel, u32)> {
    let held = values as u64 <= most_held;
    let mut digest = crc32fast::Hasher::new();
    digest.update(&header.bytes);
    let (mut bytes, mut block, mut done) = (Vec::new(), Vec::new(), 0);
    while done < values {
        block.clear();
        let wanted = BLOCK.min((values - done) * pixel.bytes());
        source.by_ref().take(wanted as u64).read_to_end(&mut block).map_err(Error::read(path))?;
        if block.len() < wanted {
            return Err(Error::input(path, "content", "the bytes that were there before", "a shorter file"));
        }
        digest.update(&block);
        match pixel {
            Pixel::U8 if held => bytes.extend_from_slice(&block),
            Pixel::U8 => {}
            Pixel::F32 => {
                for (i, x) in floats(&block).enumerate() {
                    let level = level(path, done + i, shape, x)?;
                    if held {
                        bytes.push(level);
                    }
                }
            }
        }
        done += wanted / pixel.bytes();
    }
    bytes.shrink_to_fit();
    let digest = digest.finalize();
    if held {
        return Ok((Store::Held(bytes), Pixel::U8, digest));
    }
    let start = header.bytes.len() as u64;
    Ok((Store::on_disk(path, open_regular(path)?.0, start), pixel, digest))
}

fn floats(bytes: &[u8]) -> impl Iterator<Item = f32> + '_ {
    bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
}

/// `round(255 x)` of value `at` of the array.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 ≤ x ≤ 1")]
fn level(path: &Path, at: usize, [height, width, channels]: [usize; 3], x: f32) -> Result<u8> {
    if (0.0..=1.0).contains(&x) {
        return Ok((x * 255.0).round() as u8);
    }
    let pixel = at / channels;
    let (image, row, column) = (pixel / width / height, pixel / width % height, pixel % width);
    let field = format!("image {image}, row {row}, column {column}, channel {}", at % channels);
    let expected = "a float from 0 to 1 (divide pixels of 0 to 255 by 255, or save them as uint8)";
    Err(Error::input(path, field, expected, x))
}

/// The images file of `split` in `folder`.
fn find_in(folder: &Path, split: Split) -> Result<PathBuf> {
    let words = split_names::words_for(split);
    let named = words.iter().flat_map(|s| {
        [format!("{s}-images"), format!("{s}_images"), format!("x_{s}"), format!("X_{s}"), (*s).to_owned()]
    });
    let bare: &[&str] = if split == Split::Train { &["images", "x", "X"] } else { &[] };
    let stems = named.chain(bare.iter().map(|&stem| stem.to_owned()));
    let found = stems.map(|stem| folder.join(stem + ".npy")).find(|path| path.is_file());
    found.ok_or_else(|| {
        let s = words[0];
        let expected = format!("{s}-images.npy, {s}_images.npy, x_{s}.npy or {s}.npy");
        Error::input(folder, "NumPy images", expected, "none")
    })
}

/// The labels file beside an images file, if there is one.
fn labels_beside(images: &Path) -> Option<PathBuf> {
    let stem = images.file_stem()?.to_string_lossy().into_owned();
    let mut stems = Vec::new();
    if stem.contains("images") {
        stems.push(stem.replace("images", "labels"));
    }
    if let Some(rest) = stem.strip_prefix(['x', 'X']).filter(|rest| rest.is_empty() || rest.starts_with('_'))
    {
        stems.extend([format!("y{rest}"), format!("Y{rest}")]);
    }
    stems.extend(["-labels", "_labels", ".labels"].map(|end| format!("{stem}{end}")));
    let mut paths = stems.into_iter().map(|stem| images.with_file_name(stem + ".npy"));
    paths.find(|path| path.is_file())
}

/// The labels file of the training set in a folder.
fn training_labels(folder: &Path) -> Option<PathBuf> {
    labels_beside(&find_in(folder, Split::Train).ok()?)
}

/// All labels of a labels file.
fn read_labels(path: &Path) -> Result<Vec<u32>> {
    let (file, file_len) = open_regular(path)?;
    let mut source = BufReader::new(file);
    let header = Header::read(path, &mut source)?;
    let wrong = || {
        let expected = "whole numbers, little-endian (such as <i8): save y.astype('<i8')";
        Error::input(path, "descr", expected, &header.descr)
    };
    let (order, kind) = header.descr.split_at_checked(1).ok_or_else(wrong)?;
    let size = match (order, kind) {
        ("|" | "<", "u1" | "i1") => 1,
        ("<", "u2" | "i2") => 2,
        ("<", "u4" | "i4") => 4,
        ("<", "u8" | "i8") => 8,
        _ => return Err(wrong()),
    };
    if !matches!(*header.shape, [_] | [_, 1]) {
        return Err(Error::input(path, "shape", "[N] or [N, 1]", format!("{:?}", header.shape)));
    }
    let values = header.values(path, file_len, size)?;
    let mut bytes = Vec::new();
    source.take((values * size) as u64).read_to_end(&mut bytes).map_err(Error::read(path))?;
    let number = |bytes: &[u8]| {
        // A sign stands in the last byte; an unsigned number of 64 bits that large is out of range either way.
        let signed = kind.starts_with('i') && bytes.last().is_some_and(|&high| high >= 0x80);
        let fill = if signed { 0xff } else { 0 };
        let mut whole = [fill; 8];
        whole[..size].copy_from_slice(bytes);
        i64::from_le_bytes(whole)
    };
    let numbers = bytes.chunks_exact(size).map(number).enumerate();
    numbers.map(|(index, number)| label(path, format!("label of image {index}"), number)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_too_large_to_be_held_gives_the_same_images_from_disk() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.npy");
        let dictionary = "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 2, 2), }\n";
        let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
        bytes.extend(u16::try_from(dictionary.len()).unwrap().to_le_bytes());
        bytes.extend(dictionary.as_bytes());
        bytes.extend((0u8..12).flat_map(|level| (f32::from(level * 20) / 255.0).to_le_bytes()));
        std::fs::write(&path, &bytes).unwrap();
        let held = Npy::open_holding(&path, Split::Train, 12).unwrap();
        let on_disk = Npy::open_holding(&path, Split::Train, 11).unwrap();
        assert!(held.in_memory() && !on_disk.in_memory());
        assert_eq!(held.digest().unwrap(), on_disk.digest().unwrap());
        for index in [2, 0, 1] {
            assert_eq!(held.image(index).unwrap(), on_disk.image(index).unwrap());
        }
        assert_eq!(held.image(1).unwrap().pixels, [80, 100, 120, 140]);
    }
}
