//! `trace.html`: one file that needs no network. This puts together what it shows; `page/` holds the page
//! itself, which draws it.

use super::excerpt::{Excerpts, OnPage, PRINTED};
use super::picture::statistics;
use super::quote::Quote;
use super::stages::{Stage, quotes, stages};
use super::step::{Entry, Trace};
use crate::base::{Error, Result};
use crate::checkpoint::values::Values;
use crate::draw::report::{escape, fill};
use crate::exec::Exec;
use crate::models::mae::MaeConfig;
use crate::models::mae::patchify::patchify;
use crate::models::mae::reconstruct::{Stats, reconstruct};
use crate::tasks::mae::gallery::to_bytes;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use image::{ExtendedColorType, ImageEncoder};
use ndarray::{Array3, s};
use serde::Serialize;
use std::collections::BTreeMap;

const TEMPLATE: &str = include_str!("page/trace.html");
const STYLE: &str = include_str!("page/trace.css");
const SCRIPTS: [&str; 6] = [
    include_str!("page/draw.js"),
    include_str!("page/masking.js"),
    include_str!("page/block.js"),
    include_str!("page/figures.js"),
    include_str!("page/trace.js"),
    include_str!("page/selftest.js"),
];

/// The most patches whose positions are drawn feature by feature.
const MOST_WAVE_PATCHES: usize = 4096;
/// The longest patch that is worked out by hand on the page.
const BY_HAND: usize = 64;

/// All that the page shows.
#[derive(Serialize)]
struct Page<'a> {
    version: &'static str,
    origin: &'a str,
    model: &'a MaeConfig,
    grid: [usize; 2],
    len_keep: usize,
    parameters: usize,
    trained: usize,
    sources: &'a [String],
    pictures: Vec<BTreeMap<&'static str, String>>,
    numbers: Numbers,
    noise: &'a [Vec<f64>],
    ids_shuffle: Vec<&'a [usize]>,
    loss_per_patch: Vec<&'a [f32]>,
    tensors: BTreeMap<String, OnPage>,
    embedding: Option<EmbeddingByHand>,
    waves: Vec<Wave>,
    update: Vec<Update>,
    stages: &'a [Stage],
    quotes: BTreeMap<&'a str, Quote>,
    left_out: Vec<String>,
}

#[derive(Serialize)]
struct Numbers {
    loss: f64,
    loss_after: f64,
    grad_norm: f64,
    lr: f64,
    step: u64,
    betas: [f64; 2],
    weight_decay: f64,
    clip_grad: Option<f64>,
}

/// Feature 0 of every token, to be worked out on the page: `w · x + b`.
#[derive(Serialize)]
struct EmbeddingByHand {
    weight: Vec<f32>,
    bias: f32,
    tokens: Vec<Vec<f32>>,
}

/// One feature of the encoder's position table at every patch.
#[derive(Serialize)]
struct Wave {
    feature: usize,
    values: Vec<f32>,
}

/// What AdamW did to one tensor.
#[derive(Serialize)]
struct Update {
    name: String,
    trained: bool,
    weight_decay: f64,
    /// `‖Δw‖ / ‖w‖`; absent where the tensor was zero.
    ratio: Option<f64>,
    m0: Vec<f32>,
    v0: Vec<f32>,
}

/// The page's text.
///
/// # Errors
/// Only if a picture cannot be encoded.
pub fn html(trace: &Trace) -> Result<String> {
    let stages = stages(&trace.config.model);
    let page = page(trace, &stages)?;
    let data = serde_json::to_string(&page).map_err(|e| Error::write(super::PAGE)(e.into()))?;
    Ok(fill(TEMPLATE, |name| match name {
        "title" => escape(&format!("One training step of {}", trace.origin)),
        "style" => STYLE.to_owned(),
        "script" => SCRIPTS.concat(),
        // `<` inside of a string, so that no text can end the element it stands in.
        "data" => data.replace('<', "\\u003c"),
        _ => String::new(),
    }))
}

fn page<'a>(trace: &'a Trace, stages: &'a [Stage]) -> Result<Page<'a>> {
    let model = &trace.config.model;
    let all = trace.tensors();
    let excerpts = Excerpts::new(&all, stages);
    let parameters = model.parameters();
    let on_page = |(name, entry): (&String, &Entry)| Some((name.clone(), excerpts.tensor(name, entry)?));
    let mut tensors: BTreeMap<String, OnPage> = all.iter().filter_map(on_page).collect();
    let update = updates(trace, &all, &excerpts, &mut tensors);
    let patches = model.num_patches();
    Ok(Page {
        version: env!("CARGO_PKG_VERSION"),
        origin: &trace.origin,
        model,
        grid: model.grid().into(),
        len_keep: trace.batch.masks[0].len_keep,
        parameters: parameters.all,
        trained: parameters.trained,
        sources: &trace.batch.sources,
        pictures: pictures(trace, &all)?,
        numbers: Numbers {
            loss: trace.loss,
            loss_after: trace.loss_after,
            grad_norm: trace.grad_norm,
            lr: trace.lr,
            step: trace.adamw.steps,
            betas: trace.config.optim.betas,
            weight_decay: trace.config.optim.weight_decay,
            clip_grad: trace.config.optim.clip_grad,
        },
        noise: &trace.batch.noise,
        ids_shuffle: trace.batch.masks.iter().map(|mask| mask.ids_shuffle.as_slice()).collect(),
        loss_per_patch: reals(&all, "loss_per_patch").chunks_exact(patches).collect(),
        embedding: embedding_by_hand(model, &all),
        waves: waves(model, &all),
        left_out: excerpts.left_out(&all),
        tensors,
        update,
        quotes: quotes(stages),
        stages,
    })
}

