//! Are the weights alive: finite, not constant, not where they started, of a sensible size?

use super::evidence::Evidence;
use super::rates::{TINY, rms};
use super::words::{count, listed, number};
use super::{Finding, rates};
use crate::params::{Params, Role, Tensor};
use crate::train::Task;

/// A matrix whose root mean square left its initial distribution by this factor is noted as drifting.
const DRIFT: f64 = 10.0;
/// By this factor it has exploded or vanished.
const EXPLOSION: f64 = 100.0;

/// A value of a position table may be off by the rounding of another machine.
const TABLE_ERROR: f32 = 1e-6;

const RETRAIN: &str = "train again, or go back to an earlier checkpoint: these weights cannot be repaired";

/// No weight, no moment is NaN or infinite.
pub(super) fn finite<T: Task>(evidence: &Evidence<T>) -> Vec<Finding> {
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
    if let Some(in_training) = &saved.in_training {
        look("in training, ", in_training.tensors());
    }
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
pub(super) fn dead<T: Task>(evidence: &Evidence<T>) -> Vec<Finding> {
    let saved = match evidence.saved() {
        Ok(saved) => saved,
        Err(why) => return vec![Finding::not_done(why)],
    };
    let mut found = Vec::new();
    let (mut constant, mut untouched, mut tables) = (Vec::new(), Vec::new(), Vec::new());
    let groups = T::groups(&evidence.config, &saved.model);
    // Running statistics move without being trained.
    let weights = saved.pairs().zip(&groups).filter(|((now, _), _)| now.role != Role::Buffer);
    for ((now, start), group) in weights {
        let start = start.map(|start| start.data);
        let first = now.data.first().copied().unwrap_or_default();
        let alike = now.data.len() > 1 && now.data.iter().all(|&x| x == first);
        if !group.trained {
            // Sine and cosine come from the system's library, whose last bit may differ elsewhere.
            let mut both = now.data.iter().zip(start.into_iter().flatten());
            if both.any(|(a, b)| (a - b).abs() > TABLE_ERROR || a.is_nan()) {
                tables.push(now.name);
            }
        } else if alike && matches!(now.role, Role::Weight | Role::Token) {
            constant.push(format!("{} (all {})", now.name, number(f64::from(first))));
        } else if start == Some(now.data) {
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
        let (what, which) = match evidence.of_pretraining() {
            Some(_) => ("not the fixed sine-cosine table", "the position tables"),
            None => ("not trained, and not what they were at the start", "them"),
        };
        let advice = format!("find out what wrote these weights: training never changes {which}");
        found.push(Finding::problem(format!("{what}: {}", listed(&tables)), &advice));
    }
    let all = groups.iter().filter(|group| group.trained).count();
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
    if let Err(why) = &saved.initial {
        found.push(Finding::not_done(format!("what the weights were at the start is not known: {why}")));
    } else if found.is_empty() && saved.state.step > 1 {
        found.push(Finding::ok(
            "no tensor is constant, all trained ones have moved from their initial values",
        ));
    } else if found.is_empty() {
        found.push(Finding::ok("no tensor is constant"));
    }
    found
}

/// The size of each matrix beside its size at the start.
pub(super) fn norms<T: Task>(evidence: &Evidence<T>) -> Vec<Finding> {
    let saved = match evidence.saved() {
        Ok(saved) => saved,
        Err(why) => return vec![Finding::not_done(why)],
    };
    // Biases start at 0, so only matrices, tokens and the scales of norms have a size to compare with.
    let mut ratios: Vec<(f64, String)> = saved
        .pairs()
        .zip(T::groups(&evidence.config, &saved.model))
        .filter(|(_, group)| group.trained)
        .filter_map(|((now, start), _)| Some((rms(now.data), rms(start?.data), now.name)))
        .filter(|(now, start, _)| *start > TINY && now.is_finite())
        .map(|(now, start, name)| (now / start, name))
        .collect();
    ratios.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (Some(least), Some(most)) = (ratios.first(), ratios.last()) else {
        return match &saved.initial {
            Err(why) => vec![Finding::not_done(why)],
            // A head alone starts from nothing.
            Ok(_) if evidence.of_pretraining().is_none() => Vec::new(),
            Ok(_) => vec![Finding::not_done("no tensor has a size to compare with")],
        };
    };
    let range = format!(
        "root mean square beside the start: {} times ({}) to {} times ({})",
        number(least.0),
        least.1,
        number(most.0),
        most.1
    );
    let high = rates::advice(evidence, rates::LOWER);
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
