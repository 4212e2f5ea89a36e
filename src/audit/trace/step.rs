//! The step itself: forward, backward and AdamW as training takes them, with everything written down.

use super::start::{Batch, Start};
use crate::base::{Error, Result};
use crate::checkpoint::values::Values;
use crate::exec::Exec;
use crate::exec::probe::Recorder;
use crate::models::mae::{Mae, MaeOutput, Mask};
use crate::optim::{AdamW, Group, clip, groups};
use crate::params::Params;
use crate::tasks::Config;
use ndarray::ArrayD;
use std::collections::BTreeMap;

/// Shape and values of one tensor of the trace.
pub type Entry<'a> = (Vec<usize>, Values<'a, f32>);

/// Everything that one training step computes.
#[derive(Debug)]
pub struct Trace {
    /// The settings.
    pub config: Config,
    /// Where the weights come from.
    pub origin: String,
    /// The images and their masks.
    pub batch: Batch,
    /// How each tensor is updated.
    pub groups: Vec<Group>,
    /// The learning rate of the step.
    pub lr: f64,
    /// The loss, a mean over the removed patches of the batch.
    pub loss: f64,
    /// The loss of the same batch with the updated weights.
    pub loss_after: f64,
    /// The L2 norm of the whole gradient.
    pub grad_norm: f64,
    /// Weights before the step.
    pub before: Mae<f32>,
    /// The gradient of the loss, before any clipping.
    pub grad: Mae<f32>,
    /// Weights after the step.
    pub after: Mae<f32>,
    /// The moments after the step.
    pub adamw: AdamW<Mae<f32>>,
    /// The moments before it, if they were not zero.
    pub moments_before: Option<(Mae<f32>, Mae<f32>)>,
    /// Shown by the layers, `act.…` and `gact.…`, and computed from them.
    recorded: BTreeMap<String, ArrayD<f32>>,
    whole: BTreeMap<&'static str, (Vec<usize>, Vec<i64>)>,
    double: BTreeMap<&'static str, (Vec<usize>, Vec<f64>)>,
}

impl Trace {
    /// Takes one step on the batch, which is one chunk; the bits are those of
    /// [`crate::tasks::mae::step::loss_and_gradient`] with a `micro_batch` of at least its size.
    ///
    /// # Errors
    /// If the loss or a gradient is not finite.
    pub fn record(start: Start, batch: Batch, lr: f64) -> Result<Self> {
        let Start { model: before, mut adamw, config, origin } = start;
        let recorder = Recorder::default();
        let mut cx = Exec::new(config.run.gemm).split(true).with_probe(recorder.clone());
        let removed: usize = batch.masks.iter().map(Mask::removed).sum();
        let (output, cache) = before.forward(batch.images.view(), &batch.masks, &mut cx);
        let loss = output.loss_sum / removed as f64;
        let not_finite = |tensor: String| Error::NotFinite { step: adamw.steps + 1, tensor };
        if !loss.is_finite() {
            return Err(not_finite("loss".to_owned()));
        }
        let mut grad = before.zeros_like();
        let dpatches = before.backward(cache, &output, &batch.masks, removed, &mut grad, &mut cx);
        if let Some(name) = clip::first_not_finite(&grad) {
            return Err(not_finite(format!("the gradient of {name}")));
        }
        let (network, target) =
            before.images_gradient(batch.images.view(), &output, &batch.masks, &dpatches, &mut cx);

        let groups = groups::pretraining(&before, config.optim.weight_decay);
        let grad_norm = clip::norm(&grad, &groups);
        let moments_before = (adamw.steps > 0).then(|| (adamw.m.clone(), adamw.v.clone()));
        let mut after = before.clone();
        match config.optim.clip_grad {
            Some(limit) => {
                let mut clipped = grad.clone();
                clip::clip(&mut clipped, grad_norm, limit);
                adamw.step(&mut after, &clipped, &groups, lr);
            }
            None => adamw.step(&mut after, &grad, &groups, lr),
        }
        let mut plain = Exec::new(config.run.gemm).split(true);
        let (again, _) = after.forward(batch.images.view(), &batch.masks, &mut plain);
        let loss_after = again.loss_sum / removed as f64;
        if !loss_after.is_finite() || clip::first_not_finite(&after).is_some() {
            return Err(Error::setting("--lr", "a learning rate that leaves weights and loss finite", lr));
        }

        let mut recorded = of_images(recorder.tensors(), batch.masks.len(), &config);
        recorded.insert("grad_input_encoder".to_owned(), network.clone().into_dyn());
        recorded.insert("grad_input".to_owned(), (&network + &target).into_dyn());
        outputs(&mut recorded, output, &config);
        recorded.insert("images".to_owned(), batch.images.clone().into_dyn());
        let (whole, double) = (indices(&batch), numbers(&batch, [loss, loss_after, grad_norm]));
        recorded.insert("mask".to_owned(), mask(&batch));
        Ok(Self {
            config,
            origin,
            batch,
            groups,
            lr,
            loss,
            loss_after,
            grad_norm,
            before,
            grad,
            after,
            adamw,
            moments_before,
            recorded,
            whole,
            double,
        })
    }

