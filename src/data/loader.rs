//! The loader: batches of normalised images, prepared by background threads while the model trains.
//!
//! A batch is a function of (data, configuration, seed, epoch, step) and of nothing else: not of the number
//! of threads, not of the batches before. So an interrupted epoch continues at any step.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use ndarray::Array4;
use rayon::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};

use super::augment::fill_colour;
use super::cache::Cache;
use super::normalise::Normaliser;
use super::order::epoch_order;
use super::{Augment, Dataset, Geometry, Image, Part, Prefetch, Target, none_usable};
use crate::base::rng::{Purpose, view_rng};
use crate::base::sync::lock;
use crate::base::{Error, Result};

/// The most samples in an epoch: their order is kept in memory.
const MAX_SAMPLES: usize = 1 << 28;

/// How images become batches.
#[derive(Clone, Debug)]
pub struct LoaderConfig {
    /// The model's image height in pixels.
    pub height: usize,
    /// The model's image width in pixels.
    pub width: usize,
    /// The model's channels; images of another number are converted ([`Image::to_channels`]).
    pub channels: usize,
    /// Per channel, of values in `[0, 1]`.
    pub mean: Vec<f32>,
    /// Per channel, of values in `[0, 1]`.
    pub std: Vec<f32>,
    /// Images per batch.
    pub batch_size: usize,
    /// How often each image appears in an epoch, each time with a crop of its own: for a handful of photos.
    pub repeats: usize,
    /// The random changes of each view of an image, at least one. Without crops, all images must have the model's size.
    pub views: Vec<Augment>,
    /// Selects the order of samples and their random changes.
    pub seed: u64,
    /// Whether an image that cannot be read or used is replaced instead of ending the training.
    pub skip_bad_images: bool,
    /// The most bytes of decoded images to keep; see [`LoaderConfig::CACHE_BYTES`].
    pub cache_bytes: usize,
}

impl LoaderConfig {
    /// A cache size for every day: 256 MiB.
    pub const CACHE_BYTES: usize = 256 << 20;

    /// Refuses settings that cannot work with `images` images.
    fn check(&self, images: usize) -> Result<()> {
        for (key, value) in [
            ("model.img_size", self.height.min(self.width)),
            ("model.in_chans", self.channels),
            ("optim.batch_size", self.batch_size),
            ("data.repeats", self.repeats),
        ] {
            if value == 0 {
                return Err(Error::setting(key, "at least 1", 0));
            }
        }
        for (key, values) in [("data.mean", &self.mean), ("data.std", &self.std)] {
            let usable = |&v: &f32| v.is_finite() && (key == "data.mean" || v > 0.0);
            if values.len() != self.channels || !values.iter().all(usable) {
                let expected = format!("{} finite numbers, with std above 0", self.channels);
                return Err(Error::setting(key, expected, format!("{values:?}")));
            }
        }
        let samples = images.saturating_mul(self.repeats);
        if samples > MAX_SAMPLES {
            let expected = format!("at most {MAX_SAMPLES} samples in an epoch of {images} images");
            return Err(Error::setting("data.repeats", expected, self.repeats));
        }
        if self.batch_size > samples {
            let repeats = self.repeats;
            let expected = format!(
                "at most {samples}, the samples of an epoch ({images} images × data.repeats {repeats})"
            );
            return Err(Error::setting("optim.batch_size", expected, self.batch_size));
        }
        assert!(!self.views.is_empty(), "a batch without a view");
        self.views.iter().try_for_each(|view| view.check("data", self.height, self.width, self.channels))
    }
}

/// What one training step sees.
#[derive(Clone, Debug)]
pub struct Batch {
    /// One or more views of the same images, each `[B, C, H, W]`, normalised: `(x / 255 − mean) / std`.
    pub views: Vec<Array4<f32>>,
    /// What each image teaches, as it is seen in view 0.
    pub targets: Vec<Target>,
    /// How view 0 was cut out of each image.
    pub geometry: Vec<Geometry>,
    /// Each sample's address, `index · repeats + repeat`, which its mask is drawn from as well.
    pub samples: Vec<u64>,
}

/// Makes batches of a data set.
///
/// Images of a batch are prepared in parallel by threads of the loader's own (as many as the rayon pool has
/// in which it was made), so that a trainer that occupies all of its threads, or has only one and waits on
/// it for data, cannot starve it.
pub struct Loader {
    source: Arc<Source>,
    /// What is made of each batch, if not all of it.
    part: Option<Part>,
    pool: Arc<ThreadPool>,
    waited_nanos: Arc<AtomicU64>,
}

