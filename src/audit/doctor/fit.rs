//! Over-fitting: the training loss beside the validation loss.

use super::Finding;
use super::evidence::Evidence;
use super::words::number;
use crate::train::Task;
use crate::train::metrics::EpochRecord;

/// A validation loss so many times its lowest is getting worse …
const WORSE: f64 = 1.05;
/// … and has got much worse.
const MUCH_WORSE: f64 = 1.25;
/// A validation loss so many times the training loss is a gap …
const GAP: f64 = 1.3;
/// … and a wide one.
const WIDE_GAP: f64 = 2.0;
/// Differences below this are not worth a word: images have variance 1 in the units of the loss.
const SMALL: f64 = 0.02;

/// What to try against learning by heart.
pub(super) const MORE_DATA: &str = "more images, crops (--crop 0.2,1), a smaller model, fewer epochs or a higher --mask-ratio: \
                         the model learns its training images by heart";
/// The same for a task without masks.
pub(super) const LESS_TRAINING: &str = "more images, more augmentation, a smaller model or fewer epochs: the model learns its \
                             training images by heart";

/// The validation loss has not risen from its lowest, and is near the training loss.
pub(super) fn over_fitting<T: Task>(evidence: &Evidence<T>) -> Vec<Finding> {
    let epochs: &[EpochRecord] = &evidence.log.epochs;
    let held_out: Vec<(u64, f64)> = epochs.iter().filter_map(|r| Some((r.epoch, r.score("loss")?))).collect();
    let (Some(&(_, now)), Some(last)) = (held_out.last(), epochs.last()) else {
        if epochs.is_empty() {
            return vec![Finding::not_done("no epoch is finished")];
        }
        let unseen = Finding::not_done("no validation loss was measured, so over-fitting cannot be seen");
        if epochs.iter().any(|record| record.scores.validation().next().is_some()) {
            return vec![unseen];
        }
        return vec![
            unseen
                .advising("give the data a validation split (see docs/data.md), so that over-fitting shows"),
        ];
    };
    let lowest = held_out.iter().copied().min_by(|a, b| a.1.total_cmp(&b.1)).unwrap_or((last.epoch, now));
    let train = last.train_loss;
    let text = format!(
        "validation loss {}, lowest {} after epoch {}; training loss {}",
        number(now),
        number(lowest.1),
        lowest.0,
        number(train)
    );
    let rose = |factor: f64| now > factor * lowest.1 && now - lowest.1 > SMALL && train < now;
    let gap = |factor: f64| now > factor * train && now - train > SMALL;
    // A classifier's cross-entropy may rise while it still gets better, and starts from other targets than in training.
    if last.scores.validation().next().is_some_and(|(name, _)| name != "loss") {
        if rose(MUCH_WORSE) {
            return vec![Finding::warning(format!("{text}: it begins to over-fit"), LESS_TRAINING)];
        }
        return vec![Finding::ok(text)];
    }
    if rose(MUCH_WORSE) || gap(WIDE_GAP) {
        return vec![Finding::problem(format!("{text}: over-fitted"), MORE_DATA)];
    }
    if rose(WORSE) || gap(GAP) {
        return vec![Finding::warning(format!("{text}: it begins to over-fit"), MORE_DATA)];
    }
    vec![Finding::ok(text)]
}
