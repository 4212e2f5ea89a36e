//! What flows through the model on a batch: gradients, MLP units that never fire, collapsed attention.

use super::evidence::Evidence;
use super::probe::{Activations, Head, Units};
use super::words::{count, listed, median, number, percent};
use super::{Finding, rates};
use crate::tasks::Pretrain;
use crate::train::Task;
use std::collections::BTreeMap;

/// The batch's gradient may differ from the logged ones by this factor.
const FACTOR: f64 = 30.0;
/// Below this input GELU is within 0.004 of 0 and its slope within 0.012: nothing passes, either way.
const OFF: f32 = -3.0;
/// A unit whose input varies by less is a constant.
const CONSTANT: f32 = 1e-6;
/// The fraction of units that may be dead.
const DEAD_UNITS: f64 = 0.5;
/// Below so many nats from uniform a head is an average over all tokens.
const UNIFORM: f64 = 1e-3;
/// A place that gets this fraction of a head's attention gets all of it.
const ONE_TOKEN: f64 = 0.95;
/// Queries that are this near to a single token each leave the softmax no gradient.
const PEAKED: f64 = 0.98;
/// The fraction of heads that may have collapsed.
const COLLAPSED: f64 = 0.5;

/// Every tensor gets a gradient, of the size that was logged.
pub(super) fn gradients<T: Task>(evidence: &Evidence<T>) -> Vec<Finding> {
    let gradients = match &evidence.gradients {
        Ok(gradients) => gradients,
        Err(why) => return vec![Finding::not_done(why)],
    };
    if !gradients.norm.is_finite() {
        let bad = gradients.of_tensor.iter().filter(|(_, norm)| !norm.is_finite());
        let bad: Vec<String> = bad.map(|(name, _)| name.clone()).collect();
        let text = format!("on a batch of {} the gradient is not finite: {}", gradients.images, listed(&bad));
        return vec![Finding::problem(
            text,
            "lower the learning rate (--blr), or clip the gradient (--clip-grad 1)",
        )];
    }
    let zero: Vec<String> =
        gradients.of_tensor.iter().filter(|(_, norm)| *norm == 0.0).map(|(name, _)| name.clone()).collect();
    let text =
        format!("on a batch of {} the gradient's norm is {}", gradients.images, number(gradients.norm));
    if !zero.is_empty() {
        let text = format!("{text}, and 0 for {}: {}", count(zero.len(), "tensor"), listed(&zero));
        let advice = match evidence.of_pretraining() {
            Some(_) => "find the layer that lets nothing through: see dead weights, MLP units, attention",
            None => "find the layer that lets nothing through: see dead weights",
        };
        return vec![Finding::problem(text, advice)];
    }
    let steps = &evidence.log.steps;
    let tail = &steps[steps.len() - (steps.len() / 4).min(200).max(steps.len().min(10))..];
    let logged = median(tail.iter().map(|r| r.grad_norm));
    if logged > 0.0 && logged.is_finite() {
        let text = format!("{text}; the log's last steps have {}", number(logged));
        let factor = gradients.norm / logged;
        if !(1.0 / FACTOR..FACTOR).contains(&factor) {
            return vec![Finding::warning(text, "see that the checkpoint and the log belong together")];
        }
        return vec![Finding::ok(text)];
    }
    vec![Finding::ok(text)]
}

/// The hidden units of the MLPs fire.
pub(super) fn units(evidence: &Evidence<Pretrain>) -> Vec<Finding> {
    let mlps = match seen(evidence) {
        Ok(seen) if !seen.mlps.is_empty() => &seen.mlps,
        Ok(_) => return vec![Finding::not_done("the forward pass showed no MLP")],
        Err(why) => return vec![Finding::not_done(why)],
    };
    let dead = |units: &Units| {
        let each = units.highest.iter().zip(&units.lowest);
        each.filter(|(high, low)| **high < OFF || **high - **low < CONSTANT).count()
    };
    let (dead_in, all) = totals(mlps, dead, |units| units.highest.len());
    let off: usize = dead_in.iter().map(|(_, n, _)| n).sum();
    let text = format!("{off} of {all} hidden units never fire on a batch");
    let mostly: Vec<String> = dead_in
        .iter()
        .filter(|(_, n, of)| *n as f64 > DEAD_UNITS * *of as f64)
        .map(|(name, n, of)| format!("{name} ({n} of {of})"))
        .collect();
    if !mostly.is_empty() {
        let advice =
            "lower the learning rate (--blr) or warm up longer: too large a step switches units off for good";
        let text = format!("{text}; most of {}", listed(&mostly));
        return vec![Finding::problem(text, &rates::advice(evidence, advice))];
    }
    if off > 0 { vec![Finding::note(text)] } else { vec![Finding::ok(text)] }
}

/// The heads of the attentions tell tokens apart.
pub(super) fn attention(evidence: &Evidence<Pretrain>) -> Vec<Finding> {
    let attentions = match seen(evidence) {
        Ok(seen) if !seen.attentions.is_empty() => &seen.attentions,
        Ok(_) => return vec![Finding::not_done("the forward pass showed no attention")],
        Err(why) => return vec![Finding::not_done(why)],
    };
    let of = |is: &dyn Fn(&Head) -> bool| {
        let count = |heads: &Vec<Head>| heads.iter().filter(|head| is(head)).count();
        totals(attentions, count, Vec::len)
    };
    let full = |head: &Head| (head.tokens as f64).ln();
    let (uniform, all) = of(&|head| head.mean_information() < UNIFORM);
    let (single, _) = of(&|head| head.largest_share() > ONE_TOKEN);
    let (peaked, _) =
        of(&|head| head.largest_share() <= ONE_TOKEN && head.mean_information() > PEAKED * full(head));
    let sum = |counts: &[(String, usize, usize)]| counts.iter().map(|(_, n, _)| n).sum::<usize>();
    let (uniform, single, peaked) = (sum(&uniform), sum(&single), sum(&peaked));
    let heads = attentions.values().flatten();
    let information = median(heads.map(|head| head.mean_information() / full(head)));
    let text = format!(
        "of {all} heads, {uniform} attend to all tokens alike, {single} to one place only, {peaked} to a single token from \
         each; between even (0 %) and a single token (100 %) the median head is at {}",
        percent(information)
    );
    let collapsed = uniform + single + peaked;
    if collapsed as f64 > COLLAPSED * all as f64 {
        let advice = "lower the learning rate (--blr) or warm up longer: the attention has collapsed";
        return vec![Finding::problem(text, &rates::advice(evidence, advice))];
    }
    if collapsed > 0 { vec![Finding::note(text)] } else { vec![Finding::ok(text)] }
}

fn seen(evidence: &Evidence<Pretrain>) -> Result<&Activations, String> {
    evidence.activations.as_ref().map_err(Clone::clone)
}

/// Name, counted and all of each layer, and all of all layers.
fn totals<T>(
    layers: &BTreeMap<String, T>,
    count: impl Fn(&T) -> usize,
    all: impl Fn(&T) -> usize,
) -> (Vec<(String, usize, usize)>, usize) {
    let each = layers.iter().map(|(name, layer)| (name.clone(), count(layer), all(layer)));
    (each.collect(), layers.values().map(all).sum())
}
