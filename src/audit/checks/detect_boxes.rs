//! Boxes, anchors, levels, matching, suppression and sampling against their definitions, by counting pixels where it can be.

use super::adjoints::other;
use super::formulas::{agree, all};
use super::shapes::random;
use crate::audit::gradcheck::GradCheck;
use crate::audit::report::Report;
use crate::base::rng::{Purpose, rng};
use crate::models::detect::anchors::{AnchorConfig, anchors as all_anchors};
use crate::models::detect::boxes::{BBox, BOX_WEIGHTS, RPN_WEIGHTS, clip, decode, encode, iou, resized};
use crate::models::detect::levels::LevelRule;
use crate::models::detect::matcher::{Label, Matcher};
use crate::models::detect::nms::nms as kept;
use crate::models::detect::sampling::sample;
use ndarray::Array2;

/// Boxes that start at whole pixels and are at most 6 wide and high, some of no width or height.
pub(super) fn whole_boxes(check: &GradCheck, n: usize) -> Vec<BBox<f64>> {
    let drawn = random(check, (n, 4)).mapv(|r: f64| (3.5 * (r + 1.0)).floor());
    drawn.outer_iter().map(|d| [d[0], d[1], d[0] + d[2], d[1] + d[3]]).collect()
}

/// Intersection over union of boxes of whole pixels between 0 and 14: by counting them.
pub(super) fn counted_iou(a: BBox<f64>, b: BBox<f64>) -> f64 {
    let is_in = |x: f64, y: f64, [x1, y1, x2, y2]: BBox<f64>| x1 <= x && x < x2 && y1 <= y && y < y2;
    let (mut both, mut either) = (0.0, 0.0);
    for (x, y) in (0..14).flat_map(|x| (0..14).map(move |y| (f64::from(x), f64::from(y)))) {
        let (in_a, in_b) = (is_in(x, y, a), is_in(x, y, b));
        both += f64::from(u8::from(in_a && in_b));
        either += f64::from(u8::from(in_a || in_b));
    }
    if both > 0.0 { both / either } else { 0.0 }
}

pub(super) fn boxes(check: &GradCheck) -> Report {
    let (a, b) = (whole_boxes(&other(check, 51), 12), whole_boxes(&other(check, 52), 9));
    let pairs = || a.iter().flat_map(|&a| b.iter().map(move |&b| (a, b)));
    let found: Vec<f64> = pairs().map(|(a, b)| iou(a, b)).collect();

    let moved = random(&other(check, 53), (5, 8)).mapv(|r: f64| 20.0 * r);
    let sized = |at: usize, row: usize| {
        let [x, y, w, h] = [0, 1, 2, 3].map(|i| moved[(row, at + i)]);
        [x, y, x + w.abs() + 1.0, y + h.abs() + 1.0]
    };
    let (mut deltas, mut formula, mut back, mut there) = (vec![], vec![], vec![], vec![]);
    for (row, w) in (0..5).flat_map(|row| [(row, RPN_WEIGHTS), (row, [10.0, 10.0, 5.0, 5.0])]) {
        let (from, to) = (sized(0, row), sized(4, row));
        for (axis, size) in [(0, 2), (1, 3)] {
            let (side, to_side) = (from[axis + 2] - from[axis], to[axis + 2] - to[axis]);
            let centres = f64::midpoint(to[axis], to[axis + 2]) - f64::midpoint(from[axis], from[axis + 2]);
            formula.extend([w[axis] * centres / side, w[size] * (to_side.ln() - side.ln())]);
        }
        let d = encode(from, to, w);
        deltas.extend([d[0], d[2], d[1], d[3]]);
        back.extend(decode(d, from, w));
        there.extend(to);
    }
    // Width 4 and height 8 around (4, 7): to the right by 1/10 of 4, up by 2/10 of 8, twice as wide.
    let by_hand = decode([1.0, -2.0, 5.0 * 2.0_f64.ln(), 0.0], [2.0, 3.0, 6.0, 11.0], BOX_WEIGHTS);
    // No more than 1000/16 times as wide, and however small.
    let limited = decode([0.0, 0.0, 9.0, -900.0], [2.0, 3.0, 6.0, 11.0], RPN_WEIGHTS);
    all([
        agree("pixels of both / pixels of either", &found, pairs().map(|(a, b)| counted_iou(a, b))),
        agree("deltas", &deltas, formula),
        agree("decode(encode)", &back, there),
        agree("decode", &by_hand, [0.4, 1.4, 8.4, 9.4]),
        agree("decode, limited", &limited, [4.0 - 125.0, 7.0, 4.0 + 125.0, 7.0]),
        agree("clip", &clip([-3.0, -4.0, 20.0, 30.0], [10, 15]), [0.0, 0.0, 15.0, 10.0]),
        agree("clip beyond", &clip([16.0, 11.0, -20.0, -30.0], [10, 15]), [15.0, 10.0, 0.0, 0.0]),
        agree("clip inside", &clip([3.0, 4.0, 14.0, 9.0], [10, 15]), [3.0, 4.0, 14.0, 9.0]),
        agree("resized", &resized([2.0, 3.0, 4.0, 6.0], [10, 20], [30, 10]), [1.0, 9.0, 2.0, 18.0]),
    ])
}

