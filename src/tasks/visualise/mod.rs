//! What an encoder makes of an image, patch by patch: where the class token attends, and what the patches have become.

pub mod sheet;

use crate::base::Result;
use crate::base::sync::lock;
use crate::exec::Exec;
use crate::exec::engine::Engine;
use crate::exec::probe::Probe;
use crate::models::mae::{Encoder, Mask};
use crate::train::memory;
use ndarray::{Array2, Array3, ArrayD, ArrayView2, ArrayViewD, Axis, Ix2, s};
use std::sync::{Arc, Mutex};

/// Of one image, nothing masked.
#[derive(Clone, Debug)]
pub struct PatchMaps {
    /// `[H, L]`: the class token's attention to each patch in the last block, head by head. A row and what the class token
    /// keeps for itself sum to 1.
    pub attention: Array2<f32>,
    /// `[L, D]`: the patches' tokens behind the encoder's last norm.
    pub patches: Array2<f32>,
}

/// What the encoder makes of each image, `[C, H, W]`, normalised; one after the other.
///
/// The probabilities are those that attention computes, seen by a [`Probe`]; nothing is computed a second time.
///
/// # Errors
/// If there is too little memory, or a device failed.
pub fn patch_maps(encoder: &Encoder<f32>, images: &[Array3<f32>], engine: &Engine) -> Result<Vec<PatchMaps>> {
    let config = &encoder.vit.config;
    memory::require_activations(config.inference_bytes())?;
    let probabilities = Watched::new(format!("act.blocks.{}.attn.probabilities", config.depth - 1));
    let mut cx = Exec::new(engine).split(true).with_probe(probabilities.clone());
    let whole = [Mask::from_removed(&vec![false; config.num_patches()])];
    let mut of_image = |image: &Array3<f32>| {
        let latent = encoder.infer(image.view().insert_axis(Axis(0)), &whole, &mut cx);
        let patches = latent.slice(s![1.., ..]).to_owned();
        cx.recycle(latent);
        PatchMaps { attention: of_class_token(probabilities.take().view(), config.num_heads), patches }
    };
    let maps = images.iter().map(&mut of_image).collect();
    engine.check()?;
    Ok(maps)
}

/// From the probabilities `[H · N, N]` of an image the class token's of the patches, `[H, L]`: it is each head's first row,
/// and its own is the first column.
fn of_class_token(probabilities: ArrayView2<f32>, heads: usize) -> Array2<f32> {
    let tokens = probabilities.ncols();
    assert_eq!(probabilities.nrows(), heads * tokens, "the probabilities of one image");
    probabilities.slice(s![..;tokens, 1..]).to_owned()
}

/// A probe that keeps one intermediate, and not the many others; clones share it.
#[derive(Clone)]
struct Watched {
    name: String,
    value: Arc<Mutex<Option<ArrayD<f32>>>>,
}

impl Watched {
    fn new(name: String) -> Self {
        Self { name, value: Arc::default() }
    }

    fn take(&self) -> Array2<f32> {
        let value = lock(&self.value).take().and_then(|value| value.into_dimensionality::<Ix2>().ok());
        value.unwrap_or_else(|| panic!("no matrix called {} was computed", self.name))
    }
}

impl Probe<f32> for Watched {
    fn record(&mut self, name: &str, value: ArrayViewD<f32>) {
        if name == self.name {
            *lock(&self.value) = Some(value.to_owned());
        }
    }
}
