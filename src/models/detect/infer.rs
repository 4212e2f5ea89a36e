//! From images to detections with masks.

use super::box_head::BoxOutput;
use super::boxes::BBox;
use super::detections::{Detection, detections};
use super::detector::Detector;
use super::paste::probabilities;
use super::proposals::Proposal;
use crate::base::Real;
use crate::exec::Exec;
use crate::models::vit::ForwardOptions;
use ndarray::{Array2, ArrayView1, ArrayView4};

/// An object that was found in an image.
#[derive(Clone, Debug)]
pub struct Instance<F> {
    /// Where and what, and how sure; `region` is the number of the proposal among the image's.
    pub detection: Detection<F>,
    /// The probability of every cell of its box, `[S, S]`; none without a mask head. [`super::paste::paste`] brings it to pixels.
    pub mask: Option<Array2<F>>,
}

impl<F: Real> Detector<F> {
    /// The detections of every image, the best first. Nothing is left out and nothing kept.
    pub fn infer(&self, images: ArrayView4<F>, cx: &mut Exec<F>) -> Vec<Vec<Instance<F>>> {
        let forward = self.forward(images, &ForwardOptions::inference(), cx);
        let proposals = self.proposals(&forward.rpn, &self.config.proposals());
        let of_image = |(image, proposals): (usize, Vec<Proposal<F>>)| {
            let regions: Vec<BBox<F>> = proposals.iter().map(|proposal| proposal.bbox).collect();
            let found = self.detect(&forward.maps, image, &regions, cx);
            let masks = self.masks(&forward.maps, image, &found, cx);
            let masks = masks.into_iter().map(Some).chain(std::iter::repeat(None));
            found.into_iter().zip(masks).map(|(detection, mask)| Instance { detection, mask }).collect()
        };
        let found = proposals.into_iter().enumerate().map(of_image).collect();
        forward.recycle(cx);
        found
    }

    /// What the box head says of regions of one image of the batch; `maps` are `p2 … p5` (what follows is not read).
    ///
    /// # Panics
    /// If there is no region.
    pub fn classify(
        &self,
        maps: &[Array2<F>],
        image: usize,
        regions: &[BBox<F>],
        cx: &mut Exec<F>,
    ) -> BoxOutput<F> {
        let places = regions.iter().map(|&bbox| (image, bbox));
        let x = self.heads.reader.reading(places, self.config.box_size).forward(maps, cx);
        let (output, cache) = self.heads.boxes.forward(x, cx);
        cache.recycle(cx);
        output
    }

    /// The detections among regions of one image of the batch.
    pub fn detect(
        &self,
        maps: &[Array2<F>],
        image: usize,
        regions: &[BBox<F>],
        cx: &mut Exec<F>,
    ) -> Vec<Detection<F>> {
        if regions.is_empty() {
            return Vec::new();
        }
        let output = self.classify(maps, image, regions, cx);
        let (scores, deltas) = (output.scores.view(), output.deltas.view());
        let found = detections(regions, scores, deltas, self.config.img_size, &self.config.detections());
        output.recycle(cx);
        found
    }

    /// A mask `[S, S]` for each detection of one image of the batch, in the channel of its class; none at all without a mask head.
    pub fn masks(
        &self,
        maps: &[Array2<F>],
        image: usize,
        found: &[Detection<F>],
        cx: &mut Exec<F>,
    ) -> Vec<Array2<F>> {
        let Some(head) = self.heads.masks.as_ref().filter(|_| !found.is_empty()) else { return Vec::new() };
        let places = found.iter().map(|detection| (image, detection.bbox));
        let x = self.heads.reader.reading(places, self.config.mask_size).forward(maps, cx);
        let (logits, cache) = head.forward(x, cx);
        cache.recycle(cx);
        let classes: Vec<usize> = found.iter().map(|detection| detection.class).collect();
        let masks = probabilities(logits.view(), &classes);
        cx.recycle(logits);
        let side = self.config.mask_side();
        let square =
            |mask: ArrayView1<F>| mask.to_owned().into_shape_with_order((side, side)).expect("as many cells");
        masks.outer_iter().map(square).collect()
    }
}
