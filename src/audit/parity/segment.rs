//! A step of semantic segmentation: the pyramid, every activation of both heads, losses, gradients, three updates.

use super::adamw_steps::{self, Settings};
use super::intermediates;
use super::recording::Recording;
use super::tolerance::of_segment_step;
use crate::base::{Real, Result};
use crate::exec::probe::Recorder;
use crate::exec::{Backend, Exec};
use crate::models::pyramid::levels::{self, LEVELS};
use crate::models::segment::{HeadKind, IGNORED, SegmentLosses, Segmenter, SegmenterConfig};
use crate::models::vit::ForwardOptions;
use crate::optim::{clip, groups};
use crate::params::Params;
use ndarray::{Array2, Array3, Array4, Axis, Ix4};

/// UperNet on the pyramid.
pub(super) fn upernet<F: Real>(recording: &mut Recording<F>) -> Result<()> {
    let config = SegmenterConfig {
        channels: recording.whole("config.channels")?,
        aux_channels: recording.whole("config.aux_channels")?,
        aux_weight: recording.number("config.aux_weight")?,
        pool_scales: recording.wholes("config.pool_scales")?,
        ..config(recording, HeadKind::Upernet)?
    };
    replay(recording, &config)
}

/// The linear head on the last block's tokens.
pub(super) fn linear<F: Real>(recording: &mut Recording<F>) -> Result<()> {
    let config = config(recording, HeadKind::Linear)?;
    replay(recording, &config)
}

fn replay<F: Real>(recording: &mut Recording<F>, config: &SegmenterConfig) -> Result<()> {
    config.validate_head().map_err(|e| recording.wrong("config", "a possible model", e))?;
    recording.justifies(config.parameters())?;
    let batch = Batch::read(recording, config)?;
    let mut model = Segmenter::<F>::new(config);
    recording.fill("param.", &mut model)?;

    let recorder = Recorder::default();
    let mut cx = Exec::new(Backend::default()).with_probe(recorder.clone());
    let step = batch.step(&model, &mut cx);
    let largest = intermediates::largest_gradient(recording);
    let tolerance = |key: &str| of_segment_step::<F>(key, largest);
    let mut seen = recorder.tensors();
    for (name, shape) in activations(config, batch.images.dim().0) {
        for key in [format!("act.{name}"), format!("gact.{name}")] {
            let value = seen.remove(&key).expect("the step was recorded");
            recording.compare(&key, &shape, value.iter().map(|x| x.f64()), tolerance(&key))?;
        }
    }
    // What else was recorded of the trunk, in whatever shape holds its rows.
    for (name, value) in seen {
        let shape = recording.tensor(&name).map(|recorded| recorded.shape().to_vec());
        let shape = shape.filter(|shape| shape.iter().product::<usize>() == value.len());
        if let Some(shape) = shape {
            recording.compare(&name, &shape, value.iter().map(|x| x.f64()), tolerance(&name))?;
        }
    }
    let (logits, [height, width]) = (model.logits(batch.images.view(), &mut cx), config.img_size);
    let shape = [batch.images.dim().0, height, width, config.num_classes];
    recording.compare("logits", &shape, logits.iter().map(|x| x.f64()), tolerance("logits"))?;
    recording.compare("loss", &[], [step.loss], tolerance("loss"))?;
    if config.head == HeadKind::Upernet {
        for (name, sum) in [("loss_main", step.losses.main), ("loss_aux", step.losses.auxiliary)] {
            recording.compare(name, &[], [sum / batch.labelled as f64], tolerance(name))?;
        }
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
        let step = batch.step(model, &mut Exec::new(Backend::default()));
        (step.loss, step.grad)
    })?;
    recording.compare("adamw_losses", &[4], losses, tolerance("adamw_losses"))
}

struct Batch<F> {
    images: Array4<F>,
    /// `[B, H, W]`.
    labels: Array3<u8>,
    /// Pixels that are not ignored.
    labelled: usize,
}

struct Step<F> {
    losses: SegmentLosses,
    loss: f64,
    grad: Segmenter<F>,
    dpatches: Array2<F>,
}

