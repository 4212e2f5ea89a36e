//! COCO's JSON document: what is read at once (images, categories, which annotation is of which image), and what waits until an
//! image's objects are asked for.
//!
//! ```text
//! {"images":      [{"id": 7, "file_name": "a.jpg", "height": 480, "width": 640}, …],
//!  "annotations": [{"id": 1, "image_id": 7, "category_id": 18, "bbox": [x, y, w, h], "area": 702.5, "iscrowd": 0,
//!                   "segmentation": [[x1, y1, x2, y2, …], …] or {"size": [H, W], "counts": [272, 2, …] or "…"}}, …],
//!  "categories":  [{"id": 18, "name": "dog"}, …]}
//! ```

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::Path;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::super::super::decode::read_file;
use crate::base::files::text;
use crate::base::{Error, Mismatch, Result};

/// More than any document.
const MOST_BYTES: u64 = 4 << 30;

/// A category's number and name.
pub(super) type Category = (u64, String);

/// A document.
pub(super) struct Document {
    /// In the order of the document.
    pub(super) images: Vec<Listed>,
    /// In ascending order of their numbers.
    pub(super) categories: Vec<Category>,
    /// How many annotations are of images that are not listed, and the first of them in words.
    pub(super) strays: Option<(usize, String)>,
    /// CRC-32 of the text.
    pub(super) digest: u32,
}

/// An image that is listed.
pub(super) struct Listed {
    pub(super) id: u64,
    pub(super) file_name: String,
    /// As noted, `[height, width]`.
    pub(super) size: [Option<Box<RawValue>>; 2],
    /// The text of each annotation.
    pub(super) annotations: Vec<Box<RawValue>>,
}

#[derive(Deserialize)]
struct Whole<'a> {
    #[serde(borrow)]
    images: Vec<&'a RawValue>,
    #[serde(borrow, default)]
    annotations: Vec<&'a RawValue>,
    #[serde(borrow, default)]
    categories: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
struct OnlyCategories<'a> {
    #[serde(borrow, default)]
    categories: Vec<&'a RawValue>,
}

/// What an annotation belongs to.
#[derive(Deserialize)]
struct Head<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    image_id: Option<&'a RawValue>,
}

/// An object of JSON whose values are read one by one, so that an error names the one that is wrong.
pub(super) struct Fields<'a>(BTreeMap<String, &'a RawValue>);

impl<'a> Fields<'a> {
    /// Of an object's text.
    pub(super) fn of(value: &'a RawValue) -> std::result::Result<Self, Mismatch> {
        serde_json::from_str(value.get()).map(Self).map_err(|_| Mismatch::new("an object", shown(value)))
    }

    /// The value of a name; none if it is not there or null.
    pub(super) fn get<T: Deserialize<'a>>(
        &self,
        name: &str,
        expected: &str,
    ) -> std::result::Result<Option<T>, Mismatch> {
        self.raw(name).map(|value| parse(value, expected)).transpose()
    }

    /// Its text.
    pub(super) fn raw(&self, name: &str) -> Option<&'a RawValue> {
        self.0.get(name).copied().filter(|value| value.get() != "null")
    }
}

/// A value, or what was expected in its place.
pub(super) fn parse<'a, T: Deserialize<'a>>(
    value: &'a RawValue,
    expected: &str,
) -> std::result::Result<T, Mismatch> {
    serde_json::from_str(value.get()).map_err(|_| Mismatch::new(expected, shown(value)))
}

/// A value in an error: its beginning.
fn shown(value: &RawValue) -> String {
    const MOST: usize = 60;
    let text = value.get();
    let more = if text.chars().count() > MOST { "…" } else { "" };
    text.chars().take(MOST).chain(more.chars()).collect()
}

