//! Are the weights alive: finite, not constant, not where they started, of a sensible size?

use super::evidence::{Evidence, Saved};
use super::words::{count, listed, number};
use super::{Finding, curve, rates};
use crate::params::{Params, Role, Tensor};

/// A matrix whose root mean square left its initial law by this factor is noted as drifting.
const DRIFT: f64 = 10.0;
/// By this factor it has exploded or vanished.
const EXPLOSION: f64 = 100.0;

/// A value of a position table may be off by the rounding of another machine.
const TABLE_ERROR: f32 = 1e-6;

const RETRAIN: &str = "train again, or go back to an earlier checkpoint: these weights cannot be repaired";

/// No weight, no moment is NaN or infinite.
pub(super) fn finite(evidence: &Evidence) -> Vec<Finding> {
    let saved = match evidence.saved() {
        Ok(saved) => saved,
        Err(why) => return vec![Finding::not_done(why)],
    };
    let mut bad = Vec::new();
    let mut look = |prefix: &str, tensors: Vec<Tensor<f32>>| {
        for tensor in tensors {
            let wrong = tensor.data.iter().filter(|x| !x.is_finite()).count();
            if wrong > 0 {
                bad.push(format!("{prefix}{} ({wrong} of {})", tensor.name, tensor.data.len()));
            }
        }
    };
    look("", saved.model.tensors());
    if let Ok(adamw) = &saved.adamw {
        look("first moment of ", adamw.m.tensors());
        look("second moment of ", adamw.v.tensors());
    }
    if bad.is_empty() {
        return vec![Finding::ok("every weight and moment is a finite number")];
    }
    vec![Finding::problem(format!("not finite: {}", listed(&bad)), RETRAIN)]
}

/// No trained tensor is constant or still what it was at the start; fixed tables are as computed.
pub(super) fn dead(evidence: &Evidence) -> Vec<Finding> {
    let saved = match evidence.saved() {
        Ok(saved) => saved,
        Err(why) => return vec![Finding::not_done(why)],
    };
    let mut found = Vec::new();
    let (mut constant, mut untouched, mut tables) = (Vec::new(), Vec::new(), Vec::new());
    for (now, start) in pairs(saved) {
        let first = now.data.first().copied().unwrap_or_default();
        let alike = now.data.len() > 1 && now.data.iter().all(|&x| x == first);
        if now.role == Role::Position {
            // Sine and cosine come from the system's library, whose last bit may differ elsewhere.
            if now.data.iter().zip(start.data).any(|(a, b)| (a - b).abs() > TABLE_ERROR || a.is_nan()) {
                tables.push(now.name);
            }
        } else if alike && matches!(now.role, Role::Weight | Role::Token) {
            constant.push(format!("{} (all {})", now.name, number(f64::from(first))));
        } else if now.data == start.data {
            untouched.push(now.name);
        } else if alike {
            constant.push(format!("{} (all {})", now.name, number(f64::from(first))));
        }
    }
    if !constant.is_empty() {
        let text = format!(
            "{} with all values equal, so they tell nothing apart: {}",
            count(constant.len(), "tensor"),
            listed(&constant)
        );
        found.push(Finding::problem(text, RETRAIN));
    }
    if !tables.is_empty() {
        let text = format!("not the fixed sine-cosine table: {}", listed(&tables));
        found.push(Finding::problem(
            text,
            "find out what wrote these weights: training never changes the position tables",
        ));
    }
    let all = saved.model.tensors().iter().filter(|t| t.role != Role::Position).count();
    // The first step has learning rate 0 under warm-up.
    if saved.state.step > 1 && !untouched.is_empty() {
        let n = untouched.len();
        let text = if n == all {
            format!("no tensor has changed since the start, after {} steps", saved.state.step)
        } else {
            format!("{} still what they were at the start: {}", count(n, "tensor"), listed(&untouched))
        };
        let advice = rates::advice(evidence, "find out why no gradient reaches these tensors: see gradients");
        found.push(Finding::problem(text, &advice));
    }
    if found.is_empty() {
        found.push(Finding::ok(
            "no tensor is constant, all trained ones have moved from their initial values",
        ));
    }
    found
}

/// The size of each matrix beside its size at the start.
pub(super) fn norms(evidence: &Evidence) -> Vec<Finding> {
    let saved = match evidence.saved() {
        Ok(saved) => saved,
        Err(why) => return vec![Finding::not_done(why)],
    };
    // Biases start at 0, so only matrices, tokens and the scales of norms have a size to compare with.
    let mut ratios: Vec<(f64, String)> = pairs(saved)
        .filter(|(now, _)| now.role != Role::Position)
        .map(|(now, start)| (rms(now.data), rms(start.data), now.name))
        .filter(|(now, start, _)| *start > 0.0 && now.is_finite())
        .map(|(now, start, name)| (now / start, name))
        .collect();
    ratios.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (Some(least), Some(most)) = (ratios.first(), ratios.last()) else {
        return vec![Finding::not_done("no tensor has a size to compare with")];
    };
    let range = format!(
        "root mean square beside the start: {} times ({}) to {} times ({})",
        number(least.0),
        least.1,
        number(most.0),
        most.1
    );
    let high = rates::advice(evidence, curve::LOWER);
    let low = "lower the weight decay (--weight-decay)".to_owned();
    let one = |factor: f64| {
        let high = (most.0 > factor).then(|| high.clone());
        high.or_else(|| (least.0 < 1.0 / factor).then(|| low.clone()))
    };
    if let Some(advice) = one(EXPLOSION) {
        return vec![Finding::problem(range, &advice)];
    }
    if let Some(advice) = one(DRIFT) {
        return vec![Finding::warning(range, &advice)];
    }
    vec![Finding::ok(range)]
}

/// Each tensor now and at the start.
pub(super) fn pairs(saved: &Saved) -> impl Iterator<Item = (Tensor<'_, f32>, Tensor<'_, f32>)> {
    saved.model.tensors().into_iter().zip(saved.initial.tensors())
}

/// Root mean square.
pub(super) fn rms(data: &[f32]) -> f64 {
    let sum: f64 = data.iter().map(|&x| f64::from(x) * f64::from(x)).sum();
    (sum / data.len().max(1) as f64).sqrt()
}
