//! Images with label maps and objects in files, as other programs take them: ADE20K's layout and COCO's in one folder.
//!
//! ```text
//! images/SPLIT/000000.png            the images
//! annotations/SPLIT/000000.png       their label maps, as palette PNGs
//! annotations/instances_SPLIT.json   their objects: boxes, areas, masks in runs
//! classes.txt                        the names of the labels, one a line
//! ```

use std::path::Path;
use std::sync::Arc;

use image::RgbImage;
use rayon::prelude::*;
use serde_json::{Value, json};

use crate::base::disk::{Disk, Os};
use crate::base::{Error, Result};
use crate::checkpoint::atomic::{parent, partial_name, sync_dir, write_synced};
use crate::data::survey::OnImage;
use crate::data::{Dataset, Image, Instance, Split, Target};
use crate::draw::palette::label_map_png;
use crate::draw::sheet::png_bytes;

/// The images of one split, twice: with label maps and with instances.
pub struct DenseSplit {
    /// Which one.
    pub split: Split,
    /// The images with label maps.
    pub maps: Arc<dyn Dataset>,
    /// The same images with instances.
    pub objects: Arc<dyn Dataset>,
}

/// Refuses a folder that is there already, or that would lie in none.
///
/// # Errors
/// If that is so.
pub fn check(folder: &Path) -> Result<()> {
    let refuse = |expected: &str| Err(Error::setting("--out", expected, folder.display()));
    if folder.file_name().is_none() || !parent(folder).is_dir() {
        return refuse("a folder in a folder that exists");
    }
    if folder.symlink_metadata().is_ok() { refuse("a new folder") } else { Ok(()) }
}

/// Writes all splits into a new folder, whole or not at all; the same bytes on any number of threads. `more` are further files.
///
/// # Errors
/// If a file cannot be written; then the folder is not there.
pub fn write(folder: &Path, splits: &[DenseSplit], more: &[(&str, &str)], on_image: OnImage) -> Result<()> {
    check(folder)?;
    let partial = partial_name(folder);
    let put = || -> Result<()> {
        if partial.symlink_metadata().is_ok() {
            // What a program that was killed left behind.
            Os.remove_dir_all(&partial).map_err(Error::write(&partial))?;
        }
        Os.create_dir_all(&partial).map_err(Error::write(&partial))?;
        for split in splits {
            write_split(&partial, split, on_image)?;
        }
        let names = splits.first().map_or(&[][..], |split| split.maps.classes());
        let names = names.join("\n") + "\n";
        for (name, text) in [&[("classes.txt", names.as_str())], more].concat() {
            write_synced(&Os, &partial.join(name), text.as_bytes())?;
        }
        sync_dir(&Os, &partial)?;
        Os.rename(&partial, folder).map_err(Error::write(folder))?;
        sync_dir(&Os, parent(folder))
    };
    let written = put();
    if written.is_err() {
        // Best effort: what matters to the user is the first error, not this one.
        let _ = Os.remove_dir_all(&partial);
    }
    written
}

fn write_split(
    root: &Path,
    DenseSplit { split, maps, objects }: &DenseSplit,
    on_image: OnImage,
) -> Result<()> {
    let name = split.to_string();
    let folders = ["images", "annotations"].map(|folder| root.join(folder).join(&name));
    for folder in &folders {
        Os.create_dir_all(folder).map_err(Error::write(folder))?;
    }
    let one = |index: usize| -> Result<(Value, Vec<Value>)> {
        let (file, image) = (format!("{index:06}.png"), maps.image(index)?);
        let (Target::LabelMap(map), Target::Instances(found)) = (maps.target(index)?, objects.target(index)?)
        else {
            panic!("label maps and instances are needed: {}, {}", maps.describe(), objects.describe());
        };
        write_synced(&Os, &folders[0].join(&file), &png(&image)?)?;
        write_synced(&Os, &folders[1].join(&file), &label_map_png(&map)?)?;
        on_image();
        let about =
            json!({ "id": index + 1, "file_name": file, "height": image.height, "width": image.width });
        Ok((about, found.iter().map(|object| annotation(object, index + 1)).collect()))
    };
    let all = (0..maps.len()).into_par_iter().map(one).collect::<Result<Vec<_>>>()?;
    let (images, annotations): (Vec<Value>, Vec<Vec<Value>>) = all.into_iter().unzip();
    let numbered = annotations.into_iter().flatten().enumerate().map(|(at, mut annotation)| {
        annotation["id"] = (at + 1).into();
        annotation
    });
    let category = |(at, name): (usize, &String)| json!({ "id": at + 1, "name": name });
    let document = json!({
        "info": { "description": objects.describe() },
        "images": images,
        "annotations": numbered.collect::<Vec<_>>(),
        "categories": objects.classes().iter().enumerate().map(category).collect::<Vec<_>>(),
    });
    let path = root.join("annotations").join(format!("instances_{name}.json"));
    write_synced(&Os, &path, document.to_string().as_bytes())?;
    folders.iter().try_for_each(|folder| sync_dir(&Os, folder))
}

/// As COCO describes an object, but for its own number: a box of corner, width and height, classes from 1 on, and the mask's runs.
fn annotation(object: &Instance, image: usize) -> Value {
    let [x1, y1, x2, y2] = object.bbox;
    let runs = object.mask.as_ref().map(|mask| json!({ "size": mask.size(), "counts": mask.counts() }));
    json!({
        "image_id": image,
        "category_id": object.class + 1,
        "bbox": [x1, y1, x2 - x1, y2 - y1],
        "area": object.area,
        "iscrowd": u8::from(object.crowd),
        "segmentation": runs.unwrap_or_else(|| json!([])),
    })
}

/// A colour image as a PNG file's bytes.
fn png(image: &Image) -> Result<Vec<u8>> {
    let side = |side: usize| u32::try_from(side).unwrap_or(u32::MAX);
    let colour = image.to_channels(3)?.pixels;
    png_bytes(
        &RgbImage::from_raw(side(image.width), side(image.height), colour).expect("three bytes a pixel"),
    )
}