/// All have their level's area; order is level, row, column, ratio.
pub(super) fn anchors(_: &GradCheck) -> Report {
    let (grids, strides, ratios) = ([[2, 3], [1, 2]], [4, 8], [0.5, 1.0, 2.0]);
    let config = AnchorConfig { sizes: vec![16.0, 30.0], ratios: ratios.to_vec(), offset: 0.25 };
    let found: Vec<BBox<f64>> = all_anchors(&grids, &strides, &config);
    let mut formula = Vec::new();
    for (level, [rows, columns]) in grids.into_iter().enumerate() {
        for (i, j, ratio) in
            (0..rows * columns * 3).map(|n| (n / 3 / columns, n / 3 % columns, ratios[n % 3]))
        {
            let (size, stride): (f64, f64) = (config.sizes[level], [4.0, 8.0][level]);
            let (x, y) = ((j as f64 + 0.25) * stride, (i as f64 + 0.25) * stride);
            let (w, h) = (size / f64::sqrt(ratio), size * f64::sqrt(ratio));
            formula.extend([x - w / 2.0, y - h / 2.0, x + w / 2.0, y + h / 2.0]);
        }
    }
    agree("around the centres", found.as_flattened(), formula)
}

/// Twice the side, one level up; the levels' ends.
pub(super) fn levels(_: &GradCheck) -> Report {
    let (rule, square) = (LevelRule::default(), |side: f64| [3.0, 5.0, 3.0 + side, 5.0 + side]);
    let cases = [
        (square(224.0), 4.0),
        (square(223.0), 3.0),
        (square(447.0), 4.0),
        (square(448.0), 5.0),
        (square(112.0), 3.0),
        (square(111.0), 2.0),
        (square(5000.0), 5.0),
        (square(1.0), 2.0),
        (square(0.0), 2.0),
        ([10.0, 10.0, 5.0, 20.0], 2.0),
        // As large as a square of 224.
        ([0.0, 0.0, 448.0, 112.0], 4.0),
    ];
    let found = cases.map(|(bbox, _)| rule.level(bbox) as f64);
    let other = LevelRule { canonical_level: 3, canonical_size: 14.0, min_level: 0, max_level: 9 };
    let of_other = [square(14.0), square(56.0), square(3.0)].map(|bbox| other.level(bbox) as f64);
    all([
        agree("levels", &found, cases.map(|case| case.1)),
        agree("levels of another rule", &of_other, [3.0, 5.0, 0.0]),
    ])
}

fn number(label: Label) -> f64 {
    match label {
        Label::Negative => 0.0,
        Label::Ignored => -1.0,
        Label::Positive => 1.0,
    }
}

