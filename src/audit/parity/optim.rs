//! An optimiser alone, on any set of tensors with given gradients.

use super::recording::Recording;
use super::tolerance::relative;
use crate::base::{Real, Result};
use crate::optim::{AdamW, Lars, groups};
use crate::params::{Params, Role, Tensor, TensorMut};
use ndarray::ArrayD;

/// Tensors of any names and shapes. The optimisers look at the number of dimensions alone.
#[derive(Clone)]
struct Loose<F>(Vec<(String, ArrayD<F>)>);

impl<F: Real> Params<F> for Loose<F> {
    fn walk<'a>(&'a self, prefix: &str, out: &mut Vec<Tensor<'a, F>>) {
        for (name, array) in &self.0 {
            out.push(crate::params::tensor(format!("{prefix}{name}"), Role::Weight, array));
        }
    }

    fn walk_mut<'a>(&'a mut self, prefix: &str, out: &mut Vec<TensorMut<'a, F>>) {
        for (name, array) in &mut self.0 {
            out.push(crate::params::tensor_mut(
                format!("{prefix}{name}"),
                Role::Weight,
                array.shape().to_vec(),
                array,
            ));
        }
    }
}

/// The recorded `init.*`, and the number of steps.
fn start<F: Real>(recording: &mut Recording<F>) -> Result<(Loose<F>, usize)> {
    /// Far more than anybody records.
    const MOST_STEPS: usize = 10_000;
    let steps = recording.whole("config.steps")?;
    if !(1..=MOST_STEPS).contains(&steps) {
        return Err(recording.wrong("config.steps", format!("1 to {MOST_STEPS}"), steps));
    }
    let names = recording.below("init.");
    if names.is_empty() {
        return Err(recording.wrong_tensor("init.*", "tensors to start from", "none"));
    }
    let tensors = names.into_iter().map(|name| {
        let array = recording.given(&format!("init.{name}"))?;
        Ok((name, array))
    });
    Ok((Loose(tensors.collect::<Result<_>>()?), steps))
}

/// The learning rate of each step: one number for all, or a list.
fn rates<F: Real>(recording: &Recording<F>, steps: usize) -> Result<Vec<f64>> {
    if recording.find("config.lr").is_some_and(serde_json::Value::is_number) {
        return Ok(vec![recording.number("config.lr")?; steps]);
    }
    let list: Option<Vec<f64>> = recording.list("config.lr")?.iter().map(serde_json::Value::as_f64).collect();
    list.filter(|list| list.len() == steps).ok_or_else(|| {
        recording.wrong("config.lr", format!("a number, or {steps} of them"), "something else")
    })
}

/// `param.STEP.*` and the moments `m.STEP.*`, `v.STEP.*`.
pub(super) fn adamw<F: Real>(recording: &mut Recording<F>) -> Result<()> {
    let (mut model, steps) = start(recording)?;
    let rates = rates(recording, steps)?;
    let betas = recording.list("config.betas")?;
    let beta = |i: usize| betas.get(i).and_then(serde_json::Value::as_f64).filter(|b| (0.0..1.0).contains(b));
    let (Some(first), Some(second)) = (beta(0), beta(1)) else {
        return Err(recording.wrong("config.betas", "two numbers from 0 to below 1", format!("{betas:?}")));
    };
    let groups = groups::pretraining(&model, recording.number("config.weight_decay")?);
    let mut adamw = AdamW::new(&model, (first, second));
    adamw.eps = recording.number("config.eps")?;
    let tolerance = relative::<F>(1e-13, 2e-6);
    for (step, lr) in rates.into_iter().enumerate().map(|(i, lr)| (i + 1, lr)) {
        let mut grad = model.zeros_like();
        recording.fill(&format!("grad.{step}."), &mut grad)?;
        adamw.step(&mut model, &grad, &groups, lr);
        for (kind, state) in [("param", &model), ("m", &adamw.m), ("v", &adamw.v)] {
            recording.compare_all(&format!("{kind}.{step}."), state, |_| tolerance)?;
        }
    }
    Ok(())
}

/// `param.STEP.*` and the momentum `mu.STEP.*`.
pub(super) fn lars<F: Real>(recording: &mut Recording<F>) -> Result<()> {
    let (mut model, steps) = start(recording)?;
    let rates = rates(recording, steps)?;
    let groups = groups::pretraining(&model, recording.number("config.weight_decay")?);
    let (momentum, trust) =
        (recording.number("config.momentum")?, recording.number("config.trust_coefficient")?);
    let mut lars = Lars::new(&model, momentum, trust);
    let tolerance = relative::<F>(1e-13, 2e-6);
    for (step, lr) in rates.into_iter().enumerate().map(|(i, lr)| (i + 1, lr)) {
        let mut grad = model.zeros_like();
        recording.fill(&format!("grad.{step}."), &mut grad)?;
        lars.step(&mut model, &grad, &groups, lr);
        for (kind, state) in [("param", &model), ("mu", &lars.mu)] {
            recording.compare_all(&format!("{kind}.{step}."), state, |_| tolerance)?;
        }
    }
    Ok(())
}
