//! IDX: the format of MNIST and its relatives, a small header and then all bytes of an array.
//!
//! ```text
//! images: 00 00 08 03 · count · rows · columns (big-endian u32) · count × rows × columns bytes
//!         00 00 08 04 · count · rows · columns · channels       · as many bytes, the channel fastest
//! labels: 00 00 08 01 · count                                   · count bytes
//! ```

use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;

use super::super::decode::open_regular;
use super::super::embedded;
use super::super::{Dataset, Image, Split};
use super::labels::{self, Label, Labels};
use super::listing::{beside, list, only};
use super::store::{MOST_HELD, Store};
use super::{channels_in_words, file_name, has_extension, images_in_words, split_names};
use crate::base::{Error, Result};

/// The most that deflate can shrink anything: 258 bytes in 2 bits.
const MAX_GZIP_RATIO: u64 = 1032;

/// How a gzip file begins.
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// Bytes that are read at once.
const BLOCK: usize = 1 << 20;

/// An images file, with its labels if a labels file stands beside it.
pub struct Idx {
    path: PathBuf,
    height: usize,
    width: usize,
    channels: usize,
    images: usize,
    pixels: Store,
    labels: Labels,
    digest: u32,
}

impl Idx {
    /// Opens an images file, or the images file of `split` in a folder.
    ///
    /// The labels are looked for under the same name with `labels` for `images` and `idx1` for `idx3`/`idx4`, with
    /// and without `.gz`.
    ///
    /// The classes are the labels in order of value. Those of a test set in a folder are its training set's, so that
    /// both have the same.
    ///
    /// # Errors
    /// If the header of the images is not as above, or the file is longer or shorter than it says.
    pub fn open(path: &Path, split: Split) -> Result<Self> {
        Self::open_holding(path, split, MOST_HELD)
    }

    /// As [`Idx::open`], holding at most `most_held` bytes of pixels in memory.
    fn open_holding(path: &Path, split: Split, most_held: u64) -> Result<Self> {
        let folder = embedded::is_folder(path).then_some(path);
        let path = folder.map_or_else(|| Ok(path.to_path_buf()), |folder| find_in(folder, split))?;
        let images = IdxFile::read(&path, &[3, 4], most_held)?;
        let (n, height, width) = (images.dims[0], images.dims[1], images.dims[2]);
        let channels = images.dims.get(3).copied().unwrap_or(1);
        let dims = [("number of images", n), ("rows", height), ("columns", width), ("channels", channels)];
        for (name, dim) in dims {
            if dim == 0 {
                return Err(Error::input(&path, name, "at least 1", 0));
            }
        }
        let mut digest = crc32fast::Hasher::new_with_initial(images.digest);
        let mut labels = Labels::default();
        if let Some(labels_path) = labels_beside(&path) {
            let training = folder.filter(|_| split != Split::Train).and_then(training_labels);
            let (beside, codes) = labels::beside(&labels_path, (n, &path), training.as_deref(), read_labels);
            labels = beside;
            for code in codes {
                digest.update(&code.to_le_bytes()[..1]);
            }
        }
        Ok(Self {
            path,
            height,
            width,
            channels,
            images: n,
            pixels: images.content,
            labels,
            digest: digest.finalize(),
        })
    }
}

impl Dataset for Idx {
    fn len(&self) -> usize {
        self.images
    }

    fn image(&self, index: usize) -> Result<Image> {
        let size = self.height * self.width * self.channels;
        let pixels = self.pixels.read(index * size, size)?;
        Ok(Image::new(self.height, self.width, self.channels, pixels))
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
        let labels = self.labels.in_words();
        let images = images_in_words(self.len());
        let channels = channels_in_words(self.channels);
        format!(
            "{}: IDX, {images} of {}×{}, {channels}, {labels}",
            embedded::shown(&self.path),
            self.height,
            self.width
        )
    }

    fn size(&self) -> Option<(usize, usize)> {
        Some((self.height, self.width))
    }

    fn digest(&self) -> Result<u32> {
        Ok(self.digest)
    }

    fn in_memory(&self) -> bool {
        self.pixels.is_held()
    }
}

