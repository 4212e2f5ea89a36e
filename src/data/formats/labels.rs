//! Labels, from what files say to classes: numbers in order of value, names in alphabetical order, and a test set has the
//! classes of its training set. Labels that cannot be used are an error only for commands that ask for them.

use super::classes_in_words;
use crate::base::{Error, Result};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// A label as a file has it.
#[derive(Clone, Debug)]
pub(super) struct Label {
    /// Which should be whole; −1 says that there is none. None of a name.
    number: Option<f64>,
    /// As it stands in the file, if it is text.
    text: String,
}

impl Label {
    pub(super) fn number(number: f64) -> Self {
        Self { number: Some(number), text: String::new() }
    }

    /// A number in text, or a name.
    pub(super) fn text(text: &str) -> Self {
        let text = text.trim();
        Self { number: text.parse().ok().filter(|number: &f64| number.is_finite()), text: text.to_owned() }
    }

    /// What tells labels apart in a digest: the value of a number, the CRC-32 of a name.
    #[expect(clippy::cast_possible_truncation, reason = "what is out of range need not be told apart")]
    pub(super) fn code(&self) -> u64 {
        match self.number {
            Some(number) => (number as i64).cast_unsigned(),
            None => crc32fast::hash(self.text.as_bytes()).into(),
        }
    }
}

/// The labels of a data set as its files have them.
pub(super) struct ReadLabels<'a> {
    /// None where an image has none.
    pub(super) labels: Vec<Option<Label>>,
    /// What the classes 0, 1, … are called, where a file notes it.
    pub(super) names: Option<Vec<String>>,
    /// The file in which the label of an image stands, and the part of it.
    pub(super) place: Box<dyn Fn(usize) -> (PathBuf, String) + 'a>,
    /// How it looks there if an image has no label.
    pub(super) none: &'static str,
}

/// The classes of a data set's images, or why they cannot be known.
#[derive(Default)]
pub(super) struct Labels {
    /// Positions in `classes`; empty without labels.
    positions: Vec<usize>,
    classes: Vec<String>,
    problem: Option<Error>,
}

/// A class by what it is ordered by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Class {
    Number(u32),
    Name(String),
}

impl Labels {
    /// The classes of labels that were read, or could not be; `training` are those of the training set whose classes
    /// these are, if there is one.
    pub(super) fn new(own: Result<ReadLabels>, training: Option<Result<ReadLabels>>) -> Self {
        let found = own.and_then(|own| Self::find(&own, training.transpose()?.as_ref()));
        found.unwrap_or_else(|problem| Self { problem: Some(problem), ..Self::default() })
    }

    fn find(own: &ReadLabels, training: Option<&ReadLabels>) -> Result<Self> {
        let read = || [Some(own), training].into_iter().flatten();
        let named = read().flat_map(|read| &read.labels).flatten().any(|label| label.number.is_none());
        let labels = own.in_classes(named)?;
        if labels.iter().all(Option::is_none) {
            return Ok(Self::default());
        }
        let names = read().find_map(|read| read.names.as_ref()).filter(|_| !named);
        let (classes, names): (Vec<Class>, Vec<String>) = if let Some(names) = names {
            ((0..).map(Class::Number).take(names.len()).collect(), names.clone())
        } else {
            let training = training.map(|training| training.in_classes(named)).transpose()?;
            let training = training.filter(|labels| labels.iter().any(Option::is_some));
            let classes: BTreeSet<_> = training.as_ref().unwrap_or(&labels).iter().flatten().collect();
            classes.into_iter().map(|class| (class.clone(), class.name())).unzip()
        };
        let position = |(index, class): (usize, &Option<Class>)| {
            let Some(class) = class else {
                return Err(own.wrong(index, "a label, as other images have", own.none));
            };
            let unknown = |_| {
                let expected = format!("one of the {} classes {}", names.len(), in_short(&names));
                own.wrong(index, expected, class.name())
            };
            classes.binary_search(class).map_err(unknown)
        };
        let positions = labels.iter().enumerate().map(position).collect::<Result<_>>()?;
        Ok(Self { positions, classes: names, problem: None })
    }

