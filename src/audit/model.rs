//! Gradient checks of a whole model of any architecture, at initial or trained weights, layer by layer.

use super::gradcheck::GradCheck;
use super::report::Report;
use crate::base::rng::{Purpose, rng, uniform};
use crate::base::{Error, Result};
use crate::exec::Exec;
use crate::models::mae::model::MaeCache;
use crate::models::mae::{Mae, MaeConfig, MaeOutput, Mask};
use crate::params::{Params, Role};
use crate::tasks::Config;
use ndarray::{Array4, ArrayView4};
use rayon::prelude::*;
use std::collections::BTreeSet;

/// Position tables get no gradient in pre-training.
const FIXED: &[Role] = &[Role::Position];

/// The name of the images among the layers.
pub const INPUT: &str = "input";

/// A model, images and masks: what the loss is a function of.
pub struct Subject {
    /// The model.
    pub model: Mae<f64>,
    /// `[B, C, H, W]`.
    pub images: Array4<f64>,
    /// One an image.
    pub masks: Vec<Mask>,
}

/// Some tensors of the model under one name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layer {
    /// `patch_embed`, `blocks.0`, …, or `input` for the images.
    pub name: String,
    /// The tensors' names.
    pub tensors: Vec<String>,
}

impl Subject {
    /// An untrained model of this architecture. Initial values have biases of 0 and scales of 1, behind
    /// which mistakes hide, so every trained tensor gets some noise.
    #[must_use]
    pub fn untrained(config: &Config, images: usize, seed: u64) -> Self {
        const NOISE: f64 = 0.05;
        let mut model = Mae::initialised(config.model.clone(), seed);
        for (t, tensor) in model.tensors_mut().into_iter().enumerate() {
            if !FIXED.contains(&tensor.role) {
                let mut rng = rng(seed, Purpose::Synthetic, 1, t as u64);
                tensor.data.write().iter_mut().for_each(|x| *x += NOISE * (2.0 * uniform(&mut rng) - 1.0));
            }
        }
        Self::new(model, config, images, seed)
    }

    /// A trained model, its weights converted to f64.
    #[must_use]
    pub fn trained(model: &Mae<f32>, config: &Config, images: usize, seed: u64) -> Self {
        let mut exact = Mae::<f64>::new(config.model.clone());
        for (exact, trained) in exact.tensors_mut().into_iter().zip(model.tensors()) {
            exact.data.write().iter_mut().zip(trained.data).for_each(|(to, &from)| *to = f64::from(from));
        }
        Self::new(exact, config, images, seed)
    }

    /// Images of independent pixels with mean 0 and standard deviation 1, masked as in training.
    fn new(model: Mae<f64>, config: &Config, images: usize, seed: u64) -> Self {
        let [height, width] = config.model.img_size;
        let mut pixels = Array4::zeros((images, config.model.in_chans, height, width));
        let mut rng = rng(seed, Purpose::Synthetic, 2, 0);
        pixels.iter_mut().for_each(|x| *x = 3f64.sqrt() * (2.0 * uniform(&mut rng) - 1.0));
        let masks = (0..images as u64).map(|sample| config.masking().mask(seed, 0, sample)).collect();
        Self { model, images: pixels, masks }
    }

    /// Differences elements of each tensor. Layers run in parallel, which changes no bits.
    pub fn elements(
        &self,
        check: &GradCheck,
        layers: &[Layer],
        done: &(impl Fn() + Sync),
    ) -> Vec<(String, Report)> {
        let one = |layer: &Layer| {
            let only: BTreeSet<String> = layer.tensors.iter().cloned().collect();
            let check = GradCheck { only: Some(only), fixed: FIXED, ..check.clone() };
            let forward = |model: &Mae<f64>, images: &Array4<f64>, cx: &mut Exec<f64>| {
                let (loss, output, cache) = self.loss(model, images.view(), cx);
                (loss, (output, cache))
            };
            let report =
                check.loss(&self.model, &self.images, forward, |model, (output, cache), grad, cx| {
                    self.backward(model, cache, &output, grad, cx)
                });
            done();
            (layer.name.clone(), report)
        };
        layers.par_iter().map(one).collect()
    }

    /// Whether a layer has nothing but position tables.
    pub(super) fn is_fixed(&self, layer: &Layer) -> bool {
        let tensors = self.model.tensors();
        let role = |name: &String| tensors.iter().find(|t| t.name == *name).map(|t| t.role);
        layer.tensors.iter().all(|name| role(name).is_some_and(|role| FIXED.contains(&role)))
    }

