//! A MoCo v3 step: both crops through both encoders, the loss, every gradient, moving averages, buffers, AdamW.

use super::adamw_steps::{self, Settings};
use super::intermediates;
use super::recording::Recording;
use super::tolerance::{EXACT, Tolerance, of_moco};
use crate::base::{Real, Result};
use crate::exec::probe::Recorder;
use crate::exec::{Backend, Exec};
use crate::models::moco::step::{self, Step};
use crate::models::moco::{BaseEncoder, Contrast, Moco, MocoConfig, momentum};
use crate::optim::{Group, clip};
use crate::params::{Params, Role, Tensor};
use ndarray::{Array4, Ix4};
use serde_json::Value;

/// Far more than anybody records: every image is compared with every other.
const MOST_IMAGES: usize = 1 << 12;

/// Steps whose loss is recorded.
const STEPS: usize = 4;

pub(super) fn replay<F: Real>(recording: &mut Recording<F>) -> Result<()> {
    let config = config(recording)?;
    let momenta = momenta(recording)?;
    let crops = [crop(recording, "images1", &config)?, crop(recording, "images2", &config)?];
    let (mut model, mut encoder) = (Moco::<F>::new(config.clone()), BaseEncoder::new(&config));
    recording.load("param.", &mut model)?;
    recording.load("momentum.", &mut encoder)?;

    let recorder = Recorder::default();
    let cx = &mut Exec::new(Backend::default()).with_probe(recorder.clone());
    let (Step { contrast, encoder: averaged }, grad) = step(&model, &encoder, &crops, momenta[0], cx);
    encoder = averaged;
    model.track(&contrast.statistics);
    let largest = intermediates::largest_gradient(recording);
    let tolerance = |key: &str| of_moco::<F>(key, largest);
    compare_intermediates(recording, &recorder, tolerance)?;
    compare_losses(recording, &contrast, tolerance)?;
    compare_buffers(recording, "buffer_after.", &model, tolerance)?;
    compare_buffers(recording, "momentum_buffer_after.", &encoder, tolerance)?;
    for tensor in encoder.tensors().iter().filter(|tensor| tensor.role != Role::Buffer) {
        let key = format!("momentum_after.{}", tensor.name);
        recording.compare(&key, &tensor.shape, tensor.data.iter().map(|x| x.f64()), tolerance(&key))?;
    }

    // Whatever shifts all features is taken out again by the first batch norm.
    let settings = Settings::read(recording)?.with_noise(&["norm.bias"]);
    let groups = model.groups(settings.weight_decay);
    for (tensor, _) in grad.tensors().iter().zip(&groups).filter(|(_, group)| group.trained) {
        let key = format!("grad.{}", tensor.name);
        recording.compare(&key, &tensor.shape, tensor.data.iter().map(|x| x.f64()), tolerance(&key))?;
    }
    recording.compare("grad_norm", &[], [clip::norm(&grad, &groups)], tolerance("grad_norm"))?;
    adamw_steps::compare_groups(recording, &groups);
    compare_frozen(recording, &model, &groups);

    let mut momenta = momenta.into_iter().enumerate().skip(1);
    let mut after3 = None;
    let start = (contrast.loss(), grad);
    let losses = adamw_steps::replay(recording, &settings, &mut model, &groups, start, |model| {
        let (done, m) = momenta.next().expect("a coefficient for every step");
        let (step, grad) = step(model, &encoder, &crops, m, &mut Exec::new(Backend::default()));
        encoder = step.encoder;
        if done + 1 == 3 {
            after3 = Some(encoder.clone());
        }
        (step.contrast.loss(), grad)
    })?;
    recording.compare("adamw_losses", &[STEPS], losses, tolerance("adamw_losses"))?;
    let after3 = after3.expect("there were four steps");
    for tensor in after3.tensors().iter().filter(|tensor| tensor.role != Role::Buffer) {
        settings.compare_weights(recording, "momentum_after3.", tensor, 3)?;
    }
    Ok(())
}

/// One chunk holds all images. The heads and the loss are shown to the probe of `cx`.
fn step<F: Real>(
    model: &Moco<F>,
    encoder: &BaseEncoder<F>,
    crops: &[Array4<F>; 2],
    m: f64,
    cx: &mut Exec<F>,
) -> (Step<F>, Moco<F>) {
    let (views, all) = (|| crops.each_ref().map(|images| images.view()), 0..crops[0].dim().0);
    let plain = || Exec::new(Backend::default());
    let mut grad = model.zeros_like();
    let step = step::step(
        model,
        encoder,
        m,
        |trunk| views().map(|images| trunk.infer(images, &mut plain())),
        |dfeatures, grad| {
            model.backward_chunk(views(), dfeatures, all, grad, &mut plain());
        },
        &mut grad,
        cx,
    );
    (step, grad)
}

/// All but what is inside of the momentum encoder's projector must be recorded; what else is there is compared, too.
fn compare_intermediates<F: Real>(
    recording: &mut Recording<F>,
    recorder: &Recorder<F>,
    tolerance: impl Fn(&str) -> Tolerance,
) -> Result<()> {
    for (name, value) in recorder.tensors() {
        if !name.starts_with("act.key_projector") || recording.has(&name) {
            let numbers = value.iter().map(|x| x.f64());
            recording.compare(&name, value.shape(), numbers, tolerance(&name))?;
        }
    }
    Ok(())
}

