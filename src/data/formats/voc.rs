//! Images with the objects in them as Pascal VOC has them: an XML file of boxes for each image.
//!
//! ```text
//! JPEGImages/a.jpg   Annotations/a.xml   ImageSets/Main/{train,val,test}.txt: names; without these lists a training set
//! train/a.jpg        train/a.xml         valid, test: as tools export it, one folder a split, or all in one, a training set
//!
//! <annotation><size><width>500</width><height>375</height></size>
//!   <object><name>dog</name><difficult>0</difficult>
//!     <bndbox><xmin>48</xmin><ymin>240</ymin><xmax>195</xmax><ymax>371</ymax></bndbox></object> … </annotation>
//! ```
//!
//! Pixels are counted from 1 and a box ends with its last pixel: 48 to 195 is `[47, 195]` here. A difficult object is a crowd to
//! this program: nothing learns from it, and nobody has to find it. Classes are those of `classes.txt`, or those that occur in the
//! training set, in alphabetical order.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use quick_xml::DeError;
use quick_xml::de::Deserializer;
use rayon::prelude::*;
use serde::Deserialize;

use super::super::decode::{image_size, load_image, read_file};
use super::super::{Dataset, Image, Instance, Split, Target, TargetKind};
use super::label_layout::{self, Pairs, sub_folder};
use super::label_maps::{CLASSES, read_names};
use super::listing::{Listing, digest_of, list, only};
use super::{boxes, classes_in_words, file_name, has_extension, images_in_words, layout, split_names};
use crate::base::files::text;
use crate::base::{Error, Result};

/// More than any annotation.
const MOST_BYTES: u64 = 64 << 20;

/// Whether a folder has the folders of Pascal VOC, or annotations beside its images.
pub(super) fn recognises(root: &Path) -> bool {
    if let Ok((_, annotations)) = folders(root) {
        return list(&annotations).is_ok_and(|files| annotated(files.others).next().is_some());
    }
    let splits = split_folders(root);
    if splits.is_empty() { annotates(root) } else { splits.iter().any(|(_, folder)| annotates(folder)) }
}

/// Whether a folder has an annotation beside its image.
fn annotates(folder: &Path) -> bool {
    list(folder).is_ok_and(|Listing { images, others, .. }| {
        let annotated: BTreeSet<PathBuf> = annotated(others).map(|file| file.with_extension("")).collect();
        images.iter().any(|image| annotated.contains(&image.with_extension("")))
    })
}

/// The annotations among files.
fn annotated(files: Vec<PathBuf>) -> impl Iterator<Item = PathBuf> {
    files.into_iter().filter(|file| has_extension(file, "xml"))
}

/// The sub-folders that are called like a split.
fn split_folders(root: &Path) -> Vec<(Split, PathBuf)> {
    let folders = list(root).map_or_else(|_| Vec::new(), |listing| listing.folders);
    folders.into_iter().filter_map(|path| Some((split_names::of_path(&path)?, path))).collect()
}

/// The folders of images and of annotations.
fn folders(root: &Path) -> Result<(PathBuf, PathBuf)> {
    let found = |name: &str, lower: &str| {
        let expected = format!("a sub-folder {name}");
        sub_folder(root, lower).ok_or_else(|| Error::input(root, "Pascal VOC", expected, "none"))
    };
    Ok((found("JPEGImages", "jpegimages")?, found("Annotations", "annotations")?))
}

/// Images and annotations in files; both are read when they are asked for.
pub struct Voc {
    root: PathBuf,
    /// Image and annotation.
    pairs: Vec<(PathBuf, PathBuf)>,
    classes: Vec<String>,
    notes: Vec<String>,
}

/// A file, by the name of its outermost element.
#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum File {
    Annotation(Annotation),
}

#[derive(Deserialize)]
struct Annotation {
    size: Option<Size>,
    #[serde(default)]
    object: Vec<Object>,
}

#[derive(Deserialize)]
struct Size {
    width: Option<String>,
    height: Option<String>,
}

#[derive(Deserialize)]
struct Object {
    name: Option<String>,
    difficult: Option<String>,
    bndbox: Option<Edges>,
}

#[derive(Deserialize)]
struct Edges {
    xmin: Option<String>,
    ymin: Option<String>,
    xmax: Option<String>,
    ymax: Option<String>,
}

