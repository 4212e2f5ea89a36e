//! Three AdamW steps of a model, compared with the recorded weights after the first and the third.

use super::recording::Recording;
use super::tolerance::Tolerance;
use crate::base::{Real, Result};
use crate::optim::{AdamW, Group};
use crate::params::{Params, Tensor};

/// The recorded settings of the optimiser.
pub(super) struct Settings {
    lr: f64,
    betas: (f64, f64),
    eps: f64,
    pub(super) weight_decay: f64,
    /// Tensors whose true gradient is 0, beside the key part of `qkv.bias`: rounding moves them, in f64 a little.
    noise: &'static [&'static str],
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
            noise: &[],
        })
    }
}

/// Steps the model from its recorded weights. `first` is the loss and gradient there; `step` gives both at
/// other weights. Returns the losses before steps 1, 2, 3 and after step 3.
pub(super) fn replay<F: Real, P: Params<F>>(
    recording: &mut Recording<F>,
    settings: &Settings,
    model: &mut P,
    groups: &[Group],
    first: (f64, P),
    mut step: impl FnMut(&P) -> (f64, P),
) -> Result<Vec<f64>> {
    let mut adamw = AdamW::new(model, settings.betas);
    adamw.eps = settings.eps;
    let (loss, mut grad) = first;
    let mut losses = vec![loss];
    for number in 1..=3 {
        adamw.step(model, &grad, groups, settings.lr);
        if number != 2 {
            for (tensor, _) in model.tensors().iter().zip(groups).filter(|(_, group)| group.trained) {
                settings.compare_weights(recording, &format!("adamw{number}."), tensor, number)?;
            }
        }
        let (loss, next) = step(model);
        losses.push(loss);
        grad = next;
    }
    Ok(losses)
}

impl Settings {
    /// With the names of the tensors whose true gradient is 0.
    pub(super) fn with_noise(self, noise: &'static [&'static str]) -> Self {
        Self { noise, ..self }
    }

    /// Compares a tensor of weights after so many steps with the recorded `PREFIXname`.
    ///
    /// f64: by the largest error. f32: AdamW divides a gradient by its magnitude, so the rounding errors of tiny
    /// gradients grow to any fraction of a step. Where `grad.name` may be off by as much as it is, as where it is 0 in truth,
    /// one step is as right as the opposite one: there the weight must be within `2 · lr · steps`, as everywhere. Of the
    /// others at most 0.1 % of the elements, or one, may be off by more than a thousandth of `lr`.
    pub(super) fn compare_weights<F: Real>(
        &self,
        recording: &mut Recording<F>,
        prefix: &str,
        tensor: &Tensor<F>,
        steps: u32,
    ) -> Result<()> {
        let key = format!("{prefix}{}", tensor.name);
        let numbers = tensor.data.iter().map(|x| x.f64());
        if F::NAME == "f64" {
            let (noise, qkv) =
                (self.noise.contains(&tensor.name.as_str()), tensor.name.ends_with("attn.qkv.bias"));
            let rel = if noise { 1e-8 } else { [1e-10, 1e-9][usize::from(qkv)] };
            return recording.compare(&key, &tensor.shape, numbers, Tolerance { rel, floor: 1e-14 });
        }
        let uncertain = uncertain(recording, &tensor.name);
        let judge = |ours: &[f64], theirs: &[f64]| {
            let (len, small) = (ours.len(), (1e-3 * self.lr).max(1e-6));
            let (allowed, left_out) = ((len / 1000).max(1), uncertain.iter().filter(|&&u| u).count());
            let close = |i: usize| (ours[i] - theirs[i]).abs() <= small; // never, if one is not a number
            let off = (0..len).filter(|&i| !uncertain.get(i).is_some_and(|&u| u) && !close(i)).count();
            let note = format!("{off} of {} off by more than {small:.0e}, {allowed} may be", len - left_out);
            let of_rounding = format!("; the gradients of {left_out} more are 0 but for rounding");
            (off <= allowed, if left_out == 0 { note } else { note + &of_rounding })
        };
        recording.compare_by(&key, &tensor.shape, numbers, 2.0 * self.lr * f64::from(steps), judge)
    }
}

/// Of each element whether its recorded gradient may be off by as much as it is; empty if none is recorded.
fn uncertain<F: Real>(recording: &Recording<F>, name: &str) -> Vec<bool> {
    let key = format!("grad.{name}");
    let error = recording.allowed(&key).unwrap_or(0.0);
    recording.tensor(&key).map_or(Vec::new(), |gradient| gradient.iter().map(|g| g.abs() <= error).collect())
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
