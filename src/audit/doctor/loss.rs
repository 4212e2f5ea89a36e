//! Is the loss below those of predictors that learn nothing, and is it the loss of these weights?

use super::evidence::Evidence;
use super::words::number;
use super::{Finding, curve, fit, rates};

/// A loss above this share of a constant prediction's is no better than it.
const NO_BETTER: f64 = 0.98;
/// Above this share it is barely better.
const BARELY: f64 = 0.9;
/// The share of a run in which a loss near the trivial ones is expected.
const BEGINNING: f64 = 0.15;
/// The logged loss and the recomputed one may differ by the rounding of another machine, not by more.
const SAME_LOSS: f64 = 1e-3;

/// The loss and those of trivial predictors, by name.
pub(super) fn losses(evidence: &Evidence) -> Vec<(String, f64)> {
    let mut losses = Vec::new();
    losses.extend(evidence.log.epochs.last().map(|r| ("training loss, last epoch".to_owned(), r.train_loss)));
    let held_out = evidence.log.epochs.last().and_then(|r| r.score("loss"));
    losses.extend(held_out.map(|loss| ("validation loss, last epoch".to_owned(), loss)));
    if let Ok(yardstick) = &evidence.yardstick {
        let images = if yardstick.held_out { "validation" } else { "training" };
        let of_weights = yardstick
            .loss
            .map(|loss| (format!("the checkpoint on {} {images} images", yardstick.images), loss));
        losses.extend(of_weights);
        let named = yardstick.baselines.named(evidence.config.model.norm_pix_loss);
        losses.extend(named.map(|(name, loss)| (format!("… predicting {name}"), loss)));
    } else if let Some(zero) = known_zero(evidence) {
        losses.push(("… predicting each patch's own mean, at most".to_owned(), zero));
    }
    losses
}

/// Under `norm_pix_loss` predicting 0 gives (P − 1)/P at most: the target's variance is 1
/// with divisor P − 1, and the loss divides by P. Patches of one colour, whose target is 0, make it less.
fn known_zero(evidence: &Evidence) -> Option<f64> {
    let model = &evidence.config.model;
    let p = model.patch_len() as f64;
    model.norm_pix_loss.then(|| (p - 1.0) / p)
}

/// The loss is below those of predictors that learn nothing.
pub(super) fn trivial_predictors(evidence: &Evidence) -> Vec<Finding> {
    let measured = evidence.yardstick.as_ref().ok().and_then(|y| {
        let of = if y.held_out {
            "validation loss of the checkpoint"
        } else {
            "checkpoint's loss on training images"
        };
        Some((y.loss?, of))
    });
    let Some((loss, of)) = measured.or_else(|| evidence.log.last_loss()) else {
        return vec![Finding::not_done("no loss is known yet")];
    };
    if !loss.is_finite() {
        let advice = rates::advice(evidence, curve::LOWER);
        return vec![Finding::problem(format!("the {of} is not finite"), &advice)];
    }
    let norm_pix_loss = evidence.config.model.norm_pix_loss;
    let (name, constant) = match (&evidence.yardstick, known_zero(evidence)) {
        (Ok(yardstick), _) => yardstick.best_constant(norm_pix_loss),
        (Err(_), Some(zero)) => ("each patch's own mean", zero),
        (Err(why), None) => return vec![Finding::not_done(why)],
    };
    let at_most = if evidence.yardstick.is_err() { " at most" } else { "" };
    let text = format!("the {of} is {}; predicting {name} gives{at_most} {}", number(loss), number(constant));
    let early = progress(evidence) < BEGINNING;
    let copy = evidence.yardstick.as_ref().ok().map(|y| y.baselines.nearest_visible);
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

/// The share of the run that is done; 1 where that cannot be known.
pub(super) fn progress(evidence: &Evidence) -> f64 {
    let planned = evidence.steps_planned().filter(|&planned| planned > 0);
    planned.map_or(1.0, |planned| evidence.steps_done() as f64 / planned as f64)
}

/// The checkpoint's weights give the held-out loss that the log has for their step.
pub(super) fn logged_loss(evidence: &Evidence) -> Vec<Finding> {
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
    let Some((logged, recomputed)) = logged.and_then(|r| r.score("loss")).zip(yardstick.loss) else {
        return vec![Finding::not_done(format!(
            "no validation loss was logged at step {step}, where the checkpoint stands"
        ))];
    };
    if !yardstick.as_logged {
        let text = format!("the logged loss is of more images than the {} looked at here", yardstick.images);
        return vec![Finding::not_done(text)];
    }
    let text = format!("logged {} at step {step}, recomputed {}", number(logged), number(recomputed));
    if (logged - recomputed).abs() <= SAME_LOSS * logged.abs() {
        return vec![Finding::ok(text)];
    }
    let advice = "do not trust this run: its weights, masks, validation images or settings are not those that were logged";
    vec![Finding::problem(text, advice)]
}
