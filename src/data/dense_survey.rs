//! What the label maps or objects of a data set hold: pixels, images and objects of each class.

use serde::Serialize;

use super::target::{MEDIUM, SMALL};
use super::{Dataset, Target, TargetKind};
use ndarray::{Array2, s};
use std::collections::BTreeMap;
use std::ops::Range;

/// Of the images that were looked at.
#[derive(Clone, Debug, Serialize)]
pub struct DenseSurvey {
    /// `label maps` or `instances`.
    pub kind: &'static str,
    /// In the order of the data's classes.
    pub classes: Vec<DenseClass>,
    /// How many of the objects are crowds; of instances only.
    pub crowds: Option<usize>,
    /// The fraction of all pixels that are ignored; of label maps only.
    pub ignored: Option<f64>,
}

/// A class.
#[derive(Clone, Debug, Serialize)]
pub struct DenseClass {
    /// What it is called.
    pub name: String,
    /// How many images have it.
    pub images: usize,
    /// How many objects are of it; of instances only.
    pub objects: Option<usize>,
    /// How many of these are small, medium and large by COCO's rule: of an area below 32², below 96², or more.
    pub sizes: Option<[usize; 3]>,
    /// In label maps the fraction of the pixels that are not ignored; of objects the fraction of all pixels that their masks
    /// cover, or their boxes where they have no mask: a pixel counts once for each class, however many of its objects have it.
    pub pixels: f64,
}

/// Sums over targets, of whole numbers: exact in any order.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    /// Images and pixels of each class, and its small, medium and large objects.
    classes: Vec<[u64; 5]>,
    crowds: u64,
    /// All pixels, and those of no class.
    all: u64,
    ignored: u64,
}

impl Tally {
    /// Of the target of one image `[H, W]`. A label that is no class counts as ignored.
    pub(super) fn of(target: &Target, size: [usize; 2], classes: usize) -> Self {
        let pixels = size[0] * size[1];
        let mut tally = Self { classes: vec![[0; 5]; classes], all: pixels as u64, ..Self::default() };
        match target {
            Target::LabelMap(labels) => {
                for &label in labels {
                    match tally.classes.get_mut(usize::from(label)) {
                        Some(class) => class[1] += 1,
                        None => tally.ignored += 1,
                    }
                }
                tally.classes.iter_mut().for_each(|class| class[0] = u64::from(class[1] > 0));
            }
            Target::Instances(objects) => {
                let mut covered = BTreeMap::<usize, Array2<bool>>::new();
                for object in objects {
                    let class = &mut tally.classes[object.class];
                    class[0] = 1;
                    let size_class = usize::from(object.area >= SMALL) + usize::from(object.area >= MEDIUM);
                    class[2 + size_class] += 1;
                    tally.crowds += u64::from(object.crowd);
                    let covered = covered.entry(object.class).or_insert_with(|| Array2::default(size));
                    if let Some(mask) = &object.mask {
                        covered.zip_mut_with(&mask.mask(), |covered, &set| *covered |= set);
                    } else {
                        let ([x1, y1, x2, y2], [h, w]) = (object.bbox, size);
                        covered.slice_mut(s![span([y1, y2], h), span([x1, x2], w)]).fill(true);
                    }
                }
                for (class, covered) in covered {
                    tally.classes[class][1] = covered.iter().filter(|&&set| set).count() as u64;
                }
            }
            Target::None | Target::Class(_) => {}
        }
        tally
    }

    /// Adds another image's.
    pub(super) fn add(&mut self, other: &Self) {
        self.classes.resize(other.classes.len(), [0; 5]);
        for (class, more) in self.classes.iter_mut().zip(&other.classes) {
            class.iter_mut().zip(more).for_each(|(sum, more)| *sum += more);
        }
        self.crowds += other.crowds;
        self.all += other.all;
        self.ignored += other.ignored;
    }

    /// In fractions and names; nothing of data without dense targets.
    pub(super) fn survey(&self, dataset: &dyn Dataset) -> Option<DenseSurvey> {
        let (kind, objects) = match dataset.target_kind() {
            TargetKind::LabelMap => ("label maps", false),
            TargetKind::Instances => ("instances", true),
            TargetKind::None | TargetKind::Class => return None,
        };
        let fraction = |part: u64, of: u64| if of == 0 { 0.0 } else { part as f64 / of as f64 };
        let count = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
        let named = dataset.classes().iter().enumerate().map(|(at, name)| {
            let [images, pixels, small, medium, large] = self.classes.get(at).copied().unwrap_or_default();
            let sizes = [small, medium, large].map(count);
            DenseClass {
                name: name.clone(),
                images: count(images),
                objects: objects.then(|| sizes.iter().sum()),
                sizes: objects.then_some(sizes),
                pixels: fraction(pixels, self.all - self.ignored),
            }
        });
        let ignored = (!objects).then(|| fraction(self.ignored, self.all));
        let crowds = objects.then(|| count(self.crowds));
        Some(DenseSurvey { kind, classes: named.collect(), crowds, ignored })
    }
}

/// The pixels of a row of `length` whose centres lie between two edges.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 0 to the length")]
fn span(edges: [f64; 2], length: usize) -> Range<usize> {
    let [from, to] = edges.map(|edge| (edge - 0.5).ceil().clamp(0.0, length as f64) as usize);
    from..to.max(from)
}
