//! What an audit may cost: refused with advice before anything is computed, never given up half-way.

use super::model::{INPUT, Layer};
use crate::base::{Error, Result};
use crate::models::mae::cost::Cost;
use crate::models::mae::masking::len_keep;
use crate::models::mae::{Mae, MaeConfig};
use crate::params::Params;
use crate::tasks::Config;
use crate::train::memory::available_bytes;

/// The most floating-point operations that a check of single elements may take: some ten minutes of a core.
const MOST_FLOPS: f64 = 5e12;
/// Models of fewer parameters are built to count the elements of their tensors; in larger ones tensors are taken to
/// have as many as are asked for.
const SMALL: usize = 10_000_000;
/// Models in f64 that are alive at once: weights, gradient, moved weights, and one to spare.
const COPIES: usize = 4;

/// Refuses a model whose copies and activations do not fit into the memory that is free.
///
/// # Errors
/// [`Error::Setting`] with what it takes and what there is.
pub fn memory(config: &MaeConfig, len_keep: usize, images: usize) -> Result<()> {
    // `activation_bytes` counts in f32.
    let needed =
        8 * COPIES * config.parameters().all + 2 * Cost { config, len_keep }.activation_bytes(images);
    match available_bytes() {
        Some(free) if needed as u64 > free => {
            let expected =
                format!("a model that an audit in f64 fits into {} MiB of free memory", free >> 20);
            Err(Error::setting("model", expected, format!("one that takes about {} MiB", needed >> 20)))
        }
        _ => Ok(()),
    }
}

/// Refuses to difference `elements` of each tensor on so many images where that takes hours.
///
/// # Errors
/// [`Error::Setting`] that says what to do instead.
pub fn differences(config: &Config, layers: &[Layer], elements: usize, images: usize) -> Result<()> {
    let model = &config.model;
    let len_keep = len_keep(model.num_patches(), config.mask.mask_ratio);
    let step = Cost { config: model, len_keep }.flops_per_image();
    let pixels = images * model.in_chans * model.img_size[0] * model.img_size[1];
    let differences: usize = if model.parameters().all > SMALL {
        layers.iter().map(|layer| layer.tensors.len() * elements).sum()
    } else {
        let chosen = |name: &String| layers.iter().any(|layer| layer.tensors.contains(name));
        let built = Mae::<f32>::new(model.clone());
        let weights =
            built.tensors().into_iter().filter(|t| chosen(&t.name)).map(|t| t.data.len().min(elements));
        weights.sum::<usize>() + if chosen(&INPUT.to_owned()) { pixels.min(elements) } else { 0 }
    };
    // A third of a training step is its forward pass; a difference takes two.
    let flops = step / 3.0 * images as f64 * 2.0 * differences as f64;
    if flops <= MOST_FLOPS {
        return Ok(());
    }
    let expected = format!(
        "a check of at most {MOST_FLOPS:.0e} floating-point operations; try --directions 3, which takes a few \
         passes a layer whatever its size, or fewer --elements, or one --layer"
    );
    let found = format!("{differences} differences that take about {flops:.0e}");
    Err(Error::setting("full check of this configuration", expected, found))
}
