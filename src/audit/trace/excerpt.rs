//! What the page shows of each tensor: statistics, the first elements, and pictures within a budget, so that the
//! page of a large model is not much longer than that of a small one.

use super::picture::{Budget, EXACT, Picture, Statistics, row_norms, statistics};
use super::stages::Stage;
use super::step::Entry;
use crate::checkpoint::values::Values;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// Bytes that all pictures of a kind share, before base64 makes them a third longer.
const ACTIVATION_BYTES: usize = 1_400_000;
const ATTENTION_BYTES: usize = 1_200_000;
const WEIGHT_BYTES: usize = 900_000;
/// Most cells of a picture of an activation, of a weight, and of an image's channel.
const MOST_CELLS: [usize; 3] = [6_000, 2_304, 16_384];
/// How many elements of each tensor are printed.
pub(super) const PRINTED: usize = 8;
/// A tensor on the page.
#[derive(Serialize)]
pub(super) struct OnPage {
    shape: Vec<usize>,
    statistics: Statistics,
    first: Vec<f32>,
    /// One an image (and head, or channel); one in all for a weight.
    pictures: Vec<Picture>,
    /// The L2 norm of each token.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    norms: Vec<f64>,
}

/// How many elements each kind of picture may show.
pub(super) struct Excerpts {
    /// Tensors whose tokens' norms are drawn.
    norms: BTreeSet<String>,
    activations: Budget,
    attention: Budget,
    weights: Budget,
    images: Budget,
}

impl Excerpts {
    pub(super) fn new(all: &BTreeMap<String, Entry>, stages: &[Stage]) -> Self {
        let figures =
            stages.iter().flat_map(|stage| stage.forward.figures.iter().chain(&stage.backward.figures));
        let of_norms = |figure: &&String| ["tokens ", "mask "].iter().any(|name| figure.starts_with(name));
        let norms = figures
            .filter(of_norms)
            .filter_map(|figure| figure.rsplit(' ').next())
            .map(str::to_owned)
            .collect();
        let count = |pictures: &dyn Fn(&str, &[usize]) -> usize| {
            all.iter().map(|(name, (shape, _))| pictures(name, shape)).sum::<usize>()
        };
        let is_activation = |shape: &[usize]| if shape.len() == 3 { shape[0] } else { 0 };
        let activations = count(&|name, shape| if is_weight(name) { 0 } else { is_activation(shape) });
        let maps = count(&|name, shape| if is_attention(name) { shape[0] * shape[1] } else { 0 });
        let elements = count(&|name, shape| if is_attention(name) { shape.iter().product() } else { 0 });
        // For each tensor that is trained there is an update to be drawn, too.
        let weights = count(&|name, _| {
            if name.starts_with("grad.") { 2 } else { usize::from(name.starts_with("param.")) }
        });
        let attention = Budget::share(ATTENTION_BYTES, maps, usize::MAX);
        let all_exact = elements * size_of::<f32>() <= ATTENTION_BYTES;
        Self {
            norms,
            activations: Budget::share(ACTIVATION_BYTES, activations, MOST_CELLS[0]),
            attention: if all_exact { attention.exactly(usize::MAX) } else { attention },
            weights: Budget::share(WEIGHT_BYTES, weights, MOST_CELLS[1]),
            images: Budget::share(usize::MAX, 1, MOST_CELLS[2]).exactly(EXACT),
        }
    }

    /// A tensor as the page has it; none for what it shows in other ways.
    pub(super) fn tensor(&self, name: &str, (shape, values): &Entry) -> Option<OnPage> {
        let Values::Real(values) = values else { return None };
        if ["m0.", "v0."].iter().any(|prefix| name.starts_with(prefix)) {
            return None;
        }
        let pictures = match shape[..] {
            _ if name.starts_with("adamw1.") => Vec::new(), // its difference to before is drawn
            _ if is_weight(name) => vec![self.weight(shape, values)],
            [_, _, rows, columns] if is_attention(name) => {
                matrices(values, [rows, columns], |map, of| Picture::unsigned(map, of, self.attention))
            }
            [_, _, rows, columns] => {
                matrices(values, [rows, columns], |plane, of| Picture::signed(plane, of, self.images))
            }
            [_, rows, columns] => {
                let small = ["pred", "target"].contains(&name);
                let budget = if small { self.activations.exactly(EXACT) } else { self.activations };
                matrices(values, [rows, columns], |matrix, of| Picture::signed(matrix, of, budget))
            }
            _ => Vec::new(),
        };
        let norms = if self.norms.contains(name) { row_norms(values, shape[2]) } else { Vec::new() };
        let first = values.iter().copied().take(PRINTED).collect();
        Some(OnPage { shape: shape.clone(), statistics: statistics(values), first, pictures, norms })
    }

    /// `[out, in …]` as a matrix, a vector as one row.
    fn weight(&self, shape: &[usize], values: &[f32]) -> Picture {
        let long = shape.iter().copied().find(|&side| side > 1).unwrap_or(1);
        let rows = if values.len() == long { 1 } else { long };
        Picture::signed(values, [rows, values.len() / rows], self.weights)
    }

    /// What a reader of the page should know that it does not show.
    pub(super) fn left_out(&self, all: &BTreeMap<String, Entry>) -> Vec<String> {
        let most = |keep: &dyn Fn(&str, &[usize]) -> Option<usize>| {
            all.iter().filter_map(|(name, (shape, _))| keep(name, shape)).max().unwrap_or(0)
        };
        let activation =
            most(&|name, shape| (shape.len() == 3 && !is_weight(name)).then(|| shape[1] * shape[2]));
        let attention = most(&|name, shape| is_attention(name).then(|| shape[2] * shape[3]));
        let weight = most(&|name, shape| is_weight(name).then(|| shape.iter().product()));
        let mut notes = Vec::new();
        let mut note = |what: &str, elements: usize, budget: Budget| {
            if elements > budget.cells && elements > budget.exact {
                notes.push(format!(
                    "Pictures of {what} show up to {} elements, evenly selected; the largest has {elements}.",
                    budget.cells
                ));
            }
        };
        note("activations and their gradients", activation, self.activations);
        note("attention", attention, self.attention);
        note("weights, gradients and updates", weight, self.weights);
        notes.push(
            "Most pictures have 255 levels. Statistics are of whole tensors, and every element is in trace.safetensors."
                .to_owned(),
        );
        notes
    }
}

fn is_weight(name: &str) -> bool {
    ["param.", "grad.", "adamw1.", "update."].iter().any(|prefix| name.starts_with(prefix))
}

fn is_attention(name: &str) -> bool {
    name.ends_with("probabilities")
}

fn matrices(values: &[f32], of: [usize; 2], draw: impl Fn(&[f32], [usize; 2]) -> Picture) -> Vec<Picture> {
    values.chunks_exact((of[0] * of[1]).max(1)).map(|matrix| draw(matrix, of)).collect()
}
