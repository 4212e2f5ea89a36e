//! Learning rate, weight decay and update ratio: how far a step moves a weight, relative to its size.

use super::Finding;
use super::evidence::Evidence;
use super::saved::Saved;
use super::words::{listed, median, number, percent};
use crate::config::Settings;
use crate::optim::{AdamW, Group};
use crate::params::{Params, Role, Tensor};
use crate::train::Task;
use serde::Serialize;

/// One step moves a weight by about the learning rate. Where that is this fraction of the weight's typical
/// initial size, one step can replace the weight.
const REPLACED: f64 = 1.0;
/// Three times what the paper's largest model uses (2.4e-3 / 0.018 = 0.13 for `ViT-Huge`).
const HIGH: f64 = 0.4;
/// All steps together that move a weight by less than this fraction of its size leave the model as it was.
const STANDSTILL: f64 = 1e-3;
/// An update of this fraction of the weights, step after step, is a hundred times the common rule of thumb, 1e-3.
const LARGE_UPDATE: f64 = 0.1;
/// AdamW's `ε`.
const EPS: f64 = 1e-8;

/// What starts smaller than this starts from nothing, as a classifier's head does, and has no size to compare with.
pub(super) const TINY: f64 = 5e-3;

/// How the names of an encoder's tensors begin.
const ENCODER: [&str; 5] = ["cls_token", "pos_embed", "patch_embed.", "blocks.", "norm."];

/// What to try against a loss that rises.
pub(super) const LOWER: &str =
    "lower the learning rate (--blr), warm up longer (--warmup-epochs), or clip the gradient (--clip-grad 1)";

/// One group of tensors: a part of the model and a role.
#[derive(Clone, Debug, Serialize)]
pub struct GroupRow {
    /// `encoder weights`, `decoder biases`, …
    pub group: String,
    /// Tensors in it.
    pub tensors: usize,
    /// Elements in them.
    pub numbers: usize,
    /// Weight decay.
    pub weight_decay: f64,
    /// Learning rate of the last step.
    pub lr: f64,
    /// Root mean square of the weights, median over the tensors.
    pub rms: f64,
    /// The same beside the start; none where the start is as good as 0, or cannot be had.
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
pub(super) fn rows<T: Task>(evidence: &Evidence<T>) -> Vec<GroupRow> {
    let Ok(saved) = &evidence.saved else { return Vec::new() };
    let (lr, peak) = (evidence.last_lr(), evidence.config.optim().schedule().lr);
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
fn tensor_rows<T: Task>(saved: &Saved<T>, config: &T::Config) -> Vec<Row> {
    let moments = saved.adamw.as_ref().ok().filter(|adamw| adamw.steps > 0);
    let groups = T::groups(config, &saved.model);
    let directions = moments.map(|adamw| directions(saved, adamw, &groups, config));
    let rows = saved.pairs().zip(groups).enumerate().filter(|(_, (_, group))| group.trained);
    rows.map(|(i, ((now, start), group))| {
        let (size, first) = (rms(now.data), start.map_or(0.0, |start| rms(start.data)));
        Row {
            group: group_name(&now),
            numbers: now.data.len(),
            decay: group.weight_decay,
            rms: size,
            beside_start: (first > TINY).then(|| size / first),
            ratio: directions.as_ref().map(|d| d[i] * group.lr_scale / size).filter(|r| r.is_finite()),
            name: now.name,
        }
    })
    .collect()
}

/// The root mean square of `m̂ / (√v̂ + ε) + λ w` of each tensor: what a step subtracts, divided by `η`.
fn directions<T: Task>(
    saved: &Saved<T>,
    adamw: &AdamW<T::Model>,
    groups: &[Group],
    config: &T::Config,
) -> Vec<f64> {
    let [beta1, beta2] = config.optim().betas;
    let steps = adamw.steps as f64;
    let (first, second) = (1.0 - beta1.powf(steps), 1.0 - beta2.powf(steps));
    let (ms, vs) = (adamw.m.tensors(), adamw.v.tensors());
    let direction = |i: usize, w: &Tensor<f32>| {
        let squares = w.data.iter().zip(ms[i].data).zip(vs[i].data).map(|((&w, &m), &v)| {
            let (w, m, v) = (f64::from(w), f64::from(m) / first, f64::from(v) / second);
            (m / (v.sqrt() + EPS) + groups[i].weight_decay * w).powi(2)
        });
        (squares.sum::<f64>() / w.data.len() as f64).sqrt()
    };
    saved.trained().tensors().iter().enumerate().map(|(i, w)| direction(i, w)).collect()
}

fn group_name(tensor: &Tensor<f32>) -> String {
    let part = match tensor.name.as_str() {
        name if name.starts_with("decoder") || name == "mask_token" => "decoder",
        name if ENCODER.iter().any(|part| name.starts_with(part)) => "encoder",
        _ => "head",
    };
    let role = match tensor.role {
        Role::Weight => "weights",
        Role::Bias => "biases",
        Role::Norm => "norms",
        Role::Token => "token",
        Role::Position => "positions",
        Role::Buffer => "buffers",
    };
    format!("{part} {role}")
}

/// How the learning rate stands to the weights that it moves.
enum Rate {
    Zero,
    TooLow,
    Usual,
    High,
    TooHigh,
}

/// The highest rate, its fraction of the smallest typical weight at the start, and the verdict on it.
fn rate<T: Task>(evidence: &Evidence<T>) -> (Rate, f64, f64) {
    let schedule = evidence.config.optim().schedule();
    let logged = evidence.log.steps.iter().map(|r| r.lr).fold(0.0, f64::max);
    let highest = schedule.lr.max(schedule.min_lr).max(logged);
    let share = highest / evidence.smallest_start.unwrap_or(f64::NAN);
    let never = evidence.log.steps.len() > 1 && logged == 0.0;
    let planned = evidence.steps_planned();
    let rate = match share {
        _ if highest == 0.0 || never => Rate::Zero,
        _ if share >= REPLACED => Rate::TooHigh,
        _ if share > HIGH => Rate::High,
        // Warm-up and half a cosine have half the peak as their mean.
        _ if planned.is_some_and(|steps| 0.5 * share * (steps as f64) < STANDSTILL) => Rate::TooLow,
        _ => Rate::Usual,
    };
    (rate, highest, share)
}

/// What to try for a symptom that a wrong learning rate explains: the same words wherever the rate itself is
/// wrong, so that one cause is one piece of advice; `otherwise` where it is not.
pub(super) fn advice<T: Task>(evidence: &Evidence<T>, otherwise: &str) -> String {
    let blr = || {
        let optim = evidence.config.optim();
        // The absolute rate that moves a weight by a tenth of its size, per 256 images.
        0.1 * evidence.smallest_start.unwrap_or(f64::NAN) * 256.0
            / (optim.batch_size * optim.accum_iter) as f64
    };
    match rate(evidence).0 {
        Rate::Zero => "set a learning rate above 0 (--blr)".to_owned(),
        Rate::TooLow => "raise the learning rate (--blr), or train for more steps".to_owned(),
        Rate::Usual => otherwise.to_owned(),
        Rate::High => "try a lower learning rate (--blr), a half or a third of it".to_owned(),
        Rate::TooHigh => {
            format!("lower the learning rate, it is far too high: --blr {} or less", number(blr()))
        }
    }
}

/// The learning rate beside the size of the weights it moves.
pub(super) fn learning_rate<T: Task>(evidence: &Evidence<T>) -> Vec<Finding> {
    let (rate, highest, share) = rate(evidence);
    if share.is_nan() {
        return vec![Finding::not_done("it cannot be known how large the weights started")];
    }
    let text = format!(
        "at most {}, which moves a weight by {} of its typical initial size in a step",
        number(highest),
        percent(share)
    );
    let advice = advice(evidence, "");
    let finding = match rate {
        Rate::Zero => Finding::problem("the learning rate is 0 in every step: nothing is learnt", &advice),
        Rate::TooLow => {
            let text = format!("{text}: all steps together leave the weights where they are");
            Finding::problem(text, &advice)
        }
        Rate::Usual => Finding::ok(text),
        Rate::High => Finding::warning(text, &advice),
        Rate::TooHigh => Finding::problem(format!("{text}: one step can replace the weight"), &advice),
    };
    vec![finding]
}

/// The logged rates are those of the schedule.
pub(super) fn schedule<T: Task>(evidence: &Evidence<T>) -> Vec<Finding> {
    let steps = &evidence.log.steps;
    if steps.is_empty() {
        return vec![Finding::not_done("no step is logged")];
    }
    let schedule = evidence.config.optim().schedule();
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
            if !evidence.log.changes.is_empty() {
                return vec![Finding::note(format!("{text}: they were changed on the way"))];
            }
            let advice = "find out which settings the run had: they changed while it went on";
            vec![Finding::warning(text, advice)]
        }
    }
}

