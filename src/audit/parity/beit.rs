//! A step of BEiT-style pre-training: what is replaced, every activation, gradient and updated weight.

use super::adamw_steps::{self, Settings};
use super::intermediates;
use super::recording::Recording;
use super::tolerance::{EXACT, Tolerance, of_beit_step};
use crate::base::{Real, Result};
use crate::exec::probe::Recorder;
use crate::exec::{Backend, Exec};
use crate::models::beit::{Beit, BeitConfig, BeitOutput};
use crate::optim::{clip, groups};
use crate::params::Params;
use ndarray::{Array2, Array4, ArrayD, Ix4};

pub(super) fn replay<F: Real>(recording: &mut Recording<F>) -> Result<()> {
    let config = config(recording)?;
    recording.justifies(config.parameters())?;
    let batch = batch(recording, &config)?;
    let (images, masked) = (batch.images.dim().0, batch.masked_patches());
    let mut model = Beit::<F>::new(&config);
    recording.load("param.", &mut model)?;

    let recorder = Recorder::default();
    let mut cx = Exec::new(Backend::default()).with_probe(recorder.clone());
    let step = step(&model, &batch, &mut cx);
    let largest = intermediates::largest_gradient(recording);
    let tolerance = |key: &str| of_beit_step::<F>(key, largest);
    intermediates::compare(recording, &recorder, images, tolerance, true)?;
    compare_zeros(recording, &recorder, &batch.masked, images);
    let BeitOutput { logits, labels, .. } = &step.output;
    recording.compare("logits", logits.shape(), logits.iter().map(|x| x.f64()), tolerance("logits"))?;
    recording.compare("labels", &[masked], labels.iter().map(|&id| id as f64), EXACT)?;
    recording.compare("loss", &[], [step.loss], tolerance("loss"))?;
    let accuracy = step.output.hits() as f64 / masked as f64;
    // A fraction that was rounded.
    recording.compare("accuracy", &[], [accuracy], Tolerance { rel: 0.0, floor: 1e-6 })?;

    let settings = Settings::read(recording)?;
    let groups = groups::pretraining(&model, settings.weight_decay);
    for (tensor, group) in step.grad.tensors().into_iter().zip(&groups) {
        if group.trained {
            let key = format!("grad.{}", tensor.name);
            recording.compare(&key, &tensor.shape, tensor.data.iter().map(|x| x.f64()), tolerance(&key))?;
        }
    }
    recording.compare("grad_norm", &[], [clip::norm(&step.grad, &groups)], tolerance("grad_norm"))?;
    let dimages = model.vit.images_gradient(&step.dpatches, &mut cx);
    let numbers = dimages.iter().map(|x| x.f64());
    recording.compare("grad_input", dimages.shape(), numbers, tolerance("grad_input"))?;

    adamw_steps::compare_groups(recording, &groups);
    let losses =
        adamw_steps::replay(recording, &settings, &mut model, &groups, (step.loss, step.grad), |model| {
            let step = self::step(model, &batch, &mut Exec::new(Backend::default()));
            (step.loss, step.grad)
        })?;
    recording.compare("adamw_losses", &[4], losses, tolerance("adamw_losses"))
}

struct Batch<F> {
    images: Array4<F>,
    masked: Vec<bool>,
    ids: Vec<usize>,
}

impl<F> Batch<F> {
    fn masked_patches(&self) -> usize {
        self.masked.iter().filter(|masked| **masked).count()
    }
}

struct Step<F> {
    output: BeitOutput<F>,
    loss: f64,
    grad: Beit<F>,
    dpatches: Array2<F>,
}

fn step<F: Real>(model: &Beit<F>, batch: &Batch<F>, cx: &mut Exec<F>) -> Step<F> {
    let masked = batch.masked_patches();
    let (output, cache) = model.forward(batch.images.view(), &batch.masked, &batch.ids, cx);
    let mut grad = model.zeros_like();
    let dpatches = model.backward(cache, &output, &batch.masked, masked, &mut grad, cx);
    Step { loss: output.loss_sum / masked as f64, output, grad, dpatches }
}

