//! What an image teaches besides its pixels: nothing, its class, the objects in it, or a class for each pixel.

use super::rle::Rle;
use ndarray::{Array2, ArrayView2};

/// Objects of an area below this are small by COCO's rule: 32².
pub const SMALL: f64 = 1024.0;
/// Objects of an area below this, and not small, are medium: 96².
pub const MEDIUM: f64 = 9216.0;

/// The label of pixels without a class, which losses and scores leave out.
pub const IGNORED: u8 = 255;

/// What is known about an image.
#[derive(Clone, Debug, PartialEq)]
pub enum Target {
    /// Nothing: the data has no labels.
    None,
    /// Its class, a position in [`super::Dataset::classes`].
    Class(usize),
    /// The objects in it.
    Instances(Vec<Instance>),
    /// The class of each pixel, `[H, W]`, or [`IGNORED`].
    LabelMap(Array2<u8>),
}

impl Target {
    /// The class of the whole image, if it has one.
    #[must_use]
    pub fn class(&self) -> Option<usize> {
        if let Self::Class(class) = self { Some(*class) } else { None }
    }

    /// Whether it says where something is, so that what moves pixels has to move it as well.
    pub(super) fn is_dense(&self) -> bool {
        matches!(self, Self::Instances(_) | Self::LabelMap(_))
    }
}

/// Which kind of target the images of a data set have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetKind {
    /// [`Target::None`].
    None,
    /// [`Target::Class`].
    Class,
    /// [`Target::Instances`].
    Instances,
    /// [`Target::LabelMap`].
    LabelMap,
}

impl TargetKind {
    /// Whether it says where something is.
    #[must_use]
    pub fn is_dense(self) -> bool {
        matches!(self, Self::Instances | Self::LabelMap)
    }
}

/// An object in an image.
#[derive(Clone, Debug, PartialEq)]
pub struct Instance {
    /// `[x1, y1, x2, y2]` in pixels. These are edges, not centres: a box ends at its last column + 1.
    pub bbox: [f64; 4],
    /// A position in [`super::Dataset::classes`].
    pub class: usize,
    /// The object's pixels, of `[H, W]`: in runs, since an image of many pixels may have many objects.
    pub mask: Option<Rle>,
    /// Whether it is a crowd of objects that nobody told apart. Detectors do not learn from it, and need not find it.
    pub crowd: bool,
    /// As annotated, in pixels of the original image: COCO's evaluation tells small from large objects by it. No
    /// geometry changes it.
    pub area: f64,
}

/// The box around the pixels of a mask, if it has any.
#[must_use]
pub fn mask_box(mask: ArrayView2<bool>) -> Option<[f64; 4]> {
    let pixels = || mask.indexed_iter().filter(|(_, set)| **set).map(|(at, _)| at);
    let (rows, columns) = (|| pixels().map(|(y, _)| y), || pixels().map(|(_, x)| x));
    let (x1, y1) = (columns().min()?, rows().min()?);
    let (x2, y2) = (columns().max()? + 1, rows().max()? + 1);
    Some([x1, y1, x2, y2].map(|edge| edge as f64))
}
