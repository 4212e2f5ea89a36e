//! Detections as a file, in COCO's format of results, which `pycocotools` and evaluation servers read.
//!
//! ```text
//! [{"image_id": 42, "category_id": 18, "bbox": [x, y, w, h], "score": 0.98,
//!   "segmentation": {"size": [H, W], "counts": "…"}}, …]          masks as compressed runs, where there are any
//! ```

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::Detection;
use crate::base::files::text;
use crate::base::{Error, Result};
use crate::data::rle::Rle;

/// One detection.
#[derive(Serialize, Deserialize)]
struct Entry {
    image_id: u64,
    category_id: u64,
    bbox: [f64; 4],
    score: f64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    segmentation: Option<Segmentation>,
}

/// A mask.
#[derive(Serialize, Deserialize)]
struct Segmentation {
    size: [usize; 2],
    counts: String,
}

/// The detections of images, each with its number, as one JSON document; class k is category `category_ids[k]`.
///
/// # Panics
/// If a class has no category, or a score is NaN.
pub fn document<'a>(
    images: impl IntoIterator<Item = (u64, &'a [Detection])>,
    category_ids: &[u64],
) -> Vec<u8> {
    let entry = |image_id: u64, found: &Detection| Entry {
        image_id,
        category_id: category_ids[found.class],
        bbox: found.bbox,
        score: found.score,
        segmentation: found
            .mask
            .as_ref()
            .map(|mask| Segmentation { size: mask.size(), counts: mask.string() }),
    };
    let images = images.into_iter();
    let entries = images.flat_map(|(id, all)| all.iter().map(move |found| entry(id, found)));
    let entries: Vec<Entry> = entries.collect();
    serde_json::to_vec(&entries).expect("numbers and text")
}

/// Reads a file of detections, by image; category `category_ids[k]` is class k.
///
/// # Errors
/// If the file cannot be read, is of another form, or has a category that is none of these, a box of negative size, or a mask
/// that is none.
pub fn read(path: &Path, category_ids: &[u64]) -> Result<BTreeMap<u64, Vec<Detection>>> {
    let bytes = fs::read(path).map_err(Error::read(path))?;
    let form = |error: serde_json::Error| Error::input(path, "detections", "COCO's format of results", error);
    let entries: Vec<Entry> = serde_json::from_str(text(path, "detections", &bytes)?).map_err(form)?;
    let mut images = BTreeMap::<u64, Vec<Detection>>::new();
    for (at, Entry { image_id, category_id, bbox, score, segmentation }) in entries.into_iter().enumerate() {
        let field = |part: &str| format!("detection {at}: {part}");
        let class = category_ids.iter().position(|id| *id == category_id).ok_or_else(|| {
            let known = category_ids.iter().map(u64::to_string).collect::<Vec<_>>().join(", ");
            Error::input(path, field("category_id"), format!("one of {known}"), category_id)
        })?;
        if bbox[2] < 0.0 || bbox[3] < 0.0 {
            let expected = "x, y, width and height, of which the last two are not negative";
            return Err(Error::input(path, field("bbox"), expected, format!("{bbox:?}")));
        }
        let mask =
            segmentation.map(|Segmentation { size, counts }| Rle::of_string(&counts, size)).transpose();
        let mask = mask.map_err(|wrong| wrong.at(path, field("segmentation")))?;
        images.entry(image_id).or_default().push(Detection { bbox, score, class, mask });
    }
    Ok(images)
}