    /// Every tensor of the trace by its name, as `trace.safetensors` has it.
    #[must_use]
    pub fn tensors(&self) -> BTreeMap<String, Entry<'_>> {
        let mut all = BTreeMap::new();
        for (name, array) in &self.recorded {
            let values = array.as_slice().expect("recorded in row-major order");
            all.insert(name.clone(), (array.shape().to_vec(), Values::Real(values)));
        }
        for (name, (shape, values)) in &self.whole {
            all.insert((*name).to_owned(), (shape.clone(), Values::Whole(values)));
        }
        for (name, (shape, values)) in &self.double {
            all.insert((*name).to_owned(), (shape.clone(), Values::Double(values)));
        }
        let mut lay = |prefix: &str, params, fixed_too: bool| {
            for (tensor, group) in Mae::<f32>::tensors(params).into_iter().zip(&self.groups) {
                if fixed_too || group.trained {
                    let name = format!("{prefix}.{}", tensor.name);
                    all.insert(name, (tensor.shape, Values::Real(tensor.data)));
                }
            }
        };
        lay("param", &self.before, true);
        lay("grad", &self.grad, false);
        lay("adamw1", &self.after, false);
        if let Some((m, v)) = &self.moments_before {
            lay("m0", m, false);
            lay("v0", v, false);
        }
        all
    }

    /// The metadata's one entry, `golden`: what a recording of the reference says of itself.
    #[must_use]
    pub fn metadata(&self) -> serde_json::Value {
        let (c, o) = (&self.config.model, &self.config.optim);
        let mut config = serde_json::to_value(c).expect("plain numbers");
        config["batch"] = self.batch.masks.len().into();
        config["mask_ratio"] = self.config.mask.mask_ratio.into();
        if c.img_size[0] == c.img_size[1] {
            config["img_size"] = c.img_size[0].into();
        }
        let group = |decay: f64| {
            let own = self.groups.iter().filter(|g| g.trained && g.weight_decay == decay);
            let params: Vec<&str> = own.map(|g| g.name.as_str()).collect();
            serde_json::json!({ "lr_scale": 1.0, "weight_decay": decay, "params": params })
        };
        let mut decays = vec![0.0, o.weight_decay];
        decays.dedup();
        serde_json::json!({
            "kind": "mae",
            "case": "trace",
            "dtype": "f32",
            "config": config,
            "len_keep": self.batch.masks[0].len_keep,
            "num_patches": c.num_patches(),
            "param_groups": decays.into_iter().map(group).collect::<Vec<_>>(),
            "adamw": {
                "lr": self.lr, "betas": o.betas, "eps": 1e-8, "weight_decay": o.weight_decay,
                "step": self.adamw.steps, "clip_grad": o.clip_grad,
            },
            "origin": self.origin,
            "versions": { "vit-mae": env!("CARGO_PKG_VERSION") },
        })
    }
}

/// Token matrices `[B·N, D]` as `[B, N, D]`, probabilities `[B·H·N, N]` as `[B, H, N, N]`; `act.pred` is
/// called `pred`, as the recordings of the reference have it.
fn of_images(
    seen: BTreeMap<String, ArrayD<f32>>,
    images: usize,
    config: &Config,
) -> BTreeMap<String, ArrayD<f32>> {
    let reshape = |(name, array): (String, ArrayD<f32>)| {
        let (rows, columns) = (array.shape()[0], array.shape()[1]);
        let shape = if name.ends_with("probabilities") {
            let decoder = name.contains("decoder_blocks");
            let heads = if decoder { config.model.decoder_num_heads } else { config.model.num_heads };
            vec![images, heads, columns, columns]
        } else {
            vec![images, rows / images, columns]
        };
        let name = if name == "act.pred" { "pred".to_owned() } else { name };
        (name, array.into_shape_with_order(shape).expect("whole images"))
    };
    seen.into_iter().map(reshape).collect()
}

fn outputs(recorded: &mut BTreeMap<String, ArrayD<f32>>, output: MaeOutput<f32>, config: &Config) {
    let patches = config.model.num_patches();
    let target = output.target.into_dyn();
    let (images, values) = (target.shape()[0] / patches, target.shape()[1]);
    let shape = vec![images, patches, values];
    recorded.insert("target".to_owned(), target.into_shape_with_order(shape).expect("whole images"));
    let losses = output.loss_per_patch.into_dyn().into_shape_with_order(vec![images, patches]);
    recorded.insert("loss_per_patch".to_owned(), losses.expect("whole images"));
}

fn indices(batch: &Batch) -> BTreeMap<&'static str, (Vec<usize>, Vec<i64>)> {
    let of = |ids: &dyn Fn(&Mask) -> &[usize]| {
        let all = batch.masks.iter().flat_map(|mask| ids(mask).iter().map(|&i| index(i))).collect();
        (vec![batch.masks.len(), ids(&batch.masks[0]).len()], all)
    };
    BTreeMap::from([
        ("ids_shuffle", of(&|mask| &mask.ids_shuffle)),
        ("ids_restore", of(&|mask| &mask.ids_restore)),
        ("ids_keep", of(&|mask| mask.ids_keep())),
    ])
}

fn index(i: usize) -> i64 {
    i64::try_from(i).expect("far fewer patches")
}

/// Numbers that are computed in f64. The noise keeps its f64, since rounding could make ties.
fn numbers(
    batch: &Batch,
    [loss, loss_after, grad_norm]: [f64; 3],
) -> BTreeMap<&'static str, (Vec<usize>, Vec<f64>)> {
    BTreeMap::from([
        ("noise", (vec![batch.noise.len(), batch.noise[0].len()], batch.noise.concat())),
        ("loss", (vec![], vec![loss])),
        ("loss_after", (vec![], vec![loss_after])),
        ("grad_norm", (vec![], vec![grad_norm])),
    ])
}

fn mask(batch: &Batch) -> ArrayD<f32> {
    let patches = batch.noise[0].len();
    let of_image =
        |mask: &Mask| (0..patches).map(|l| f32::from(u8::from(mask.removes(l)))).collect::<Vec<_>>();
    let all: Vec<f32> = batch.masks.iter().flat_map(of_image).collect();
    ArrayD::from_shape_vec(vec![batch.masks.len(), patches], all).expect("one number a patch")
}