impl<F: Real> Batch<F> {
    fn read(recording: &mut Recording<F>, config: &SegmenterConfig) -> Result<Self> {
        let ([height, width], batch) = (config.img_size, recording.whole("config.batch")?);
        let images = recording.input("images", &[batch, config.in_chans, height, width])?;
        let images = images.into_dimensionality::<Ix4>().expect("four axes, just checked");
        let ids = recording.input_ids("labels", &[batch, height, width], 1 + usize::from(IGNORED))?;
        let wrong = |&&id: &&usize| id >= config.num_classes && id != usize::from(IGNORED);
        if let Some(id) = ids.iter().find(wrong) {
            let expected = format!("classes below {} or {IGNORED}", config.num_classes);
            return Err(recording.wrong_tensor("labels", expected, id));
        }
        let labelled = ids.iter().filter(|&&id| id != usize::from(IGNORED)).count();
        if labelled == 0 {
            return Err(recording.wrong_tensor("labels", "a labelled pixel", "none"));
        }
        let labels = ids.into_iter().map(|id| u8::try_from(id).expect("at most 255, just checked")).collect();
        let labels = Array3::from_shape_vec((batch, height, width), labels).expect("as many, just checked");
        Ok(Self { images, labels, labelled })
    }

    fn step(&self, model: &Segmenter<F>, cx: &mut Exec<F>) -> Step<F> {
        let labels: Vec<_> = self.labels.axis_iter(Axis(0)).collect();
        let (logits, cache) = model.forward(self.images.view(), &ForwardOptions::default(), cx);
        let (losses, dlogits) = model.losses(&logits, &labels, self.labelled, cx);
        let mut grad = model.zeros_like();
        let dpatches = model.backward(cache, &dlogits, &mut grad, cx).expect("everything is trained");
        Step { losses, loss: losses.total(&model.config) / self.labelled as f64, grad, dpatches }
    }
}

/// What is shown on the way, forward and backward, and its shape.
fn activations(c: &SegmenterConfig, images: usize) -> Vec<(String, Vec<usize>)> {
    let (vit, sizes) = (c.vit(), levels::sizes(c.img_size));
    let (rows, columns) = vit.grid();
    let map = |name: &str, [height, width]: [usize; 2], channels: usize| {
        (name.to_owned(), vec![images, height, width, channels])
    };
    let mut all = vec![("encoder_input".to_owned(), vec![images, vit.tokens(), c.embed_dim])];
    all.push(map("logits_low", c.logits_size(), c.num_classes));
    if c.head == HeadKind::Linear {
        all.extend(["tokens", "features"].map(|name| map(name, [rows, columns], c.embed_dim)));
        return all;
    }
    for (k, size) in sizes.into_iter().enumerate() {
        all.push(map(&format!("taps.{k}"), [rows, columns], c.embed_dim));
        all.push(map(&format!("adapters.{k}"), size, c.embed_dim));
        if k + 1 < LEVELS {
            all.extend(
                ["lateral", "topdown", "fpn"].map(|name| map(&format!("{name}.{k}"), size, c.channels)),
            );
        }
    }
    let scales = c.pool_scales.iter().enumerate();
    all.extend(scales.map(|(i, &cells)| map(&format!("ppm.{i}"), [cells; 2], c.channels)));
    all.push(map("bottleneck", sizes[3], c.channels));
    all.push(map("fused", sizes[0], c.channels));
    all.push(map("aux_hidden", sizes[2], c.aux_channels));
    all.push(map("aux_logits_low", sizes[2], c.num_classes));
    all
}

fn config<F: Real>(recording: &Recording<F>, head: HeadKind) -> Result<SegmenterConfig> {
    if recording.whole("config.ignore_label")? != usize::from(IGNORED) {
        let expected = format!("{IGNORED}: the label of ignored pixels");
        return Err(recording.wrong(
            "config.ignore_label",
            expected,
            recording.whole("config.ignore_label")?,
        ));
    }
    let vit = recording.vit()?;
    vit.validate_recorded().map_err(|e| recording.wrong("config", "a possible model", e))?;
    Ok(SegmenterConfig::new(&vit, recording.whole("config.num_classes")?, head))
}
