//! The index of tar shards: where each image stands, and what the members with its label say.

use super::super::decode::open_regular;
use super::super::image::MAX_BYTES;
use super::labels::Label;
use super::listing::Unread;
use super::members::{self, Kind, first_dot, key_and_kind};
use super::{images_in_words, spelt_out};
use crate::base::{Error, Result, files};
use serde_json::Value;
use std::collections::{HashMap, HashSet};
use std::io::Read;
use std::path::{Path, PathBuf};

/// Far more than a number or a name needs, and more than an object with a label does.
const MOST_CLS: u64 = 1 << 10;
const MOST_JSON: u64 = 1 << 20;

/// The block of a tar file: headers are one long, contents a whole number of them.
const BLOCK: u64 = 512;

/// An image: where it stands, and what its label adds to the digest.
pub(super) struct Sample {
    pub(super) shard: usize,
    pub(super) name: Box<str>,
    pub(super) start: u64,
    pub(super) len: u64,
    pub(super) label: u64,
}

/// The labels of all samples, or why the first that cannot be read cannot.
pub(super) type ReadSoFar = Result<Vec<Option<Label>>>;

/// All images of some shards, and what is left out or read otherwise than by the first dot.
pub(super) struct Index {
    pub(super) samples: Vec<Sample>,
    pub(super) labels: ReadSoFar,
    unread: Unread,
    /// Images that are another kind of an image, and are left out.
    kinds: Vec<Box<str>>,
    /// Images whose keys have dots.
    dotted: Vec<Box<str>>,
}

/// What one key has gathered.
#[derive(Default)]
struct Group {
    key: String,
    /// Name, start and length of the image.
    image: Option<(String, u64, u64)>,
    /// What the label's members say, if they are there and make sense.
    cls: Option<Result<Label>>,
    json: Option<Result<Option<Label>>>,
    /// A member's name, for messages.
    any: String,
}

impl Group {
    fn label(&self) -> Result<Option<Label>> {
        let cls = self.cls.clone().map(|label| label.map(Some));
        cls.or_else(|| self.json.clone()).unwrap_or(Ok(None))
    }
}

impl Index {
    /// Indexes shards, in the order in which their keys appear.
    ///
    /// # Errors
    /// If a shard is cut short or is no tar file, or a key has two images, two labels of a kind or no image.
    pub(super) fn new(shards: &[PathBuf]) -> Result<Self> {
        let (kinds, dotted) = (Vec::new(), Vec::new());
        let mut index =
            Self { samples: Vec::new(), labels: Ok(Vec::new()), unread: Unread::default(), kinds, dotted };
        for (i, shard) in shards.iter().enumerate() {
            let groups = index.groups(shard)?;
            index.add(shard, i, groups)?;
        }
        Ok(index)
    }

    /// What is to be said of it.
    pub(super) fn notes(&self, place: &str) -> Vec<String> {
        let some = |names: &[Box<str>], what: &str| {
            let first = names.first()?;
            Some(format!("{place}: {} {what}, such as {first}", images_in_words(names.len())))
        };
        let kinds = some(&self.kinds, "left out as other kinds of an image");
        let dotted = some(&self.dotted, "with dots in the key, which ends at the last");
        let pictures = self.unread.pictures().map(|pictures| format!("{place}: {pictures}"));
        [kinds, dotted, pictures].into_iter().flatten().collect()
    }

    /// What a shard's keys have gathered, in the order in which they appear.
    fn groups(&mut self, path: &Path) -> Result<Vec<Group>> {
        let (file, file_len) = open_regular(path)?;
        let (mut groups, mut places) = (Vec::<Group>::new(), HashMap::new());
        let (mut archive, mut end, mut last) = (tar::Archive::new(file), 0, "the start".to_owned());
        // What ends an archive may be followed by another, as `cat a.tar b.tar` makes them.
        archive.set_ignore_zeros(true);
        let wrong = |after: &str| {
            let field = format!("tar header after {after}");
            move |error| Error::input(path, field, "an uncompressed, sound tar file", error)
        };
        for entry in archive.entries_with_seek().map_err(wrong(&last))? {
            let mut entry = entry.map_err(wrong(&last))?;
            let name = spelt_out(&entry.path_bytes());
            let field = format!("member {name}");
            let (start, len) = (entry.raw_file_position(), entry.size());
            end = start.saturating_add(len.div_ceil(BLOCK).saturating_mul(BLOCK));
            last.clone_from(&field);
            if start.saturating_add(len) > file_len {
                let found = format!("{}: the shard is cut short", file_len.saturating_sub(start));
                return Err(Error::input(path, field, format!("{len} bytes"), found));
            }
            let is_dir = entry.header().entry_type().is_dir();
            let Some((key, kind)) = key_and_kind(&name).filter(|_| !is_dir) else {
                if !members::is_hidden(&name) {
                    self.unread.add(&[PathBuf::from(name)]);
                }
                continue;
            };
            if !entry.header().entry_type().is_file() {
                return Err(Error::input(path, field, "a plain file", "a link or another kind of member"));
            }
            let at = *places.entry(key.to_owned()).or_insert_with(|| {
                groups.push(Group { key: key.to_owned(), any: field.clone(), ..Group::default() });
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
        Ok(groups)
    }

    /// Adds the images of a shard, each with its label.
    fn add(&mut self, path: &Path, shard: usize, groups: Vec<Group>) -> Result<()> {
        let with_image = groups.iter().filter(|group| group.image.is_some());
        let images: HashSet<String> = with_image.clone().map(|group| group.key.clone()).collect();
        let starts: HashSet<String> =
            with_image.filter_map(|group| first_dot(&group.key)).map(|(start, _)| start.to_owned()).collect();
        // Labels under keys that are the start of others, which these may need.
        let shared = groups.iter().filter(|group| starts.contains(&group.key));
        let shared: HashMap<String, _> = shared.map(|group| (group.key.clone(), group.label())).collect();
        for group in groups {
            let longer = first_dot(&group.key);
            let beside_image = longer.is_some_and(|(start, _)| images.contains(start));
            let mut label = group.label();
            let Some((name, start, len)) = group.image else {
                if beside_image || starts.contains(&group.key) {
                    continue;
                }
                let expected = "an image (.png, .jpg, .jpeg) of the same key";
                return Err(Error::input(path, group.any, expected, "no such member"));
            };
            let (name, unlabelled) = (name.into_boxed_str(), matches!(label, Ok(None)));
            if let Some((start, between)) = longer {
                if beside_image && unlabelled && members::may_be_a_kind(between) {
                    self.kinds.push(name);
                    continue;
                }
                self.dotted.push(name.clone());
                if unlabelled {
                    label = shared.get(start).cloned().unwrap_or(Ok(None));
                }
            }
            let code = label.as_ref().ok().and_then(Option::as_ref).map_or(u64::MAX, Label::code);
            self.samples.push(Sample { shard, name, start, len, label: code });
            match (&mut self.labels, label) {
                (Ok(labels), Ok(label)) => labels.push(label),
                (Ok(_), Err(problem)) => self.labels = Err(problem),
                (Err(_), _) => {}
            }
        }
        Ok(())
    }
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
