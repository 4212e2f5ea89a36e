//! Where the images of a run come from: the embedded data or a path, its statistics, its three splits.

use crate::base::{Error, Result};
use crate::config::sections::{DataConfig, EPOCH_SAMPLES, RunConfig};
use crate::data::{
    self, Augment, Dataset, FEWEST_VALIDATION, Format, Loader, LoaderConfig, PixelsOnly, ReduceZeroLabel,
    Split, Subset, channel_stats, validation_split,
};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Images that the statistics are measured on, at most.
const STATS_IMAGES: usize = 1000;

/// The images of a run. No image is in two of its splits.
#[derive(Clone)]
pub struct Source {
    /// What the model learns from.
    pub train: Arc<dyn Dataset>,
    /// What checkpoints are chosen by, or why there is nothing.
    pub validation: std::result::Result<Arc<dyn Dataset>, String>,
    /// What is only reported, or why there is nothing. Nothing is ever chosen by it.
    pub test: std::result::Result<Arc<dyn Dataset>, String>,
}

impl Source {
    /// The splits of a data set as they lie on the disk.
    ///
    /// # Errors
    /// If there is no training data, or another split is there but damaged.
    pub fn of(config: &DataConfig) -> Result<Self> {
        let (path, format) = place(config)?;
        let train = reduced(config, data::open(&path, format, Split::Train)?)?;
        let other = |split| -> Result<std::result::Result<_, String>> {
            match data::open_if_there(&path, format, split)? {
                Ok(set) => reduced(config, set).map(Ok),
                Err(why) => Ok(Err(why)),
            }
        };
        Ok(Self { validation: other(Split::Validation)?, test: other(Split::Test)?, train })
    }

    /// The splits of a run that needs no labels. Without a validation split, `run.held_out_images` of the training images, at
    /// most, become one.
    ///
    /// # Errors
    /// As [`Source::of`].
    pub fn for_pretraining(data: &DataConfig, run: &RunConfig) -> Result<Self> {
        let Self { train, validation, test } = Self::of(data)?;
        let train = PixelsOnly::of(train);
        if run.held_out_images == 0 {
            let none = || Err("run.held_out_images is 0".to_owned());
            return Ok(Self { validation: none(), test: none(), train });
        }
        let source =
            Self { train, validation: validation.map(PixelsOnly::of), test: test.map(PixelsOnly::of) };
        Ok(source.hold_out(data.val_fraction, run.held_out_images, run.seed))
    }

    /// Takes a validation split out of the training images, where there is none: the fraction `data.val_fraction` of
    /// them, at most so many, a choice by the seed; none if that is fewer than [`FEWEST_VALIDATION`].
    #[must_use]
    pub fn hold_out(self, fraction: f64, most: usize, seed: u64) -> Self {
        if self.validation.is_ok() {
            return self;
        }
        let split = validation_split(self.train.len(), fraction, most, seed);
        if split.validation.is_empty() {
            let images = self.train.len();
            let why = format!(
                "{fraction} (data.val_fraction) of {images} images, at most {most}, is less than {FEWEST_VALIDATION}"
            );
            return Self { validation: Err(why), ..self };
        }
        let part = |images| -> Arc<dyn Dataset> { Arc::new(Subset::new(self.train.clone(), images)) };
        Self { train: part(split.train), validation: Ok(part(split.validation)), test: self.test }
    }
}

/// Measures mean and standard deviation of the channels, and how often an epoch shows each image, where the settings do
/// not give them.
///
/// # Errors
/// If an image that is looked at cannot be read.
pub fn measure(train: &dyn Dataset, config: &mut DataConfig, in_chans: usize) -> Result<()> {
    if config.mean.is_none() || config.std.is_none() {
        let stats = channel_stats(train, in_chans, STATS_IMAGES, config.skip_bad_images)?;
        config.mean.get_or_insert(stats.mean);
        config.std.get_or_insert(stats.std);
    }
    config.repeats.get_or_insert(EPOCH_SAMPLES.div_ceil(train.len().max(1)));
    Ok(())
}