/// What the preparing threads share.
struct Source {
    dataset: Arc<dyn Dataset>,
    config: LoaderConfig,
    normaliser: Normaliser,
    /// The data's mean colour, for what an augmentation brings in from outside of an image.
    fill: Vec<u8>,
    cache: Cache,
    /// Why images were skipped, by index.
    skipped: Mutex<BTreeMap<usize, String>>,
}

impl Loader {
    /// A loader of `dataset`.
    ///
    /// # Errors
    /// If a setting cannot work, the batch is larger than the data set, or all images are known to have
    /// another size than the model while no crops were asked for.
    pub fn new(dataset: Arc<dyn Dataset>, config: LoaderConfig) -> Result<Self> {
        config.check(dataset.len())?;
        let threads = rayon::current_num_threads();
        let pool = ThreadPoolBuilder::new().num_threads(threads).thread_name(|i| format!("data-{i}")).build();
        let pool =
            pool.map_err(|error| Error::setting("--threads", "a number that can be started", error))?;
        let source = Source {
            normaliser: Normaliser::new(&config.mean, &config.std),
            fill: fill_colour(&config.mean),
            cache: Cache::new(if dataset.in_memory() { 0 } else { config.cache_bytes }),
            skipped: Mutex::default(),
            dataset,
            config,
        };
        if let Some((height, width)) = source.dataset.size() {
            source.check_size(0, height, width)?;
        }
        let (source, pool, waited_nanos) = (Arc::new(source), Arc::new(pool), Arc::default());
        Ok(Self { source, part: None, pool, waited_nanos })
    }

    /// From now on, makes a part of each batch only; the rest is as [`Part`] says.
    #[must_use]
    pub fn only(self, part: Part) -> Self {
        Self { part: Some(part), ..self }
    }

    /// Batches per epoch. An incomplete last batch is dropped, as the reference's `drop_last=True` does.
    pub fn steps_per_epoch(&self) -> usize {
        let Source { dataset, config, .. } = &*self.source;
        dataset.len() * config.repeats / config.batch_size
    }

    /// The batches of an epoch from step `first_step` on; the first error is the last item.
    pub fn epoch(&self, epoch: u64, first_step: usize) -> Prefetch<Result<Batch>> {
        let (source, pool, part) = (Arc::clone(&self.source), Arc::clone(&self.pool), self.part.clone());
        let LoaderConfig { seed, repeats, batch_size, .. } = source.config;
        let order = epoch_order(seed, epoch, source.dataset.len(), repeats);
        let mut failed = false;
        let batches = (first_step..self.steps_per_epoch()).map_while(move |step| {
            if failed {
                return None;
            }
            let addresses = &order[step * batch_size..(step + 1) * batch_size];
            let batch = pool.install(|| source.batch(epoch, addresses, part.as_ref()));
            failed = batch.is_err();
            Some(batch)
        });
        Prefetch::new(batches, Arc::clone(&self.waited_nanos))
    }

    /// Where its images come from.
    #[must_use]
    pub fn dataset(&self) -> &dyn Dataset {
        &*self.source.dataset
    }

    /// How long training has waited for batches so far, over all epochs.
    pub fn waited(&self) -> Duration {
        Duration::from_nanos(self.waited_nanos.load(Ordering::Relaxed))
    }

    /// The images skipped so far, each with the reason, in the order of the data set.
    pub fn skipped(&self) -> Vec<String> {
        self.source.skipped().values().cloned().collect()
    }

    /// The bytes of decoded images in the cache, never more than `cache_bytes`.
    pub fn cached_bytes(&self) -> usize {
        self.source.cache.bytes()
    }
}