/// Whether the path is called like an IDX images file, or is a folder that holds one.
pub(super) fn recognises(path: &Path) -> bool {
    if embedded::is_folder(path) {
        return list(path).is_ok_and(|listing| listing.others.iter().any(|path| images_of(path).is_some()));
    }
    let name = file_name(path);
    let name = name.strip_suffix(".gz").unwrap_or(&name);
    name.ends_with("ubyte")
        || name.contains("idx3")
        || name.contains("idx4")
        || has_extension(name.as_ref(), "idx")
}

/// The split whose images a file holds by its name, as `train-images-idx3-ubyte` and
/// `emnist-letters-test-images-idx3-ubyte.gz`.
fn images_of(path: &Path) -> Option<Split> {
    let name = unpacked(path);
    let has = |wanted: &[&str]| split_names::words(&name).any(|word| wanted.contains(&word));
    let is_images = has(&["images"]) && has(&["idx3", "idx4"]) && name.ends_with("ubyte");
    split_names::in_name(&name).filter(|_| is_images)
}

/// A file's name in small letters, without `.gz`.
fn unpacked(path: &Path) -> String {
    let name = file_name(path).to_lowercase();
    name.strip_suffix(".gz").unwrap_or(&name).to_owned()
}

/// The images file of `split` in `folder`.
fn find_in(folder: &Path, split: Split) -> Result<PathBuf> {
    let mut found = list(folder)?.others;
    found.retain(|path| images_of(path) == Some(split));
    // `NAME` stands before `NAME.gz`.
    found.dedup_by_key(|path| unpacked(path));
    let expected = format!("{split}-images-idx3-ubyte, or the same with .gz");
    only(folder, "IDX images file", &expected, found)
}

/// The labels file beside an images file, if there is one.
fn labels_beside(images: &Path) -> Option<PathBuf> {
    let name = file_name(images).to_lowercase();
    if !name.contains("images") {
        return None;
    }
    let name = name.replace("images", "labels").replace("idx3", "idx1").replace("idx4", "idx1");
    let other = name.strip_suffix(".gz").map_or_else(|| format!("{name}.gz"), str::to_owned);
    beside(images, &[name, other])
}

/// All labels of a labels file.
fn read_labels(path: &Path) -> Result<Vec<Label>> {
    let file = IdxFile::read(path, &[1], u64::MAX)?;
    let labels = file.content.read(0, file.dims[0])?;
    Ok(labels.into_iter().map(|label| Label::number(label.into())).collect())
}

/// The labels file of the training set in a folder.
fn training_labels(folder: &Path) -> Option<PathBuf> {
    labels_beside(&find_in(folder, Split::Train).ok()?)
}

/// The content of an IDX file.
struct IdxFile {
    dims: Vec<usize>,
    content: Store,
    /// CRC-32 of header and content.
    digest: u32,
}

impl IdxFile {
    /// Reads a file whose number of dimensions is one of `ranks`.
    fn read(path: &Path, ranks: &[u8], most_held: u64) -> Result<Self> {
        if let Some(packed) = embedded::file(path) {
            return Self::parse(path, ranks, MultiGzDecoder::new(packed), (u64::MAX, true), u64::MAX);
        }
        let (file, file_len) = open_regular(path)?;
        let mut file = BufReader::new(file);
        // The content tells, not the name: some tools unpack a file and leave its name, or the reverse.
        if file.fill_buf().map_err(Error::read(path))?.starts_with(&GZIP) {
            let most = file_len.saturating_mul(MAX_GZIP_RATIO);
            Self::parse(path, ranks, MultiGzDecoder::new(file), (most, true), most_held)
        } else {
            Self::parse(path, ranks, file, (file_len, false), most_held)
        }
    }

