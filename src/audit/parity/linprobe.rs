//! The linear probe's head: a pass in train and in eval mode, and three LARS steps.

use super::recording::Recording;
use super::tolerance::{EXACT, Tolerance, relative};
use crate::base::{Real, Result};
use crate::exec::probe::Recorder;
use crate::exec::{Backend, Exec};
use crate::models::classify::linear_probe::LinearProbeCache;
use crate::models::classify::{LinearProbe, cross_entropy};
use crate::optim::{Lars, groups};
use crate::params::Params;
use ndarray::{Array2, Ix2};

/// What every pass takes.
struct Batch<F> {
    features: Array2<F>,
    targets: Array2<F>,
}

/// What a pass gives.
struct Pass<F> {
    normed: Array2<F>,
    logits: Array2<F>,
    loss: f64,
    grad: LinearProbe<F>,
    dfeatures: Array2<F>,
}

pub(super) fn replay<F: Real>(recording: &mut Recording<F>) -> Result<()> {
    let [images, width, classes] = sizes(recording)?;
    let features = recording.input("features", &[images, width])?;
    let labels = recording.input_ids("labels", &[images], classes)?;
    let batch = Batch {
        features: features.into_dimensionality::<Ix2>().expect("two axes, just checked"),
        targets: cross_entropy::targets(&labels, classes, 0.0),
    };
    let (weight, bias) = (
        recording.input("param.head.1.weight", &[classes, width])?,
        recording.input("param.head.1.bias", &[classes])?,
    );
    let mut start = LinearProbe::new(width, classes, recording.number("config.bn_eps")?);
    start.norm.momentum = recording.number("config.bn_momentum")?;
    start.head.weight.iter_mut().zip(weight).for_each(|(x, s)| *x = s);
    start.head.bias.iter_mut().zip(bias).for_each(|(x, s)| *x = s);

    let mut probe = start.clone();
    let with_floor = |in_f32| Tolerance { floor: 1e-14, ..relative::<F>(1e-10, in_f32) };
    let pass = pass(&mut probe, &batch, true);
    compare_pass(recording, "train", &pass, with_floor(1e-4))?;
    let statistics = [("mean", &probe.norm.running_mean), ("var", &probe.norm.running_var)];
    for (name, values) in statistics {
        let key = format!("train.head.0.running_{name}");
        recording.compare(&key, &[width], values.iter().map(|x| x.f64()), with_floor(1e-4))?;
    }
    let pass = self::pass(&mut probe, &batch, false);
    compare_pass(recording, "eval", &pass, with_floor(5e-6))?;

    // Three training steps from the start.
    let number = |key: &str, usual: f64| match recording.find(key) {
        Some(_) => recording.number(key),
        None => Ok(usual),
    };
    let (momentum, trust) = (number("config.momentum", 0.9)?, number("config.trust_coefficient", 0.001)?);
    let (lr, weight_decay) = (recording.number("config.lr")?, recording.number("config.weight_decay")?);
    let mut probe = start;
    let groups = groups::pretraining(&probe, weight_decay);
    let mut lars = Lars::new(&probe, momentum, trust);
    let mut losses = Vec::new();
    for step in 1..=3 {
        let pass = self::pass(&mut probe, &batch, true);
        losses.push(pass.loss);
        lars.step(&mut probe, &pass.grad, &groups, lr);
        if step != 2 {
            compare_head(recording, &format!("lars{step}.head"), &probe, with_floor(5e-5))?;
        }
    }
    losses.push(self::pass(&mut probe, &batch, false).loss);
    recording.compare("lars_losses", &[4], losses, with_floor(5e-6))
}

/// Images, width and classes; the first two are those of `features`, too.
fn sizes<F: Real>(recording: &Recording<F>) -> Result<[usize; 3]> {
    let sizes = [
        recording.whole("config.batch")?,
        recording.whole("config.dim")?,
        recording.whole("config.num_classes")?,
    ];
    if sizes[0] < 2 || sizes[1] == 0 || sizes[2] == 0 {
        let expected = "a batch of 2 or more, dim and num_classes of 1 or more";
        return Err(recording.wrong("config", expected, format!("{sizes:?}")));
    }
    // Before anything of this size is made.
    recording.stored("features", &sizes[..2])?;
    recording.stored("param.head.1.weight", &[sizes[2], sizes[1]])?;
    Ok(sizes)
}

/// Forward, loss and backward; in training the running statistics move.
fn pass<F: Real>(probe: &mut LinearProbe<F>, batch: &Batch<F>, training: bool) -> Pass<F> {
    let recorder = Recorder::default();
    let cx = &mut Exec::new(Backend::default()).with_probe(recorder.clone());
    let images = batch.features.nrows();
    let (logits, cache): (_, LinearProbeCache<F>) = probe.forward(batch.features.clone(), training, cx);
    probe.track(&cache);
    let loss = cross_entropy::sum(&logits, &batch.targets) / images as f64;
    let dlogits = cross_entropy::backward(&logits, &batch.targets, images);
    let mut grad = probe.zeros_like();
    let dfeatures = probe.backward(cache, dlogits.view(), &mut grad, cx);
    let normed = recorder.tensors().remove("act.bn_out").and_then(|a| a.into_dimensionality().ok());
    Pass { normed: normed.expect("the probe shows a matrix"), logits, loss, grad, dfeatures }
}

fn compare_pass<F: Real>(
    recording: &mut Recording<F>,
    mode: &str,
    pass: &Pass<F>,
    tolerance: Tolerance,
) -> Result<()> {
    for (name, matrix) in
        [("bn_out", &pass.normed), ("logits", &pass.logits), ("grad_features", &pass.dfeatures)]
    {
        let numbers = matrix.iter().map(|x| x.f64());
        recording.compare(&format!("{mode}.{name}"), matrix.shape(), numbers, tolerance)?;
    }
    recording.compare(&format!("{mode}.loss"), &[], [pass.loss], tolerance)?;
    for tensor in pass.grad.tensors() {
        let key = format!("{mode}.grad.{}", tensor.name.replace("head.", "head.1."));
        recording.compare(&key, &tensor.shape, tensor.data.iter().map(|x| x.f64()), tolerance)?;
    }
    Ok(())
}

fn compare_head<F: Real>(
    recording: &mut Recording<F>,
    head: &str,
    probe: &LinearProbe<F>,
    tolerance: Tolerance,
) -> Result<()> {
    let width = probe.norm.running_mean.len();
    for (name, values) in [("mean", &probe.norm.running_mean), ("var", &probe.norm.running_var)] {
        let key = format!("{head}.0.running_{name}");
        recording.compare(&key, &[width], values.iter().map(|x| x.f64()), tolerance)?;
    }
    let batches = probe.norm.num_batches_tracked[()].f64();
    recording.compare(&format!("{head}.0.num_batches_tracked"), &[], [batches], EXACT)?;
    for tensor in probe.tensors() {
        let key = format!("{head}.1.{}", tensor.name.trim_start_matches("head."));
        recording.compare(&key, &tensor.shape, tensor.data.iter().map(|x| x.f64()), tolerance)?;
    }
    Ok(())
}
