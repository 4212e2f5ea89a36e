//! WebDataset: images and their labels as members of tar files, the shards.
//!
//! ```text
//! train-000.tar:  0001.jpg · 0001.cls ("7") · 0002.jpg · 0002.cls · …
//!                 a/17.png · a/17.json ({"label": 7, …}) · …
//! ```
//!
//! `members` says what belongs together. `.cls` holds the class, a whole number or a name, `.json` an object with the field
//! `label` (or `cls`); where both are there, `.cls` counts. Other kinds (`.txt`, `.seg.png`) and hidden files are left
//! out. The shards, also several in one file (`cat a.tar b.tar`), are read through once; then images are read from where
//! they stand. Nothing is unpacked.

use serde_json::Value;
use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use super::super::decode::{MAX_BYTES, decode, open_regular};
use super::super::{Dataset, Image, Split, count};
use super::labels::{Label, Labels, ReadLabels};
use super::listing::Unread;
use super::members::{self, Kind, first_dot, key_and_kind};
use super::shards::{self, Shards};
use super::{images_in_words, spelt_out};
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
    notes: Vec<String>,
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

    fn index(Shards { files: shards, mut notes }: Shards) -> Result<(Self, ReadSoFar)> {
        let (mut samples, mut labels, mut aside) = (Vec::new(), Ok(Vec::new()), Aside::default());
        for (i, shard) in shards.iter().enumerate() {
            index_shard(shard, i, &mut samples, &mut labels, &mut aside)?;
        }
        notes.extend(aside.notes(&span(&shards)));
        if samples.is_empty() {
            let expected = "members called *.png, *.jpg or *.jpeg";
            return Err(Error::input(&shards[0], "images", expected, "no such member in any shard"));
        }
        Ok((Self { shards, samples, labels: Labels::default(), notes }, labels))
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
        format!(
            "{}: WebDataset, {} in {}, {}",
            span(&self.shards),
            images_in_words(self.len()),
            count(self.shards.len(), "shard", "shards"),
            self.labels.in_words()
        )
    }

    fn notes(&self) -> &[String] {
        &self.notes
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

/// The first shard and the last.
fn span(shards: &[PathBuf]) -> String {
    match shards {
        [shard] => shard.display().to_string(),
        [first, .., last] => format!("{} to {}", first.display(), last.display()),
        [] => String::new(),
    }
}

/// Whether the path is a `.tar` file, a pattern for some, or a folder of them.
pub(super) fn recognises(path: &Path) -> bool {
    shards::recognises(path, "tar")
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
    /// The label, if there is one, or what is wrong with it.
    fn label(&mut self) -> Result<Option<Label>> {
        let cls = self.cls.take().map(|label| label.map(Some));
        cls.or_else(|| self.json.take()).unwrap_or(Ok(None))
    }
}

/// What is left out, or read otherwise than by the first dot.
#[derive(Default)]
struct Aside {
    /// Members that are left out.
    unread: Unread,
    /// Images that are another kind of an image, and the first of them.
    kinds: (usize, String),
    /// Images whose keys have dots, and the first of them.
    dotted: (usize, String),
}

impl Aside {
    fn notes(&self, place: &str) -> Vec<String> {
        let (kinds, dotted) = (&self.kinds, &self.dotted);
        let kinds = (kinds.0 > 0).then(|| {
            format!(
                "{place}: {} left out as other kinds of an image, such as {}",
                images_in_words(kinds.0),
                kinds.1
            )
        });
        let dotted = (dotted.0 > 0).then(|| {
            format!(
                "{place}: {} with dots in the key, which ends at the last, such as {}",
                images_in_words(dotted.0),
                dotted.1
            )
        });
        let pictures = self.unread.pictures().map(|pictures| format!("{place}: {pictures}"));
        kinds.into_iter().chain(dotted).chain(pictures).collect()
    }
}

fn note_one((number, first): &mut (usize, String), name: &str) {
    if *number == 0 {
        name.clone_into(first);
    }
    *number += 1;
}

/// Adds the images of a shard and their labels, in the order in which their keys appear.
fn index_shard(
    path: &Path,
    shard: usize,
    samples: &mut Vec<Sample>,
    labels: &mut ReadSoFar,
    aside: &mut Aside,
) -> Result<()> {
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
                aside.unread.add(&[PathBuf::from(name)]);
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
    join(path, shard, groups, (samples, labels), aside)
}

/// Gives each image of a shard its label.
fn join(
    path: &Path,
    shard: usize,
    mut groups: Vec<Group>,
    (samples, labels): (&mut Vec<Sample>, &mut ReadSoFar),
    aside: &mut Aside,
) -> Result<()> {
    let with_image = groups.iter().filter(|group| group.image.is_some());
    let images: HashSet<String> = with_image.clone().map(|group| group.key.clone()).collect();
    let starts: HashSet<String> =
        with_image.filter_map(|group| first_dot(&group.key)).map(|(start, _)| start.to_owned()).collect();
    // Labels under keys that are the start of others, which these may need.
    let mut shared = HashMap::new();
    for group in groups.iter_mut().filter(|group| starts.contains(&group.key)) {
        shared.insert(group.key.clone(), group.label());
    }
    for mut group in groups {
        let beside = first_dot(&group.key);
        let start_has_image = beside.is_some_and(|(start, _)| images.contains(start));
        let Some((name, start, len)) = group.image.take() else {
            if start_has_image || starts.contains(&group.key) {
                continue;
            }
            let expected = "an image (.png, .jpg, .jpeg) of the same key";
            return Err(Error::input(path, group.any, expected, "no such member"));
        };
        let beside = beside.map(|(start, between)| (start.to_owned(), members::may_be_a_kind(between)));
        let own = match shared.get(&group.key) {
            Some(label) => label.clone(),
            None => group.label(),
        };
        let label = match beside {
            Some((_, true)) if start_has_image && matches!(own, Ok(None)) => {
                note_one(&mut aside.kinds, &name);
                continue;
            }
            Some((start, _)) => {
                note_one(&mut aside.dotted, &name);
                match own {
                    Ok(None) => shared.get(&start).cloned().unwrap_or(Ok(None)),
                    own => own,
                }
            }
            None => own,
        };
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