    /// Reads header and content; `most` is more than the source can possibly hold, and it may be compressed.
    fn parse(
        path: &Path,
        ranks: &[u8],
        mut source: impl Read,
        (most, compressed): (u64, bool),
        most_held: u64,
    ) -> Result<Self> {
        let mut header = Vec::new();
        read_up_to(path, &mut source, 4, &mut header)?;
        let rank = match header[..] {
            [0, 0, 8, rank] if ranks.contains(&rank) => usize::from(rank),
            _ => 0,
        };
        if rank == 0 {
            let known = ranks.iter().map(|n| format!("00 00 08 {n:02X} ({n}-dimensional array of bytes)"));
            let expected = known.collect::<Vec<_>>().join(" or ");
            let found: Vec<String> = header.iter().take(4).map(|byte| format!("{byte:02X}")).collect();
            return Err(Error::input(path, "magic number", expected, found.join(" ")));
        }
        let header_len = 4 + 4 * rank;
        read_up_to(path, &mut source, header_len as u64 - 4, &mut header)?;
        if header.len() < header_len {
            let found = format!("a file of {}", header.len());
            return Err(Error::input(path, "header", format!("{header_len} bytes"), found));
        }
        let mut dims = vec![0; rank];
        for (dim, bytes) in dims.iter_mut().zip(header[4..].chunks_exact(4)) {
            *dim = bytes.iter().fold(0, |value, &byte| value << 8 | usize::from(byte));
        }
        let product = dims.iter().try_fold(1usize, |product, &dim| product.checked_mul(dim));
        let Some(content_len) = product.filter(|&product| product as u64 <= most) else {
            let expected = format!("no more than the file can hold (at most {most} bytes)");
            return Err(Error::input(path, "dimensions", expected, format!("{dims:?}")));
        };
        let held = content_len as u64 <= most_held;
        if !held && compressed {
            let expected = format!("at most {most_held} bytes in a compressed file (unpack a larger one)");
            return Err(Error::input(path, "content", expected, content_len));
        }
        let mut digest = crc32fast::Hasher::new();
        digest.update(&header);
        let (mut bytes, mut block, mut len) = (Vec::new(), Vec::new(), 0);
        // One byte more than the header says, so that a trailing byte shows.
        while len <= content_len {
            block.clear();
            read_up_to(path, &mut source, BLOCK.min(content_len + 1 - len) as u64, &mut block)?;
            if block.is_empty() {
                break;
            }
            len += block.len();
            digest.update(&block);
            if held {
                bytes.extend_from_slice(&block);
            }
        }
        if len != content_len {
            let found =
                if len > content_len { "more".to_owned() } else { format!("{len}: the file is cut short") };
            let expected = format!("{content_len} bytes after the header, for {dims:?}");
            return Err(Error::input(path, "content", expected, found));
        }
        bytes.shrink_to_fit();
        let content = if held {
            Store::Held(bytes)
        } else {
            Store::on_disk(path, open_regular(path)?.0, header_len as u64)
        };
        Ok(Self { dims, content, digest: digest.finalize() })
    }
}

/// Appends at most `limit` bytes of `source`; compressed data that makes no sense is an error of the input.
fn read_up_to(path: &Path, source: &mut impl Read, limit: u64, into: &mut Vec<u8>) -> Result<()> {
    source.take(limit).read_to_end(into).map(drop).map_err(|error| match error.kind() {
        io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput | io::ErrorKind::UnexpectedEof => {
            Error::input(path, "gzip data", "a whole, sound gzip file", error)
        }
        _ => Error::read(path)(error),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_too_large_to_be_held_gives_the_same_images_from_disk() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("train-images-idx3-ubyte");
        let pixels: Vec<u8> = (0..5 * 2 * 3).collect();
        let header = [0, 0, 8, 3, 0, 0, 0, 5, 0, 0, 0, 2, 0, 0, 0, 3];
        std::fs::write(&path, [&header[..], &pixels].concat()).unwrap();
        let held = Idx::open_holding(&path, Split::Train, 30).unwrap();
        let on_disk = Idx::open_holding(&path, Split::Train, 29).unwrap();
        assert!(held.in_memory() && !on_disk.in_memory());
        assert_eq!((held.len(), held.digest().unwrap()), (on_disk.len(), on_disk.digest().unwrap()));
        for index in [4, 0, 2] {
            assert_eq!(held.image(index).unwrap(), on_disk.image(index).unwrap());
        }
        std::fs::write(&path, [&header[..], &pixels[1..]].concat()).unwrap();
        assert!(Idx::open_holding(&path, Split::Train, 29).is_err(), "cut short");
    }
}
