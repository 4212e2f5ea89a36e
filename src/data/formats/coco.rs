//! Images with the objects in them as COCO has them: boxes, polygons and masks in runs, in one JSON document for a split.
//!
//! `layout` says where documents and images lie. Classes are the training set's categories in the order of their numbers. An object is
//! read when its image's target is asked for, so that a bad one makes its image bad and no other.

use std::path::{Path, PathBuf};

use serde_json::value::RawValue;

use super::super::decode::{image_size, load_image};
use super::super::rle::Rle;
use super::super::{Dataset, Image, Instance, Split, Target, TargetKind, count};
use super::label_layout::not_read;
use super::listing::digest_of;
use super::{boxes, classes_in_words, images_in_words};
use crate::base::{Error, Mismatch, Result};
use document::{Category, Fields, Listed, parse};

mod document;
mod layout;

/// Whether a path is that of a document, or of a folder with documents where they are expected.
pub(super) fn recognises(path: &Path) -> bool {
    layout::recognises(path)
}

/// A document's images; they are read when they are asked for, and so are their objects.
pub struct Coco {
    root: PathBuf,
    document: PathBuf,
    /// The folder of the images.
    folder: PathBuf,
    images: Vec<Listed>,
    classes: Vec<String>,
    category_ids: Vec<u64>,
    digest: u32,
    notes: Vec<String>,
}

impl Coco {
    /// Reads the document of `split` in the folder `root`, or the one at `root`. No image is looked at.
    ///
    /// # Errors
    /// If there is no document, it is none, or it has a category that the training set lacks.
    pub fn open(root: &Path, split: Split) -> Result<Self> {
        let path = layout::document(root, split)?;
        let read = document::read(&path)?;
        let train = layout::document(root, Split::Train).ok().filter(|train| *train != path);
        let categories = match train {
            Some(train) => of_training(&train, &path, &read.categories)?,
            None => read.categories,
        };
        let (category_ids, classes) = categories.into_iter().unzip();
        let names = || read.images.iter().map(|image| image.file_name.as_str());
        let folder = layout::images(&path, names());
        // A folder that is not there is told with the first image that is asked for.
        let unlisted = layout::unlisted(&path, &folder, names()).unwrap_or_default();
        let note = |(number, first): (usize, String)| {
            let annotations = count(number, "annotation", "annotations");
            format!("{}: {annotations} of images that are not listed: not read ({first})", path.display())
        };
        let why = format!("that {} does not list", path.display());
        let left_over = if split == Split::Train { layout::left_over(root) } else { Vec::new() };
        let notes = read.strays.map(note).into_iter().chain(not_read(unlisted.iter(), &why));
        Ok(Self {
            root: root.to_path_buf(),
            notes: notes.chain(left_over).collect(),
            document: path,
            folder,
            images: read.images,
            classes,
            category_ids,
            digest: read.digest,
        })
    }

    fn path(&self, index: usize) -> PathBuf {
        self.folder.join(&self.images[index].file_name)
    }

    /// An image's rows and columns, which have to be those that are noted.
    fn size_of(&self, index: usize) -> Result<(usize, usize)> {
        let (path, image) = (self.path(index), &self.images[index]);
        let (height, width) = image_size(&path)?;
        for (name, noted, side) in [("height", &image.size[0], height), ("width", &image.size[1], width)] {
            let Some(noted) = noted else { continue };
            let expected = format!("{side}, as {} has", path.display());
            let field = || format!("image {}: {name}", image.id);
            if parse::<usize>(noted, &expected).map_err(|wrong| wrong.at(&self.document, field()))? != side {
                return Err(Error::input(&self.document, field(), expected, noted));
            }
        }
        Ok((height, width))
    }

    /// An object.
    fn instance(&self, text: &RawValue, size: (usize, usize)) -> Result<Instance> {
        let fields = Fields::of(text).map_err(|wrong| wrong.at(&self.document, "annotation"))?;
        let id = fields.raw("id").map_or("without id", RawValue::get);
        let wrong = |part: &'static str| {
            move |wrong: Mismatch| wrong.at(&self.document, format!("annotation {id}: {part}"))
        };
        let missing = || Mismatch::new("a value", "none");

        let category: Option<u64> =
            fields.get("category_id", "a whole number").map_err(wrong("category_id"))?;
        let category = category.ok_or_else(missing).map_err(wrong("category_id"))?;
        let class = self.category_ids.binary_search(&category);
        let unknown = |_| Mismatch::new("the id of a category of the training set", category);
        let class = class.map_err(unknown).map_err(wrong("category_id"))?;

