//! The training curve: does it rise, stand still, spike at the start, or drown in noise?
//!
//! Single losses are noisy, so the curve is judged by blocks: means over equally many logged steps, at least
//! five each and at most forty blocks. Ends and lowest points are means over three neighbouring blocks, and a rise
//! counts only where it stands out of the noise.

use super::evidence::Evidence;
use super::log::Log;
use super::rates::LOWER;
use super::words::{count, number, percent};
use super::{Finding, rates};
use crate::config::Settings;
use crate::train::Task;

/// Most blocks a curve is cut into.
const BLOCKS: usize = 40;
/// Fewest steps in a block.
const BLOCK: usize = 5;
/// Blocks that are averaged again where a single one is noise.
const SMOOTH: usize = 3;
/// A rise of so many standard deviations of a mean is no accident, however many places could have been lowest.
const SIGMAS: f64 = 5.0;
/// A loss that ends at so many times its lowest block has diverged …
const DIVERGED: f64 = 1.5;
/// … or at least has risen.
const RISEN: f64 = 1.15;
/// A rise counts only if it is this fraction of the loss at the start: near 0, factors mean nothing.
const OF_START: f64 = 0.05;
/// The lowest rate, relative to the highest, at which a loss that stands still is remarkable.
const STILL_LEARNING: f64 = 0.3;
/// A loss that falls by less than this over a third of the run stands still.
const STILL: f64 = 0.005;
/// A step's loss that differs from its neighbours' by this fraction, as a standard deviation, is noisy.
const NOISY: f64 = 0.25;

/// A mean over several logged steps.
struct Block {
    first_step: u64,
    loss: f64,
    lr: f64,
}

fn blocks<T: Task>(evidence: &Evidence<T>) -> Vec<Block> {
    let steps = &evidence.log.steps;
    let size = (steps.len() / BLOCKS).max(BLOCK);
    let mean = |values: &mut dyn Iterator<Item = f64>| values.sum::<f64>() / size as f64;
    let block = |steps: &[crate::train::metrics::StepRecord]| Block {
        first_step: steps[0].step,
        loss: mean(&mut steps.iter().map(|r| r.loss)),
        lr: mean(&mut steps.iter().map(|r| r.lr)),
    };
    steps.chunks_exact(size).map(block).collect()
}

fn too_few<T: Task>(evidence: &Evidence<T>) -> Vec<Finding> {
    let text = format!("{} logged steps are too few to judge", evidence.log.steps.len());
    vec![Finding::not_done(text)]
}

/// The loss does not end far above its lowest.
pub(super) fn divergence<T: Task>(evidence: &Evidence<T>) -> Vec<Finding> {
    let losses = evidence.log.losses();
    let lower = rates::advice(evidence, LOWER);
    if let Some(r) = evidence.log.steps.iter().find(|r| !r.loss.is_finite() || !r.grad_norm.is_finite()) {
        let text = format!("step {} has a loss or a gradient that is not finite", r.step);
        return vec![Finding::problem(text, &lower)];
    }
    if let Some(first) = evidence.log.skipped.first() {
        let count = count(evidence.log.skipped.len(), "step");
        let text = format!("{count} skipped, first step {}: {} was not finite", first.step, first.tensor);
        return vec![Finding::warning(text, &lower)];
    }
    let (Some(&start), Some(&end)) = (losses.first(), losses.last()) else {
        return vec![Finding::not_done("no step is logged")];
    };
    let blocks = blocks(evidence);
    if blocks.len() < 2 * SMOOTH {
        let text = format!(
            "the loss went from {} to {} in {} logged steps",
            number(start),
            number(end),
            losses.len()
        );
        if end > DIVERGED * start {
            return vec![Finding::problem(text, &lower)];
        }
        return too_few(evidence);
    }
    let smooth: Vec<(u64, f64)> = blocks.windows(SMOOTH).map(|w| (w[0].first_step, mean(w))).collect();
    let lowest = smooth.iter().copied().min_by(|a, b| a.1.total_cmp(&b.1)).unwrap_or((0, end));
    let last = smooth.last().map_or(end, |last| last.1);
    let text = format!(
        "the loss started at {}, was lowest ({}) about step {}, and is {} now",
        number(start),
        number(lowest.1),
        lowest.0,
        number(last)
    );
    // The standard deviation of the difference of two means.
    let averaged = SMOOTH * losses.len() / blocks.len();
    let deviation = Log::noise(&losses[losses.len() / 2..]) * (2.0 / averaged as f64).sqrt();
    let rise = last - lowest.1;
    let rose = |factor: f64| last > factor * lowest.1 && rise > OF_START * start && rise > SIGMAS * deviation;
    if rose(DIVERGED) || last > DIVERGED * start {
        return vec![Finding::problem(format!("{text}: it diverged"), &lower)];
    }
    if rose(RISEN) {
        return vec![Finding::warning(format!("{text}: it rose"), &lower)];
    }
    vec![Finding::ok(text)]
}

