//! Three AdamW steps of a model, compared with the recorded weights after the first and the third.

use super::recording::Recording;
use super::tolerance::of_step;
use crate::base::{Real, Result};
use crate::optim::{AdamW, Group};
use crate::params::Params;

/// The recorded settings of the optimiser.
pub(super) struct Settings {
    lr: f64,
    betas: (f64, f64),
    eps: f64,
    pub(super) weight_decay: f64,
}

impl Settings {
    pub(super) fn read<F>(recording: &Recording<F>) -> Result<Self> {
        let betas = recording.list("adamw.betas")?;
        let beta =
            |i: usize| betas.get(i).and_then(serde_json::Value::as_f64).filter(|b| (0.0..1.0).contains(b));
        let (Some(first), Some(second), 2) = (beta(0), beta(1), betas.len()) else {
            return Err(recording.wrong(
                "adamw.betas",
                "two numbers from 0 to below 1",
                format!("{betas:?}"),
            ));
        };
        Ok(Self {
            lr: recording.number("adamw.lr")?,
            betas: (first, second),
            eps: recording.number("adamw.eps")?,
            weight_decay: recording.number("adamw.weight_decay")?,
        })
    }
}

/// Steps the model from its recorded weights. `first` is the loss and gradient there; `step` gives both at
/// other weights.
pub(super) fn replay<F: Real, P: Params<F>>(
    recording: &mut Recording<F>,
    settings: &Settings,
    model: &mut P,
    groups: &[Group],
    first: (f64, P),
    step: impl Fn(&P) -> (f64, P),
) -> Result<()> {
    let mut adamw = AdamW::new(model, settings.betas);
    adamw.eps = settings.eps;
    let (loss, mut grad) = first;
    let mut losses = vec![loss];
    for number in 1..=3 {
        adamw.step(model, &grad, groups, settings.lr);
        if number != 2 {
            compare_weights(recording, model, groups, number, settings.lr)?;
        }
        let (loss, next) = step(model);
        losses.push(loss);
        grad = next;
    }
    recording.compare("adamw_losses", &[4], losses, of_step::<F>("adamw_losses", 0.0))
}

/// f64: by the largest error. f32: AdamW divides a gradient by its magnitude, so the rounding errors of tiny
/// gradients grow to any fraction of a step. Of each tensor at most 0.1 % of the elements, or one, may be off
/// by more than a thousandth of `lr`, and all must be within `2 · lr · steps`. The key part of `qkv.bias`, whose
/// true gradient is 0, is held to the latter only.
fn compare_weights<F: Real, P: Params<F>>(
    recording: &mut Recording<F>,
    model: &P,
    groups: &[Group],
    steps: u32,
    lr: f64,
) -> Result<()> {
    for (tensor, group) in model.tensors().into_iter().zip(groups) {
        if !group.trained {
            continue;
        }
        let key = format!("adamw{steps}.{}", tensor.name);
        let numbers = tensor.data.iter().map(|x| x.f64());
        if F::NAME == "f64" {
            recording.compare(&key, &tensor.shape, numbers, of_step::<F>(&key, 0.0))?;
            continue;
        }
        let len = tensor.data.len();
        let key_bias =
            |i: usize| tensor.name.ends_with("attn.qkv.bias") && (len / 3..2 * len / 3).contains(&i);
        let (small, allowed) = ((1e-3 * lr).max(1e-6), (len / 1000).max(1));
        let judge = |ours: &[f64], theirs: &[f64]| {
            let pairs = ours.iter().zip(theirs).enumerate();
            let close = |a: f64, b: f64| (a - b).abs() <= small; // never, if one is not a number
            let off = pairs.filter(|(i, (a, b))| !key_bias(*i) && !close(**a, **b)).count();
            (off <= allowed, format!("{off} of {len} off by more than {small:.0e}, {allowed} may be"))
        };
        recording.compare_by(&key, &tensor.shape, numbers, 2.0 * lr * f64::from(steps), judge)?;
    }
    Ok(())
}

/// The recorded parameter groups, if there are any, against ours: the same tensors with the same decay and
/// the same factor on the learning rate.
pub(super) fn compare_groups<F: Real>(recording: &mut Recording<F>, ours: &[Group]) {
    let Some(recorded) = recording.find("param_groups").and_then(|groups| groups.as_array()).cloned() else {
        return;
    };
    let mut wrong = Vec::new();
    let mut named = 0;
    for group in &recorded {
        let names = group["params"].as_array().map(Vec::as_slice).unwrap_or_default();
        named += names.len();
        for name in names {
            let found = ours.iter().find(|ours| Some(ours.name.as_str()) == name.as_str() && ours.trained);
            let same = |key: &str, ours: f64| {
                group[key].as_f64().is_some_and(|theirs| (theirs - ours).abs() <= 1e-12 * ours.abs())
            };
            if !found.is_some_and(|g| same("weight_decay", g.weight_decay) && same("lr_scale", g.lr_scale)) {
                wrong.push(name.to_string());
            }
        }
    }
    let trained = ours.iter().filter(|group| group.trained).count();
    let agrees = wrong.is_empty() && named == trained;
    let note = if agrees {
        format!("weight decay and rate of {named} tensors")
    } else {
        format!("{named} tensors recorded, {trained} trained here; other settings: {}", wrong.join(", "))
    };
    recording.compare_metadata("param_groups", agrees, note);
}
