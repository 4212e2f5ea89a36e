//! A segmentation network judged on images with label maps.

use super::metrics::PixelMetrics;
use super::predictor::{Predictor, Seen};
use crate::base::{Error, Result};
use crate::data::target::IGNORED;
use crate::data::{Dataset, Target, TargetKind};
use crate::exec::ranks::share;
use crate::models::segment::Segmenter;
use crate::tasks::features::Listener;
use crate::tasks::transfer::same_classes;
use crate::train::told::gather;
use crate::train::workers::WorkerPool;
use ndarray::Array2;
use rayon::prelude::*;

/// Images whose results are in memory at once.
const AT_ONCE: usize = 64;

/// What was found.
pub struct Evaluation {
    /// Pixels of all images.
    pub metrics: PixelMetrics,
    /// Mean of `−log p` of the true class over the labelled pixels, in nats, where images were seen as a whole.
    pub cross_entropy: Option<f64>,
    /// mIoU of each image by itself, in the order of the data; none where nothing is labelled.
    pub of_images: Vec<Option<f64>>,
    /// Intersection and union of each class in each image ([`PixelMetrics::overlaps`]).
    pub overlaps: Vec<Vec<[f64; 2]>>,
}

/// Judges a network, image by image on all threads, and on all ranks of the workers, each of which sees a share of the images; `keep`
/// is handed the number and the predicted map of each that this one sees, in order.
///
/// # Errors
/// The first image, in the order of the data, that cannot be read or has no label map, or as [`Predictor::see`].
pub fn evaluate(
    predictor: &Predictor<'_>,
    names: &[String],
    dataset: &dyn Dataset,
    workers: &WorkerPool<f32, Segmenter<f32>>,
    listener: &dyn Listener,
    mut keep: impl FnMut(usize, &Array2<u8>) -> Result<()>,
) -> Result<Evaluation> {
    same_classes(TargetKind::LabelMap, names, dataset)?;
    let ranks = workers.ranks();
    let own = share(dataset.len(), ranks.rank(), ranks.size());
    let mut metrics = PixelMetrics::new(names.len());
    let mut of_images = Vec::with_capacity(own.len());
    let split = own.len() < rayon::current_num_threads();
    let one = |index: usize| -> Result<(Seen, Array2<u8>)> {
        let (image, truth) = (dataset.image(index)?, label_map(dataset, index)?);
        let seen =
            workers.run(split, |cx| predictor.see(&dataset.source(index), &image, Some(truth.view()), cx))?;
        listener.finished(1);
        Ok((seen, truth))
    };
    for first in own.clone().step_by(AT_ONCE) {
        let indices = first..(first + AT_ONCE).min(own.end);
        let results: Vec<_> = indices.clone().into_par_iter().map(one).collect();
        for (index, result) in indices.zip(results) {
            let (seen, truth) = result?;
            let mut of_image = PixelMetrics::new(names.len());
            of_image.count(truth.view(), seen.map.view());
            metrics.confusion += &of_image.confusion;
            let labelled = truth.iter().filter(|&&label| label != IGNORED).count();
            of_images.push((([of_image.miou(), seen.cross_entropy_sum], labelled), of_image.overlaps()));
            keep(index, &seen.map)?;
        }
    }
    workers.engine().check()?;
    let mut all = Evaluation {
        metrics: PixelMetrics::new(names.len()),
        cross_entropy: None,
        of_images: Vec::new(),
        overlaps: Vec::new(),
    };
    let (mut sum, mut labelled) = (Some(0.0), 0_usize);
    for (metrics, of_images) in gather(ranks, (metrics, of_images))? {
        all.metrics.confusion += &metrics.confusion;
        for (([miou, cross_entropy_sum], pixels), overlaps) in of_images {
            all.of_images.push(miou);
            all.overlaps.push(overlaps);
            labelled += pixels;
            sum = sum.zip(cross_entropy_sum).map(|(sum, more)| sum + more);
        }
    }
    all.cross_entropy = sum.filter(|_| labelled > 0).map(|sum| sum / labelled as f64);
    Ok(all)
}

/// The label map of an image.
///
/// # Errors
/// If it cannot be read.
pub fn label_map(dataset: &dyn Dataset, index: usize) -> Result<Array2<u8>> {
    match dataset.target(index)? {
        Target::LabelMap(map) => Ok(map),
        other => {
            let found = format!("{other:?}");
            Err(Error::input(dataset.source(index), "target", "a label map", found))
        }
    }
}

impl Evaluation {
    /// The images with the lowest mIoU, the worst first; of equal ones the first in the data.
    #[must_use]
    pub fn worst(&self, most: usize) -> Vec<usize> {
        let mut scored: Vec<(f64, usize)> =
            self.of_images.iter().enumerate().filter_map(|(i, score)| Some(((*score)?, i))).collect();
        scored.sort_by(|a, b| a.0.total_cmp(&b.0));
        scored.into_iter().take(most).map(|(_, index)| index).collect()
    }
}
