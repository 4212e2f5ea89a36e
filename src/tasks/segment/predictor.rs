//! What a segmentation network makes of images of any size: a class for each of their own pixels.

use crate::base::sync::lock;
use crate::base::{Error, Result};
use crate::config::sections::DataConfig;
use crate::data::geometry::Geometry;
use crate::data::image::Image;
use crate::data::resample::Filter;
use crate::exec::Exec;
use crate::models::segment::{PixelLoss, Segmenter, SegmenterConfig};
use crate::train::input::Input;
use crate::train::memory;
use ndarray::{Array2, ArrayView2, ArrayView4, Axis, s};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};

/// Networks for other sizes of images that are kept: each has weights of its own.
const KEPT_SIZES: usize = 4;
/// Windows are so many thirds of their size apart (`MMSegmentation`'s usual stride of 341 at 512).
const THIRDS: usize = 2;

/// A network with what else is needed to use it.
pub struct Predictor<'a> {
    /// The network.
    pub model: &'a Segmenter<f32>,
    /// Mean and standard deviation of its images.
    pub data: &'a DataConfig,
    /// Whether images are seen window by window at their own size, or as a whole.
    pub slide: bool,
    /// Where the weights come from, for messages.
    pub checkpoint: &'a Path,
    /// The network for some of the other sizes that were met.
    sizes: Mutex<BTreeMap<[usize; 2], Arc<Segmenter<f32>>>>,
}

/// What is seen of an image.
pub struct Seen {
    /// The class of every pixel, `[H, W]`.
    pub map: Array2<u8>,
    /// `Σ −log p` of the labels of its labelled pixels, where a label map was given and the image was seen as a whole.
    pub cross_entropy_sum: Option<f64>,
}

impl<'a> Predictor<'a> {
    /// One that has met no image yet.
    #[must_use]
    pub fn new(model: &'a Segmenter<f32>, data: &'a DataConfig, slide: bool, checkpoint: &'a Path) -> Self {
        Self { model, data, slide, checkpoint, sizes: Mutex::default() }
    }

    /// What the network sees in an image, which comes from `source`; `labels` are those of its pixels, if they are known.
    ///
    /// # Errors
    /// If the image does not have the network's channels, there is too little memory for it, or a logit is not finite.
    pub fn see(
        &self,
        source: &str,
        image: &Image,
        labels: Option<ArrayView2<u8>>,
        cx: &mut Exec<f32>,
    ) -> Result<Seen> {
        let image = image.to_channels(self.model.config.in_chans).map_err(Error::at(source))?;
        if self.slide { self.windows(source, &image, cx) } else { self.whole(source, &image, labels, cx) }
    }

    fn whole(
        &self,
        source: &str,
        image: &Image,
        labels: Option<ArrayView2<u8>>,
        cx: &mut Exec<f32>,
    ) -> Result<Seen> {
        let own = [image.height, image.width];
        let model = self.at(self.model.config.whole_size(own)).map_err(Error::at(source))?;
        let low = self.logits(&model, source, image, cx)?;
        let pixels = PixelLoss::new(model.config.logits_size(), own);
        let map = pixels.predict(&low, cx).index_axis_move(Axis(0), 0);
        let cross_entropy_sum = labels.map(|labels| pixels.sum(&low, &[labels], cx));
        cx.recycle(low);
        Ok(Seen { map, cross_entropy_sum })
    }

    /// Windows of the training's size over the image, or over the image enlarged if it is smaller; each pixel gets the class
    /// with the highest sum of the logits of all windows in which it lies, which is the class with the highest mean.
    fn windows(&self, source: &str, image: &Image, cx: &mut Exec<f32>) -> Result<Seen> {
        let (own, [h, w]) = ([image.height, image.width], self.model.config.img_size);
        let covering = if own[0] < h || own[1] < w { self.model.config.whole_size(own) } else { own };
        let covering = [covering[0].max(h), covering[1].max(w)];
        let image = Geometry::resized(own.into(), covering.into()).image(image, Filter::Bilinear, &[]);
        let (classes, window) =
            (self.model.config.num_classes, PixelLoss::new(self.model.config.logits_size(), [h, w]));
        let sums = size_of::<f32>() * covering[0] * covering[1] * classes;
        memory::require_activations(sums).map_err(Error::at(source))?;
        let mut sums = Array2::<f32>::zeros((covering[0] * covering[1], classes));
        for top in places(covering[0], h) {
            for left in places(covering[1], w) {
                let part = cut(&image, (top, left), (h, w));
                let low = self.logits(self.model, source, &part, cx)?;
                let logits = window.resized(&low, cx);
                for y in 0..h {
                    let first = (top + y) * covering[1] + left;
                    let mut row = sums.slice_mut(s![first..first + w, ..]);
                    row += &logits.slice(s![y * w..(y + 1) * w, ..]);
                }
                cx.recycle(low);
                cx.recycle(logits);
            }
        }
        let map = PixelLoss::new(covering, own).predict(&sums, cx).index_axis_move(Axis(0), 0);
        Ok(Seen { map, cross_entropy_sum: None })
    }

    /// The logits of an image at the network's size, at the head's.
    fn logits(
        &self,
        model: &Segmenter<f32>,
        source: &str,
        image: &Image,
        cx: &mut Exec<f32>,
    ) -> Result<Array2<f32>> {
        let (size, own) = (model.config.img_size, (image.height, image.width));
        let seen = Geometry::resized(own, size.into()).image(image, Filter::Bilinear, &[]);
        let input = Input::of(self.data, (size, model.config.in_chans)).image(source, &seen)?;
        let images: ArrayView4<f32> = input.view().insert_axis(Axis(0));
        let low = model.infer(images, cx);
        if low.iter().all(|z| z.is_finite()) {
            return Ok(low);
        }
        Err(Error::unsound(self.checkpoint, "logits"))
    }

    /// The network for images of a size.
    fn at(&self, size: [usize; 2]) -> Result<Arc<Segmenter<f32>>> {
        if let Some(model) = lock(&self.sizes).get(&size) {
            return Ok(model.clone());
        }
        let config = SegmenterConfig { img_size: size, ..self.model.config.clone() };
        memory::require_activations(config.inference_bytes())?;
        let model = Arc::new(self.model.for_images_of(size));
        let mut sizes = lock(&self.sizes);
        if sizes.len() >= KEPT_SIZES {
            sizes.clear();
        }
        sizes.insert(size, model.clone());
        Ok(model)
    }
}

/// Where windows of `length` begin along a side of `n ≥ length` pixels: evenly, so that the last one ends where the side does.
fn places(n: usize, length: usize) -> Vec<usize> {
    let stride = (length * THIRDS / 3).max(1);
    let steps = (n - length).div_ceil(stride);
    (0..=steps).map(|i| (i * stride).min(n - length)).collect()
}

/// The part of an image from a pixel on.
fn cut(image: &Image, (top, left): (usize, usize), (height, width): (usize, usize)) -> Image {
    let bytes = image.channels;
    let line = |y: usize| {
        let first = ((top + y) * image.width + left) * bytes;
        image.pixels[first..first + width * bytes].iter().copied()
    };
    Image::new(height, width, bytes, (0..height).flat_map(line).collect())
}

#[cfg(test)]
mod tests {
    use super::places;

    #[test]
    fn windows_cover_a_side_and_do_not_leave_it() {
        assert_eq!(places(64, 64), [0]);
        assert_eq!(places(65, 64), [0, 1]);
        assert_eq!(places(200, 64), [0, 42, 84, 126, 136]);
    }
}
