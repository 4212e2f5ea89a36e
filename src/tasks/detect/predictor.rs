//! What a detector finds in images of any size, in their own pixels.

use crate::base::{Error, Result};
use crate::config::sections::DataConfig;
use crate::data::augment::fill_colour;
use crate::data::geometry::Geometry;
use crate::data::image::Image;
use crate::data::resample::Filter;
use crate::data::rle::Rle;
use crate::exec::Exec;
use crate::models::detect::boxes::{BBox, area, clip, resized};
use crate::models::detect::paste::paste;
use crate::models::detect::{Detector, DetectorConfig};
use crate::params::Params;
use crate::train::input::Input;
use ndarray::{Array3, Axis};
use std::path::Path;

/// A detector with what else is needed to use it.
pub struct Predictor<'a> {
    /// The network.
    pub model: &'a Detector<f32>,
    /// Mean and standard deviation of its images.
    pub data: &'a DataConfig,
}

/// An object that was found.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// `[x1, y1, x2, y2]` in the image's pixels.
    pub bbox: [f64; 4],
    /// The class's probability.
    pub score: f64,
    /// A position among the classes that were learnt.
    pub class: usize,
    /// Its pixels, in runs: whole masks of a large image would fill the memory. None without a mask head.
    pub mask: Option<Rle>,
}

/// An image as the network sees it.
pub struct Seen {
    /// How it got there.
    pub geometry: Geometry,
    /// On the canvas, in the network's channels.
    pub image: Image,
    /// The same, normalised: `[C, H, W]`.
    pub input: Array3<f32>,
}

impl Seen {
    /// An image that comes from `source`, brought to the channels and the canvas of a network.
    ///
    /// # Errors
    /// If it cannot be brought to these channels.
    pub fn new(model: &DetectorConfig, data: &DataConfig, source: &str, image: &Image) -> Result<Self> {
        let image = image.to_channels(model.in_chans).map_err(Error::at(source))?;
        let geometry = fitted((image.height, image.width), model.img_size);
        let fill = fill_colour(data.mean.as_deref().unwrap_or_default());
        let image = geometry.image(&image, Filter::Bilinear, &fill);
        let input = Input::of(data, (model.img_size, model.in_chans)).image(source, &image)?;
        Ok(Self { geometry, image, input })
    }
}

/// How an image is seen: all of it, in its own proportions, as large as the canvas allows, in the upper left corner.
#[must_use]
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 1 and a side")]
pub fn fitted(image: (usize, usize), canvas: [usize; 2]) -> Geometry {
    let [height, width] = canvas;
    let ratio = (height as f64 / image.0 as f64).min(width as f64 / image.1 as f64);
    let scaled = |side: usize, most: usize| (ratio * side as f64).round().clamp(1.0, most as f64) as usize;
    let scale = (scaled(image.0, height), scaled(image.1, width));
    Geometry { scale, out: (height, width), ..Geometry::identity(image) }
}

impl<'a> Predictor<'a> {
    /// Of a network whose weights come from `checkpoint`.
    ///
    /// # Errors
    /// If a weight is not finite: with such a network nothing is ever found, which would look like an answer.
    pub fn new(model: &'a Detector<f32>, data: &'a DataConfig, checkpoint: &Path) -> Result<Self> {
        let wild = model.tensors().into_iter().find(|tensor| !tensor.data.iter().all(|x| x.is_finite()));
        match wild {
            None => Ok(Self { model, data }),
            Some(tensor) => Err(Error::unsound(checkpoint, tensor.name)),
        }
    }

    /// What the network finds in an image, which comes from `source`, the surest first.
    ///
    /// # Errors
    /// If the image cannot be brought to the network's channels.
    pub fn see(&self, source: &str, image: &Image, cx: &mut Exec<f32>) -> Result<Vec<Found>> {
        let own = [image.height, image.width];
        let Seen { geometry, input, .. } = Seen::new(&self.model.config, self.data, source, image)?;
        let found = self.model.infer(input.view().insert_axis(Axis(0)), cx);
        let scaled = [geometry.scale.0, geometry.scale.1];
        let objects = found.into_iter().flatten().filter_map(|instance| {
            let bbox: BBox<f32> = resized(clip(instance.detection.bbox, scaled), scaled, own);
            let mask = instance.mask.map(|mask| {
                let pasted = paste(mask.view(), bbox, own);
                Rle::of_part(pasted.inside().view(), [pasted.lines.start, pasted.columns.start], own)
            });
            (area(bbox) > 0.0).then(|| Found {
                bbox: bbox.map(f64::from),
                score: f64::from(instance.detection.score),
                class: instance.detection.class,
                mask,
            })
        });
        Ok(objects.collect())
    }
}
