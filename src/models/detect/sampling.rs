//! Which of the matched candidates a loss is taken over: few positives, and negatives that do not drown them.

use super::matcher::Label;
use crate::base::rng::below;
use rand::Rng;

/// The candidates that were drawn, each list in ascending order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sample {
    /// At most `fraction · quota` of the positive ones.
    pub positives: Vec<usize>,
    /// The rest of the quota, or all negatives if there are fewer.
    pub negatives: Vec<usize>,
}

/// Draws at most `quota` candidates without replacement, at most `⌊fraction · quota⌋` of them positive.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a part of the quota")]
pub fn sample(
    labels: impl Iterator<Item = Label>,
    quota: usize,
    fraction: f64,
    rng: &mut impl Rng,
) -> Sample {
    let (mut positives, mut negatives) = (Vec::new(), Vec::new());
    for (candidate, label) in labels.enumerate() {
        match label {
            Label::Positive => positives.push(candidate),
            Label::Negative => negatives.push(candidate),
            Label::Ignored => {}
        }
    }
    draw(&mut positives, (fraction * quota as f64) as usize, rng);
    draw(&mut negatives, quota.saturating_sub(positives.len()), rng);
    Sample { positives, negatives }
}

/// Leaves at most `n` of them, every subset equally likely.
fn draw(candidates: &mut Vec<usize>, n: usize, rng: &mut impl Rng) {
    if n < candidates.len() {
        for i in 0..n {
            let other = i + below(rng, candidates.len() - i);
            candidates.swap(i, other);
        }
        candidates.truncate(n);
        candidates.sort_unstable();
    }
}
