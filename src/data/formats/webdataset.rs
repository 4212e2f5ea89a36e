//! WebDataset: images and their labels as members of tar files, the shards.
//!
//! ```text
//! train-000.tar:  0001.jpg · 0001.cls ("7") · 0002.jpg · 0002.cls · …
//!                 a/17.png · a/17.json ({"label": 7, …}) · …
//! ```
//!
//! A member's key is its path up to the first dot of its file name; the rest is its kind. `.cls` holds the class as a
//! whole number, `.json` an object with the field `label` (or `cls`); where both are there, `.cls` counts. Other kinds
//! (`.txt`, `.seg.png`) and hidden files are left out. The shards are read through once; then images are read from where
//! they stand. Nothing is unpacked.

use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use super::super::decode::{MAX_BYTES, decode, open_regular};
use super::super::{Dataset, Image, Split, count};
use super::labels::{classes_in, covered, label, numbered};
use super::shards;
use super::{classes_in_words, has_extension, images_in_words};
use crate::base::{Error, Result};

/// Far more than a whole number in text needs, and more than a label in JSON does.
const MOST_CLS: u64 = 64;
const MOST_JSON: u64 = 1 << 20;

/// The block of a tar file: headers are one long, contents a whole number of them.
const BLOCK: u64 = 512;

/// An image: where it stands, and its class.
struct Sample {
    shard: usize,
    name: Box<str>,
    start: u64,
    len: u64,
    label: Option<u32>,
}

/// Tar shards; each image is read when it is asked for.
pub struct WebDataset {
    shards: Vec<PathBuf>,
    samples: Vec<Sample>,
    classes: Vec<String>,
}

impl WebDataset {
    /// Indexes a shard, the shards that a pattern fits, or those of `split` in a folder.
    ///
    /// The classes are 0 to the largest label; those of a test set in a folder are its training set's.
    ///
    /// # Errors
    /// If a shard is cut short or is no tar file, a key has two images or none, a class is no whole number, some images
    /// have a label and others none, or the test set has a label that is no class of the training set.
    pub fn open(path: &Path, split: Split) -> Result<Self> {
        let mut set = Self::index(shards::find(path, split, "tar")?)?;
        let wanted = split != Split::Train && path.is_dir() && !set.classes.is_empty();
        let training = wanted.then(|| shards::find(path, Split::Train, "tar").ok()).flatten();
        if let Some(training) = training {
            let training = Self::index(training)?;
            let place = |index: usize| {
                let Sample { shard, name, .. } = &set.samples[index];
                (set.shards[*shard].clone(), format!("label of member {name}"))
            };
            if !training.classes.is_empty() {
                covered(set.labels(), training.classes.len(), &training.shards[0], place)?;
                set.classes = training.classes;
            }
        }
        Ok(set)
    }

    fn index(shards: Vec<PathBuf>) -> Result<Self> {
        let mut samples = Vec::new();
        for (i, shard) in shards.iter().enumerate() {
            index_shard(shard, i, &mut samples)?;
        }
        if samples.is_empty() {
            let expected = "members called *.png, *.jpg or *.jpeg";
            return Err(Error::input(&shards[0], "images", expected, "no such member in any shard"));
        }
        let unlabelled = samples.iter().find(|sample| sample.label.is_none());
        if let (Some(sample), true) = (unlabelled, samples.iter().any(|sample| sample.label.is_some())) {
            let field = format!("label of member {}", sample.name);
            let expected = "a .cls or .json member of the same key, as other images have";
            return Err(Error::input(&shards[sample.shard], field, expected, "no such member"));
        }
        let mut set = Self { shards, samples, classes: Vec::new() };
        set.classes = numbered(classes_in(set.labels()));
        Ok(set)
    }

    fn labels(&self) -> impl Iterator<Item = u32> + '_ {
        self.samples.iter().filter_map(|sample| sample.label)
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
        self.samples[index].label.map(|label| label as usize)
    }

    fn classes(&self) -> &[String] {
        &self.classes
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
            classes_in_words(self.classes.len())
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
            for number in [*shard as u64, *start, *len, label.map_or(u64::MAX, u64::from)] {
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

/// The label in a `.json` member, if it has one.
#[derive(Clone, Copy)]
struct JsonLabel(Option<u32>);

/// What one key has gathered.
#[derive(Default)]
struct Group {
    /// Name, start and length of the image.
    image: Option<(String, u64, u64)>,
    cls: Option<u32>,
    json: Option<JsonLabel>,
    /// A member's name, for messages.
    any: String,
}

/// Adds the images of a shard, in the order in which their keys appear.
fn index_shard(path: &Path, shard: usize, samples: &mut Vec<Sample>) -> Result<()> {
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
                let text = text(path, &mut entry, MOST_CLS)?;
                group.cls.replace(read_cls(path, &field, &text)?).is_some()
            }
            Kind::Json => {
                let text = text(path, &mut entry, MOST_JSON)?;
                group.json.replace(JsonLabel(read_json(path, &field, &text)?)).is_some()
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
        let label = cls.or(json.and_then(|JsonLabel(label)| label));
        samples.push(Sample { shard, name: name.into(), start, len, label });
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

/// The content of a small member; what is longer than `limit` is cut there and makes no sense any more.
fn text(path: &Path, entry: &mut impl Read, limit: u64) -> Result<String> {
    let mut bytes = Vec::new();
    entry.take(limit + 1).read_to_end(&mut bytes).map_err(Error::read(path))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn read_cls(path: &Path, field: &str, text: &str) -> Result<u32> {
    let number = text.trim().parse::<i64>().map_err(|_| {
        let found = format!("{:?}", text.chars().take(32).collect::<String>());
        Error::input(path, field, "a class as a whole number in text", found)
    })?;
    label(path, field, number)
}

/// The field `label` or `cls` of an object, if it has one.
fn read_json(path: &Path, field: &str, text: &str) -> Result<Option<u32>> {
    let object: serde_json::Map<_, _> = serde_json::from_str(text)
        .map_err(|e| Error::input(path, field, format!("a JSON object of at most {MOST_JSON} bytes"), e))?;
    let Some(value) = object.get("label").or_else(|| object.get("cls")) else { return Ok(None) };
    let number = value.as_i64().ok_or_else(|| {
        let found: String = value.to_string().chars().take(60).collect();
        Error::input(path, field, "a whole number as the field `label` or `cls`", found)
    })?;
    label(path, field, number).map(Some)
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
