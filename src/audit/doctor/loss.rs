//! Is the loss below those of predictors that learn nothing, and is it the loss of these weights?

use super::evidence::Evidence;
use super::words::number;
use super::yardstick::Yardstick;
use super::{Finding, fit, rates};
use crate::checkpoint::Named;
use crate::tasks::Pretrain;
use crate::train::Task;
use crate::train::task::Trivial;

/// A loss above this fraction of a constant prediction's is no better than it.
const NO_BETTER: f64 = 0.98;
/// Above this fraction it is barely better.
const BARELY: f64 = 0.9;
/// The fraction of a run in which a loss near the trivial ones is expected.
const BEGINNING: f64 = 0.15;
/// The logged loss and the recomputed one may differ by the rounding of another machine, not by more.
const SAME_LOSS: f64 = 1e-3;

/// The loss and those of trivial predictors, by name.
pub(super) fn losses<T: Task>(evidence: &Evidence<T>) -> Vec<(String, f64)> {
    let mut losses = Vec::new();
    if let Some(last) = evidence.log.epochs.last() {
        losses.push(("training loss, last epoch".to_owned(), last.train_loss));
        let scores = last.scores.validation();
        losses.extend(scores.map(|(name, score)| (format!("validation {name}, last epoch"), score)));
    }
    if let Ok(yardstick) = &evidence.yardstick {
        let images = if yardstick.held_out { "validation" } else { "training" };
        let of = |name: &str| if name == "loss" { String::new() } else { format!("{name} of ") };
        for (name, score) in yardstick.scores.iter().flat_map(Named::validation) {
            let what = format!("{}the checkpoint on {} {images} images", of(name), yardstick.images);
            losses.push((what, score));
        }
        let trivial = yardstick.trivial.iter();
        losses.extend(trivial.map(|t| (format!("… {}predicting {}", of(t.score), t.predicting), t.value)));
    } else if let Some(zero) = evidence.of_pretraining().and_then(known_zero) {
        losses.push(("… predicting each patch's own mean, at most".to_owned(), zero));
    }
    losses
}

/// Under `norm_pix_loss` predicting 0 gives (P − 1)/P at most: the target's variance is 1
/// with divisor P − 1, and the loss divides by P. Patches of one colour, whose target is 0, make it less.
fn known_zero(evidence: &Evidence<Pretrain>) -> Option<f64> {
    let model = &evidence.config.model;
    let p = model.patch_len() as f64;
    model.norm_pix_loss.then(|| (p - 1.0) / p)
}

/// The loss is below those of predictors that learn nothing.
pub(super) fn trivial_predictors<T: Task>(evidence: &Evidence<T>) -> Vec<Finding> {
    match (evidence.of_pretraining(), &evidence.yardstick) {
        (Some(evidence), _) => trivial_losses(evidence),
        (None, Ok(yardstick)) => trivial_scores(evidence, yardstick),
        (None, Err(why)) => vec![Finding::not_done(why)],
    }
}

/// Every score is better than that of a predictor that learns nothing; it is the first one that counts.
fn trivial_scores<T: Task>(evidence: &Evidence<T>, yardstick: &Yardstick) -> Vec<Finding> {
    let first = yardstick.scores.iter().flat_map(Named::validation).next().map(|(name, _)| name);
    let advice = rates::advice(evidence, "train longer (--epochs), or try another learning rate (--blr)");
    let finding = |&Trivial { score: name, predicting, value }: &Trivial| {
        let score = yardstick.score(name)?;
        let (now, then) = (number(score), number(value));
        let text =
            format!("the validation {name} of the checkpoint is {now}; predicting {predicting} gives {then}");
        // A loss, or what a fraction lacks of 1.
        let [missed, trivial] = [score, value].map(|x| if name == "loss" { x } else { 1.0 - x });
        let below = |factor: f64| missed.is_finite() && missed <= factor * trivial;
        Some(match text {
            text if below(BARELY) => Finding::ok(text),
            text if evidence.progress() < BEGINNING => {
                Finding::note(format!("{text}: the run has hardly begun"))
            }
            text if below(NO_BETTER) => Finding::warning(format!("{text}: barely better"), &advice),
            text if Some(name) == first => Finding::problem(format!("{text}: nothing is learnt"), &advice),
            text if missed <= trivial => Finding::warning(format!("{text}: hardly better"), &advice),
            text => Finding::warning(format!("{text}: it is sure where it is wrong"), fit::LESS_TRAINING),
        })
    };
    yardstick.trivial.iter().filter_map(finding).collect()
}