/// Lets settings name other data.
pub fn use_data(config: &mut DataConfig, path: Option<&Path>, format: Option<&str>) {
    if let Some(path) = path {
        config.path = Some(path.to_path_buf());
        config.format = None;
    }
    if let Some(format) = format {
        config.format = Some(format.to_owned());
    }
}

/// One half of the data that the settings name.
///
/// # Errors
/// If it is not there, or is damaged.
pub fn open_split(config: &DataConfig, split: Split) -> Result<Arc<dyn Dataset>> {
    let (path, format) = place(config)?;
    reduced(config, data::open(path, format, split)?)
}

/// What a finished model is judged on: the test split of the data that the settings name, or else the validation split, with why there is
/// no test split, or else all of it.
///
/// # Errors
/// If there is no data, or it is damaged.
pub fn judged_or_all(config: &DataConfig) -> Result<(Arc<dyn Dataset>, Option<String>)> {
    let (path, format) = place(config)?;
    match data::open_judged(&path, format)? {
        Ok(((_, set), no_test)) => Ok((reduced(config, set)?, no_test)),
        Err(_) => Ok((reduced(config, data::open(&path, format, Split::Train)?)?, None)),
    }
}

/// The data with reduced label maps, if `data.reduce_zero_label` asks for them.
fn reduced(config: &DataConfig, set: Arc<dyn Dataset>) -> Result<Arc<dyn Dataset>> {
    Ok(if config.reduce_zero_label { Arc::new(ReduceZeroLabel::new(set)?) } else { set })
}

/// `data.crop` as augmentation has it.
pub(crate) fn crop_area(data: &DataConfig) -> Option<(f64, f64)> {
    data.crop.map(|[low, high]| (low, high))
}

/// How the loader prepares training images of `([height, width], channels)`, each in these views.
#[must_use]
pub fn loader(
    data: &DataConfig,
    views: Vec<Augment>,
    (img_size, in_chans): ([usize; 2], usize),
    batch_size: usize,
    seed: u64,
) -> LoaderConfig {
    LoaderConfig {
        height: img_size[0],
        width: img_size[1],
        channels: in_chans,
        mean: data.mean.clone().unwrap_or_default(),
        std: data.std.clone().unwrap_or_default(),
        batch_size,
        repeats: data.repeats.unwrap_or(1),
        views,
        seed,
        skip_bad_images: data.skip_bad_images,
        cache_bytes: data.cache_mib.saturating_mul(1 << 20),
    }
}

/// The loader of a run, whose steps take `accum_iter` batches each.
///
/// # Errors
/// If the data cannot be used so, or an epoch has too few batches.
pub(crate) fn open_loader(
    train: Arc<dyn Dataset>,
    loader: LoaderConfig,
    accum_iter: usize,
) -> Result<Loader> {
    let loader = Loader::new(train, loader)?;
    let batches = loader.steps_per_epoch();
    if accum_iter > batches {
        let expected = format!("at most {batches}, the batches of an epoch");
        return Err(Error::setting("optim.accum_iter", expected, accum_iter));
    }
    Ok(loader)
}

/// Where the data lies, and its format if that is given.
fn place(config: &DataConfig) -> Result<(PathBuf, Option<Format>)> {
    let expected = "a data set; docs/data.md has the formats, data/README.md says where to get CIFAR-10";
    let missing = || Error::setting("--data", expected, "none, and this preset brings none");
    let path = config.path.clone().ok_or_else(missing)?;
    if !data::is_there(&path) {
        let here = std::env::current_dir()
            .map_or_else(|_| "here".to_owned(), |here| format!("in {}", here.display()));
        let what = format!("there is no such file or folder {here}; --data says where the data lies");
        return Err(Error::read(path)(io::Error::new(io::ErrorKind::NotFound, what)));
    }
    Ok((path, config.format.as_deref().map(str::parse::<Format>).transpose()?))
}
