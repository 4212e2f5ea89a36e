//! A step of detection with given samples: the pyramid, every activation of all heads, losses, gradients, three updates; what the
//! samples are made of; and inference from the pixels to the masks.

mod given;
mod inference;

use super::adamw_steps::{self, Settings};
use super::intermediates;
use super::recording::Recording;
use super::tolerance::{EXACT, of_detect_step};
use crate::base::{Real, Result};
use crate::exec::probe::Recorder;
use crate::exec::{Backend, Exec};
use crate::models::detect::boxes::{BOX_WEIGHTS, RPN_WEIGHTS};
use crate::models::detect::fpn::FINEST;
use crate::models::detect::{Denominators, DetectLosses, Detector, DetectorConfig};
use crate::models::pyramid::levels;
use crate::models::vit::ForwardOptions;
use crate::optim::{clip, groups};
use crate::params::Params;
use given::Given;
use ndarray::Array2;
use serde_json::json;

pub(super) fn replay<F: Real>(recording: &mut Recording<F>) -> Result<()> {
    let config = config(recording)?;
    recording.justifies(config.parameters())?;
    let given = Given::read(recording, &config)?;
    let mut model = Detector::<F>::new(&config);
    recording.fill("param.", &mut model)?;
    given.compare_targets(recording, &model)?;

    let recorder = Recorder::default();
    let mut cx = Exec::new(Backend::default()).with_probe(recorder.clone());
    let step = step(&model, &given, &mut cx);
    let largest = intermediates::largest_gradient(recording);
    let tolerance = |key: &str| of_detect_step::<F>(key, largest);
    let mut seen = recorder.tensors();
    for (name, shape) in activations(&config, given.images.dim().0, given.denominators) {
        for key in [format!("act.{name}"), format!("gact.{name}")] {
            let value = seen.remove(&key);
            // A step without foreground regions has nothing to show of them, and a recording nothing or empty tensors.
            if shape[0] > 0 || recording.has(&key) {
                let numbers = value.iter().flatten().map(|x| x.f64());
                recording.compare(&key, &shape, numbers, tolerance(&key))?;
            }
        }
    }
    for (name, value) in [
        ("loss", step.losses.total()),
        ("loss_rpn_cls", step.losses.rpn_cls),
        ("loss_rpn_box", step.losses.rpn_box),
        ("loss_cls", step.losses.cls),
        ("loss_box", step.losses.bbox),
    ] {
        recording.compare(name, &[], [value], tolerance(name))?;
    }
    if config.mask_head {
        recording.compare("loss_mask", &[], [step.losses.mask], tolerance("loss_mask"))?;
    }
    recording.compare_all("grad.", &step.grad, tolerance)?;

    let settings = Settings::read(recording)?;
    let layer_decay = recording.number("config.layer_decay")?;
    let groups = groups::finetuning(&model, settings.weight_decay, layer_decay, config.depth, None);
    recording.compare("grad_norm", &[], [clip::norm(&step.grad, &groups)], tolerance("grad_norm"))?;
    let dimages = model.vit.images_gradient(&step.dpatches, &mut cx);
    let numbers = dimages.iter().map(|x| x.f64());
    recording.compare("grad_input", dimages.shape(), numbers, tolerance("grad_input"))?;
    inference::compare(recording, &model, given.images.view())?;

    adamw_steps::compare_groups(recording, &groups);
    let first = (step.losses.total(), step.grad);
    let losses = adamw_steps::replay(recording, &settings, &mut model, &groups, first, |model| {
        let step = self::step(model, &given, &mut Exec::new(Backend::default()));
        (step.losses.total(), step.grad)
    })?;
    recording.compare("adamw_losses", &[4], losses, tolerance("adamw_losses"))
}

struct Step<F> {
    losses: DetectLosses,
    grad: Detector<F>,
    dpatches: Array2<F>,
}

fn step<F: Real>(model: &Detector<F>, given: &Given<F>, cx: &mut Exec<F>) -> Step<F> {
    let forward = model.forward(given.images.view(), &ForwardOptions::default(), cx);
    let (losses, cache) = model.losses(&forward, &given.samples, given.denominators, cx);
    let mut grad = model.zeros_like();
    let dpatches = model.backward(forward, cache, &mut grad, cx).expect("everything is trained");
    Step { losses, grad, dpatches }
}

