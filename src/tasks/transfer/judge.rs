//! What `eval` and `predict` ask of a task, and what it answers: the same for people, for programs, and as files.

use crate::base::out_file::check_spared;
use crate::base::{Error, Result};
use crate::config::sections::DataConfig;
use crate::data::{Dataset, Split};
use crate::exec::Backend;
use crate::exec::engine::Engine;
use crate::train::source;
use serde::Serialize;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What is to be judged, on which images.
pub struct JudgeRequest<'a> {
    /// A run directory, or the checkpoint in it.
    pub checkpoint: &'a Path,
    /// Other data than the run's.
    pub data: Option<&'a Path>,
    /// Its format.
    pub format: Option<&'a str>,
    /// Which part of it; otherwise the test split, or what stands in for it.
    pub split: Option<Split>,
    /// Whether images that cannot be read are left out.
    pub skip_bad_images: bool,
    /// Whether images are judged window by window at their own size, where the task can.
    pub slide: bool,
    /// The files and folders that will be written; none where none are wanted.
    pub writes: Vec<PathBuf>,
    /// Opens what multiplies matrices.
    pub engine: &'a dyn Fn(Backend) -> Result<Engine>,
}

impl JudgeRequest<'_> {
    /// Whether files are wanted.
    pub(crate) fn draws(&self) -> bool {
        !self.writes.is_empty()
    }

    /// The images, and what the user should know about them; `data` is the run's, and becomes what was asked for.
    ///
    /// # Errors
    /// If they are not there, damaged, or in the way of what will be written.
    pub(crate) fn images(&self, data: &mut DataConfig) -> Result<(Arc<dyn Dataset>, Vec<String>)> {
        source::use_data(data, self.data, self.format);
        let spared = |path: &PathBuf| check_spared("--out", path, data.path.as_slice(), "the images");
        self.writes.iter().try_for_each(spared)?;
        data.skip_bad_images |= self.skip_bad_images;
        let (images, no_test) = match self.split {
            Some(split) => (source::open_split(data, split)?, None),
            None => source::judged_or_all(data)?,
        };
        let stands_in =
            no_test.map(|why| format!("the validation split is judged: there is no test split ({why})"));
        let notes = stands_in.into_iter().chain(images.notes().iter().cloned()).collect();
        Ok((images, notes))
    }
}

/// What came out.
pub struct Judged {
    /// What was judged on what: a word and what it is.
    pub head: Vec<(&'static str, String)>,
    /// For people.
    pub tables: Vec<Table>,
    /// For programs: one JSON document.
    pub json: String,
    /// Names and contents, if they were wanted.
    pub files: Vec<(String, Vec<u8>)>,
    /// What the user should know.
    pub notes: Vec<String>,
    /// Images that were left out, and why.
    pub skipped: Vec<String>,
}

/// Pictures that a finished model is shown.
pub struct PredictRequest<'a> {
    /// A run directory, or the checkpoint in it.
    pub checkpoint: &'a Path,
    /// PNG or JPEG files.
    pub pictures: &'a [PathBuf],
    /// How many classes are named, where the task names several.
    pub top: Option<usize>,
    /// Whether pictures are seen window by window at their own size, where the task can.
    pub slide: bool,
    /// Opens what multiplies matrices.
    pub engine: &'a dyn Fn(Backend) -> Result<Engine>,
}

/// Refuses a flag that was given and of which a task makes nothing: `expected` says which model would.
///
/// # Errors
/// If it was given.
pub(crate) fn refuse(flag: &str, given: bool, expected: &str) -> Result<()> {
    if given { Err(Error::setting(flag, expected, "given")) } else { Ok(()) }
}

/// What a model sees in them.
pub struct Predicted {
    /// For people.
    pub lines: Vec<String>,
    /// For programs: one JSON document.
    pub json: String,
    /// Names and contents of drawings; empty where a task draws nothing.
    pub files: Vec<(String, Vec<u8>)>,
}

/// A table: the first column is left-aligned, the others are figures.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Table {
    /// Headings.
    pub head: Vec<&'static str>,
    /// As many cells each.
    pub rows: Vec<Vec<String>>,
}

