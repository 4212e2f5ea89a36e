//! Operations on boxes.

use super::case::{Case, MOST};
use crate::base::{Real, Result};
use crate::models::detect::anchors::{AnchorConfig, anchors as all_anchors};
use crate::models::detect::boxes;
use crate::models::detect::levels::LevelRule;
use crate::models::detect::matcher::{Label, Matcher};
use crate::models::detect::nms::nms as kept;
use ndarray::Ix2;
use serde_json::Value;

/// The option `weights`.
fn weights<F: Real>(case: &Case<F>) -> Result<[f64; 4]> {
    let weights = case.list("weights", "four positive numbers", Value::as_f64)?;
    let weights = <[f64; 4]>::try_from(weights).ok().filter(|weights| weights.iter().all(|w| *w > 0.0));
    weights.ok_or_else(|| case.wrong("`weights`: four positive numbers"))
}

pub(super) fn encode<F: Real>(case: &mut Case<F>) -> Result<()> {
    let (from, to, weights) = (case.boxes("boxes")?, case.boxes("targets")?, weights(case)?);
    if from.len() != to.len() {
        return Err(case.wrong("a target for every box"));
    }
    let deltas = from.iter().zip(&to).flat_map(|(&from, &to)| boxes::encode(from, to, weights));
    compare(case, &[from.len(), 4], deltas.collect())
}

pub(super) fn decode<F: Real>(case: &mut Case<F>) -> Result<()> {
    let (from, weights, [rows, columns]) = (case.boxes("boxes")?, weights(case)?, case.shape("deltas")?);
    let deltas = case.input("deltas", &[from.len(), columns / 4 * 4])?;
    let deltas = deltas.as_slice().expect("in standard layout").as_chunks().0;
    let moved = deltas.iter().enumerate().flat_map(|(i, &deltas)| {
        let box_number = i / (columns / 4);
        boxes::decode(deltas, from[box_number], weights)
    });
    compare(case, &[rows, columns], moved.collect())
}

pub(super) fn clip<F: Real>(case: &mut Case<F>) -> Result<()> {
    let expected = "`image`: a height and a width";
    let image = case.list("image", expected, Value::as_u64)?;
    let side = |side: &u64| usize::try_from(*side).ok().filter(|side| *side <= MOST);
    let image: Option<Vec<usize>> = image.iter().map(side).collect();
    let image =
        image.and_then(|image| <[usize; 2]>::try_from(image).ok()).ok_or_else(|| case.wrong(expected))?;
    let found = case.boxes("boxes")?;
    let clipped = found.iter().flat_map(|&bbox| boxes::clip(bbox, image));
    compare(case, &[found.len(), 4], clipped.collect())
}

pub(super) fn iou<F: Real>(case: &mut Case<F>) -> Result<()> {
    let (a, b) = (case.boxes("a")?, case.boxes("b")?);
    let overlaps = a.iter().flat_map(|&a| b.iter().map(move |&b| boxes::iou(a, b)));
    compare(case, &[a.len(), b.len()], overlaps.collect())
}

pub(super) fn anchors<F: Real>(case: &mut Case<F>) -> Result<()> {
    let side = |value: &Value| value.as_u64().and_then(|n| usize::try_from(n).ok()).filter(|n| *n <= MOST);
    let pair = |value: &Value| {
        let sides: Option<Vec<usize>> = value.as_array()?.iter().map(side).collect();
        <[usize; 2]>::try_from(sides?).ok()
    };
    let positive = |value: &Value| value.as_f64().filter(|number| (1e-6..1e6).contains(number));
    let grids = case.list("maps", "heights and widths", pair)?;
    let strides = case.list("strides", "a stride a level", side)?;
    let sizes = case.list("sizes", "a size a level", positive)?;
    let ratios = case.list("ratios", "positive numbers", positive)?;
    let offset = case.number("offset", "a number", f64::is_finite)?;
    if [strides.len(), sizes.len()] != [grids.len(); 2] {
        return Err(case.wrong("as many `strides` and `sizes` as `maps`"));
    }
    let pixels: usize = grids.iter().map(|[rows, columns]| rows * columns).sum();
    let shape = [pixels * ratios.len(), 4];
    let key = case.key("y");
    if !case.recording.promised(&key, &shape)? {
        return Ok(());
    }
    let found = all_anchors::<F>(&grids, &strides, &AnchorConfig { sizes, ratios, offset });
    compare(case, &shape, found.concat())
}

pub(super) fn levels<F: Real>(case: &mut Case<F>) -> Result<()> {
    let size = case.number("canonical_size", "a positive number", |size| size > 0.0)?;
    let level = |option: &str| case.whole(option, 0..=MOST);
    let rule = LevelRule {
        canonical_level: level("canonical_level")?,
        canonical_size: size,
        min_level: level("min_level")?,
        max_level: level("max_level")?,
    };
    let levels: Vec<_> = case.boxes("boxes")?.into_iter().map(|bbox| rule.level(bbox) as f64).collect();
    case.compare_ids("level", levels)
}

pub(super) fn matcher<F: Real>(case: &mut Case<F>) -> Result<()> {
    let [objects, candidates] = case.shape("quality")?;
    let quality = case.input("quality", &[objects, candidates])?;
    let quality = quality.into_dimensionality::<Ix2>().expect("two axes, just checked");
    let thresholds = case.list("thresholds", "one or two numbers", Value::as_f64)?;
    let labels = case.list("labels", "whole numbers", Value::as_i64)?;
    let (negative_below, positive_from) = match (thresholds[..].as_ref(), labels[..].as_ref()) {
        (&[both], [0, 1]) => (both, both),
        (&[low, high], [0, -1, 1]) if low <= high => (low, high),
        _ => return Err(case.wrong("`thresholds` and `labels`: one with [0, 1] or two with [0, -1, 1]")),
    };
    let low_quality = case.options.get("low_quality").and_then(Value::as_bool);
    let low_quality = low_quality.ok_or_else(|| case.wrong("`low_quality`: true or false"))?;
    let matcher = Matcher { negative_below, positive_from, low_quality };
    let found = matcher.matches(objects, candidates, |object, candidate| quality[(object, candidate)]);
    case.compare_ids("match", found.iter().map(|m| m.object.expect("there are objects") as f64))?;
    case.compare_ids(
        "label",
        found.iter().map(|m| match m.label {
            Label::Negative => 0.0,
            Label::Ignored => -1.0,
            Label::Positive => 1.0,
        }),
    )
}

pub(super) fn nms<F: Real>(case: &mut Case<F>) -> Result<()> {
    let threshold = case.number("threshold", "from 0 to 1", |threshold| (0.0..=1.0).contains(&threshold))?;
    let boxes = case.boxes("boxes")?;
    let scores = case.input("scores", &[boxes.len()])?;
    let classes = if case.has("classes") { Some(case.ids("classes", boxes.len(), MOST)?) } else { None };
    let scores = scores.as_slice().expect("in standard layout");
    let keep = kept(&boxes, scores, classes.as_deref(), threshold);
    case.compare_ids("keep", keep.into_iter().map(|i| i as f64))
}

fn compare<F: Real>(case: &mut Case<F>, shape: &[usize], y: Vec<F>) -> Result<()> {
    case.compare("y", shape, &y, Case::<F>::tolerance())
}