impl Voc {
    /// Lists the images of `split`. Without `classes.txt` the training set's annotations are read, for the classes.
    ///
    /// # Errors
    /// If there are no images for the split, or no class.
    pub fn open(root: &Path, split: Split) -> Result<Self> {
        let Pairs { pairs, notes } = pairs(root, split)?;
        let names = root.join(CLASSES);
        let classes = if names.symlink_metadata().is_ok() {
            read_names(&names)?
        } else {
            let train = if split == Split::Train { None } else { self::pairs(root, Split::Train).ok() };
            occurring(root, train.as_ref().map_or(&pairs, |train| &train.pairs))?
        };
        Ok(Self { root: root.to_path_buf(), pairs, classes, notes })
    }

    fn instance(
        &self,
        index: usize,
        number: usize,
        object: &Object,
        size: (usize, usize),
    ) -> Result<Instance> {
        let path = &self.pairs[index].1;
        let field = |part: &str| format!("object {}: {part}", number + 1);
        let name = object.name.as_deref().unwrap_or("").trim();
        let Some(class) = self.classes.iter().position(|class| class == name) else {
            return Err(Error::input(
                path,
                field("name"),
                "a class of the training set",
                format!("{name:?}"),
            ));
        };
        let difficult = object.difficult.as_deref().map_or("0", str::trim);
        if !["0", "1"].contains(&difficult) {
            return Err(Error::input(path, field("difficult"), "0 or 1", format!("{difficult:?}")));
        }
        let edge = |part: &str, of: fn(&Edges) -> &Option<String>| {
            let written = object.bndbox.as_ref().and_then(|edges| of(edges).as_deref()).unwrap_or("").trim();
            let number = written.parse::<f64>().ok().filter(|edge| edge.is_finite());
            number.ok_or_else(|| Error::input(path, field(part), "a number", format!("{written:?}")))
        };
        let [xmin, ymin] = [edge("xmin", |e| &e.xmin)?, edge("ymin", |e| &e.ymin)?];
        let [xmax, ymax] = [edge("xmax", |e| &e.xmax)?, edge("ymax", |e| &e.ymax)?];
        let bbox = boxes::within([xmin - 1.0, ymin - 1.0, xmax, ymax], size).map_err(|expected| {
            let found = format!("xmin {xmin}, ymin {ymin}, xmax {xmax}, ymax {ymax} (pixels from 1 on)");
            Error::input(path, field("bndbox"), expected, found)
        })?;
        let area = (bbox[2] - bbox[0]) * (bbox[3] - bbox[1]);
        Ok(Instance { bbox, class, mask: None, crowd: difficult == "1", area })
    }
}

/// Images and annotations of a split.
fn pairs(root: &Path, split: Split) -> Result<Pairs> {
    let Ok((images, annotations)) = folders(root) else {
        return beside(root, split);
    };
    let lists = sub_folder(root, "imagesets").and_then(|sets| sub_folder(&sets, "main"));
    if lists.is_some() {
        let (named, notes) = label_layout::listed(root, "Main", &images, split)?;
        let annotation = |name: &str| annotations.join(format!("{name}.xml"));
        let pairs = named.into_iter().map(|(name, image)| (image, annotation(&name))).collect();
        return Ok(Pairs { pairs, notes });
    }
    if split != Split::Train {
        let expected = format!("ImageSets/Main/{split}.txt, a list of names");
        return Err(Error::absent(root, "split", expected, "none"));
    }
    in_folders(&images, &annotations)
}

/// Those of a split's own folder, or of the only one, with annotations beside images.
fn beside(root: &Path, split: Split) -> Result<Pairs> {
    let folders = split_folders(root);
    if folders.is_empty() && split == Split::Train {
        return in_folders(root, root);
    }
    let of_split = folders.iter().filter(|(of, _)| *of == split).map(|(_, folder)| folder.clone());
    let folder = only(root, "split", &format!("a sub-folder for {split}"), of_split.collect())?;
    let mut found = in_folders(&folder, &folder)?;
    let Listing { images, folders: all, others } = list(root)?;
    let loose: Vec<PathBuf> = images.into_iter().chain(annotated(others)).collect();
    let beside = all.iter().filter(|folder| !folders.iter().any(|(_, of)| of == *folder)).chain(&loose);
    found.notes.extend(left_out(root, beside));
    Ok(found)
}

/// What to say of what lies in a folder where nothing is read.
fn left_out<'a>(folder: &Path, what: impl Iterator<Item = &'a PathBuf>) -> Option<String> {
    let what: Vec<&PathBuf> = what.collect();
    (!what.is_empty()).then(|| format!("{}: {}: not read", folder.display(), layout::names(what)))
}