impl Table {
    /// The lines of it, as wide as they need be.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let width = |text: &str| text.chars().count();
        let widest = |column: usize| self.rows.iter().map(|row| width(&row[column])).max().unwrap_or(0);
        let widths: Vec<usize> =
            self.head.iter().enumerate().map(|(column, head)| widest(column).max(width(head))).collect();
        let line = |cells: &mut dyn Iterator<Item = &str>| {
            let aligned = cells.zip(&widths).enumerate().map(|(column, (cell, &width))| match column {
                0 => format!("{cell:<width$}"),
                _ => format!("{cell:>width$}"),
            });
            aligned.collect::<Vec<_>>().join("  ").trim_end().to_owned()
        };
        let rows = self.rows.iter().map(|row| line(&mut row.iter().map(String::as_str)));
        std::iter::once(line(&mut self.head.iter().copied())).chain(rows).collect()
    }
}

/// A fraction as a cell: `91.23 %`, or a dash where there is none.
#[must_use]
pub fn percent(fraction: Option<f64>) -> String {
    fraction.map_or("-".to_owned(), |fraction| format!("{:.2} %", 100.0 * fraction))
}

/// A result as one JSON document, indented.
///
/// # Errors
/// If a path in it is not UTF-8.
pub fn json(result: &impl Serialize) -> Result<String> {
    let expected = "paths and names in UTF-8, and numbers that JSON can hold";
    serde_json::to_string_pretty(result).map_err(|e| Error::setting("--json", expected, e))
}

/// The list, in a folder with a file for each image, of which file is which image's: its columns are `file` and `image`.
pub const LIST: &str = "images.csv";

/// What stands behind an image's name in that of a picture of it.
pub const OVERLAY: &str = ".overlay";

/// The name of an image's file without its ending, or its number if it is no file of its own; with a number behind it where another image
/// has that name already, or its [`OVERLAY`] has.
#[must_use]
pub fn file_name(source: &Path, index: usize, taken: &mut BTreeSet<String>) -> String {
    // An image in a larger file is called `FILE, image 17`.
    let name = source.file_name().unwrap_or_default().to_string_lossy();
    let number = name.rsplit_once(", image ").map(|(_, number)| number);
    let in_file =
        number.is_some_and(|number| !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()));
    let own = source.file_stem().filter(|_| !in_file);
    let stem = own.map_or_else(|| format!("{index:06}"), |stem| stem.to_string_lossy().into_owned());
    let names = std::iter::once(stem.clone()).chain((2..).map(|n| format!("{stem}-{n}")));
    let free =
        |name: &String| [name.clone(), format!("{name}{OVERLAY}")].iter().all(|name| !taken.contains(name));
    let name = names.into_iter().find(free).expect("some number is free");
    taken.extend([name.clone(), format!("{name}{OVERLAY}")]);
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_images_have_one_name() {
        let mut taken = BTreeSet::new();
        let sources = [
            "a.png",
            "b/a.jpg",
            "a.overlay.png",
            "my photo.png",
            "000001.png",
            "x.tar, image 1",
            "x.tar, image 2",
            "a, b.png",
            "a, image b.png",
        ];
        let names: Vec<String> =
            sources.iter().enumerate().map(|(i, source)| file_name(source.as_ref(), i, &mut taken)).collect();
        assert_eq!(
            names,
            ["a", "a-2", "a.overlay-2", "my photo", "000001", "000005", "000006", "a, b", "a, image b"]
        );
        assert_eq!(file_name("y.tar, image 9".as_ref(), 1, &mut taken), "000001-2");
    }

    #[test]
    fn figures_stand_below_each_other() {
        let rows = vec![vec!["sky".to_owned(), percent(Some(0.5))], vec!["façade".to_owned(), percent(None)]];
        let table = Table { head: vec!["class", "IoU"], rows };
        assert_eq!(table.lines(), ["class       IoU", "sky     50.00 %", "façade        -"]);
    }
}
