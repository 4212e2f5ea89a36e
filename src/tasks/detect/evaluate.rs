//! A detector judged on images with objects, as COCO does it.

use super::coco::{
    self, Detection, ErrorCounts, ImageResult, Object, Overlap, Protocol, corner_and_size, count_errors,
};
use super::predictor::{Found, Predictor};
use crate::base::{Error, Result};
use crate::data::{Dataset, Instance, Target, TargetKind};
use crate::exec::ranks::share;
use crate::models::detect::Detector;
use crate::tasks::features::Listener;
use crate::tasks::transfer::same_classes;
use crate::train::told::gather;
use crate::train::workers::WorkerPool;
use rayon::prelude::*;

/// From this score on a detection is drawn, and its errors are counted.
pub const SURE: f64 = 0.5;

/// What was found.
pub struct Evaluation {
    /// Objects and detections of each image, in the order of the data.
    pub images: Vec<ImageResult>,
    /// Judged by boxes.
    pub boxes: coco::Evaluation,
    /// Judged by masks, where network and data have them.
    pub masks: Option<coco::Evaluation>,
    /// Why not by masks, although the network has them.
    pub note: Option<String>,
}

/// Judges a network, image by image on all threads, and on all ranks of the workers, each of which sees a share of the images.
///
/// # Errors
/// The first image, in the order of the data, that cannot be read or has no objects known, or as [`Predictor::see`].
pub fn evaluate(
    predictor: &Predictor<'_>,
    names: &[String],
    dataset: &dyn Dataset,
    workers: &WorkerPool<f32, Detector<f32>>,
    listener: &dyn Listener,
) -> Result<Evaluation> {
    same_classes(TargetKind::Instances, names, dataset)?;
    let ranks = workers.ranks();
    let own = share(dataset.len(), ranks.rank(), ranks.size());
    let split = own.len() < rayon::current_num_threads();
    let one = |index: usize| -> Result<ImageResult> {
        let (image, instances) = (dataset.image(index)?, instances(dataset, index)?);
        let found = workers.run(split, |cx| predictor.see(&dataset.source(index), &image, cx))?;
        listener.finished(1);
        Ok(ImageResult {
            id: dataset.image_id(index),
            objects: instances.iter().map(Object::from).collect(),
            detections: found.into_iter().map(Detection::from).collect(),
        })
    };
    let results: Vec<_> = own.into_par_iter().map(one).collect();
    let images = results.into_iter().collect::<Result<Vec<_>>>()?;
    workers.engine().check()?;
    let images: Vec<_> = gather(ranks, images)?.into_iter().flatten().collect();
    let (protocol, classes) = (Protocol::default(), names.len());
    let objects = || images.iter().flat_map(|image| &image.objects);
    let (all, bare) = (objects().count(), objects().filter(|object| object.mask.is_none()).count());
    let mask_head = predictor.model.config.mask_head;
    let note = (mask_head && bare > 0).then(|| format!("no mask AP: {bare} of {all} objects have no mask"));
    let with_masks = mask_head && bare == 0;
    let judged = |overlap| coco::evaluate(&images, classes, overlap, &protocol);
    let (boxes, masks) = (judged(Overlap::Boxes), with_masks.then(|| judged(Overlap::Masks)));
    Ok(Evaluation { images, boxes, masks, note })
}

/// The objects of an image.
///
/// # Errors
/// If they cannot be read.
pub fn instances(dataset: &dyn Dataset, index: usize) -> Result<Vec<Instance>> {
    match dataset.target(index)? {
        Target::Instances(instances) => Ok(instances),
        other => Err(Error::input(dataset.source(index), "target", "objects", format!("{other:?}"))),
    }
}

impl From<Found> for Detection {
    fn from(found: Found) -> Self {
        Self { bbox: corner_and_size(found.bbox), score: found.score, class: found.class, mask: found.mask }
    }
}

impl Evaluation {
    /// Errors of the detections of [`SURE`] and more, by boxes.
    #[must_use]
    pub fn errors(&self) -> ErrorCounts {
        count_errors(&self.images, Overlap::Boxes, Protocol::default().max_dets[2], SURE)
    }

    /// The images with the most errors, the worst first; of equal ones the first in the data.
    #[must_use]
    pub fn worst(&self, most: usize) -> Vec<(usize, ErrorCounts)> {
        let of_image =
            |image: &ImageResult| count_errors(std::slice::from_ref(image), Overlap::Boxes, 100, SURE);
        let mut counted: Vec<_> = self.images.iter().map(of_image).enumerate().collect();
        counted.retain(|(_, errors)| errors.total() > 0);
        counted.sort_by_key(|(_, errors)| std::cmp::Reverse(errors.total()));
        counted.truncate(most);
        counted
    }
}
