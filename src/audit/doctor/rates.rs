//! Learning rate, weight decay and update ratio: how far a step moves a weight, relative to its size.

use super::Finding;
use super::evidence::{Evidence, Saved};
use super::weights::{pairs, rms};
use super::words::{listed, median, number, percent};
use crate::optim::{AdamW, groups};
use crate::params::{Params, Role, Tensor};
use crate::train::Config;
use serde::Serialize;

/// One step moves a weight by about the learning rate. Where that is this share of the weight's typical
/// initial size, one step can replace the weight.
const REPLACED: f64 = 1.0;
/// Three times what the paper's largest model uses (2.4e-3 / 0.018 = 0.13 for `ViT-Huge`).
const HIGH: f64 = 0.4;
/// All steps together that move a weight by less than this share of its size leave the model as it was.
const STANDSTILL: f64 = 1e-3;
/// An update beyond this share of the weights, step after step, is more than a common rule of thumb (1e-3)
/// allows by a factor of a hundred.
const LARGE_UPDATE: f64 = 0.1;
/// AdamW's `ε`.
const EPS: f64 = 1e-8;

/// One group of tensors: a part of the model and a role.
#[derive(Clone, Debug, Serialize)]
pub struct GroupRow {
    /// `encoder weights`, `decoder biases`, …
    pub group: String,
    /// Tensors in it.
    pub tensors: usize,
    /// Numbers in it.
    pub numbers: usize,
    /// Weight decay.
    pub weight_decay: f64,
    /// Learning rate of the last step.
    pub lr: f64,
    /// Root mean square of the weights, median over the tensors.
    pub rms: f64,
    /// The same beside the start; none where the start is 0.
    pub rms_beside_start: Option<f64>,
    /// `‖update‖ / ‖weight‖` of the last step, median over the tensors; none without moments.
    pub update_ratio: Option<f64>,
    /// The same for the schedule's highest rate.
    pub update_ratio_at_peak: Option<f64>,
    /// The tensor with the largest ratio.
    pub most_moved: Option<String>,
}

struct Row {
    group: String,
    name: String,
    numbers: usize,
    decay: f64,
    rms: f64,
    beside_start: Option<f64>,
    /// `‖update‖ / (η ‖weight‖)`.
    ratio: Option<f64>,
}

/// The table of groups; empty without a checkpoint.
pub(super) fn rows(evidence: &Evidence) -> Vec<GroupRow> {
    let Ok(saved) = &evidence.saved else { return Vec::new() };
    let (lr, peak) = (evidence.last_lr(), evidence.config.schedule().lr);
    let rows = tensor_rows(saved, &evidence.config);
    let mut names: Vec<&str> = Vec::new();
    for row in &rows {
        if !names.contains(&row.group.as_str()) {
            names.push(&row.group);
        }
    }
    let group = |name: &str| {
        let members: Vec<&Row> = rows.iter().filter(|row| row.group == name).collect();
        let with_ratio: Vec<(&Row, f64)> = members.iter().filter_map(|r| Some((*r, r.ratio?))).collect();
        let ratio = (!with_ratio.is_empty()).then(|| median(with_ratio.iter().map(|(_, ratio)| *ratio)));
        let starts: Vec<f64> = members.iter().filter_map(|r| r.beside_start).collect();
        GroupRow {
            group: name.to_owned(),
            tensors: members.len(),
            numbers: members.iter().map(|r| r.numbers).sum(),
            weight_decay: members.first().map_or(0.0, |r| r.decay),
            lr,
            rms: median(members.iter().map(|r| r.rms)),
            rms_beside_start: (!starts.is_empty()).then(|| median(starts)),
            update_ratio: ratio.map(|ratio| lr * ratio),
            update_ratio_at_peak: ratio.map(|ratio| peak * ratio),
            most_moved: with_ratio.iter().max_by(|a, b| a.1.total_cmp(&b.1)).map(|(row, _)| row.name.clone()),
        }
    };
    names.into_iter().map(group).collect()
}

/// What is known of each trained tensor.
fn tensor_rows(saved: &Saved, config: &Config) -> Vec<Row> {
    let moments = saved.adamw.as_ref().ok().filter(|adamw| adamw.steps > 0);
    let directions = moments.map(|adamw| directions(saved, adamw, config));
    let groups = groups::pretraining(&saved.model, config.optim.weight_decay);
    let rows = pairs(saved).zip(groups).enumerate().filter(|(_, (_, group))| group.trained);
    rows.map(|(i, ((now, start), group))| {
        let (size, first) = (rms(now.data), rms(start.data));
        Row {
            group: group_name(&now),
            numbers: now.data.len(),
            decay: group.weight_decay,
            rms: size,
            beside_start: (first > 0.0).then(|| size / first),
            ratio: directions.as_ref().map(|d| d[i] * group.lr_scale / size).filter(|r| r.is_finite()),
            name: now.name,
        }
    })
    .collect()
}

/// The root mean square of `m̂ / (√v̂ + ε) + λ w` of each tensor: what a step subtracts, divided by `η`.
fn directions(saved: &Saved, adamw: &AdamW<crate::mae::Mae<f32>>, config: &Config) -> Vec<f64> {
    let [beta1, beta2] = config.optim.betas;
    let steps = adamw.steps as f64;
    let (first, second) = (1.0 - beta1.powf(steps), 1.0 - beta2.powf(steps));
    let groups = groups::pretraining(&saved.model, config.optim.weight_decay);
    let tensors = saved.model.tensors().into_iter().zip(groups);
    let moments = adamw.m.tensors().into_iter().zip(adamw.v.tensors());
    let one = |((w, group), (m, v)): ((Tensor<f32>, groups::Group), (Tensor<f32>, Tensor<f32>))| {
        let squares = w.data.iter().zip(m.data).zip(v.data).map(|((&w, &m), &v)| {
            let (w, m, v) = (f64::from(w), f64::from(m) / first, f64::from(v) / second);
            (m / (v.sqrt() + EPS) + group.weight_decay * w).powi(2)
        });
        (squares.sum::<f64>() / w.data.len() as f64).sqrt()
    };
    tensors.zip(moments).map(one).collect()
}