/// On tenths, so that many are equal and some lie on the thresholds. Nothing overlaps one of the objects.
pub(super) fn matcher(check: &GradCheck) -> Report {
    let (objects, candidates) = (4, 40);
    let mut quality = random(check, (objects, candidates)).mapv(|r: f64| (8.4 * r.abs()).floor() / 10.0);
    quality.row_mut(2).fill(0.0);
    quality.row_mut(3).mapv_inplace(|q| q.min(0.2));
    let best_of = |object: usize| quality.row(object).fold(0.0, |max: f64, &q| max.max(q));
    let mut reports = Vec::new();
    for (low, high, low_quality) in [(0.3, 0.7, true), (0.3, 0.7, false), (0.5, 0.5, false), (0.0, 0.1, true)]
    {
        let matcher = Matcher { negative_below: low, positive_from: high, low_quality };
        let found = matcher.matches(objects, candidates, |o, c| quality[(o, c)]);
        let (mut formula, mut numbers) = (vec![], vec![]);
        for (c, found) in found.iter().enumerate() {
            let best = (0..objects).map(|o| quality[(o, c)]).fold(0.0, f64::max);
            let first = (0..objects).find(|&o| quality[(o, c)] == best).expect("one is the best");
            let is_best = |o: usize| best_of(o) > 0.0 && quality[(o, c)] == best_of(o);
            let label = match best {
                _ if low_quality && (0..objects).any(is_best) => 1.0,
                q if q >= high => 1.0,
                q if q >= low => -1.0,
                _ => 0.0,
            };
            formula.extend([first as f64, best, label]);
            let object = found.object.map_or(f64::NAN, |object| object as f64);
            numbers.extend([object, found.quality, number(found.label)]);
        }
        reports.push(agree("object, quality, label", &numbers, formula));
    }
    let nothing = Matcher { negative_below: 0.5, positive_from: 0.5, low_quality: true };
    let lonely = nothing.matches(0, 3, |_, _| 1.0);
    let is_negative = lonely.iter().all(|m| m.object.is_none() && m.label == Label::Negative);
    reports.push(agree("negative without objects", &[f64::from(u8::from(is_negative))], [1.0]));
    // 7/10 is less than 0.7 if it is rounded to f32 and the limit is not; and 3/10 is more.
    let limits = Matcher { negative_below: 0.3, positive_from: 0.7, low_quality: false };
    let at = [0.7_f32, 0.3, 0.3_f32.next_down()];
    let rounded: Vec<f64> = limits.matches(1, 3, |_, c| at[c]).iter().map(|m| number(m.label)).collect();
    reports.push(agree("at the limits in f32", &rounded, [1.0, -1.0, 0.0]));
    all(reports)
}

/// The positions that are left when the best is taken and those that overlap it go, again and again.
pub(super) fn slow_nms(scores: &[f64], overlaps: impl Fn(usize, usize) -> bool) -> Vec<usize> {
    let (mut rest, mut kept): (Vec<usize>, Vec<usize>) = ((0..scores.len()).collect(), vec![]);
    while let Some(&first) = rest.first() {
        let best =
            rest.iter().copied().fold(first, |best, i| if scores[i] > scores[best] { i } else { best });
        kept.push(best);
        rest.retain(|&i| i != best && !overlaps(best, i));
    }
    kept
}

