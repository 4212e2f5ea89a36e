//! Which patches training really removed: recomputed from the run's seed, strategy and ratio.

use super::Finding;
use super::evidence::Evidence;
use super::words::{number, percent};
use crate::models::mae::Strategy;
use crate::tasks::Pretrain;

/// Samples looked at.
const SAMPLES: u64 = 4096;
/// Epochs they are spread over.
const EPOCHS: u64 = 4;
/// Standard deviations of a binomial count beyond which a place is not removed as often as the others.
const SIGMAS: f64 = 6.0;
/// The ratio asked for and the one that whole patches allow may differ by this much unmentioned.
const ROUNDING: f64 = 0.02;
/// Below and above, the task is known to be too easy or too hard (He et al. 2022, Figure 5).
const USUAL: std::ops::RangeInclusive<f64> = 0.4..=0.9;

/// The fraction of patches removed, and whether each place has its turn.
pub(super) fn masks(evidence: &Evidence<Pretrain>) -> Vec<Finding> {
    let (masking, seed) = (evidence.config.masking(), evidence.config.run.seed);
    let places = evidence.config.model.num_patches();
    let mut removed = vec![0u64; places];
    for sample in 0..SAMPLES {
        let mask = masking.mask(seed, sample % EPOCHS, sample / EPOCHS);
        for (place, times) in removed.iter_mut().enumerate() {
            *times += u64::from(mask.removes(place));
        }
    }
    let total: u64 = removed.iter().sum();
    let share = total as f64 / (SAMPLES * places as u64) as f64;
    let of_place = |times: &u64| *times as f64 / SAMPLES as f64;
    let least = removed.iter().map(of_place).fold(1.0, f64::min);
    let most = removed.iter().map(of_place).fold(0.0, f64::max);
    let asked = masking.mask_ratio;
    let text = format!(
        "{} of {places} patches removed from each image ({:.1} %, asked for {:.1} %); over {SAMPLES} samples each place in {} to {}",
        total / SAMPLES,
        100.0 * share,
        100.0 * asked,
        percent(least),
        percent(most)
    );
    let deviation = (share * (1.0 - share) / SAMPLES as f64).sqrt();
    let uneven = (most - share).max(share - least) / deviation;
    if masking.strategy == Strategy::Random && uneven > SIGMAS {
        let text = format!("{text}: {} standard deviations from even", number(uneven));
        return vec![Finding::problem(
            text,
            "report this: random masks should remove each place equally often",
        )];
    }
    if !USUAL.contains(&asked) {
        let advice = "try --mask-ratio 0.75, which the paper found best for features";
        return vec![Finding::note(text).advising(advice)];
    }
    if (share - asked).abs() > ROUNDING {
        return vec![Finding::note(format!("{text}: whole patches allow no closer ratio"))];
    }
    vec![Finding::ok(text)]
}
