//! `NumPy` arrays as `numpy.save` writes them: images in one `.npy` file, labels in another beside it.
//!
//! ```text
//! images: [N, H, W] or [N, H, W, C]; whole numbers from 0 to 255 of any type, floats from 0 to 1 of any type, or bool
//! labels: [N] or [N, 1]; whole numbers of any type, or text
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
use super::labels::{self, Label, Labels};
use super::listing::{beside, list, only};
use super::npy_header::{Header, Scalar};
use super::store::{MOST_HELD, Store};
use super::{channels_in_words, has_extension, images_in_words, split_names};
use crate::base::{Error, Result};

/// Bytes that are read at once; whole numbers of values.
const BLOCK: usize = 1 << 20;

/// An array of images, with its labels if their file stands beside it.
pub struct Npy {
    path: PathBuf,
    images: usize,
    /// Rows, columns, channels.
    shape: [usize; 3],
    pixels: Store,
    /// How they lie in the store; none if as the bytes that they become.
    stored: Option<Scalar>,
    labels: Labels,
    digest: u32,
}

impl Npy {
    /// Opens a file of images, or that of `split` in a folder.
    ///
    /// A float `x` becomes the byte `round(255 x)`, so an array that was divided by 255 comes back exactly; `True`
    /// becomes 255. The classes are the labels in order of value; those of a test set in a folder are its training
    /// set's.
    ///
    /// # Errors
    /// If a header is not as above, the file is longer or shorter than its header says, or a value is out of range.
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
        let stored = Scalar::new(&header.descr).filter(|stored| stored.kind != 'U').ok_or_else(|| {
            let expected = "bool, whole numbers from 0 to 255, or floats from 0 to 1, of at most 64 bits (of complex \
                            numbers save such a part, of a list of arrays numpy.stack(x))";
            Error::input(&path, "descr", expected, &header.descr)
        })?;
        let values = header.values(&path, file_len, stored.bytes)?;
        let (images, shape) = image_shape(&path, &header.shape)?;
        let (pixels, stored, content) =
            read_pixels(&path, source, &header, shape, (values, stored), most_held)?;
        let mut digest = crc32fast::Hasher::new_with_initial(content);
        let mut labels = Labels::default();
        if let Some(labels_path) = labels_beside(&path) {
            let training = folder.filter(|_| split != Split::Train).and_then(training_labels);
            let (beside, codes) =
                labels::beside(&labels_path, (images, &path), training.as_deref(), read_labels);
            labels = beside;
            for code in codes {
                digest.update(&code.to_le_bytes()[..4]);
            }
        }
        let digest = digest.finalize();
        Ok(Self { path, images, shape, pixels, stored, labels, digest })
    }
}

impl Dataset for Npy {
    fn len(&self) -> usize {
        self.images
    }

    fn image(&self, index: usize) -> Result<Image> {
        let [height, width, channels] = self.shape;
        let size = height * width * channels;
        let bytes = self.stored.map_or(1, |stored| stored.bytes);
        let read = self.pixels.read(index * size * bytes, size * bytes)?;
        let pixels = match self.stored {
            None => read,
            Some(stored) => {
                levels(&self.path, index * size, self.shape, stored, &read).collect::<Result<_>>()?
            }
        };
        Ok(Image::new(height, width, channels, pixels))
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
        format!("{}, image {index}", self.path.display())
    }