fn reals<'a>(all: &BTreeMap<String, Entry<'a>>, name: &str) -> &'a [f32] {
    match all[name].1 {
        Values::Real(values) => values,
        _ => unreachable!("{name} is real"),
    }
}

/// The table of updates; adds `update.NAME`, the difference of `adamw1.NAME` and `param.NAME`, to the tensors.
fn updates(
    trace: &Trace,
    all: &BTreeMap<String, Entry>,
    excerpts: &Excerpts,
    tensors: &mut BTreeMap<String, OnPage>,
) -> Vec<Update> {
    let row = |group: &crate::optim::Group| {
        let name = &group.name;
        let mut ratio = None;
        if group.trained {
            let (before, after) =
                (reals(all, &format!("param.{name}")), reals(all, &format!("adamw1.{name}")));
            let difference: Vec<f32> =
                after.iter().zip(before).map(|(after, before)| after - before).collect();
            let moved = statistics(&difference).norm;
            ratio = Some(moved / statistics(before).norm).filter(|ratio| ratio.is_finite());
            let update = Values::Real(&difference[..]);
            let entry = (all[&format!("param.{name}")].0.clone(), update);
            let name = format!("update.{name}");
            let tensor = excerpts.tensor(&name, &entry);
            tensors.extend(tensor.map(|tensor| (name, tensor)));
        }
        let moment = |kind: &str| {
            let name = format!("{kind}.{name}");
            let known = all.contains_key(&name).then(|| reals(all, &name));
            known.unwrap_or_default().iter().copied().take(PRINTED).collect()
        };
        Update {
            name: name.clone(),
            trained: group.trained,
            weight_decay: group.weight_decay,
            ratio,
            m0: moment("m0"),
            v0: moment("v0"),
        }
    };
    trace.groups.iter().map(row).collect()
}

fn embedding_by_hand(model: &MaeConfig, all: &BTreeMap<String, Entry>) -> Option<EmbeddingByHand> {
    if model.patch_len() > BY_HAND {
        return None;
    }
    let tokens = reals(all, "act.patch_embed").chunks_exact(model.num_patches() * model.embed_dim);
    Some(EmbeddingByHand {
        weight: reals(all, "param.patch_embed.proj.weight")[..model.patch_len()].to_vec(),
        bias: reals(all, "param.patch_embed.proj.bias")[0],
        tokens: tokens.map(|image| image.iter().copied().step_by(model.embed_dim).collect()).collect(),
    })
}

/// Features from all over the position table; none of a table that would make the page long.
fn waves(model: &MaeConfig, all: &BTreeMap<String, Entry>) -> Vec<Wave> {
    let (width, patches) = (model.embed_dim, model.num_patches());
    if patches > MOST_WAVE_PATCHES {
        return Vec::new();
    }
    let table = &reals(all, "param.pos_embed")[width..];
    // Two of each of the four quarters: sine and cosine of the column, then of the row.
    let mut features: Vec<usize> = (0..4).flat_map(|q| [0, width / 16].map(|i| q * width / 4 + i)).collect();
    features.dedup();
    let wave = |feature: usize| table.iter().copied().skip(feature).step_by(width).collect();
    features.into_iter().map(|feature| Wave { feature, values: wave(feature) }).collect()
}

/// The images as pictures: as they went in, as predicted, and the prediction with the visible patches.
fn pictures(trace: &Trace, all: &BTreeMap<String, Entry>) -> Result<Vec<BTreeMap<&'static str, String>>> {
    let model = &trace.config.model;
    let mut cx = Exec::new(trace.config.run.gemm);
    let pixels = patchify(trace.batch.images.view(), model.patch_size, &mut cx);
    let shape = (model.num_patches(), model.patch_len());
    let preds = reals(all, "pred").chunks_exact(shape.0 * shape.1);
    let mut sets = Vec::new();
    for (b, (pred, mask)) in preds.zip(&trace.batch.masks).enumerate() {
        let pred = ndarray::ArrayView2::from_shape(shape, pred).expect("L · P numbers");
        let pixels = pixels.slice(s![b * shape.0..(b + 1) * shape.0, ..]);
        let rebuilt = reconstruct(model, pred, pixels, mask, Stats::Visible);
        let original = trace.batch.images.slice(s![b, .., .., ..]).to_owned();
        sets.push(BTreeMap::from([
            ("original", png(trace, &original)?),
            ("prediction", png(trace, &rebuilt.prediction)?),
            ("pasted", png(trace, &rebuilt.pasted)?),
        ]));
    }
    Ok(sets)
}

/// An image in the units of the model as a PNG in a `data:` address.
#[expect(clippy::cast_possible_truncation, reason = "images are far smaller than 2³² pixels")]
fn png(trace: &Trace, image: &Array3<f32>) -> Result<String> {
    let (channels, height, width) = image.dim();
    let bytes = to_bytes(&trace.config.data, image);
    // Other channel counts have no colours of their own: show the first channel.
    let (bytes, colour) = match channels {
        3 => (bytes, ExtendedColorType::Rgb8),
        c => (bytes.into_iter().step_by(c).collect(), ExtendedColorType::L8),
    };
    let mut encoded = Vec::new();
    image::codecs::png::PngEncoder::new(&mut encoded)
        .write_image(&bytes, width as u32, height as u32, colour)
        .map_err(|e| Error::write(super::PAGE)(std::io::Error::other(e)))?;
    Ok(format!("data:image/png;base64,{}", STANDARD.encode(encoded)))
}