impl Source {
    /// The batch of the samples at `addresses`, or a part of it.
    fn batch(&self, epoch: u64, addresses: &[usize], part: Option<&Part>) -> Result<Batch> {
        let LoaderConfig { height, width, channels, .. } = self.config;
        let size = channels * height * width;
        let mut views = vec![vec![0.0; addresses.len() * size]; self.config.views.len()];
        // For each sample, its place in each view.
        let mut places: Vec<Vec<&mut [f32]>> = addresses.iter().map(|_| Vec::new()).collect();
        for view in &mut views {
            places.iter_mut().zip(view.chunks_exact_mut(size)).for_each(|(places, place)| places.push(place));
        }
        let samples = addresses.par_iter().zip(places).enumerate();
        let samples: Vec<Result<Option<(Target, Geometry)>>> = samples
            .map(|(row, (&address, places))| {
                let wanted = part.is_none_or(|part| part.wants(row, addresses.len()));
                wanted.then(|| self.sample(epoch, address, places)).transpose()
            })
            .collect();
        // Collected in order first, so that the error named is the same for any number of threads.
        let samples = samples.into_iter().collect::<Result<Vec<_>>>()?;
        let (targets, geometry) = Part::filled(samples).into_iter().unzip();
        let shape = (addresses.len(), channels, height, width);
        let array = |pixels| Array4::from_shape_vec(shape, pixels).expect("C·H·W values per address");
        let samples = addresses.iter().map(|&address| address as u64).collect();
        Ok(Batch { views: views.into_iter().map(array).collect(), targets, geometry, samples })
    }

    /// Writes the views of the sample at `address` to `outs`; its target and geometry in view 0.
    fn sample(&self, epoch: u64, address: usize, outs: Vec<&mut [f32]>) -> Result<(Target, Geometry)> {
        let LoaderConfig { height, width, repeats, seed, ref views, .. } = self.config;
        let (image, target) = self.readable(address / repeats)?;
        if target.is_dense() && views[0].moves_more() {
            let expected = "no shift and no rand_augment, which boxes, masks and label maps do not follow";
            return Err(Error::setting("augment", expected, "at least one of them"));
        }
        let mut geometry = Vec::with_capacity(views.len());
        for ((v, augment), out) in (0..).zip(views).zip(outs) {
            let mut rng = view_rng(seed, Purpose::Augment, epoch, address as u64, v);
            let (view, drawn) = augment.apply(&image, height, width, &self.fill, &mut rng);
            self.normaliser.write(&view, out);
            augment.apply_normalised(out, height, width, &mut rng);
            geometry.push(drawn);
        }
        Ok((geometry[0].target(&target), geometry[0]))
    }

    /// Image `index` and its target, or if one of them is bad and may be skipped, the next good one after it (past the last comes
    /// the first).
    ///
    /// The sample keeps its address: the substitute's pixels and label come with the crop and the mask of
    /// the sample that is missing, so it is not the same view twice, and no other sample changes.
    fn readable(&self, index: usize) -> Result<(Arc<Image>, Target)> {
        let images = self.dataset.len();
        for index in (index..images).chain(0..index) {
            if self.config.skip_bad_images && self.skipped().contains_key(&index) {
                continue;
            }
            let both = self.decoded(index).and_then(|image| Ok((image, self.dataset.target(index)?)));
            match both {
                Ok(both) => return Ok(both),
                Err(error) if self.config.skip_bad_images => {
                    self.skipped().insert(index, error.to_string());
                }
                Err(error) => return Err(error),
            }
        }
        let first = self.skipped().values().next().cloned().unwrap_or_default();
        Err(none_usable(&*self.dataset, &first))
    }

    /// Image `index` in the model's channels and of a size that can be used, from the cache if it is there.
    fn decoded(&self, index: usize) -> Result<Arc<Image>> {
        if let Some(image) = self.cache.get(index) {
            return Ok(image);
        }
        let mut image = self.dataset.image(index)?;
        self.check_size(index, image.height, image.width)?;
        if image.channels != self.config.channels {
            let converted = image.to_channels(self.config.channels);
            image = converted.map_err(|error| Error::at(self.dataset.source(index))(error))?;
        }
        let image = Arc::new(image);
        self.cache.offer(index, &image);
        Ok(image)
    }

    /// Refuses an image of another size than the model's, unless it will be cropped to it.
    fn check_size(&self, index: usize, height: usize, width: usize) -> Result<()> {
        let config = &self.config;
        let cropped = config.views.iter().all(Augment::takes_any_size);
        if cropped || (height, width) == (config.height, config.width) {
            return Ok(());
        }
        let expected =
            format!("the model's {}×{} (or --crop 0.2,1 to train on crops)", config.height, config.width);
        let found = format!("{height}×{width} (height × width)");
        Err(Error::input(self.dataset.source(index), "image size", expected, found))
    }

    fn skipped(&self) -> MutexGuard<'_, BTreeMap<usize, String>> {
        lock(&self.skipped)
    }
}