/// How much of the weights the last step changed.
pub(super) fn updates<T: Task>(evidence: &Evidence<T>) -> Vec<Finding> {
    let saved = match evidence.saved() {
        Ok(saved) => saved,
        Err(why) => return vec![Finding::not_done(why)],
    };
    let peak = evidence.config.optim().schedule().lr;
    let rows = tensor_rows(saved, &evidence.config);
    // Biases and norms may well be near 0; a fraction of their size says little.
    let weights = rows.iter().filter(|row| row.group.ends_with("weights"));
    let weights: Vec<(&Row, f64)> = weights.filter_map(|row| Some((row, peak * row.ratio?))).collect();
    if weights.is_empty() {
        return vec![Finding::not_done("there are no moments from which an update could be computed")];
    }
    let middle = median(weights.iter().map(|(_, ratio)| *ratio));
    let text = format!(
        "a step like the last one changes a matrix by {} (median) at the highest rate",
        percent(middle)
    );
    if middle > LARGE_UPDATE {
        return vec![Finding::warning(text, &advice(evidence, "lower the learning rate (--blr)"))];
    }
    let large: Vec<String> = weights
        .iter()
        .filter(|(_, ratio)| *ratio > LARGE_UPDATE)
        .map(|(row, ratio)| format!("{} by {}", row.name, percent(*ratio)))
        .collect();
    if !large.is_empty() {
        return vec![Finding::note(format!("{text}, but {}", listed(&large)))];
    }
    vec![Finding::ok(text)]
}

/// Root mean square.
pub(super) fn rms(data: &[f32]) -> f64 {
    let sum: f64 = data.iter().map(|&x| f64::from(x) * f64::from(x)).sum();
    (sum / data.len().max(1) as f64).sqrt()
}