/// Reads a document.
///
/// # Errors
/// If it is no document, lists no image or no category, or two have the same number or file.
pub(super) fn read(path: &Path) -> Result<Document> {
    let bytes = read_file(path, MOST_BYTES)?;
    let Whole { images, annotations, categories } = json(path, &bytes)?;
    let images = images.into_iter().enumerate().map(|(at, image)| {
        let field = |part: &str| format!("images[{at}]: {part}");
        listed(image).map_err(|(part, wrong)| wrong.at(path, field(part)))
    });
    let mut images = images.collect::<Result<Vec<Listed>>>()?;
    if images.is_empty() {
        return Err(Error::input(path, "images", "at least one", "none"));
    }
    let (mut positions, mut files) = (HashMap::with_capacity(images.len()), HashSet::new());
    for (at, image) in images.iter().enumerate() {
        if positions.insert(image.id, at).is_some() {
            let expected = "a number of its own for each image";
            return Err(Error::input(path, "images: id", expected, format!("{} twice", image.id)));
        }
        if !files.insert(&image.file_name) {
            let expected = "a file of its own for each image";
            return Err(Error::input(
                path,
                "images: file_name",
                expected,
                format!("{} twice", image.file_name),
            ));
        }
    }
    let (mut seen, mut strays) = (HashSet::new(), None::<(usize, String)>);
    for (at, annotation) in annotations.into_iter().enumerate() {
        let field = |part: &str| format!("annotations[{at}]: {part}");
        let Head { id, image_id } = serde_json::from_str(annotation.get()).map_err(|_| {
            Error::input(path, field("entry"), "an object, each name once", shown(annotation))
        })?;
        if let Some(id) = id.filter(|id| !seen.insert(id.get())) {
            let expected = "a number of its own for each annotation";
            return Err(Error::input(path, "annotations: id", expected, format!("{} twice", shown(id))));
        }
        let missing = || Mismatch::new("a whole number", "none");
        let image = image_id.ok_or_else(missing).and_then(|value| parse::<u64>(value, "a whole number"));
        let image = image.map_err(|wrong| wrong.at(path, field("image_id")))?;
        if let Some(&of) = positions.get(&image) {
            images[of].annotations.push(annotation.to_owned());
        } else {
            let name =
                id.map_or_else(|| format!("annotations[{at}]"), |id| format!("annotation {}", shown(id)));
            strays.get_or_insert((0, format!("{name}: image_id {image}"))).0 += 1;
        }
    }
    let categories = of_categories(path, categories)?;
    Ok(Document { images, categories, strays, digest: crc32fast::hash(&bytes) })
}

/// The categories alone.
///
/// # Errors
/// As [`read`].
pub(super) fn read_categories(path: &Path) -> Result<Vec<Category>> {
    let bytes = read_file(path, MOST_BYTES)?;
    let OnlyCategories { categories } = json(path, &bytes)?;
    of_categories(path, categories)
}

fn json<'a, T: Deserialize<'a>>(path: &Path, bytes: &'a [u8]) -> Result<T> {
    let wrong = |found: &dyn std::fmt::Display| {
        let expected = "COCO's document, with lists of images, annotations and categories";
        Error::input(path, "JSON", expected, found)
    };
    let text = text(path, "JSON", bytes)?;
    // A list's values would be taken for those of the names.
    if text.trim_start().starts_with('[') {
        return Err(wrong(&"a list, as files of results are"));
    }
    serde_json::from_str(text).map_err(|error| wrong(&error))
}

fn listed(value: &RawValue) -> std::result::Result<Listed, (&'static str, Mismatch)> {
    let fields = Fields::of(value).map_err(|wrong| ("entry", wrong))?;
    let missing = |part| (part, Mismatch::new("a value", "none"));
    let id =
        fields.get("id", "a whole number").map_err(|wrong| ("id", wrong))?.ok_or_else(|| missing("id"))?;
    let file_name: Option<String> =
        fields.get("file_name", "a name").map_err(|wrong| ("file_name", wrong))?;
    let file_name = file_name.filter(|name| !name.is_empty()).ok_or_else(|| missing("file_name"))?;
    let size = ["height", "width"].map(|side| fields.raw(side).map(ToOwned::to_owned));
    Ok(Listed { id, file_name, size, annotations: Vec::new() })
}

fn of_categories(path: &Path, values: Vec<&RawValue>) -> Result<Vec<Category>> {
    let mut names = BTreeSet::new();
    let mut categories = BTreeMap::new();
    for (at, value) in values.into_iter().enumerate() {
        let field = |part: &str| format!("categories[{at}]: {part}");
        let fields = Fields::of(value).map_err(|wrong| wrong.at(path, field("entry")))?;
        let id = fields.get::<u64>("id", "a whole number").map_err(|wrong| wrong.at(path, field("id")))?;
        let name = fields.get::<String>("name", "a name").map_err(|wrong| wrong.at(path, field("name")))?;
        let (Some(id), Some(name)) = (id, name) else {
            return Err(Error::input(path, field("id, name"), "a number and a name", shown(value)));
        };
        if !names.insert(name.clone()) {
            return Err(Error::input(path, field("name"), "a name of its own for each category", name));
        }
        if categories.insert(id, name).is_some() {
            return Err(Error::input(path, field("id"), "a number of its own for each category", id));
        }
    }
    if categories.is_empty() {
        return Err(Error::input(path, "categories", "at least one", "an empty list"));
    }
    Ok(categories.into_iter().collect())
}
