//! WebDataset: images and their labels as members of tar files, the shards.
//!
//! ```text
//! train-000.tar:  0001.jpg · 0001.cls ("7") · 0002.jpg · 0002.cls · …
//!                 a/17.png · a/17.json ({"label": 7, …}) · …
//! ```
//!
//! A member's key is its path up to the first dot of its file name; the rest is its kind. `.cls` holds the class, a whole
//! number or a name, `.json` an object with the field `label` (or `cls`); where both are there, `.cls` counts. Other
//! kinds (`.txt`, `.seg.png`) and hidden files are left out. The shards are read through once; then images are read from
//! where they stand. Nothing is unpacked.

use serde_json::Value;
use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use super::super::decode::{MAX_BYTES, decode, open_regular};
use super::super::{Dataset, Image, Split, count};
use super::labels::{Label, Labels, ReadLabels};
use super::shards;
use super::{has_extension, images_in_words};
use crate::base::{Error, Result, files};

/// Far more than a number or a name needs, and more than an object with a label does.
const MOST_CLS: u64 = 1 << 10;
const MOST_JSON: u64 = 1 << 20;

/// The block of a tar file: headers are one long, contents a whole number of them.
const BLOCK: u64 = 512;

/// An image: where it stands, and what its label adds to the digest.
struct Sample {
    shard: usize,
    name: Box<str>,
    start: u64,
    len: u64,
    label: u64,
}

/// The labels of all samples, or why the first that cannot be read cannot.
type ReadSoFar = Result<Vec<Option<Label>>>;

/// Tar shards; each image is read when it is asked for.
pub struct WebDataset {
    shards: Vec<PathBuf>,
    samples: Vec<Sample>,
    labels: Labels,
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

