//! Where a traced step starts: a model with its optimiser, and a few images with their masks.

use crate::base::{Error, Result};
use crate::data::load_image;
use crate::data::subset::evenly_spaced;
use crate::models::mae::cost::Cost;
use crate::models::mae::masking::len_keep;
use crate::models::mae::{Mae, Mask};
use crate::optim::AdamW;
use crate::tasks::mae::load;
use crate::tasks::{Config, Pretrain};
use crate::train::eval_images;
use crate::train::memory::{available_bytes, gibibytes};
use crate::train::source::measure;
use crate::train::{Task, save};
use ndarray::{Array4, Axis, stack};
use std::path::{Path, PathBuf};

/// The most images in a trace: each adds pictures to the page.
pub const MOST_IMAGES: usize = 8;
/// Images taken where none are named.
const IMAGES: usize = 2;
/// What is looked at where the settings bring no data.
const PHOTOS: &str = "data/photos";

/// A model before the step, with the optimiser that will take it.
#[derive(Debug)]
pub struct Start {
    /// The weights.
    pub model: Mae<f32>,
    /// The two moments: of the checkpoint, or zeros.
    pub adamw: AdamW<Mae<f32>>,
    /// The settings.
    pub config: Config,
    /// Where the weights come from, in words.
    pub origin: String,
}

impl Start {
    /// Initial weights of resolved settings, drawn from their seed; no step taken yet.
    ///
    /// # Errors
    /// If memory does not suffice for the model.
    pub fn initialised(config: Config, name: &str) -> Result<Self> {
        check_memory(&config, 1)?;
        let model = Mae::initialised(config.model.clone(), config.run.seed);
        let origin = format!("{name}, initial weights of seed {}", config.run.seed);
        Ok(Self { adamw: adamw(&model, &config), model, config, origin })
    }

    /// Weights and moments of a checkpoint: the step is the next one of its run.
    ///
    /// # Errors
    /// If there is no sound checkpoint, or it holds a number that is not finite.
    pub fn from_checkpoint(dir: &Path) -> Result<Self> {
        let (model, config, checkpoint) = load::load(dir)?;
        let mut adamw = adamw(&model, &config);
        save::load_moments(&checkpoint.optimizer, &mut adamw, None, Some(Vec::new()))?;
        save::check_finite(&adamw.m, checkpoint.optimizer.path(), "m.")?;
        save::check_finite(&adamw.v, checkpoint.optimizer.path(), "v.")?;
        let origin = format!("{} after {} steps", dir.display(), checkpoint.state.step);
        Ok(Self { model, adamw, config, origin })
    }
}

fn adamw(model: &Mae<f32>, config: &Config) -> AdamW<Mae<f32>> {
    AdamW::new(model, (config.optim.betas[0], config.optim.betas[1]))
}

/// The images of the step and how they are masked.
#[derive(Debug)]
pub struct Batch {
    /// `[B, C, H, W]`, normalised.
    pub images: Array4<f32>,
    /// Where each comes from.
    pub sources: Vec<String>,
    /// `[B][L]`: the noise that decides the masks.
    pub noise: Vec<Vec<f64>>,
    /// One an image.
    pub masks: Vec<Mask>,
}

impl Batch {
    /// The images in these files, or without files some of the data that the settings name (photographs
    /// where they name none). Measures mean and standard deviation of the data where `config` has none, and
    /// notes them there. The masks are those of `seed`.
    ///
    /// # Errors
    /// If an image or the data cannot be read, does not fit the model, or memory does not suffice.
    pub fn open(config: &mut Config, files: &[PathBuf], seed: u64) -> Result<Self> {
        if files.len() > MOST_IMAGES {
            return Err(Error::setting("--images", format!("at most {MOST_IMAGES} images"), files.len()));
        }
        let brought_none = config.data.path.is_none();
        if brought_none {
            config.data.path = Some(PHOTOS.into());
        }
        let count = if files.is_empty() { IMAGES } else { files.len() };
        check_memory(config, count)?;
        let measured = config.data.mean.is_some() && config.data.std.is_some();
        let source = if files.is_empty() || !measured { Some(Pretrain::source(config)?) } else { None };
        if let Some(source) = &source {
            measure(&*source.train, &mut config.data, config.model.in_chans)?;
        }
        let input = config.input();
        let mut images = Vec::new();
        let mut sources = Vec::new();
        if files.is_empty() {
            let source = source.expect("opened above");
            let dataset = source.validation.or(source.test).unwrap_or(source.train);
            for index in evenly_spaced(dataset.len(), count) {
                let name = dataset.source(index);
                images.push(input.image(&name, &dataset.image(index)?)?);
                sources.push(name);
            }
        }
        for path in files {
            let name = path.display().to_string();
            images.push(input.image(&name, &load_image(path)?)?);
            sources.push(path.file_name().map_or(name, |n| n.to_string_lossy().into_owned()));
        }
        if brought_none {
            config.data.path = None;
        }
        let views: Vec<_> = images.iter().map(|image| image.view()).collect();
        let images = stack(Axis(0), &views).expect("input images share the model's shape");
        let masking = config.masking();
        let noise: Vec<Vec<f64>> =
            (0..sources.len()).map(|i| masking.noise(seed, eval_images::EPOCH, i as u64)).collect();
        let keep = len_keep(config.model.num_patches(), config.mask.mask_ratio);
        let masks = noise.iter().map(|noise| Mask::from_noise(noise, keep)).collect();
        Ok(Self { images, sources, noise, masks })
    }

    /// The learning rate that the settings' highest rate is for a batch of this size, by the linear rule
    /// behind `blr` ([`crate::optim::Schedule::absolute_lr`]).
    #[must_use]
    pub fn lr(&self, config: &Config) -> f64 {
        let usual = config.optim.batch_size * config.optim.accum_iter;
        config.schedule().lr * self.masks.len() as f64 / usual as f64
    }
}

/// Refuses what would not fit into this machine's free memory, where that is known: six copies of the
/// weights (before, gradient, after, two moments, and what is being written), and the activations kept for
/// the backward pass and once more by the recorder.
fn check_memory(config: &Config, images: usize) -> Result<()> {
    let len_keep = len_keep(config.model.num_patches(), config.mask.mask_ratio);
    let cost = Cost { config: &config.model, len_keep };
    let needed = 6 * 4 * config.model.parameters().all + 3 * cost.activation_bytes(images);
    match available_bytes().filter(|&free| needed as u64 > free) {
        Some(free) => {
            let expected = format!("a model and images that fit into the {} of free memory", gibibytes(free));
            let found = format!("one whose traced step takes about {}", gibibytes(needed as u64));
            Err(Error::setting("model", expected, found))
        }
        None => Ok(()),
    }
}
