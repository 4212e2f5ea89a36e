//! What the losses of a step are taken over: anchors and regions that were sampled, and their objects.

use super::boxes::BBox;
use ndarray::Array2;

/// Of one image.
#[derive(Clone, Debug)]
pub struct ImageSamples<F> {
    /// For the region proposal network.
    pub anchors: Vec<AnchorSample<F>>,
    /// For the heads.
    pub regions: Vec<RegionSample<F>>,
}

/// An anchor.
#[derive(Clone, Copy, Debug)]
pub struct AnchorSample<F> {
    /// Its number among all anchors of an image.
    pub anchor: usize,
    /// The box of its object; none for the background's.
    pub object: Option<BBox<F>>,
}

/// A region: a constant of the backward pass, wherever it comes from.
#[derive(Clone, Debug)]
pub struct RegionSample<F> {
    /// Where it is.
    pub bbox: BBox<F>,
    /// Its object; none for the background's.
    pub object: Option<RegionObject<F>>,
}

/// The object of a region.
#[derive(Clone, Debug)]
pub struct RegionObject<F> {
    /// Below `K`.
    pub class: usize,
    /// Its box.
    pub bbox: BBox<F>,
    /// 1 for the cells of the region that it covers, else 0, `[S, S]`: see [`super::mask_target::mask_target`]. Empty
    /// where its pixels are not known, or nobody asks: then no mask is learnt from it.
    pub mask: Array2<F>,
}

/// What the losses' sums are divided by: the whole batch's numbers, whichever of its images are computed at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Denominators {
    /// Images times anchors that are to be sampled in each: the quota, even if an image has fewer.
    pub anchors: usize,
    /// Sampled regions.
    pub regions: usize,
    /// Those of them that have an object.
    pub foreground: usize,
}

/// The losses of some images: sums over [`Denominators`], so those of a batch are the sums of its chunks'.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct DetectLosses {
    /// Objectness: binary cross-entropy of the sampled anchors.
    pub rpn_cls: f64,
    /// L1 of the deltas of the anchors that have an object.
    pub rpn_box: f64,
    /// Cross-entropy of the sampled regions' classes.
    pub cls: f64,
    /// L1 of the deltas of the regions that have an object, those of its class.
    pub bbox: f64,
    /// Binary cross-entropy of the masks of these regions, those of its class, a mean over their pixels.
    pub mask: f64,
}

impl DetectLosses {
    /// With those of other images of the batch.
    #[must_use]
    pub fn plus(&self, other: &Self) -> Self {
        Self {
            rpn_cls: self.rpn_cls + other.rpn_cls,
            rpn_box: self.rpn_box + other.rpn_box,
            cls: self.cls + other.cls,
            bbox: self.bbox + other.bbox,
            mask: self.mask + other.mask,
        }
    }

    /// Their sum.
    #[must_use]
    pub fn total(&self) -> f64 {
        self.rpn_cls + self.rpn_box + self.cls + self.bbox + self.mask
    }
}