/// Every annotation with its image, which need not be there.
///
/// # Errors
/// If there is no annotation, or two images have one name.
fn in_folders(images: &Path, annotations: &Path) -> Result<Pairs> {
    let Listing { folders, others, .. } = list(annotations)?;
    let mut notes: Vec<String> = left_out(annotations, folders.iter()).into_iter().collect();
    if images != annotations {
        notes.extend(left_out(images, list(images)?.folders.iter()));
    }
    let found: Vec<PathBuf> = annotated(others).collect();
    if found.is_empty() {
        return Err(Error::input(annotations, "annotations", "XML files (.xml)", "none"));
    }
    let mut there = label_layout::by_name(images)?;
    let with_image = |file: PathBuf| {
        let name = file_name(&file.with_extension(""));
        (there.remove(&name).unwrap_or_else(|| images.join(format!("{name}.jpg"))), file)
    };
    let pairs = found.into_iter().map(with_image).collect();
    notes.extend(label_layout::not_read(there.values(), "without an annotation"));
    Ok(Pairs { pairs, notes })
}

/// The classes in these annotations. What cannot be read is told when it is asked for.
fn occurring(root: &Path, pairs: &[(PathBuf, PathBuf)]) -> Result<Vec<String>> {
    let each: Vec<Result<Annotation>> = pairs.par_iter().map(|(_, file)| read(file)).collect();
    let names = each.iter().flatten().flat_map(|file| &file.object).filter_map(|object| object.name.as_ref());
    let names: BTreeSet<&str> = names.map(|name| name.trim()).filter(|name| !name.is_empty()).collect();
    if !names.is_empty() {
        return Ok(names.into_iter().map(str::to_owned).collect());
    }
    let first = each.into_iter().find_map(Result::err).map(|error| format!("; the first reason is: {error}"));
    let found = format!("none{}", first.unwrap_or_default());
    Err(Error::input(root, "annotations", "at least one object", found))
}

fn read(path: &Path) -> Result<Annotation> {
    let bytes = read_file(path, MOST_BYTES)?;
    let expected = "an annotation as Pascal VOC has it";
    let mut xml = Deserializer::from_str(text(path, "XML", &bytes)?);
    let File::Annotation(annotation) =
        File::deserialize(&mut xml).map_err(|error| Error::input(path, "XML", expected, error))?;
    match File::deserialize(&mut xml) {
        Err(DeError::UnexpectedEof) => Ok(annotation),
        Ok(_) => Err(Error::input(path, "XML", "one annotation", "another behind it")),
        Err(error) => Err(Error::input(path, "XML", "nothing behind the annotation", error)),
    }
}

impl Dataset for Voc {
    fn len(&self) -> usize {
        self.pairs.len()
    }

    fn image(&self, index: usize) -> Result<Image> {
        load_image(&self.pairs[index].0)
    }

    fn label(&self, _: usize) -> Option<usize> {
        None
    }

    fn target(&self, index: usize) -> Result<Target> {
        let (image, path) = &self.pairs[index];
        let Annotation { size: noted, object } = read(path)?;
        let size = image_size(image)?;
        let [height, width] = noted.map_or([None, None], |noted| [noted.height, noted.width]);
        for (name, noted, side) in [("height", height, size.0), ("width", width, size.1)] {
            // Some tools write 0 for a size that they do not know.
            if let Some(noted) =
                noted.as_deref().map(str::trim).filter(|noted| *noted != "0" && *noted != side.to_string())
            {
                let expected = format!("{side}, as {} has", image.display());
                return Err(Error::input(path, format!("size: {name}"), expected, noted));
            }
        }
        let objects =
            object.iter().enumerate().map(|(number, object)| self.instance(index, number, object, size));
        Ok(Target::Instances(objects.collect::<Result<_>>()?))
    }

    fn target_kind(&self) -> TargetKind {
        TargetKind::Instances
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn source(&self, index: usize) -> String {
        self.pairs[index].0.display().to_string()
    }

    fn describe(&self) -> String {
        let (images, classes) = (images_in_words(self.len()), classes_in_words(self.classes.len(), None));
        format!("{}: Pascal VOC, {images}, {classes}", self.root.display())
    }

    fn size(&self) -> Option<(usize, usize)> {
        None
    }

    fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Of each file's path inside the folder and its length, and of the names of the classes; contents are not read.
    fn digest(&self) -> Result<u32> {
        let files = self.pairs.iter().flat_map(|(image, file)| [image.as_path(), file.as_path()]);
        let mut digest = crc32fast::Hasher::new_with_initial(digest_of(&self.root, files));
        self.classes.iter().for_each(|name| digest.update(name.as_bytes()));
        Ok(digest.finalize())
    }
}