    fn describe(&self) -> String {
        let [height, width, channels] = self.shape;
        format!(
            "{}: NumPy, {} of {height}×{width}, {}, {}",
            self.path.display(),
            images_in_words(self.images),
            channels_in_words(channels),
            self.labels.in_words()
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
        return list(path).is_ok_and(|listing| listing.others.iter().any(|path| images_of(path).is_some()));
    }
    has_extension(path, "npy")
}

/// The number of images, and rows, columns and channels of each.
fn image_shape(path: &Path, shape: &[usize]) -> Result<(usize, [usize; 3])> {
    let (images, height, width, channels) = match *shape {
        [n, height, width] => (n, height, width, 1),
        // No image has as many bands as columns and fewer rows; an array of many bands may well lie so, bands first.
        [_, channels, height, width]
            if width > 4 && (channels <= 4 || channels < height && height == width) =>
        {
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
    (values, scalar): (usize, Scalar),
    most_held: u64,
) -> Result<(Store, Option<Scalar>, u32)> {
    let held = values as u64 <= most_held;
    let stored = Some(scalar).filter(|scalar| (scalar.kind, scalar.bytes) != ('u', 1));
    let mut digest = crc32fast::Hasher::new();
    digest.update(&header.bytes);
    let (mut bytes, mut block, mut done) = (Vec::new(), Vec::new(), 0);
    while done < values {
        block.clear();
        let wanted = BLOCK.min((values - done) * scalar.bytes);
        source.by_ref().take(wanted as u64).read_to_end(&mut block).map_err(Error::read(path))?;
        if block.len() < wanted {
            return Err(Error::input(path, "content", "the bytes that were there before", "a shorter file"));
        }
        digest.update(&block);
        match stored {
            None if held => bytes.extend_from_slice(&block),
            None => {}
            Some(stored) => {
                for level in levels(path, done, shape, stored, &block) {
                    let level = level?;
                    if held {
                        bytes.push(level);
                    }
                }
            }
        }
        done += wanted / scalar.bytes;
    }
    bytes.shrink_to_fit();
    let digest = digest.finalize();
    if held {
        return Ok((Store::Held(bytes), None, digest));
    }
    let start = header.bytes.len() as u64;
    Ok((Store::on_disk(path, open_regular(path)?.0, start), stored, digest))
}

/// The levels of the array's values from number `first` on.
fn levels<'a>(
    path: &'a Path,
    first: usize,
    [height, width, channels]: [usize; 3],
    stored: Scalar,
    bytes: &'a [u8],
) -> impl Iterator<Item = Result<u8>> + 'a {
    bytes.chunks_exact(stored.bytes).enumerate().map(move |(i, bytes)| {
        let x = stored.number(bytes);
        level(stored, x).ok_or_else(|| {
            let (pixel, channel) = ((first + i) / channels, (first + i) % channels);
            let (image, row, column) = (pixel / width / height, pixel / width % height, pixel % width);
            let field = format!("image {image}, row {row}, column {column}, channel {channel}");
            let expected = match stored.kind {
                'f' => {
                    "a float from 0 to 1 (pixels of 0 to 255: save x / 255, or x.round().astype('uint8'); of another \
                     range: (x - x.min()) / (x.max() - x.min()))"
                }
                'b' => "0 or 1",
                _ => {
                    "a whole number from 0 to 255 (all 16 bits: save (x / 257).round().astype('uint8'); of another \
                     range: (x - x.min()) / (x.max() - x.min()))"
                }
            };
            Error::input(path, field, expected, x)
        })
    })
}

/// `round(255 x)` of a float or a bool, `x` of a whole number; none if it is out of range.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 ≤ x ≤ 255")]
fn level(stored: Scalar, x: f64) -> Option<u8> {
    let (one, scaled) = match (stored.kind, stored.bytes) {
        ('f', 8) | ('b', _) => (1.0, x * 255.0),
        // In single precision, as it always was.
        ('f', _) => (1.0, f64::from(x as f32 * 255.0)),
        _ => (255.0, x),
    };
    (0.0..=one).contains(&x).then(|| scaled.round() as u8)
}

/// The split whose images a file holds by its name, and which of the rules above says so.
fn images_of(path: &Path) -> Option<(Split, usize)> {
    if !has_extension(path, "npy") {
        return None;
    }
    let stem = path.file_stem()?.to_string_lossy().to_lowercase();
    let words: Vec<&str> = split_names::words(&stem).collect();
    let (split, rule) = match words[..] {
        [split, "images"] | ["images", split] => (split_names::of_word(split)?, 0),
        ["x", split] => (split_names::of_word(split)?, 1),
        ["images" | "x"] => (Split::Train, 3),
        [split] => (split_names::of_word(split)?, 2),
        _ => return None,
    };
    Some((split, rule))
}

/// The images file of `split` in `folder`.
fn find_in(folder: &Path, split: Split) -> Result<PathBuf> {
    let rule = |path: &PathBuf| images_of(path).filter(|(found, _)| *found == split).map(|(_, rule)| rule);
    let mut found = list(folder)?.others;
    let first = found.iter().filter_map(rule).min();
    found.retain(|path| first.is_some() && rule(path) == first);
    let expected = format!("{split}-images.npy, {split}_images.npy, x_{split}.npy or {split}.npy");
    only(folder, "NumPy images", &expected, found)
}

/// The labels file beside an images file, if there is one.
fn labels_beside(images: &Path) -> Option<PathBuf> {
    let stem = images.file_stem()?.to_string_lossy().to_lowercase();
    let mut stems = Vec::new();
    if stem.contains("images") {
        stems.push(stem.replace("images", "labels"));
    }
    if let Some(rest) = stem.strip_prefix('x').filter(|rest| rest.is_empty() || rest.starts_with('_')) {
        stems.push(format!("y{rest}"));
    }
    stems.extend(["-labels", "_labels", ".labels"].map(|end| format!("{stem}{end}")));
    let names: Vec<String> = stems.into_iter().map(|stem| stem + ".npy").collect();
    beside(images, &names)
}

/// The labels file of the training set in a folder.
fn training_labels(folder: &Path) -> Option<PathBuf> {
    labels_beside(&find_in(folder, Split::Train).ok()?)
}

/// All labels of a labels file.
fn read_labels(path: &Path) -> Result<Vec<Label>> {
    let (file, file_len) = open_regular(path)?;
    let mut source = BufReader::new(file);
    let header = Header::read(path, &mut source)?;
    let scalar = Scalar::new(&header.descr).ok_or_else(|| {
        let expected = "whole numbers, or text (such as <i8, <U9): save y.astype('int64') or y.astype('str')";
        Error::input(path, "descr", expected, &header.descr)
    })?;
    if !matches!(*header.shape, [_] | [_, 1]) {
        return Err(Error::input(path, "shape", "[N] or [N, 1]", format!("{:?}", header.shape)));
    }
    let values = header.values(path, file_len, scalar.bytes)?;
    let mut bytes = Vec::new();
    source.take((values * scalar.bytes) as u64).read_to_end(&mut bytes).map_err(Error::read(path))?;
    let label = |bytes| match scalar.kind {
        'U' => Label::text(&scalar.text(bytes)),
        _ => Label::number(scalar.number(bytes)),
    };
    Ok(bytes.chunks_exact(scalar.bytes).map(label).collect())
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
