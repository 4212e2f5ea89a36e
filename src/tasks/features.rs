//! What a frozen encoder makes of a data set: one row of features an image, from the whole image, nothing masked.

use crate::base::{Error, Result};
use crate::data::Dataset;
use crate::exec::Exec;
use crate::exec::engine::Engine;
use crate::exec::ranks::{self, Ranks};
use crate::models::classify::Pooling;
use crate::models::classify::features::features as of_images;
use crate::models::mae::Encoder;
use crate::train::input::Input;
use crate::train::memory;
use crate::train::workers::WorkerPool;
use ndarray::{Array2, ArrayView1, ArrayView4, ArrayViewMut2, Axis};
use rayon::prelude::*;
use std::ops::Range;

/// Images that one task carries through: fixed, so that the bits do not depend on the number of threads.
const CHUNK: usize = 16;

/// The images that a rank sees of so many: whole chunks, so that each is seen among the same others as on one process.
#[must_use]
pub fn share(images: usize, ranks: &dyn Ranks) -> Range<usize> {
    let chunks = ranks::share(images.div_ceil(CHUNK), ranks.rank(), ranks.size());
    (chunks.start * CHUNK).min(images)..(chunks.end * CHUNK).min(images)
}

/// Hears how far the work on images is, from any thread.
pub trait Listener: Sync {
    /// So many images will be sent through a model.
    fn begins(&self, images: usize);
    /// So many more are done.
    fn finished(&self, images: usize);
}

/// Nobody listens.
impl Listener for () {
    fn begins(&self, _: usize) {}
    fn finished(&self, _: usize) {}
}

/// `[N, D]`: the features of a whole data set.
///
/// # Errors
/// As [`rows`].
pub fn features(
    encoder: &Encoder<f32>,
    pooling: Pooling,
    dataset: &dyn Dataset,
    input: &Input,
    engine: &Engine,
    listener: &dyn Listener,
) -> Result<Array2<f32>> {
    let forward = |images: ArrayView4<f32>, cx: &mut Exec<f32>| of_images(encoder, pooling, images, cx);
    let outputs = Outputs {
        width: encoder.vit.config.embed_dim,
        activation_bytes: encoder.vit.config.inference_bytes(),
    };
    rows(dataset, input, outputs, engine, &forward, listener)
}

/// What is computed of each image.
#[derive(Clone, Copy, Debug)]
pub struct Outputs {
    /// Numbers of the result.
    pub width: usize,
    /// Bytes of the activations on the way.
    pub activation_bytes: usize,
}

/// `[N, width]`: what `forward` makes of each image of a data set, on all threads, in chunks
/// of a fixed number of images. The bits do not depend on the number of threads.
///
/// # Errors
/// The first image, in the order of the data, that cannot be read or brought to the model's size; too little memory; or a
/// device that failed; or an output that is not finite.
pub fn rows(
    dataset: &dyn Dataset,
    input: &Input,
    outputs: Outputs,
    engine: &Engine,
    forward: &(impl Fn(ArrayView4<f32>, &mut Exec<f32>) -> Array2<f32> + Sync),
    listener: &dyn Listener,
) -> Result<Array2<f32>> {
    let workers = WorkerPool::<f32, ()>::new(engine);
    let tasks = dataset.len().div_ceil(CHUNK).min(rayon::current_num_threads());
    memory::require_activations(tasks * CHUNK.min(dataset.len()) * outputs.activation_bytes)?;
    let mut all = Array2::zeros((dataset.len(), outputs.width));
    let chunks: Vec<_> = all.axis_chunks_iter_mut(Axis(0), CHUNK).enumerate().collect();
    // With fewer chunks than threads the products themselves spread over the threads.
    let split = chunks.len() < rayon::current_num_threads();
    let chunk = |(i, mut rows): (usize, ArrayViewMut2<f32>)| {
        let count = rows.nrows();
        let images = input.batch(dataset, i * CHUNK..i * CHUNK + count)?;
        workers.run(split, |cx| {
            let outputs = forward(images.view(), cx);
            rows.assign(&outputs);
            cx.recycle(outputs);
        });
        listener.finished(count);
        Ok(())
    };
    let results: Vec<Result<()>> = workers.checked(|| chunks.into_par_iter().map(chunk).collect())?;
    results.into_iter().collect::<Result<()>>()?;
    let not_finite = |row: ArrayView1<f32>| !row.iter().all(|x| x.is_finite());
    match all.outer_iter().position(not_finite) {
        Some(index) => Err(Error::unsound(dataset.source(index), "the model's output")),
        None => Ok(all),
    }
}
