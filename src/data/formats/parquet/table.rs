//! All images and labels of Parquet files.
//!
//! Rows cannot be read one by one: a column is compressed in pages of many. So the images' bytes, as PNG and JPEG files
//! have them, are copied once: into memory up to 256 MiB, beyond that into a temporary file without a name, which the
//! system removes when the program ends, however it ends.

use super::super::super::decode::{decode, open_regular};
use super::super::super::image::MAX_BYTES;
use super::super::super::{Dataset, Image, Split, count};
use super::super::images_in_words;
use super::super::labels::{Labels, ReadLabels};
use super::super::shards::{self, Shards};
use super::super::store::{MOST_HELD, Store};
use super::columns::Columns;
use crate::base::{Error, Result};
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Images and labels of one split.
pub struct Table {
    files: Vec<PathBuf>,
    /// Number of the first row of each file.
    first_rows: Vec<usize>,
    content: Store,
    /// Where each image begins in the content, and where the last one ends.
    borders: Vec<usize>,
    labels: Labels,
    digest: u32,
    notes: Vec<String>,
}

impl Table {
    /// Reads a file, the files that a pattern fits, or those of `split` in a folder.
    ///
    /// The classes have the names that the file notes, else they are the labels in order of value or name; those of a test
    /// set in a folder are its training set's. A label that is null or -1 is none.
    ///
    /// # Errors
    /// If a file is damaged or has no column of images, or an image has no bytes.
    pub fn open(path: &Path, split: Split) -> Result<Self> {
        Self::open_holding(path, split, MOST_HELD)
    }

    /// As [`Table::open`], holding at most `most_held` bytes of image files in memory.
    fn open_holding(path: &Path, split: Split, most_held: u64) -> Result<Self> {
        let Shards { files, notes } = shards::find(path, split, "parquet")?;
        let wanted = split != Split::Train && path.is_dir();
        let training = wanted.then(|| shards::find(path, Split::Train, "parquet").ok()).flatten();
        let labels =
            Labels::new(read_labels(&files), training.as_ref().map(|training| read_labels(&training.files)));
        let first_rows = first_rows(&files)?;
        let (content, borders, digest) = read_images(&files, most_held)?;
        if borders.len() == 1 {
            return Err(Error::input(path, "rows", "at least one image", "an empty table"));
        }
        Ok(Self { files, first_rows, content, borders, labels, digest, notes })
    }

    /// The file of image `index`, and its row there.
    fn place(&self, index: usize) -> (&Path, usize) {
        row_of(&self.files, &self.first_rows, index)
    }
}

impl Dataset for Table {
    fn len(&self) -> usize {
        self.borders.len() - 1
    }

    fn image(&self, index: usize) -> Result<Image> {
        let (start, end) = (self.borders[index], self.borders[index + 1]);
        let bytes = self.content.read(start, end - start)?;
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
        let (file, row) = self.place(index);
        format!("{}, row {row}", file.display())
    }

    fn describe(&self) -> String {
        format!(
            "{}: Parquet, {} in {}, {}",
            self.files[0].display(),
            images_in_words(self.len()),
            count(self.files.len(), "file", "files"),
            self.labels.in_words()
        )
    }

    fn notes(&self) -> &[String] {
        &self.notes
    }

    fn size(&self) -> Option<(usize, usize)> {
        None
    }

    fn digest(&self) -> Result<u32> {
        Ok(self.digest)
    }
}

fn row_of<'a>(files: &'a [PathBuf], first_rows: &[usize], row: usize) -> (&'a Path, usize) {
    let file = first_rows.partition_point(|&first| first <= row) - 1;
    (&files[file], row - first_rows[file])
}

/// The number of the first row of each file.
fn first_rows(files: &[PathBuf]) -> Result<Vec<usize>> {
    let mut rows = 0;
    let first = |path: &PathBuf| {
        let of_file = Columns::open(path, open_regular(path)?.0)?.rows();
        rows += of_file;
        Ok(rows - of_file)
    };
    files.iter().map(first).collect()
}

/// The labels of all files, and the names of the classes where noted.
fn read_labels(files: &[PathBuf]) -> Result<ReadLabels<'_>> {
    let (mut labels, mut names, mut rows) = (Vec::new(), None, 0);
    for path in files {
        let columns = Columns::open(path, open_regular(path)?.0)?;
        rows += columns.rows();
        columns.each_label(|label| labels.push(label))?;
        if !labels.is_empty() && labels.len() != rows {
            return Err(Error::input(path, "columns", "a label column in every file or in none", "another"));
        }
        names = names.or_else(|| columns.class_names());
    }
    let first_rows = first_rows(files)?;
    let place = move |row| {
        let (file, row) = row_of(files, &first_rows, row);
        (file.to_path_buf(), format!("row {row}, label"))
    };
    Ok(ReadLabels { labels, names, place: Box::new(place), none: "null or -1" })
}

/// All images' bytes, their borders, and a CRC-32 of them.
fn read_images(files: &[PathBuf], most_held: u64) -> Result<(Store, Vec<usize>, u32)> {
    let (mut held, mut spilt, mut borders) = (Vec::new(), None::<File>, vec![0]);
    let mut digest = crc32fast::Hasher::new();
    let temporary = std::env::temp_dir();
    for path in files {
        Columns::open(path, open_regular(path)?.0)?.each_image(|bytes| {
            if bytes.len() as u64 > MAX_BYTES {
                return Err(Error::input(path, "image", format!("at most {MAX_BYTES} bytes"), bytes.len()));
            }
            digest.update(&(bytes.len() as u64).to_le_bytes());
            digest.update(bytes);
            borders.push(borders[borders.len() - 1] + bytes.len());
            if spilt.is_none() && (held.len() + bytes.len()) as u64 > most_held {
                let mut file = tempfile::tempfile().map_err(Error::write(&temporary))?;
                file.write_all(&held).map_err(Error::write(&temporary))?;
                (held, spilt) = (Vec::new(), Some(file));
            }
            if let Some(file) = &mut spilt {
                return file.write_all(bytes).map_err(Error::write(&temporary));
            }
            held.extend_from_slice(bytes);
            Ok(())
        })?;
    }
    let content = match spilt {
        Some(file) => Store::on_disk(&temporary, file, 0),
        None => Store::Held(held),
    };
    Ok((content, borders, digest.finalize()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_that_do_not_fit_into_memory_are_the_same_from_a_temporary_file() {
        let path = Path::new("tests/golden/hub/train-00000-of-00001.parquet");
        let held = Table::open_holding(path, Split::Train, 1 << 20).unwrap();
        let spilt = Table::open_holding(path, Split::Train, 100).unwrap();
        assert!(held.content.is_held() && !spilt.content.is_held());
        assert_eq!(held.digest().unwrap(), spilt.digest().unwrap());
        for index in [2, 0, 1] {
            assert_eq!(held.image(index).unwrap(), spilt.image(index).unwrap());
        }
    }
}
