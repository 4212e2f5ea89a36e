//! Scenes: pictures made on the fly of the embedded data, items of Fashion-MNIST on crops of photographs, for which every pixel's
//! class, every object's mask and box are known exactly.
//!
//! A scene is a function of split and index, and the splits share no item, no photograph and no layout (`parts`). One
//! generator (`compose`) serves three kinds of targets, which the name says ([`spec`]): label maps, instances, and classes of
//! scenes with one item each.

use std::path::Path;
use std::sync::Arc;

use ndarray::Array2;

use super::rle::Rle;
use super::target::mask_box;
use super::{Dataset, Image, Instance, Split, Target, TargetKind};
use crate::base::Result;
use compose::{Address, Scene};
use parts::Parts;
use spec::Spec;

mod compose;
mod cutout;
mod parts;
pub mod spec;

/// Grows with every change that gives other pictures.
const VERSION: u8 = 2;

/// What the label maps call what is no item.
pub const BACKGROUND: &str = "background";

/// Fashion-MNIST's classes, in the order of its labels.
pub const ITEMS: [&str; 10] =
    ["t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot"];

/// The licence of the items, which every copy of them has to carry. The photographs are in the public domain or CC0.
pub const LICENSE: &str = include_str!("../../../data/fashion-mini/LICENSE");

/// Images in a split. The training set draws about 6,000 items for its 2,000 scenes from a pool of 5,000, so that most are seen and
/// few twice; 300 and 500 scenes have some 900 and 1,500 objects, 90 and 150 a class, to choose and to report by.
#[must_use]
pub const fn images(split: Split) -> usize {
    match split {
        Split::Train => 2000,
        Split::Validation => 300,
        Split::Test => 500,
    }
}

/// The scenes of one split, each made when it is asked for.
pub struct Scenes {
    spec: Spec,
    split: Split,
    parts: Parts,
    classes: Vec<String>,
}

impl Scenes {
    /// The scenes that a name like `scenes:instances` stands for.
    ///
    /// # Errors
    /// If it is no such name.
    pub fn open(path: &Path, split: Split) -> Result<Self> {
        Ok(Self::new(Spec::parse(path)?, split))
    }

    /// The scenes of one split.
    #[must_use]
    pub fn new(spec: Spec, split: Split) -> Self {
        let background = (spec.target == TargetKind::LabelMap).then_some(BACKGROUND);
        let classes = background.into_iter().chain(ITEMS).map(str::to_owned).collect();
        Self { spec, split, parts: Parts::of(split), classes }
    }

    fn address(&self, index: usize) -> Address {
        assert!(index < self.len(), "scene {index} of {}", self.len());
        Address {
            side: self.spec.side,
            single: self.spec.target == TargetKind::Class,
            split: self.split,
            index,
        }
    }

    fn scene(&self, index: usize) -> Scene {
        compose::compose(&self.parts, self.address(index))
    }
}

impl Dataset for Scenes {
    fn len(&self) -> usize {
        images(self.split)
    }

    fn image(&self, index: usize) -> Result<Image> {
        Ok(self.scene(index).image)
    }

    fn label(&self, index: usize) -> Option<usize> {
        let only = || compose::items(&self.parts, self.address(index)).0[0];
        (self.spec.target == TargetKind::Class).then(|| self.parts.class(only()))
    }

    fn target(&self, index: usize) -> Result<Target> {
        Ok(match self.spec.target {
            TargetKind::Class => Target::Class(self.parts.class(self.scene(index).objects[0].item)),
            TargetKind::Instances => Target::Instances(instances(&self.parts, self.scene(index))),
            _ => Target::LabelMap(label_map(&self.parts, &self.scene(index))),
        })
    }

    fn target_kind(&self) -> TargetKind {
        self.spec.target
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn with_targets(&self, target: TargetKind) -> Option<Arc<dyn Dataset>> {
        // A scene with one item for its class is another picture.
        let both = target.is_dense() && self.spec.target.is_dense();
        both.then(|| Arc::new(Self::new(Spec { target, ..self.spec }, self.split)) as Arc<dyn Dataset>)
    }

    fn source(&self, index: usize) -> String {
        format!("{}, {} image {index}", self.spec, self.split)
    }

    fn describe(&self) -> String {
        let (images, side, classes) = (self.len(), self.spec.side, self.classes.len());
        let what = self.spec.what().replace('-', " ");
        format!(
            "{} (embedded): {images} images of {side}×{side}, colour, {what}, {classes} classes",
            self.spec
        )
    }

    fn size(&self) -> Option<(usize, usize)> {
        Some((self.spec.side, self.spec.side))
    }

    /// Of the name, the split, and the pixels of what the scenes are made of.
    fn digest(&self) -> Result<u32> {
        let mut digest = crc32fast::Hasher::new();
        digest.update(&[VERSION]);
        digest.update(self.source(0).as_bytes());
        digest.update(&self.parts.digest().to_le_bytes());
        Ok(digest.finalize())
    }
}

/// Background 0, item class k as k + 1.
fn label_map(parts: &Parts, scene: &Scene) -> Array2<u8> {
    let mut map = Array2::zeros((scene.image.height, scene.image.width));
    for object in &scene.objects {
        let class = u8::try_from(parts.class(object.item) + 1).expect("ten classes");
        map.zip_mut_with(&object.mask, |label, &set| *label = if set { class } else { *label });
    }
    map
}

fn instances(parts: &Parts, scene: Scene) -> Vec<Instance> {
    let instance = |object: compose::Object| {
        let bbox = mask_box(object.mask.view()).expect("an object that is seen");
        let mask = Rle::of_mask(object.mask.view());
        let area = mask.area() as f64;
        Instance { bbox, class: parts.class(object.item), mask: Some(mask), crowd: false, area }
    };
    scene.objects.into_iter().map(instance).collect()
}