    /// The loss, with what the backward pass needs.
    pub(super) fn loss(
        &self,
        model: &Mae<f64>,
        images: ArrayView4<f64>,
        cx: &mut Exec<f64>,
    ) -> (f64, MaeOutput<f64>, MaeCache<f64>) {
        let (output, cache) = model.forward(images, &self.masks, cx);
        (output.loss_sum / self.removed() as f64, output, cache)
    }

    /// Adds the weights' gradient; returns the images', through the network and the target.
    pub(super) fn backward(
        &self,
        model: &Mae<f64>,
        cache: MaeCache<f64>,
        output: &MaeOutput<f64>,
        grad: &mut Mae<f64>,
        cx: &mut Exec<f64>,
    ) -> Array4<f64> {
        let dpatches = model.backward(cache, output, &self.masks, self.removed(), grad, cx);
        let (network, target) = model.images_gradient(self.images.view(), output, &self.masks, &dpatches, cx);
        network + target
    }

    fn removed(&self) -> usize {
        self.masks.iter().map(Mask::removed).sum()
    }
}

/// The layers of a model of this architecture in the order of the walk, then the images.
#[must_use]
pub fn layers(config: &MaeConfig) -> Vec<Layer> {
    // Names do not depend on widths: a narrow model of the same depth has them, whatever the real one's size.
    let narrow = MaeConfig {
        embed_dim: 4 * config.num_heads,
        decoder_embed_dim: 4 * config.decoder_num_heads,
        ..config.clone()
    };
    let mut layers: Vec<Layer> = Vec::new();
    for tensor in Mae::<f32>::new(narrow).tensors() {
        let name = layer_of(&tensor.name);
        match layers.iter_mut().find(|layer| layer.name == name) {
            Some(layer) => layer.tensors.push(tensor.name),
            None => layers.push(Layer { name: name.to_owned(), tensors: vec![tensor.name] }),
        }
    }
    layers.push(Layer { name: INPUT.to_owned(), tensors: vec![INPUT.to_owned()] });
    layers
}

/// The part of [`layers`] that `wanted` names, all if it names none: a layer (`blocks.0`), a part of one
/// (`blocks.0.attn`, `norm.weight`), or a kind (`attention`, `mlp`, `encoder`, …).
///
/// # Errors
/// If a name means nothing here; the error lists those that do.
pub fn select(config: &MaeConfig, wanted: &[String]) -> Result<Vec<Layer>> {
    let all = layers(config);
    let names = |layer: &str, tensor: &str, wanted: &str| {
        let rest = tensor.strip_prefix(wanted);
        layer == wanted
            || rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
            || KINDS.iter().any(|(kind, holds)| *kind == wanted && holds(tensor))
    };
    for wanted in wanted {
        if !all.iter().any(|layer| layer.tensors.iter().any(|t| names(&layer.name, t, wanted))) {
            let kinds = KINDS.iter().map(|(kind, _)| *kind);
            let known: Vec<&str> = all.iter().map(|layer| layer.name.as_str()).chain(kinds).collect();
            let expected = format!("a part such as blocks.0.attn, or one of {}", known.join(", "));
            return Err(Error::setting("--layer", expected, wanted));
        }
    }
    let chosen = |layer: Layer| {
        let chosen = |t: &String| wanted.is_empty() || wanted.iter().any(|w| names(&layer.name, t, w));
        let tensors: Vec<String> = layer.tensors.iter().filter(|t| chosen(t)).cloned().collect();
        (!tensors.is_empty()).then_some(Layer { name: layer.name, tensors })
    };
    Ok(all.into_iter().filter_map(chosen).collect())
}

/// Whether a tensor belongs to a kind of layer.
type Belongs = fn(&str) -> bool;

/// Kinds of layers, and which tensors belong to them.
const KINDS: &[(&str, Belongs)] = &[
    ("attention", |t| t.contains(".attn.")),
    ("mlp", |t| t.contains(".mlp.")),
    ("layer_norm", |t| t.contains("norm")),
    ("block", |t| t.contains("blocks.")),
    ("encoder", |t| t != INPUT && !is_decoder(t)),
    ("decoder", is_decoder),
];

fn is_decoder(tensor: &str) -> bool {
    tensor.starts_with("decoder") || tensor == "mask_token"
}

/// `blocks.3` of `blocks.3.attn.qkv.weight`, `norm` of `norm.weight`.
fn layer_of(tensor: &str) -> &str {
    let dots = if tensor.contains("blocks.") { 2 } else { 1 };
    tensor.match_indices('.').nth(dots - 1).map_or(tensor, |(end, _)| &tensor[..end])
}