/// The mean of some blocks.
fn mean(blocks: &[Block]) -> f64 {
    blocks.iter().map(|block| block.loss).sum::<f64>() / blocks.len() as f64
}

/// The loss does not jump up while the learning rate comes up.
pub(super) fn warm_up<T: Task>(evidence: &Evidence<T>) -> Vec<Finding> {
    let steps = &evidence.log.steps;
    let (Some(per_epoch), true) = (evidence.steps_per_epoch(), steps.len() >= SMOOTH * BLOCK) else {
        return too_few(evidence);
    };
    let optim = evidence.config.optim();
    let warm_up = optim.warmup_epochs * per_epoch as f64;
    // Adam's second moment is a mean over about 1/(1 − β₂) steps; before that its estimate is noise (Ma and
    // Yarats 2021 recommend a linear warm-up over 2/(1 − β₂) steps).
    let needed = 2.0 / (1.0 - optim.betas[1]);
    let about = format!("{warm_up:.0} steps of warm-up; the second moment needs about {needed:.0} to settle");
    let start = steps[0].loss;
    // The median of three neighbours: a single odd batch is no spike.
    let early = steps.windows(3).take_while(|w| w[2].step as f64 <= (3.0 * warm_up).max(3.0 * needed));
    let middle = |w: &[crate::train::metrics::StepRecord]| {
        let mut three = [w[0].loss, w[1].loss, w[2].loss];
        three.sort_by(f64::total_cmp);
        (three[1], w[1].step)
    };
    let highest = early.map(middle).max_by(|a, b| a.0.total_cmp(&b.0));
    if let Some((loss, step)) = highest.filter(|(loss, _)| *loss > DIVERGED * start) {
        let text =
            format!("{about}. The loss jumped from {} to {} about step {step}", number(start), number(loss));
        let advice = if warm_up < needed { "warm up longer (--warmup-epochs)" } else { LOWER };
        return vec![Finding::warning(text, &rates::advice(evidence, advice))];
    }
    if warm_up < needed {
        return vec![Finding::note(format!("{about}, but the loss did not jump"))];
    }
    vec![Finding::ok(about)]
}

/// The loss still falls while the rate is high, and has stopped falling at the end.
pub(super) fn plateau<T: Task>(evidence: &Evidence<T>) -> Vec<Finding> {
    let blocks = blocks(evidence);
    if blocks.len() < 4 * SMOOTH {
        return too_few(evidence);
    }
    let highest = blocks.iter().map(|b| b.lr).fold(0.0, f64::max);
    let n = blocks.len();
    let (before, after) = (mean(&blocks[n / 3..n / 2]), mean(&blocks[n - n / 6..]));
    let fell = (before - after) / before;
    let text = format!("from the middle of the log to its end the loss fell by {}", percent(fell));
    let stands = fell < STILL;
    if stands && blocks[2 * n / 3].lr > STILL_LEARNING * highest {
        return vec![Finding::note(format!("{text}, with the learning rate still high")).advising(
            &rates::advice(
                evidence,
                "try a larger model or another learning rate (--blr), or stop here: the loss stands still",
            ),
        )];
    }
    let (ninth, last) =
        (mean(&blocks[n - 2 * (n / 10).max(1)..n - (n / 10).max(1)]), mean(&blocks[n - (n / 10).max(1)..]));
    let lately = (ninth - last) / ninth;
    if lately > 0.02 && evidence.progress() >= 1.0 {
        return vec![
            Finding::note(format!("{text}; over its last tenth by {}", percent(lately)))
                .advising("train for more epochs (--epochs): the loss was still falling at the end"),
        ];
    }
    vec![Finding::ok(text)]
}

/// How much the loss of a step differs from its neighbours'.
pub(super) fn noise<T: Task>(evidence: &Evidence<T>) -> Vec<Finding> {
    let losses = evidence.log.losses();
    let tail = &losses[losses.len() / 2..];
    if tail.len() < 2 * BLOCK {
        return too_few(evidence);
    }
    let deviation = Log::noise(tail);
    let share = deviation / (tail.iter().sum::<f64>() / tail.len() as f64);
    let text =
        format!("a step's loss differs by {} (standard deviation) from its neighbours'", percent(share));
    // A cross-entropy near 0 is no scale.
    let matters = evidence.of_pretraining().is_some() || deviation > NOISY * losses[0];
    if share > NOISY && matters {
        let advice = "larger batches (--batch-size) or --accum-iter make steps less noisy";
        return vec![Finding::warning(text, advice)];
    }
    vec![Finding::ok(text)]
}
