//! A whole pre-training step: masks, every activation, gradient and updated weight.

use super::adamw_steps::{self, Settings};
use super::intermediates;
use super::recording::Recording;
use super::tolerance::{EXACT, of_step};
use crate::audit::budget;
use crate::base::{Real, Result};
use crate::exec::probe::Recorder;
use crate::exec::{Backend, Exec};
use crate::models::mae::masking::len_keep;
use crate::models::mae::{Mae, MaeConfig, MaeOutput, Mask};
use crate::optim::{clip, groups};
use crate::params::Params;
use ndarray::{Array2, Array4, Ix4};

pub(super) fn replay<F: Real>(recording: &mut Recording<F>) -> Result<()> {
    let config = config(recording)?;
    recording.justifies(config.parameters().all)?;
    let keep = kept(recording, &config)?;
    let images = images(recording, &config)?;
    budget::memory(&config, keep, images.dim().0)?;
    let mut model = Mae::<F>::new(config.clone());
    recording.load("param.", &mut model)?;
    let masks = masks(recording, &config, images.dim().0, keep)?;

    let recorder = Recorder::default();
    let mut cx = Exec::new(Backend::default()).with_probe(recorder.clone());
    let (output, grad, dpatches) = step(&model, &images, &masks, &mut cx);
    let largest = intermediates::largest_gradient(recording);
    let tolerance = |key: &str| of_step::<F>(key, largest);
    intermediates::compare(recording, &recorder, images.dim().0, tolerance, true)?;
    let (b, l, p) = (images.dim().0, config.num_patches(), config.patch_len());
    let numbers = |matrix: &Array2<F>| matrix.iter().map(|x| x.f64()).collect::<Vec<_>>();
    recording.compare("pred", &[b, l, p], numbers(&output.pred), tolerance("pred"))?;
    recording.compare("target", &[b, l, p], numbers(&output.target), tolerance("target"))?;
    let per_patch = output.loss_per_patch.iter().map(|x| x.f64());
    recording.compare("loss_per_patch", &[b, l], per_patch, tolerance("loss_per_patch"))?;
    let loss = output.loss_sum / removed(&masks) as f64;
    recording.compare("loss", &[], [loss], tolerance("loss"))?;

    let settings = Settings::read(recording)?;
    let groups = groups::pretraining(&model, settings.weight_decay);
    for (tensor, group) in grad.tensors().into_iter().zip(&groups) {
        if group.trained {
            let key = format!("grad.{}", tensor.name);
            recording.compare(&key, &tensor.shape, tensor.data.iter().map(|x| x.f64()), tolerance(&key))?;
        }
    }
    recording.compare("grad_norm", &[], [clip::norm(&grad, &groups)], tolerance("grad_norm"))?;
    let (network, target) = model.images_gradient(images.view(), &output, &masks, &dpatches, &mut cx);
    let shape = images.shape().to_vec();
    for (key, gradient) in [("grad_input_encoder", &network), ("grad_input", &(&network + &target))] {
        recording.compare(key, &shape, gradient.iter().map(|x| x.f64()), tolerance(key))?;
    }
    adamw_steps::compare_groups(recording, &groups);
    let losses = adamw_steps::replay(recording, &settings, &mut model, &groups, (loss, grad), |model| {
        let (output, grad, _) = step(model, &images, &masks, &mut Exec::new(Backend::default()));
        (output.loss_sum / removed(&masks) as f64, grad)
    })?;
    recording.compare("adamw_losses", &[4], losses, tolerance("adamw_losses"))
}

fn config<F: Real>(recording: &Recording<F>) -> Result<MaeConfig> {
    let whole = |key: &str| recording.whole(&format!("config.{key}"));
    let decoder = [whole("decoder_embed_dim")?, whole("decoder_depth")?, whole("decoder_num_heads")?];
    let norm_pix_loss = recording.flag("config.norm_pix_loss")?;
    let config = MaeConfig { norm_pix_loss, ..MaeConfig::with_decoder(&recording.vit()?, decoder) };
    config.validate().map_err(|e| recording.wrong("config", "a possible model", e))?;
    Ok(config)
}

/// `K`: from the ratio; what else the metadata says about it must agree.
fn kept<F: Real>(recording: &Recording<F>, config: &MaeConfig) -> Result<usize> {
    let ratio = recording.number("config.mask_ratio")?;
    if !(0.0..1.0).contains(&ratio) {
        return Err(recording.wrong("config.mask_ratio", "from 0 to below 1", ratio));
    }
    let patches = config.num_patches();
    let keep = len_keep(patches, ratio);
    for (key, computed) in [("len_keep", keep), ("num_patches", patches)] {
        if recording.find(key).is_some() && recording.whole(key)? != computed {
            return Err(recording.wrong(
                key,
                format!("{computed}, by the configuration"),
                recording.whole(key)?,
            ));
        }
    }
    if keep == patches {
        return Err(recording.wrong("config.mask_ratio", "a ratio that removes a patch", ratio));
    }
    Ok(keep)
}

fn images<F: Real>(recording: &mut Recording<F>, config: &MaeConfig) -> Result<Array4<F>> {
    let batch = recording.tensor("images").map_or(0, |images| images.shape().first().copied().unwrap_or(0));
    if recording.find("config.batch").is_some() && recording.whole("config.batch")? != batch {
        return Err(recording.wrong(
            "config.batch",
            format!("{batch}, as `images` has"),
            recording.whole("config.batch")?,
        ));
    }
    let [height, width] = config.img_size;
    let images = recording.input("images", &[batch.max(1), config.in_chans, height, width])?;
    Ok(images.into_dimensionality::<Ix4>().expect("four axes, just checked"))
}

/// The masks that the recorded noise makes, compared with the recorded ids.
fn masks<F: Real>(
    recording: &mut Recording<F>,
    config: &MaeConfig,
    images: usize,
    keep: usize,
) -> Result<Vec<Mask>> {
    let patches = config.num_patches();
    let noise = recording.input("noise", &[images, patches])?;
    let noise: Vec<f64> = noise.iter().map(|x| x.f64()).collect();
    let masks: Vec<Mask> = noise.chunks(patches).map(|noise| Mask::from_noise(noise, keep)).collect();
    let ids =
        |of: &dyn Fn(&Mask) -> Vec<usize>| masks.iter().flat_map(of).map(|i| i as f64).collect::<Vec<_>>();
    let whole = [images, patches];
    recording.compare("ids_shuffle", &whole, ids(&|m| m.ids_shuffle.clone()), EXACT)?;
    recording.compare("ids_restore", &whole, ids(&|m| m.ids_restore.clone()), EXACT)?;
    recording.compare("ids_keep", &[images, keep], ids(&|m| m.ids_keep().to_vec()), EXACT)?;
    let mask = ids(&|m| (0..patches).map(|l| usize::from(m.removes(l))).collect());
    recording.compare("mask", &whole, mask, EXACT)?;
    Ok(masks)
}

fn step<F: Real>(
    model: &Mae<F>,
    images: &Array4<F>,
    masks: &[Mask],
    cx: &mut Exec<F>,
) -> (MaeOutput<F>, Mae<F>, Array2<F>) {
    let (output, cache) = model.forward(images.view(), masks, cx);
    let mut grad = model.zeros_like();
    let dpatches = model.backward(cache, &output, masks, removed(masks), &mut grad, cx);
    (output, grad, dpatches)
}

fn removed(masks: &[Mask]) -> usize {
    masks.iter().map(Mask::removed).sum()
}