/// What is shown on the way, forward and backward, and its shape.
fn activations(c: &DetectorConfig, images: usize, of: Denominators) -> Vec<(String, Vec<usize>)> {
    let (vit, shapes) = (c.vit(), c.anchor_ratios.len());
    let (rows, columns) = vit.grid();
    let map = |name: String, [height, width]: [usize; 2], channels: usize| {
        (name, vec![images, height, width, channels])
    };
    let mut all = vec![("encoder_input".to_owned(), vec![images, vit.tokens(), c.embed_dim])];
    for (k, size) in levels::sizes(c.img_size).into_iter().enumerate() {
        all.push(map(format!("taps.{k}"), [rows, columns], c.embed_dim));
        all.push(map(format!("adapters.{k}"), size, c.embed_dim));
        all.push(map(format!("merged.{k}"), size, c.channels));
    }
    for (level, size) in (FINEST..).zip(c.map_sizes()) {
        all.push(map(format!("p{level}"), size, c.channels));
        all.push(map(format!("objectness.{level}"), size, shapes));
        all.push(map(format!("rpn_deltas.{level}"), size, 4 * shapes));
    }
    let mut of_regions = |name: &str, shape: &[usize]| all.push((name.to_owned(), shape.to_vec()));
    of_regions("box_rois", &[of.regions, c.box_size, c.box_size, c.channels]);
    of_regions("box_fc", &[of.regions, c.fc_dim]);
    of_regions("scores", &[of.regions, c.num_classes + 1]);
    of_regions("box_deltas", &[of.regions, 4 * c.num_classes]);
    if c.mask_head {
        let (side, cells) = (c.mask_size, c.mask_side());
        of_regions("mask_rois", &[of.foreground, side, side, c.channels]);
        of_regions("mask_logits", &[of.foreground, cells, cells, c.num_classes]);
    }
    all
}

/// The recorded settings. There is a mask head if it has recorded weights.
fn config<F: Real>(recording: &Recording<F>) -> Result<DetectorConfig> {
    recording.only("config.rpn_weights", &json!(RPN_WEIGHTS))?;
    recording.only("config.box_weights", &json!(BOX_WEIGHTS))?;
    let vit = recording.vit()?;
    vit.validate_recorded().map_err(|e| recording.wrong("config", "a possible model", e))?;
    let whole = |key: &str| recording.whole(&format!("config.{key}"));
    let number = |key: &str| recording.number(&format!("config.{key}"));
    let thresholds = recording.numbers("config.rpn_thresholds")?;
    let Ok(rpn_thresholds) = <[f64; 2]>::try_from(thresholds.as_slice()) else {
        return Err(recording.wrong("config.rpn_thresholds", "two numbers", format!("{thresholds:?}")));
    };
    let config = DetectorConfig {
        channels: whole("channels")?,
        fc_dim: whole("fc_dim")?,
        mask_head: !recording.below("param.mask.").is_empty(),
        box_size: whole("box_size")?,
        mask_size: whole("mask_size")?,
        sampling: whole("sampling")?,
        canonical_level: whole("canonical_level")?,
        canonical_size: number("canonical_size")?,
        anchor_sizes: recording.numbers("config.anchor_sizes")?,
        anchor_ratios: recording.numbers("config.anchor_ratios")?,
        anchor_offset: number("anchor_offset")?,
        rpn_thresholds,
        rpn_batch_per_image: whole("rpn_batch_per_image")?,
        roi_threshold: number("roi_threshold")?,
        pre_nms: whole("pre_nms")?,
        post_nms: whole("post_nms")?,
        rpn_nms: number("rpn_nms")?,
        score_threshold: number("score_threshold")?,
        box_nms: number("box_nms")?,
        max_detections: whole("max_detections")?,
        ..DetectorConfig::new(&vit, whole("num_classes")?)
    };
    config.validate_heads().map_err(|e| recording.wrong("config", "a possible model", e))?;
    Ok(config)
}

/// Compares whole numbers, of which −1 is none.
fn compare_ids<F: Real>(
    recording: &mut Recording<F>,
    key: &str,
    shape: &[usize],
    ids: impl IntoIterator<Item = Option<usize>>,
) -> Result<()> {
    recording.compare(key, shape, ids.into_iter().map(|id| id.map_or(-1.0, |id| id as f64)), EXACT)
}