    /// The class of an image.
    pub(super) fn of(&self, index: usize) -> Option<usize> {
        self.positions.get(index).copied()
    }

    /// The names of the classes; of numbered ones, their numbers.
    pub(super) fn classes(&self) -> &[String] {
        &self.classes
    }

    /// Why the labels that are there cannot be used.
    pub(super) fn problem(&self) -> Option<&Error> {
        self.problem.as_ref()
    }

    /// `10 classes`, `no labels`.
    pub(super) fn in_words(&self) -> String {
        classes_in_words(self.classes.len(), self.problem())
    }
}

impl ReadLabels<'_> {
    /// The class of each label; `named` if there are others than numbers.
    fn in_classes(&self, named: bool) -> Result<Vec<Option<Class>>> {
        let class = |(index, label): (usize, &Option<Label>)| {
            let Some(Label { number, text }) = label else { return Ok(None) };
            match number {
                Some(number) if !named => self.numbered(index, *number),
                _ if !text.is_empty() => Ok(Some(Class::Name(text.clone()))),
                number => {
                    let found = number.map_or("\"\"".to_owned(), |number| number.to_string());
                    Err(self.wrong(index, "a class: a name, or whole numbers in all labels", found))
                }
            }
        };
        self.labels.iter().enumerate().map(class).collect()
    }

    /// A numbered class.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "whole and within a u32")]
    fn numbered(&self, index: usize, number: f64) -> Result<Option<Class>> {
        match number {
            -1.0 => Ok(None),
            _ if number.fract() == 0.0 && (0.0..=f64::from(u32::MAX)).contains(&number) => {
                Ok(Some(Class::Number(number as u32)))
            }
            _ => {
                let expected = format!("a class: a name, or a whole number from 0 to {}", u32::MAX);
                Err(self.wrong(index, expected, number))
            }
        }
    }

    fn wrong(&self, index: usize, expected: impl Into<String>, found: impl ToString) -> Error {
        let (path, field) = (self.place)(index);
        Error::input(path, field, expected, found)
    }
}

impl Class {
    fn name(&self) -> String {
        match self {
            Self::Number(number) => number.to_string(),
            Self::Name(name) => name.clone(),
        }
    }
}

/// The labels in a file beside an array of images, and what goes into the digest; `training` is the file of the training set
/// whose classes these are, if there is one.
pub(super) fn beside(
    path: &Path,
    (images, images_path): (usize, &Path),
    training: Option<&Path>,
    read: fn(&Path) -> Result<Vec<Label>>,
) -> (Labels, Vec<u64>) {
    let own = read(path).and_then(|labels| {
        let expected = format!("{images}, as there are images in {}", images_path.display());
        let wrong = Error::input(path, "number of labels", expected, labels.len());
        if labels.len() == images { Ok(labels) } else { Err(wrong) }
    });
    let codes = own.iter().flatten().map(Label::code).collect();
    let training = training.map(|path| read(path).map(|labels| listed(path, labels)));
    (Labels::new(own.map(|labels| listed(path, labels)), training), codes)
}

/// The labels of a file that holds nothing else.
fn listed(path: &Path, labels: Vec<Label>) -> ReadLabels<'_> {
    ReadLabels {
        labels: labels.into_iter().map(Some).collect(),
        names: None,
        place: Box::new(|index| (path.to_path_buf(), format!("label of image {index}"))),
        none: "-1",
    }
}

/// `(cat, dog)`; of many the first few.
fn in_short(names: &[String]) -> String {
    const SHOWN: usize = 10;
    let more = if names.len() > SHOWN { ", …" } else { "" };
    format!("({}{more})", names[..names.len().min(SHOWN)].join(", "))
}
