//! Fine-tuning: a classifier's forward pass, three cross-entropies, every gradient, AdamW with layer-wise decay.

use super::adamw_steps::{self, Settings};
use super::intermediates;
use super::recording::Recording;
use super::tolerance::{Tolerance, of_step};
use crate::base::{Real, Result};
use crate::exec::probe::Recorder;
use crate::exec::{Backend, Exec};
use crate::models::classify::{Classifier, ClassifierConfig, Pooling, cross_entropy};
use crate::models::vit::ForwardOptions;
use crate::optim::{clip, groups};
use crate::params::Params;
use ndarray::{Array2, Array4, Ix2, Ix4};

pub(super) fn replay<F: Real>(recording: &mut Recording<F>) -> Result<()> {
    let config = config(recording)?;
    let images = images(recording, &config)?;
    let (batch, classes) = (images.dim().0, config.num_classes);
    let labels = recording.input_ids("labels", &[batch], classes)?;
    let soft = recording.input("soft_targets", &[batch, classes])?;
    let soft = soft.into_dimensionality::<Ix2>().expect("two axes, just checked");
    let mut model = Classifier::<F>::new(&config);
    recording.fill("param.", &mut model)?;

    let smoothed = cross_entropy::targets(&labels, classes, smoothing(recording)?);
    let recorder = Recorder::default();
    let mut cx = Exec::new(Backend::default()).with_probe(recorder.clone());
    let step = step(&model, &images, &smoothed, &mut cx);
    let largest = intermediates::largest_gradient(recording);
    let tolerance = |key: &str| of_step::<F>(key, largest);
    compare_norm(recording, &model, &recorder, batch, tolerance)?;
    intermediates::compare(recording, &recorder, batch, tolerance, false)?;
    let compare_matrix = |recording: &mut Recording<F>, key: &str, matrix: &Array2<F>| {
        recording.compare(key, matrix.shape(), matrix.iter().map(|x| x.f64()), tolerance(key))
    };
    compare_matrix(recording, "logits", &step.logits)?;
    recording.compare("loss", &[], [step.loss], tolerance("loss"))?;
    for (name, targets) in [("ce", &cross_entropy::targets(&labels, classes, 0.0)), ("soft", &soft)] {
        let (loss, gradient) = (format!("loss_{name}"), format!("grad_logits_{name}"));
        let mean = cross_entropy::sum(&step.logits, targets) / batch as f64;
        recording.compare(&loss, &[], [mean], tolerance(&loss))?;
        compare_matrix(recording, &gradient, &cross_entropy::backward(&step.logits, targets, batch))?;
    }
    recording.compare_all("grad.", &step.grad, tolerance)?;

    let settings = Settings::read(recording)?;
    let layer_decay = recording.number("config.layer_decay")?;
    let groups = groups::finetuning(&model, settings.weight_decay, layer_decay, config.depth, None);
    recording.compare("grad_norm", &[], [clip::norm(&step.grad, &groups)], tolerance("grad_norm"))?;
    let dimages = model.vit.images_gradient(&step.dpatches, &mut cx);
    let numbers = dimages.iter().map(|x| x.f64());
    recording.compare("grad_input", dimages.shape(), numbers, tolerance("grad_input"))?;

    adamw_steps::compare_groups(recording, &groups);
    let first = (step.loss, step.grad);
    let losses = adamw_steps::replay(recording, &settings, &mut model, &groups, first, |model| {
        let step = self::step(model, &images, &smoothed, &mut Exec::new(Backend::default()));
        (step.loss, step.grad)
    })?;
    recording.compare("adamw_losses", &[4], losses, tolerance("adamw_losses"))
}

/// Compares `act.norm` and `gact.norm` where they are recorded. The reference normalises all tokens and then takes the
/// class token's row, of which alone this model computes the norm: here the others are normalised, too. The loss sees no
/// more than that row, so the gradient of the others is 0.
fn compare_norm<F: Real>(
    recording: &mut Recording<F>,
    model: &Classifier<F>,
    recorder: &Recorder<F>,
    batch: usize,
    tolerance: impl Fn(&str) -> Tolerance,
) -> Result<()> {
    if model.pool.pooling != Pooling::Class {
        return Ok(());
    }
    let mut seen = recorder.tensors();
    let mut matrix = |name: &str| {
        let value = seen.remove(name).expect("the step was recorded");
        value.into_dimensionality::<Ix2>().expect("a token matrix")
    };
    let (x, dfeatures) =
        (matrix(&format!("act.blocks.{}", model.vit.blocks.len() - 1)), matrix("gact.features"));
    let (tokens, mut cx) = (x.nrows() / batch, Exec::new(Backend::default()));
    let (y, _) = model.pool.norm.forward(x, &mut cx);
    let dy = Pooling::Class.backward(dfeatures.view(), tokens, &mut cx);
    for (name, value) in [("act.norm", y), ("gact.norm", dy)] {
        if recording.has(name) {
            let shape = [batch, tokens, value.ncols()];
            recording.compare(name, &shape, value.iter().map(|x| x.f64()), tolerance(name))?;
        }
    }
    Ok(())
}

struct Step<F> {
    logits: Array2<F>,
    loss: f64,
    grad: Classifier<F>,
    dpatches: Array2<F>,
}

fn step<F: Real>(
    model: &Classifier<F>,
    images: &Array4<F>,
    targets: &Array2<F>,
    cx: &mut Exec<F>,
) -> Step<F> {
    let (logits, cache) = model.forward(images.view(), &ForwardOptions::default(), cx);
    let loss = cross_entropy::sum(&logits, targets) / images.dim().0 as f64;
    let dlogits = cross_entropy::backward(&logits, targets, images.dim().0);
    let mut grad = model.zeros_like();
    let dpatches = model.backward(cache, dlogits.view(), &mut grad, cx).expect("everything is trained");
    Step { logits, loss, grad, dpatches }
}

fn smoothing<F: Real>(recording: &Recording<F>) -> Result<f64> {
    let smoothing = recording.number("label_smoothing")?;
    if (0.0..=1.0).contains(&smoothing) {
        return Ok(smoothing);
    }
    Err(recording.wrong("label_smoothing", "0 to 1", smoothing))
}

fn config<F: Real>(recording: &Recording<F>) -> Result<ClassifierConfig> {
    let pooling = if recording.flag("config.global_pool")? { Pooling::Mean } else { Pooling::Class };
    let config = ClassifierConfig::new(&recording.vit()?, recording.whole("config.num_classes")?, pooling);
    let possible = config.vit().validate_recorded().and_then(|()| config.validate_head());
    possible.map_err(|e| recording.wrong("config", "a possible model", e))?;
    recording.justifies(config.parameters())?;
    Ok(config)
}

fn images<F: Real>(recording: &mut Recording<F>, config: &ClassifierConfig) -> Result<Array4<F>> {
    let batch = recording.whole("config.batch")?;
    let [height, width] = config.img_size;
    let images = recording.input("images", &[batch, config.in_chans, height, width])?;
    Ok(images.into_dimensionality::<Ix4>().expect("four axes, just checked"))
}