fn group_name(tensor: &Tensor<f32>) -> String {
    let decoder = tensor.name.starts_with("decoder") || tensor.name == "mask_token";
    let role = match tensor.role {
        Role::Weight => "weights",
        Role::Bias => "biases",
        Role::Norm => "norms",
        Role::Token => "token",
        Role::Position => "positions",
    };
    format!("{} {role}", if decoder { "decoder" } else { "encoder" })
}

/// The learning rate beside the size of the weights it moves.
pub(super) fn learning_rate(evidence: &Evidence) -> Vec<Finding> {
    let schedule = evidence.config.schedule();
    let logged: Vec<f64> = evidence.log.steps.iter().map(|r| r.lr).collect();
    let highest = logged.iter().copied().fold(0.0, f64::max);
    let peak = schedule.lr.max(schedule.min_lr);
    if peak == 0.0 || (logged.len() > 1 && highest == 0.0) {
        let text = "the learning rate is 0 in every step: nothing is learnt";
        return vec![Finding::problem(text, "set a learning rate above 0 (--blr)")];
    }
    let smallest = smallest_start(evidence);
    let share = peak.max(highest) / smallest;
    let text = format!(
        "at most {}: a step can move a weight by {} of its initial size ({})",
        number(peak.max(highest)),
        percent(share),
        number(smallest)
    );
    if share >= REPLACED {
        let advice = format!(
            "lower the learning rate: it is far too high. --blr {} would make a step at most a tenth of a weight",
            number(blr(evidence, 0.1 * smallest))
        );
        return vec![Finding::problem(text, &advice)];
    }
    if share > HIGH {
        return vec![Finding::warning(text, "try a lower learning rate (--blr), a half or a third of it")];
    }
    let steps = evidence.steps_planned().unwrap_or(evidence.steps_done()) as f64;
    // Warm-up and half a cosine have half the peak as their mean.
    let walk = 0.5 * peak * steps / smallest;
    if walk < STANDSTILL {
        let text = format!(
            "at most {}: all {steps} steps together can move a weight by {} of its initial size",
            number(peak),
            percent(walk)
        );
        return vec![Finding::problem(text, "raise the learning rate (--blr), or train for more steps")];
    }
    vec![Finding::ok(text)]
}

/// The base rate that makes an absolute one.
fn blr(evidence: &Evidence, lr: f64) -> f64 {
    let optim = &evidence.config.optim;
    lr * 256.0 / (optim.batch_size * optim.accum_iter) as f64
}

/// The smallest typical initial size of a matrix: Xavier's law has the deviation √(2 / (in + out)), and the
/// widest matrix of each half decides.
fn smallest_start(evidence: &Evidence) -> f64 {
    let model = &evidence.config.model;
    let widest = [model.embed_dim, model.decoder_embed_dim].map(|d| d + model.hidden(d).max(3 * d));
    (2.0 / widest[0].max(widest[1]) as f64).sqrt()
}

/// The logged rates are those of the schedule.
pub(super) fn schedule(evidence: &Evidence) -> Vec<Finding> {
    let steps = &evidence.log.steps;
    if steps.is_empty() {
        return vec![Finding::not_done("no step is logged")];
    }
    let schedule = evidence.config.schedule();
    let scale = schedule.lr.max(schedule.min_lr);
    let wrong = steps.iter().find(|r| (r.lr - schedule.lr_at(r.epoch)).abs() > 1e-6 * scale);
    match wrong {
        None => vec![Finding::ok(format!("the logged rates of {} steps are the schedule's", steps.len()))],
        Some(r) => {
            let expected = number(schedule.lr_at(r.epoch));
            let text = format!(
                "step {} has the learning rate {}, and the settings make it {expected}",
                r.step,
                number(r.lr)
            );
            let advice = "find out which settings the run had: they changed while it went on";
            vec![Finding::warning(text, advice)]
        }
    }
}

/// How much of the weights the last step changed.
pub(super) fn updates(evidence: &Evidence) -> Vec<Finding> {
    let saved = match evidence.saved() {
        Ok(saved) => saved,
        Err(why) => return vec![Finding::not_done(why)],
    };
    let lr = evidence.last_lr();
    let rows = tensor_rows(saved, &evidence.config);
    // Biases and norms may well be near 0; a share of their size says little.
    let weights: Vec<(&Row, f64)> = rows
        .iter()
        .filter(|row| row.group.ends_with("weights"))
        .filter_map(|row| Some((row, lr * row.ratio?)))
        .collect();
    if weights.is_empty() {
        return vec![Finding::not_done("there are no moments from which the last update could be computed")];
    }
    let middle = median(weights.iter().map(|(_, ratio)| *ratio));
    let large: Vec<String> = weights
        .iter()
        .filter(|(_, ratio)| *ratio > LARGE_UPDATE)
        .map(|(row, ratio)| format!("{} by {}", row.name, percent(*ratio)))
        .collect();
    if !large.is_empty() {
        let text = format!("the last step changed {}", listed(&large));
        return vec![Finding::warning(text, "lower the learning rate (--blr)")];
    }
    vec![Finding::ok(format!(
        "the last step, at rate {}, changed a matrix by {} (median)",
        number(lr),
        percent(middle)
    ))]
}