/// The loss is below those of predictors that learn nothing.
fn trivial_losses(evidence: &Evidence<Pretrain>) -> Vec<Finding> {
    let measured = evidence.yardstick.as_ref().ok().and_then(|y| {
        let of = if y.held_out {
            "validation loss of the checkpoint"
        } else {
            "checkpoint's loss on training images"
        };
        Some((y.score("loss")?, of))
    });
    let Some((loss, of)) = measured.or_else(|| evidence.log.last_loss()) else {
        return vec![Finding::not_done("no loss is known yet")];
    };
    if !loss.is_finite() {
        let advice = rates::advice(evidence, rates::LOWER);
        return vec![Finding::problem(format!("the {of} is not finite"), &advice)];
    }
    let (name, constant) = match (&evidence.yardstick, known_zero(evidence)) {
        (Ok(yardstick), _) => best_constant(yardstick),
        (Err(_), Some(zero)) => ("each patch's own mean", zero),
        (Err(why), None) => return vec![Finding::not_done(why)],
    };
    let at_most = if evidence.yardstick.is_err() { " at most" } else { "" };
    let text = format!("the {of} is {}; predicting {name} gives{at_most} {}", number(loss), number(constant));
    let early = evidence.progress() < BEGINNING;
    let copy = evidence.yardstick.as_ref().ok().map(|y| y.trivial[2].value);
    if loss > NO_BETTER * constant {
        if early {
            return vec![Finding::note(format!("{text}: the run has hardly begun"))];
        }
        let train = evidence.log.epochs.last().map_or(loss, |r| r.train_loss);
        if train < BARELY * constant {
            let text =
                format!("{text}, though the training loss is {}: it is learnt by heart", number(train));
            return vec![Finding::problem(text, fit::MORE_DATA)];
        }
        let advice = "change the learning rate (--blr), first to a third, then to three times as much, and see that the \
                      images are what you think: the model has learnt nothing that a constant does not know";
        return vec![Finding::problem(text, &rates::advice(evidence, advice))];
    }
    if loss > BARELY * constant && !early {
        let advice = "train longer (--epochs), or try another learning rate (--blr)";
        return vec![Finding::warning(format!("{text}: barely better"), &rates::advice(evidence, advice))];
    }
    match copy {
        Some(copy) if loss > copy && !early => {
            let text = format!("{text}, but a copy of the nearest visible patch gives {}", number(copy));
            vec![Finding::warning(
                text,
                "train longer (--epochs), or raise --mask-ratio: copying neighbours goes far here",
            )]
        }
        Some(copy) => {
            vec![Finding::ok(format!("{text}, a copy of the nearest visible patch {}", number(copy)))]
        }
        None => vec![Finding::ok(text)],
    }
}

/// The one with the lower loss of the two that predict one thing everywhere.
fn best_constant(yardstick: &Yardstick) -> (&'static str, f64) {
    let [zero, mean] = [&yardstick.trivial[0], &yardstick.trivial[1]];
    let best = if zero.value <= mean.value { zero } else { mean };
    (best.predicting, best.value)
}

/// The checkpoint's weights give the validation scores that the log has for their step.
pub(super) fn logged_loss<T: Task>(evidence: &Evidence<T>) -> Vec<Finding> {
    let saved = match evidence.saved() {
        Ok(saved) => saved,
        Err(why) => return vec![Finding::not_done(why)],
    };
    let yardstick = match &evidence.yardstick {
        Ok(yardstick) => yardstick,
        Err(why) => return vec![Finding::not_done(why)],
    };
    if evidence.data.as_ref().is_ok_and(|data| data.digest != saved.state.data_digest) {
        return vec![Finding::not_done("the data is not that of the run")];
    }
    let step = saved.state.step;
    let logged = evidence.log.epochs.iter().chain(&saved.state.history).find(|r| r.step == step);
    let scores = yardstick.scores.iter().flat_map(Named::validation);
    let both = |(name, now)| Some((name, logged?.score(name)?, now));
    let both: Vec<(&str, f64, f64)> = scores.filter_map(both).collect();
    if both.is_empty() {
        let text = format!("no validation loss was logged at step {step}, where the checkpoint stands");
        return vec![Finding::not_done(text)];
    }
    if !yardstick.as_logged {
        let text = format!("the logged loss is of more images than the {} looked at here", yardstick.images);
        return vec![Finding::not_done(text)];
    }
    let finding = |(name, logged, recomputed): (&str, f64, f64)| {
        let loss = name == "loss";
        let (of, one_image) = if loss { ("", 0.0) } else { (name, 1.0 / yardstick.images.max(1) as f64) };
        let text =
            format!("{of} logged {} at step {step}, recomputed {}", number(logged), number(recomputed));
        let text = text.trim_start();
        // On another machine one image may fall on the other side.
        if (logged - recomputed).abs() <= (SAME_LOSS * logged.abs()).max(1.001 * one_image) {
            return Finding::ok(text);
        }
        let advice = "do not trust this run: its weights, masks, validation images or settings are not those that were logged";
        Finding::problem(text, advice)
    };
    both.into_iter().map(finding).collect()
}