/// What is 0 by construction must be 0 to the last bit: every gradient of an image without a masked patch, that of the norm's
/// rows that the head does not see, and that of the patches that were replaced.
fn compare_zeros<F: Real>(
    recording: &mut Recording<F>,
    recorder: &Recorder<F>,
    masked: &[bool],
    images: usize,
) {
    let patches = masked.len() / images;
    let zero = |values: &ArrayD<F>, row: usize| values.outer_iter().nth(row).is_some_and(|row| is_zero(&row));
    let (mut rows, mut wrong) = (0, Vec::new());
    for (name, values) in recorder.tensors() {
        if !name.starts_with("gact.") || name == "gact.logits" {
            continue;
        }
        // With a class token in front of each image's patches, or without.
        let tokens = values.shape()[0] / images;
        let must_be = |row: usize| {
            let of_image = &masked[row / tokens * patches..][..patches];
            let patch = (row % tokens).checked_sub(tokens - patches).map(|patch| of_image[patch]);
            match name.as_str() {
                _ if !of_image.contains(&true) => true,
                "gact.norm" => patch != Some(true),
                "gact.patch_embed" => patch == Some(true),
                _ => false,
            }
        };
        for row in (0..images * tokens).filter(|&row| must_be(row)) {
            rows += 1;
            if !zero(&values, row) {
                wrong.push(format!("{name}[{row}]"));
            }
        }
    }
    let note = format!("{rows} rows of gact.* are exactly 0 by construction; not so: {}", wrong.len());
    recording.claim("zero gradients", wrong.is_empty(), note);
}

fn is_zero<F: Real, S: ndarray::Data<Elem = F>>(row: &ndarray::ArrayBase<S, ndarray::IxDyn>) -> bool {
    row.iter().all(|x| *x == F::zero())
}

fn config<F: Real>(recording: &Recording<F>) -> Result<BeitConfig> {
    for key in ["config.layer_scale", "config.rel_pos_bias"] {
        if recording.find(key).is_some() && recording.flag(key)? {
            return Err(recording.wrong(key, "false: the trunk has neither", true));
        }
    }
    let config = BeitConfig { vit: recording.vit()?, vocab_size: recording.whole("config.vocab_size")? };
    config.validate().map_err(|e| recording.wrong("config", "a possible model", e))?;
    Ok(config)
}

/// Images, masks and tokens; what else the metadata says about them must agree.
fn batch<F: Real>(recording: &mut Recording<F>, config: &BeitConfig) -> Result<Batch<F>> {
    let (images, patches) = (recording.whole("config.batch")?, config.vit.num_patches());
    let [height, width] = config.vit.img_size;
    let shape = [images.max(1), config.vit.in_chans, height, width];
    let pixels = recording.input("images", &shape)?.into_dimensionality::<Ix4>();
    let images = shape[0];
    let masked = recording.input_ids("mask", &[images, patches], 2)?;
    let ids = recording.input_ids("ids", &[images, patches], config.vocab_size)?;
    let masked: Vec<bool> = masked.into_iter().map(|masked| masked == 1).collect();
    let count = masked.iter().filter(|masked| **masked).count();
    if count == 0 {
        return Err(recording.wrong_tensor("mask", "a masked patch", "none"));
    }
    for (key, computed) in [("num_patches", patches), ("num_masked", count)] {
        if recording.find(key).is_some() && recording.whole(key)? != computed {
            let expected = format!("{computed}, by the configuration and the mask");
            return Err(recording.wrong(key, expected, recording.whole(key)?));
        }
    }
    let (rows, columns) = config.vit.grid();
    if recording.find("grid").is_some() && recording.pair("grid")? != [rows, columns] {
        let found = format!("{:?}", recording.pair("grid")?);
        return Err(recording.wrong("grid", format!("{rows} × {columns}, by the configuration"), found));
    }
    Ok(Batch { images: pixels.expect("four axes, just checked"), masked, ids })
}
