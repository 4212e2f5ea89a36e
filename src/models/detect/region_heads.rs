//! Both heads on regions: features from the pyramid, outputs, losses, and all the way back to the pyramid.

use super::box_head::{BoxHead, BoxHeadCache, BoxOutput};
use super::config::DetectorConfig;
use super::mask_head::{MaskHead, MaskHeadCache};
use super::region_losses::{box_losses, mask_loss};
use super::region_reader::RegionReader;
use super::roi_align::RoiMap;
use super::samples::{Denominators, DetectLosses, ImageSamples};
use crate::base::Real;
use crate::exec::Exec;
use crate::params::{Params, Tensor, TensorMut};
use ndarray::Array2;

/// The box head, and the mask head if there is one: `box` and `mask` in a checkpoint.
#[derive(Clone, Debug)]
pub struct RegionHeads<F> {
    /// Classes and boxes.
    pub boxes: BoxHead<F>,
    /// Masks.
    pub masks: Option<MaskHead<F>>,
    /// Where they look.
    pub reader: RegionReader,
}

/// What [`RegionHeads::backward`] needs: nothing of a head that no region was sampled for.
#[must_use]
pub struct RegionHeadsCache<F> {
    boxes: Option<BoxesCache<F>>,
    masks: Option<MasksCache<F>>,
}

struct BoxesCache<F> {
    reading: RoiMap<F>,
    head: BoxHeadCache<F>,
    doutput: BoxOutput<F>,
}

struct MasksCache<F> {
    reading: RoiMap<F>,
    head: MaskHeadCache<F>,
    dlogits: Array2<F>,
}

impl<F: Real> RegionHeads<F> {
    /// All zeros.
    #[must_use]
    pub fn new(c: &DetectorConfig) -> Self {
        let (channels, classes, eps) = (c.channels, c.num_classes, c.layer_norm_eps);
        Self {
            boxes: BoxHead::new(channels, c.fc_dim, classes, c.box_size, eps),
            masks: c.mask_head.then(|| MaskHead::new(channels, classes, c.mask_size, eps)),
            reader: RegionReader::new(c),
        }
    }

    /// The losses on the sampled regions of some images, added to `losses`. `maps` are `p2 … p5` (what follows is not read).
    pub fn losses(
        &self,
        maps: &[Array2<F>],
        samples: &[ImageSamples<F>],
        of: Denominators,
        losses: &mut DetectLosses,
        cx: &mut Exec<F>,
    ) -> RegionHeadsCache<F> {
        let (mut images, mut regions) = (Vec::new(), Vec::new());
        for (image, samples) in samples.iter().enumerate() {
            images.resize(images.len() + samples.regions.len(), image);
            regions.extend(&samples.regions);
        }
        if regions.is_empty() {
            return RegionHeadsCache { boxes: None, masks: None };
        }
        let places = images.iter().zip(&regions).map(|(&image, region)| (image, region.bbox));
        let reading = self.reader.reading(places, self.boxes.convs.side);
        let x = reading.forward(maps, cx);
        cx.trace("box_rois", &x);
        let (output, head) = self.boxes.forward(x, cx);
        let doutput = box_losses(&output, &regions, of.regions, losses, cx);
        output.recycle(cx);
        let boxes = Some(BoxesCache { reading, head, doutput });

        let with_object = images.iter().zip(&regions).filter_map(|(&image, region)| {
            let object = region.object.as_ref().filter(|object| !object.mask.is_empty())?;
            Some(((image, region.bbox), object))
        });
        let (places, objects): (Vec<_>, Vec<_>) = with_object.unzip();
        let masks = self.masks.as_ref().filter(|_| !objects.is_empty()).map(|masks| {
            let reading = self.reader.reading(places.into_iter(), masks.convs.side);
            let x = reading.forward(maps, cx);
            cx.trace("mask_rois", &x);
            let (logits, head) = masks.forward(x, cx);
            let dlogits = mask_loss(&logits, &objects, of.foreground, losses, cx);
            cx.recycle(logits);
            MasksCache { reading, head, dlogits }
        });
        RegionHeadsCache { boxes, masks }
    }

    /// Adds the gradient of both heads, and that of the maps to `dmaps`.
    ///
    /// # Panics
    /// If the gradient is of other heads.
    pub fn backward(
        &self,
        cache: RegionHeadsCache<F>,
        dmaps: &mut [Array2<F>],
        grad: &mut Self,
        cx: &mut Exec<F>,
    ) {
        if let Some(BoxesCache { reading, head, doutput }) = cache.boxes {
            let dx = self.boxes.backward(head, &doutput, &mut grad.boxes, cx);
            doutput.recycle(cx);
            cx.trace_gradient("box_rois", &dx);
            reading.backward(dx.view(), dmaps, cx);
            cx.recycle(dx);
        }
        if let Some(MasksCache { reading, head, dlogits }) = cache.masks {
            let masks = self.masks.as_ref().zip(grad.masks.as_mut());
            let (masks, grad) = masks.expect("a mask head, and the gradient of one");
            let dx = masks.backward(head, dlogits.view(), grad, cx);
            cx.recycle(dlogits);
            cx.trace_gradient("mask_rois", &dx);
            reading.backward(dx.view(), dmaps, cx);
            cx.recycle(dx);
        }
    }
}

impl<F: Real> Params<F> for RegionHeads<F> {
    fn walk<'a>(&'a self, prefix: &str, out: &mut Vec<Tensor<'a, F>>) {
        self.boxes.walk(&format!("{prefix}box."), out);
        if let Some(masks) = &self.masks {
            masks.walk(&format!("{prefix}mask."), out);
        }
    }

    fn walk_mut<'a>(&'a mut self, prefix: &str, out: &mut Vec<TensorMut<'a, F>>) {
        self.boxes.walk_mut(&format!("{prefix}box."), out);
        if let Some(masks) = &mut self.masks {
            masks.walk_mut(&format!("{prefix}mask."), out);
        }
    }
}
