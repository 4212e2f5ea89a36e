//! A run for TensorBoard: the scalars of its log and its pictures, as an event file that is written afterwards.

use super::event_file::{Event, Image, Summary, Value};
use crate::base::{Error, Result};
use crate::train::metrics::{self, Measured, Record};
use crate::train::run_dir::RunDir;
use image::{ImageDecoder, ImageReader};
use std::collections::BTreeMap;
use std::fs;
use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

/// How the names of event files begin; TensorBoard looks for the middle part.
pub(super) const NAME: &str = "events.out.tfevents.";

/// How the names of exports end.
const EXPORT: &str = ".vit-mae";

/// Whether an event file has the name of an export, which another export may replace.
#[must_use]
pub fn is_export(name: &str) -> bool {
    let time = name.strip_prefix(NAME).and_then(|rest| rest.strip_suffix(EXPORT));
    time.is_some_and(|time| !time.is_empty() && time.bytes().all(|byte| byte.is_ascii_digit()))
}

/// A whole run as one event file: its name and its content.
///
/// The log has no times of day. The last record gets the time at which the log was last written to, and the others lie
/// before it as far as the wall time of the epochs says.
///
/// # Errors
/// If the log cannot be read, or a picture is none.
pub fn export(run: &RunDir) -> Result<(String, Vec<u8>)> {
    let records = metrics::read(&run.metrics())?;
    let clock = Clock::new(&records, last_write(&run.metrics())?);
    let first = records.first().map_or(clock.end, |record| clock.at(record));
    let mut bytes = Event::version(first).record();
    let pictures = pictures(run, &records)?;
    for record in &records {
        bytes.extend(scalars(record, clock.at(record)).iter().flat_map(Event::record));
        if let Record::Epoch(epoch) = record {
            for picture in pictures.iter().filter(|picture| picture.epoch == epoch.epoch) {
                bytes.extend(picture.event(epoch.step, clock.at(record))?.record());
            }
        }
    }
    Ok((format!("{NAME}{:010.0}{EXPORT}", clock.end), bytes))
}

/// A record's numbers as an event, if it has any. TensorBoard has single precision.
pub(super) fn scalars(record: &Record, wall_time: f64) -> Option<Event> {
    let named: Vec<(String, f64)> = match record {
        Record::Step(r) => {
            let all = [
                ("loss", r.loss),
                ("lr", r.lr),
                ("grad_norm", r.grad_norm),
                ("images_per_s", r.images_per_s),
            ];
            let named = r.values.0.iter().map(|(name, value)| (name.as_str(), *value));
            all.into_iter().chain(named).map(|(name, value)| (format!("train/{name}"), value)).collect()
        }
        Record::Epoch(r) => {
            let scores = r.scores.validation().map(|(name, score)| (format!("held_out/{name}"), score));
            let epoch = [("train_loss", r.train_loss), ("images_per_s", r.images_per_s)];
            epoch.map(|(name, value)| (format!("epoch/{name}"), value)).into_iter().chain(scores).collect()
        }
        Record::Validation(r) => {
            let number = |(name, value): &(String, Measured)| match value {
                Measured::Number(number) => Some((format!("held_out/{name}"), *number)),
                Measured::PerClass(_) => None,
            };
            r.values.0.iter().filter_map(number).collect()
        }
        Record::Skipped(_) | Record::Change(_) => return None,
    };
    let value = named.into_iter().map(|(tag, value)| scalar(tag, value)).collect();
    Some(Event {
        wall_time,
        step: whole(record.step()),
        summary: Some(Summary { value }),
        ..Event::default()
    })
}

#[expect(clippy::cast_possible_truncation, reason = "TensorBoard's scalars are single precision")]
fn scalar(tag: String, value: f64) -> Value {
    Value { tag, scalar: Some(value as f32), image: None }
}

/// A step as the format has it.
pub(super) fn whole(step: u64) -> i64 {
    i64::try_from(step).unwrap_or(i64::MAX)
}

/// A picture of a run and the epoch that it belongs to.
pub(super) struct Picture {
    pub(super) tag: &'static str,
    pub(super) epoch: u64,
    path: PathBuf,
}