fn compare_losses<F: Real>(
    recording: &mut Recording<F>,
    contrast: &Contrast<F>,
    tolerance: impl Fn(&str) -> Tolerance,
) -> Result<()> {
    let (losses, accuracies) = (contrast.losses, contrast.accuracies);
    for (key, value) in [
        ("loss12", losses[0]),
        ("loss21", losses[1]),
        ("loss", contrast.loss()),
        ("accuracy12", accuracies[0]),
        ("accuracy21", accuracies[1]),
        ("accuracy", contrast.accuracy()),
    ] {
        recording.compare(key, &[], [value], tolerance(key))?;
    }
    Ok(())
}

fn compare_buffers<F: Real>(
    recording: &mut Recording<F>,
    prefix: &str,
    model: &impl Params<F>,
    tolerance: impl Fn(&str) -> Tolerance,
) -> Result<()> {
    for tensor in model.tensors().iter().filter(|tensor| tensor.role == Role::Buffer) {
        let key = format!("{prefix}{}", tensor.name);
        let tolerance = if key.ends_with("num_batches_tracked") { EXACT } else { tolerance(&key) };
        recording.compare(&key, &tensor.shape, tensor.data.iter().map(|x| x.f64()), tolerance)?;
    }
    Ok(())
}

/// What the metadata says is frozen, if it does, against the weights that are not trained here.
fn compare_frozen<F: Real>(recording: &mut Recording<F>, model: &Moco<F>, groups: &[Group]) {
    let Some(recorded) = recording.find("frozen").and_then(Value::as_array) else { return };
    let mut theirs: Vec<&str> = recorded.iter().filter_map(Value::as_str).collect();
    let (tensors, of_a_weight) = (model.tensors(), |tensor: &Tensor<F>| tensor.role != Role::Buffer);
    let frozen = tensors.iter().zip(groups).filter(|(tensor, group)| !group.trained && of_a_weight(tensor));
    let mut ours: Vec<&str> = frozen.map(|(tensor, _)| tensor.name.as_str()).collect();
    theirs.sort_unstable();
    ours.sort_unstable();
    let (agrees, note) = (ours == theirs, format!("not trained here: {}", ours.join(", ")));
    recording.compare_metadata("frozen", agrees, note);
}

fn config<F: Real>(recording: &Recording<F>) -> Result<MocoConfig> {
    let whole = |key: &str| recording.whole(&format!("config.{key}"));
    let number = |key: &str| recording.number(&format!("config.{key}"));
    let config = MocoConfig {
        vit: recording.vit()?,
        mlp_dim: whole("mlp_hidden")?,
        out_dim: whole("out_dim")?,
        temperature: number("temperature")?,
        stop_grad_conv1: recording.flag("config.stop_grad_conv1")?,
        batch_norm_eps: number("bn_eps")?,
        batch_norm_momentum: number("bn_momentum")?,
    };
    config.validate().map_err(|e| recording.wrong("config", "a possible model", e))?;
    recording.justifies(config.parameters())?;
    let patches = config.vit.num_patches();
    if recording.find("num_patches").is_some() && recording.whole("num_patches")? != patches {
        let expected = format!("{patches}, by the configuration");
        return Err(recording.wrong("num_patches", expected, recording.whole("num_patches")?));
    }
    Ok(config)
}

fn crop<F: Real>(recording: &mut Recording<F>, key: &str, config: &MocoConfig) -> Result<Array4<F>> {
    let batch = recording.whole("config.batch")?;
    if !(2..=MOST_IMAGES).contains(&batch) {
        return Err(recording.wrong("config.batch", format!("2 to {MOST_IMAGES}"), batch));
    }
    let [height, width] = config.vit.img_size;
    let images = recording.input(key, &[batch, config.vit.in_chans, height, width])?;
    Ok(images.into_dimensionality::<Ix4>().expect("four axes, just checked"))
}

/// The moving average's coefficient in steps 1 to 4; where the metadata has the schedule, it must give these.
fn momenta<F: Real>(recording: &mut Recording<F>) -> Result<[f64; STEPS]> {
    let list = recording.list("config.momentum")?;
    let numbers: Vec<f64> =
        list.iter().filter_map(Value::as_f64).filter(|m| (0.0..=1.0).contains(m)).collect();
    let Ok(momenta) = <[f64; STEPS]>::try_from(numbers) else {
        let found = format!("{list:?}");
        return Err(recording.wrong("config.momentum", format!("{STEPS} numbers from 0 to 1"), found));
    };
    if recording.find("config.ema").is_some() {
        let number = |key: &str| recording.number(&format!("config.ema.{key}"));
        let (m0, first, total) = (number("m0")?, number("first_step")?, number("total_steps")?);
        let ours = (0..STEPS).map(|i| momentum::coefficient(m0, first + i as f64, total));
        let agrees = ours.zip(momenta).all(|(ours, theirs)| (ours - theirs).abs() <= 1e-15);
        let note = format!("from {m0} at step {first} of {total}");
        recording.compare_metadata("config.ema", agrees, note);
    }
    Ok(momenta)
}