    fn index(shards: Vec<PathBuf>) -> Result<(Self, ReadSoFar)> {
        let (mut samples, mut labels) = (Vec::new(), Ok(Vec::new()));
        for (i, shard) in shards.iter().enumerate() {
            index_shard(shard, i, &mut samples, &mut labels)?;
        }
        if samples.is_empty() {
            let expected = "members called *.png, *.jpg or *.jpeg";
            return Err(Error::input(&shards[0], "images", expected, "no such member in any shard"));
        }
        Ok((Self { shards, samples, labels: Labels::default() }, labels))
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
        let place = match &self.shards[..] {
            [shard] => shard.display().to_string(),
            [first, .., last] => format!("{} to {}", first.display(), last.display()),
            [] => String::new(),
        };
        format!(
            "{place}: WebDataset, {} in {}, {}",
            images_in_words(self.len()),
            count(self.shards.len(), "shard", "shards"),
            self.labels.in_words()
        )
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

/// Whether the path is a `.tar` file, a pattern for some, or a folder of them.
pub(super) fn recognises(path: &Path) -> bool {
    if path.is_dir() { shards::holds(path, "tar") } else { has_extension(path, "tar") }
}

/// What one key has gathered.
#[derive(Default)]
struct Group {
    /// Name, start and length of the image.
    image: Option<(String, u64, u64)>,
    /// What the label's members say, if they are there and make sense.
    cls: Option<Result<Label>>,
    json: Option<Result<Option<Label>>>,
    /// A member's name, for messages.
    any: String,
}

/// Adds the images of a shard and their labels, in the order in which their keys appear.
fn index_shard(path: &Path, shard: usize, samples: &mut Vec<Sample>, labels: &mut ReadSoFar) -> Result<()> {
    let (file, file_len) = open_regular(path)?;
    let (mut groups, mut places) = (Vec::<Group>::new(), HashMap::new());
    let (mut archive, mut end, mut last) = (tar::Archive::new(file), 0, "the start".to_owned());
    let wrong = |after: &str| {
        let field = format!("tar header after {after}");
        move |error| Error::input(path, field, "an uncompressed, sound tar file", error)
    };
    for entry in archive.entries_with_seek().map_err(wrong(&last))? {
        let mut entry = entry.map_err(wrong(&last))?;
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let field = format!("member {name}");
        let (start, len) = (entry.raw_file_position(), entry.size());
        end = start.saturating_add(len.div_ceil(BLOCK).saturating_mul(BLOCK));
        last.clone_from(&field);
        if start.saturating_add(len) > file_len {
            let found = format!("{}: the shard is cut short", file_len.saturating_sub(start));
            return Err(Error::input(path, field, format!("{len} bytes"), found));
        }
        let Some((key, kind)) = key_and_kind(&name) else { continue };
        if entry.header().entry_type().is_dir() {
            continue;
        }
        if !entry.header().entry_type().is_file() {
            return Err(Error::input(path, field, "a plain file", "a link or another kind of member"));
        }
        let at = *places.entry(key.to_owned()).or_insert_with(|| {
            groups.push(Group { any: field.clone(), ..Group::default() });
            groups.len() - 1
        });
        let group = &mut groups[at];
        let twice = match kind {
            Kind::Image if len > MAX_BYTES => {
                return Err(Error::input(path, field, format!("at most {MAX_BYTES} bytes"), len));
            }
            Kind::Image => group.image.replace((name.clone(), start, len)).is_some(),
            Kind::Cls => {
                let text = text(path, &field, &mut entry, MOST_CLS);
                group.cls.replace(text.map(|text| Label::text(&text))).is_some()
            }
            Kind::Json => {
                let text = text(path, &field, &mut entry, MOST_JSON);
                group.json.replace(text.and_then(|text| read_json(path, &field, &text))).is_some()
            }
        };
        if twice {
            let expected = format!("one member of its kind for the key {key}");
            return Err(Error::input(path, field, expected, "a second one"));
        }
    }
    if file_len < end.saturating_add(BLOCK) {
        let expected = "the empty blocks that end a tar file";
        return Err(Error::input(
            path,
            format!("end, after {last}"),
            expected,
            "nothing: the shard is cut short",
        ));
    }
    for Group { image, cls, json, any } in groups {
        let Some((name, start, len)) = image else {
            return Err(Error::input(
                path,
                any,
                "an image (.png, .jpg, .jpeg) of the same key",
                "no such member",
            ));
        };
        let label = cls.map(|label| label.map(Some)).or(json).unwrap_or(Ok(None));
        let code = label.as_ref().ok().and_then(Option::as_ref).map_or(u64::MAX, Label::code);
        samples.push(Sample { shard, name: name.into(), start, len, label: code });
        match (&mut *labels, label) {
            (Ok(labels), Ok(label)) => labels.push(label),
            (Ok(_), Err(problem)) => *labels = Err(problem),
            (Err(_), _) => {}
        }
    }
    Ok(())
}

/// What a member is, by the ending of its name.
#[derive(Clone, Copy)]
enum Kind {
    Image,
    Cls,
    Json,
}

/// `a/17.PNG` → `a/17` and an image; nothing for members that are left out.
fn key_and_kind(name: &str) -> Option<(&str, Kind)> {
    let file = name.rsplit('/').next().filter(|file| !file.starts_with('.'))?;
    let (stem, kind) = file.split_once('.')?;
    let key = &name[..name.len() - file.len() + stem.len()];
    let kind = match &*kind.to_ascii_lowercase() {
        "png" | "jpg" | "jpeg" => Kind::Image,
        "cls" => Kind::Cls,
        "json" => Kind::Json,
        _ => return None,
    };
    Some((key, kind))
}

/// The text of a small member.
fn text(path: &Path, field: &str, entry: &mut impl Read, limit: u64) -> Result<String> {
    let mut bytes = Vec::new();
    entry.take(limit + 1).read_to_end(&mut bytes).map_err(Error::read(path))?;
    if bytes.len() as u64 > limit {
        return Err(Error::input(path, field, format!("at most {limit} bytes"), "more"));
    }
    files::text(path, field, &bytes).map(str::to_owned)
}

/// The field `label` or `cls` of an object, if it has one.
fn read_json(path: &Path, field: &str, text: &str) -> Result<Option<Label>> {
    let object: serde_json::Map<_, _> =
        serde_json::from_str(text).map_err(|e| Error::input(path, field, "a JSON object", e))?;
    match object.get("label").or_else(|| object.get("cls")) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Number(number)) => Ok(number.as_f64().map(Label::number)),
        Some(Value::String(text)) => Ok(Some(Label::text(text))),
        Some(other) => {
            let found: String = other.to_string().chars().take(60).collect();
            let expected = "a whole number or a name as the field `label` or `cls`";
            Err(Error::input(path, field, expected, found))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_ends_at_the_first_dot_of_the_file_name() {
        let of = |name| key_and_kind(name).map(|(key, _)| key);
        assert_eq!(of("a.b/17.PNG"), Some("a.b/17"));
        assert_eq!(of("17.cls"), Some("17"));
        assert_eq!(of("./x/17.json"), Some("./x/17"));
        for other in ["17.seg.png", "17.txt", "17", "a/._17.png", ".png", "", "a.png/"] {
            assert_eq!(of(other), None, "{other}");
        }
    }
}