impl Picture {
    /// As an event.
    pub(super) fn event(&self, step: u64, wall_time: f64) -> Result<Event> {
        let image = Some(image(&self.path)?);
        let value = Value { tag: self.tag.to_owned(), scalar: None, image };
        let summary = Some(Summary { value: vec![value] });
        Ok(Event { wall_time, step: whole(step), summary, ..Event::default() })
    }
}

/// The pictures of a run: a sheet belongs to the epoch in its name, the others to the last.
pub(super) fn pictures(run: &RunDir, records: &[Record]) -> Result<Vec<Picture>> {
    let sheets = run.sheets_by_epoch()?.into_iter();
    let mut all: Vec<_> =
        sheets.map(|(epoch, path)| Picture { tag: "reconstructions", epoch, path }).collect();
    let epochs =
        records.iter().filter_map(|r| if let Record::Epoch(epoch) = r { Some(epoch.epoch) } else { None });
    if let Some(epoch) = epochs.max() {
        let of_last = [("confusion_matrix", run.confusion()), ("wrong", run.wrong())];
        let there = of_last.into_iter().filter(|(_, path)| path.is_file());
        all.extend(there.map(|(tag, path)| Picture { tag, epoch, path }));
    }
    Ok(all)
}

/// A PNG file with what its head says.
fn image(path: &Path) -> Result<Image> {
    let bytes = fs::read(path).map_err(Error::read(path))?;
    let wrong = |e: image::ImageError| Error::input(path, "picture", "a PNG file", e);
    let mut reader = ImageReader::new(Cursor::new(&bytes));
    reader.set_format(image::ImageFormat::Png);
    let decoder = reader.into_decoder().map_err(wrong)?;
    let (width, height) = decoder.dimensions();
    let side = |n: u32| i32::try_from(n).unwrap_or(i32::MAX);
    let colorspace = i32::from(decoder.color_type().channel_count());
    let (height, width) = (side(height), side(width));
    drop(decoder);
    Ok(Image { height, width, colorspace, encoded_image_string: bytes })
}

/// Seconds since 1970 at which a file was last written to.
fn last_write(path: &Path) -> Result<f64> {
    let modified = fs::metadata(path).and_then(|data| data.modified()).map_err(Error::read(path))?;
    Ok(modified.duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64()))
}

/// When records were written, as far as the log tells.
struct Clock {
    /// Wall time of each finished epoch, and the seconds of all before it.
    epochs: BTreeMap<u64, (f64, f64)>,
    /// Seconds from the beginning to the last record.
    length: f64,
    /// Seconds since 1970 of the last record.
    end: f64,
}

impl Clock {
    fn new(records: &[Record], end: f64) -> Self {
        let (mut epochs, mut before) = (BTreeMap::new(), 0.0);
        for record in records {
            if let Record::Epoch(record) = record {
                epochs.insert(record.epoch, (record.wall_secs, before));
                before += record.wall_secs;
            }
        }
        let mut clock = Self { epochs, length: 0.0, end };
        clock.length = records.iter().map(|record| clock.seconds(record)).fold(0.0, f64::max);
        clock
    }

    /// Seconds since 1970 of a record.
    fn at(&self, record: &Record) -> f64 {
        self.end - self.length + self.seconds(record)
    }

    /// Seconds from the beginning to a record. An epoch that is not finished is taken to last as long as the one before
    /// it. Skipped steps and changes are not shown and have no time.
    fn seconds(&self, record: &Record) -> f64 {
        let end = |epoch: u64| self.epochs.get(&epoch).map(|(secs, before)| before + secs);
        match record {
            Record::Epoch(record) => end(record.epoch).unwrap_or(0.0),
            Record::Validation(record) => end(record.epoch).unwrap_or(self.length),
            Record::Step(record) => {
                let epochs = record.epoch.max(0.0);
                #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "counts epochs")]
                let epoch = epochs.floor() as u64 + 1;
                let last = || self.epochs.last_key_value().map(|(_, &(secs, before))| (secs, before + secs));
                let (secs, before) = self.epochs.get(&epoch).copied().or_else(last).unwrap_or((0.0, 0.0));
                before + secs * epochs.fract()
            }
            Record::Skipped(_) | Record::Change(_) => 0.0,
        }
    }
}
