//! The augmentation of two crops: every recorded operation and whole view, to the byte.

use super::metadata::whole;
use super::recording::Recording;
use super::tolerance::EXACT;
use crate::base::{Real, Result};
use crate::data::augment::blur::MAX_SIGMA;
use crate::data::augment::photometric::Op;
use crate::data::resample::{CropBox, Filter};
use crate::data::{Geometry, Image};
use serde_json::Value;
use std::collections::BTreeMap;

/// Each of `ops` and `views` names its input and its output.
pub(super) fn replay<F: Real>(recording: &mut Recording<F>) -> Result<()> {
    let mut inputs = BTreeMap::new();
    for case in recording.list("ops")?.to_vec() {
        let mut image = input(recording, &mut inputs, &case)?;
        let named = case.get("op").and_then(Value::as_str);
        if named == Some("flip") {
            image.flip_horizontally();
        } else {
            let op = named.and_then(|name| op(name, &case["value"]));
            op.ok_or_else(|| recording.wrong("ops", "an operation and a value for it", &case))?
                .apply(&mut image);
        }
        compare(recording, &case, &image)?;
    }
    for case in recording.list("views")?.to_vec() {
        let image = input(recording, &mut inputs, &case)?;
        let view = geometry(&case, &image).zip(changes(&case));
        let wrong =
            || recording.wrong("views", "a crop inside of its image, a size, changes and their order", &case);
        let (geometry, changes) = view.ok_or_else(wrong)?;
        // A view as large as the metadata says is made only if it was recorded.
        let out = key(recording, &case, "out")?;
        if recording.promised(&out, &[geometry.out.0, geometry.out.1, image.channels])? {
            let mut view = geometry.image(&image, Filter::Bilinear, &[]);
            for op in changes {
                op.apply(&mut view);
            }
            compare(recording, &case, &view)?;
        }
    }
    Ok(())
}

/// The name of a tensor in an entry.
fn key<F>(recording: &Recording<F>, case: &Value, which: &str) -> Result<String> {
    let name = case.get(which).and_then(Value::as_str).map(str::to_owned);
    name.ok_or_else(|| recording.wrong(which, "the name of a tensor", case))
}

/// The image that an entry starts from, noted the first time.
fn input<F: Real>(
    recording: &mut Recording<F>,
    known: &mut BTreeMap<String, Image>,
    case: &Value,
) -> Result<Image> {
    let key = key(recording, case, "in")?;
    if let Some(image) = known.get(&key) {
        return Ok(image.clone());
    }
    let shape = recording.tensor(&key).map_or(Vec::new(), |tensor| tensor.shape().to_vec());
    let image = match *shape {
        [height, width, channels @ (1 | 3)] if height * width > 0 => {
            let bytes = recording.input_ids(&key, &shape, 256)?;
            let bytes = bytes.into_iter().map(|byte| byte.to_le_bytes()[0]).collect();
            Image::new(height, width, channels, bytes)
        }
        _ => {
            let expected = "an image of the shape [height, width, 1 or 3]";
            return Err(recording.wrong_tensor(&key, expected, format!("{shape:?}")));
        }
    };
    known.insert(key, image.clone());
    Ok(image)
}

fn compare<F: Real>(recording: &mut Recording<F>, case: &Value, image: &Image) -> Result<()> {
    let shape = [image.height, image.width, image.channels];
    let bytes = image.pixels.iter().map(|&byte| f64::from(byte));
    recording.compare(&key(recording, case, "out")?, &shape, bytes, EXACT)
}

/// An operation by its recorded name and value.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "Pillow's factors are single; checked"
)]
fn op(name: &str, value: &Value) -> Option<Op> {
    let number = value.as_f64().filter(|x| x.is_finite());
    let factor = number.map(|x| x as f32);
    match name {
        "brightness" => factor.map(Op::Brightness),
        "contrast" => factor.map(Op::Contrast),
        "saturation" => factor.map(Op::Saturation),
        "hue" => number.map(Op::Hue),
        "blur" => factor.filter(|sigma| (0.0..=MAX_SIGMA).contains(sigma)).map(Op::Blur),
        // A whole number is at least the threshold if it is at least the next whole one.
        "solarize" => number.filter(|x| (0.0..=256.0).contains(x)).map(|x| Op::Solarize(x.ceil() as u32)),
        "grayscale" => Some(Op::Grayscale),
        _ => None,
    }
}

/// A view's `crop` [top, left, height, width], `size` [height, width] and `flip`.
fn geometry(case: &Value, image: &Image) -> Option<Geometry> {
    let [top, left, height, width] = wholes(&case["crop"])?;
    let [rows, columns] = wholes(&case["size"])?;
    let inside = top + height <= image.height && left + width <= image.width;
    let out = (rows, columns);
    (inside && [height, width, rows, columns].iter().all(|&side| side > 0)).then_some(Geometry {
        crop: CropBox { top, left, height, width },
        scale: out,
        flip: case.get("flip")?.as_bool()?,
        out,
    })
}

fn wholes<const N: usize>(list: &Value) -> Option<[usize; N]> {
    let numbers: Option<Vec<usize>> = list.as_array()?.iter().map(whole).collect();
    numbers?.try_into().ok()
}

/// A view's changes: the jitter in its order (none if null), then `grayscale`, `blur` (null: none) and `solarize`.
fn changes(case: &Value) -> Option<Vec<Op>> {
    const JITTER: [&str; 4] = ["brightness", "contrast", "saturation", "hue"];
    let mut changes = Vec::new();
    for name in case["order"].as_array().into_iter().flatten() {
        let name = name.as_str().filter(|name| JITTER.contains(name))?;
        changes.push(op(name, &case[name])?);
    }
    if case.get("grayscale")?.as_bool()? {
        changes.push(Op::Grayscale);
    }
    if !case.get("blur")?.is_null() {
        changes.push(op("blur", &case["blur"])?);
    }
    if case.get("solarize")?.as_bool()? {
        changes.push(op("solarize", &128.into())?);
    }
    Some(changes)
}