/// Equal scores, and overlaps of a threshold exactly.
pub(super) fn nms(check: &GradCheck) -> Report {
    let mut boxes = whole_boxes(&other(check, 54), 30);
    boxes.extend([[0.0, 0.0, 4.0, 2.0], [0.0, 0.0, 4.0, 4.0], [1.0, 1.0, 1.0, 5.0], [1.0, 1.0, 1.0, 5.0]]);
    let scores: Vec<f64> =
        random(&other(check, 55), boxes.len()).iter().map(|r: &f64| (4.0 * r).round()).collect();
    let classes: Vec<usize> = (0..boxes.len()).map(|i| i % 3).collect();
    let numbers = |found: Vec<usize>| -> Vec<f64> { found.into_iter().map(|i| i as f64).collect() };
    all([0.25, 0.5, 0.7].into_iter().flat_map(|threshold| {
        let overlap = |a: usize, b: usize| counted_iou(boxes[a], boxes[b]) > threshold;
        let same_class = |a: usize, b: usize| classes[a] == classes[b];
        let found = numbers(kept(&boxes, &scores, None, threshold));
        let of_classes = numbers(kept(&boxes, &scores, Some(&classes), threshold));
        [
            listed("kept", &found, numbers(slow_nms(&scores, overlap))),
            listed(
                "kept, by class",
                &of_classes,
                numbers(slow_nms(&scores, |a, b| same_class(a, b) && overlap(a, b))),
            ),
        ]
    }))
}

/// Two lists, and their lengths.
pub(super) fn listed(what: &str, found: &[f64], formula: Vec<f64>) -> Report {
    let (length, longest) = (found.len(), found.len().max(formula.len()));
    let filled = |list: &[f64]| -> Vec<f64> {
        let gone = std::iter::repeat(-1e9);
        list.iter().copied().chain(gone).take(longest).collect()
    };
    all([
        agree(&format!("{what}: how many"), &[length as f64], [formula.len() as f64]),
        agree(what, &filled(found), filled(&formula)),
    ])
}

/// Half of the quota at most is positive, the rest negative as far as there are any; each as likely as the other; in order.
pub(super) fn sampling(check: &GradCheck) -> Report {
    const DRAWS: u64 = 2000;
    let labels = |positives: usize, negatives: usize| {
        let label = move |i: usize| match i % 3 {
            0 if i / 3 < positives => Label::Positive,
            1 if i / 3 < negatives => Label::Negative,
            _ => Label::Ignored,
        };
        (0..3 * positives.max(negatives)).map(label)
    };
    let draw = |positives, negatives, quota, fraction, i| {
        sample(labels(positives, negatives), quota, fraction, &mut rng(check.seed, Purpose::Sampling, 0, i))
    };
    let counts = |positives, negatives, quota, fraction| {
        let drawn = draw(positives, negatives, quota, fraction, 0);
        [drawn.positives.len() as f64, drawn.negatives.len() as f64]
    };
    let (mut drawn, mut orderly) = (Array2::<f64>::zeros((2, 30)), true);
    for i in 0..DRAWS {
        let sample = draw(6, 20, 8, 0.5, i);
        for (list, kind) in [(&sample.positives, 0), (&sample.negatives, 1)] {
            orderly &= list.is_sorted_by(|a, b| a < b);
            orderly &= list.iter().all(|candidate| candidate % 3 == kind);
            for candidate in list {
                drawn[(kind, candidate / 3)] += 1.0 / DRAWS as f64;
            }
        }
    }
    // Five standard deviations of 2000 draws.
    let likely = |kind: usize, n: usize, p: f64| drawn.row(kind).iter().take(n).all(|f| (f - p).abs() < 0.06);
    let truth =
        [orderly, likely(0, 6, 4.0 / 6.0), likely(1, 20, 4.0 / 20.0)].map(|is| f64::from(u8::from(is)));
    all([
        agree("in order, equally likely", &truth, [1.0; 3]),
        agree("half and half", &counts(6, 20, 8, 0.5), [4.0, 4.0]),
        agree("few positives", &counts(1, 20, 8, 0.5), [1.0, 7.0]),
        agree("few negatives", &counts(6, 3, 8, 0.5), [4.0, 3.0]),
        agree("a quarter, rounded down", &counts(6, 20, 11, 0.25), [2.0, 9.0]),
        agree("nothing", &counts(0, 0, 8, 0.5), [0.0, 0.0]),
    ])
}
