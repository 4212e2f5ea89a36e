//! Sheets of detections: images beside their true and their found objects; and single pictures with names and scores.

use super::coco::{Detection, ImageResult};
use super::evaluate::{SURE, instances};
use super::predictor::Found;
use crate::base::Result;
use crate::data::geometry::Geometry;
use crate::data::resample::Filter;
use crate::data::rle::Rle;
use crate::data::{Dataset, Image, Instance, Target};
use crate::draw::overlay::overlay;
use crate::draw::palette::colour;
use crate::draw::sheet::{Picture, Sheet};
use std::collections::BTreeSet;

/// The longer side of a picture with names is at least this many pixels, so that they can be read.
const READABLE: usize = 640;

/// A sheet of images of a data set with what was found in them, and below each what is said of it.
///
/// # Errors
/// If an image or its objects can no longer be read, or the picture cannot be encoded.
pub fn sheet(
    dataset: &dyn Dataset,
    shown: &[(usize, &ImageResult)],
    note: &str,
    say: impl Fn(usize) -> Option<String>,
) -> Result<Vec<u8>> {
    let mut sheet = Sheet::new(&["image", "true objects", "found objects"], Some(note));
    let mut seen = BTreeSet::new();
    for &(index, result) in shown {
        let image = dataset.image(index)?;
        let truth = overlay(&image, &Target::Instances(instances(dataset, index)?));
        let sure = result.detections.iter().filter(|found| found.score >= SURE);
        let drawn = |Detection { bbox: [x, y, w, h], class, mask, .. }: &Detection| {
            instance([*x, *y, x + w, y + h], *class, mask.as_ref())
        };
        let found = overlay(&image, &Target::Instances(sure.map(drawn).collect()));
        seen.extend(truth.1.into_iter().chain(found.1));
        let said: Vec<String> = say(index).into_iter().collect();
        sheet.push_labelled_row([(Picture::of(&image), said), (truth.0, Vec::new()), (found.0, Vec::new())]);
    }
    let name = |number: usize| dataset.classes().get(number.checked_sub(1)?).cloned();
    let legend = seen.into_iter().filter_map(|number| Some((colour(number), name(number)?)));
    sheet.set_legend(legend);
    sheet.to_png_bytes()
}

/// An image with the objects that were found with a score of [`SURE`] or more: masks, boxes, names and scores. Small images are
/// enlarged by a whole factor.
#[must_use]
pub fn picture(image: &Image, found: &[Found], names: &[String]) -> Picture {
    let factor = (READABLE / image.height.max(image.width)).max(1);
    let (height, width) = (factor * image.height, factor * image.width);
    let enlarge = Geometry::resized((image.height, image.width), (height, width));
    let sure: Vec<(&Found, Instance)> = found
        .iter()
        .filter(|found| found.score >= SURE)
        .filter_map(|found| {
            let instance = instance(found.bbox, found.class, found.mask.as_ref());
            Some((found, moved(&enlarge, instance)?))
        })
        .collect();
    let instances: Vec<Instance> = sure.iter().map(|(_, instance)| instance.clone()).collect();
    let enlarged = enlarge.image(image, Filter::Bilinear, &[]);
    let mut picture = overlay(&enlarged, &Target::Instances(instances)).0;
    for (found, Instance { bbox, .. }) in &sure {
        let text = format!("{} {:.0} %", names[found.class], 100.0 * found.score);
        picture.label(&text, [bbox[0], bbox[1]]);
    }
    picture
}

/// An object in an enlarged picture.
fn moved(enlarge: &Geometry, object: Instance) -> Option<Instance> {
    match enlarge.target(&Target::Instances(vec![object])) {
        Target::Instances(mut moved) => moved.pop(),
        _ => None,
    }
}

/// What is drawn of something found, whose box has these corners.
fn instance(bbox: [f64; 4], class: usize, mask: Option<&Rle>) -> Instance {
    let [x1, y1, x2, y2] = bbox;
    Instance { bbox, class, mask: mask.cloned(), crowd: false, area: (x2 - x1) * (y2 - y1) }
}