        let bbox: Option<[f64; 4]> = fields.get("bbox", "[x, y, width, height]").map_err(wrong("bbox"))?;
        let [x, y, w, h] = bbox.ok_or_else(missing).map_err(wrong("bbox"))?;
        let found = || format!("{:?} (x, y, width, height)", [x, y, w, h]);
        let bbox = boxes::within([x, y, x + w, y + h], size);
        let bbox = bbox.map_err(|expected| Mismatch::new(expected, found())).map_err(wrong("bbox"))?;

        let mask = fields.raw("segmentation").map(|text| segmentation(text, size)).transpose();
        let mask = mask.map_err(wrong("segmentation"))?.flatten();
        let area: Option<f64> = fields.get("area", "a number").map_err(wrong("area"))?;
        let area = area.unwrap_or_else(|| mask.as_ref().map_or(w * h, |mask| mask.area() as f64));
        if area < 0.0 {
            return Err(wrong("area")(Mismatch::new("0 or more", area)));
        }
        let crowd: Option<u8> = fields.get("iscrowd", "0 or 1").map_err(wrong("iscrowd"))?;
        let crowd = crowd.unwrap_or(0);
        if crowd > 1 {
            return Err(wrong("iscrowd")(Mismatch::new("0 or 1", crowd)));
        }
        Ok(Instance { bbox, class, mask, crowd: crowd == 1, area })
    }
}

/// An object's mask in any of COCO's forms; none of an empty list.
fn segmentation(
    text: &RawValue,
    (height, width): (usize, usize),
) -> std::result::Result<Option<Rle>, Mismatch> {
    if !text.get().starts_with('{') {
        let polygons: Vec<Vec<f64>> = parse(text, "polygons, [[x1, y1, x2, y2, …], …], or runs")?;
        let mask = Rle::of_polygons(&polygons, [height, width])?;
        return Ok((!polygons.is_empty()).then_some(mask));
    }
    let fields = Fields::of(text)?;
    let missing = |name| Mismatch::new(format!("runs with {name}"), "none");
    let size: [usize; 2] = fields.get("size", "size as [height, width]")?.ok_or_else(|| missing("size"))?;
    if size != [height, width] {
        let expected = format!("a mask of the image's size, {height}×{width} (height × width)");
        return Err(Mismatch::new(expected, format!("{}×{}", size[0], size[1])));
    }
    let counts = fields.raw("counts").ok_or_else(|| missing("counts"))?;
    let mask = if counts.get().starts_with('"') {
        Rle::of_string(&parse::<String>(counts, "counts as a string")?, size)?
    } else {
        Rle::new(&parse::<Vec<u32>>(counts, "counts as whole numbers, or as a string")?, size)?
    };
    Ok(Some(mask))
}

/// The training set's categories, to which another split's must belong.
fn of_training(train: &Path, path: &Path, own: &[Category]) -> Result<Vec<Category>> {
    let categories = document::read_categories(train)?;
    match own.iter().find(|category| !categories.contains(category)) {
        None => Ok(categories),
        Some((id, name)) => {
            let expected = format!("the categories of {}", train.display());
            Err(Error::input(path, "categories", expected, format!("{id}, {name:?}")))
        }
    }
}

impl Dataset for Coco {
    fn len(&self) -> usize {
        self.images.len()
    }

    fn image(&self, index: usize) -> Result<Image> {
        load_image(self.path(index))
    }

    fn label(&self, _: usize) -> Option<usize> {
        None
    }

    fn target(&self, index: usize) -> Result<Target> {
        let size = self.size_of(index)?;
        let objects = self.images[index].annotations.iter().map(|text| self.instance(text, size));
        Ok(Target::Instances(objects.collect::<Result<_>>()?))
    }

    fn target_kind(&self) -> TargetKind {
        TargetKind::Instances
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn image_id(&self, index: usize) -> u64 {
        self.images[index].id
    }

    fn category_ids(&self) -> Vec<u64> {
        self.category_ids.clone()
    }

    fn source(&self, index: usize) -> String {
        self.path(index).display().to_string()
    }

    fn describe(&self) -> String {
        let objects: usize = self.images.iter().map(|image| image.annotations.len()).sum();
        let (images, objects) = (images_in_words(self.len()), count(objects, "object", "objects"));
        let classes = classes_in_words(self.classes.len(), None);
        format!("{}: COCO, {images}, {objects}, {classes}", self.root.display())
    }

    fn size(&self) -> Option<(usize, usize)> {
        None
    }

    fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Of the document, the names of the classes, and each image's path and length; the images' contents are not read.
    fn digest(&self) -> Result<u32> {
        let paths: Vec<PathBuf> = (0..self.len()).map(|index| self.path(index)).collect();
        let files = digest_of(&self.folder, paths.iter().map(PathBuf::as_path));
        let mut digest = crc32fast::Hasher::new_with_initial(files);
        digest.update(&self.digest.to_le_bytes());
        self.classes.iter().for_each(|name| digest.update(name.as_bytes()));
        Ok(digest.finalize())
    }
}
