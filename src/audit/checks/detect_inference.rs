//! A detector's inference against slow versions of its steps.

use super::adjoints::other;
use super::detect_boxes::{listed, slow_nms, whole_boxes};
use super::formulas::{agree, all};
use super::shapes::random;
use crate::audit::gradcheck::GradCheck;
use crate::audit::report::Report;
use crate::models::detect::boxes::{BBox, clip, decode, iou};
use crate::models::detect::detections::{DetectionConfig, detections as found_by};
use crate::models::detect::proposals::{ProposalConfig, proposals as proposed};
use ndarray::Array2;

/// `[H, W]`.
const IMAGE: [usize; 2] = [11, 13];

/// Anchors and regions leave the image, some of them altogether.
fn moved_boxes(check: &GradCheck, n: usize) -> Vec<BBox<f64>> {
    let wider =
        |[x1, y1, x2, y2]: BBox<f64>| [2.0 * x1 - 4.0, 2.0 * y1 - 4.0, 2.0 * x2 - 1.0, 2.0 * y2 - 1.0];
    whole_boxes(check, n).into_iter().map(wider).collect()
}

/// Per level the best logits, decoded, clipped, not empty; suppressed level by level; the best of all.
pub(super) fn proposals(check: &GradCheck) -> Report {
    let (sizes, config) = ([24, 10], ProposalConfig { pre_nms: 9, post_nms: 11, nms: 0.4 });
    let anchors = moved_boxes(&other(check, 61), 34);
    let deltas: Vec<f64> = random(&other(check, 62), 4 * 34).iter().map(|r: &f64| r / 3.0).collect();
    let logits: Vec<f64> = random(&other(check, 63), 34).iter().map(|r: &f64| (5.0 * r).round()).collect();
    let levels = [0..sizes[0], sizes[0]..34];

    let (mut boxes, mut scores, mut of_anchor) = (vec![], vec![], vec![]);
    for level in levels.clone() {
        let mut rest: Vec<usize> = level.collect();
        for _ in 0..config.pre_nms.min(rest.len()) {
            let best =
                rest.iter().copied().fold(rest[0], |best, i| if logits[i] > logits[best] { i } else { best });
            rest.retain(|&i| i != best);
            let delta = [0, 1, 2, 3].map(|k| deltas[4 * best + k]);
            let bbox = clip(decode(delta, anchors[best], [1.0; 4]), IMAGE);
            if bbox[0] < bbox[2] && bbox[1] < bbox[3] {
                boxes.push(bbox);
                scores.push(logits[best]);
                of_anchor.push(best);
            }
        }
    }
    let level_of = |i: usize| usize::from(of_anchor[i] >= sizes[0]);
    let kept = slow_nms(&scores, |a, b| level_of(a) == level_of(b) && iou(boxes[a], boxes[b]) > config.nms);
    let formula = kept.into_iter().take(config.post_nms).flat_map(|i| {
        let [x1, y1, x2, y2] = boxes[i];
        [x1, y1, x2, y2, scores[i], of_anchor[i] as f64]
    });

    let found = proposed(
        &levels.clone().map(|level| &logits[level]),
        &levels.map(|level| &deltas[4 * level.start..4 * level.end]),
        &anchors,
        IMAGE,
        &config,
    );
    let numbers = found.iter().flat_map(|p| {
        let [x1, y1, x2, y2] = p.bbox;
        [x1, y1, x2, y2, p.logit, p.anchor as f64]
    });
    listed("box, logit, anchor", &numbers.collect::<Vec<_>>(), formula.collect())
}

/// Every class of every region above the threshold, suppressed class by class; the best of all. A region is given twice.
pub(super) fn detections(check: &GradCheck) -> Report {
    let mut regions = moved_boxes(&other(check, 64), 15);
    let mut logits: Array2<f64> = 2.0 * random(&other(check, 65), (15, 4));
    let mut deltas: Array2<f64> = random(&other(check, 66), (15, 12));
    regions[9] = regions[4];
    let (same_logits, same_deltas) = (logits.row(4).to_owned(), deltas.row(4).to_owned());
    logits.row_mut(9).assign(&same_logits);
    deltas.row_mut(9).assign(&same_deltas);
    // Each class exactly as likely as the threshold.
    logits.row_mut(2).fill(0.0);

    let reports = [(0.25, 100), (0.05, 8)].map(|(score_threshold, max_detections)| {
        let config = DetectionConfig { score_threshold, nms: 0.3, max_detections };
        let (mut boxes, mut scores, mut of) = (vec![], vec![], vec![]);
        for (r, c) in (0..15).flat_map(|r| (0..3).map(move |c| (r, c))) {
            let score = logits[(r, c)].exp() / logits.row(r).iter().map(|z| z.exp()).sum::<f64>();
            if score > score_threshold {
                let delta = [0, 1, 2, 3].map(|k| deltas[(r, 4 * c + k)]);
                boxes.push(clip(decode(delta, regions[r], [10.0, 10.0, 5.0, 5.0]), IMAGE));
                scores.push(score);
                of.push((r, c));
            }
        }
        let kept = slow_nms(&scores, |a, b| of[a].1 == of[b].1 && iou(boxes[a], boxes[b]) > config.nms);
        let formula = kept.into_iter().take(max_detections).flat_map(|i| {
            let [x1, y1, x2, y2] = boxes[i];
            [x1, y1, x2, y2, scores[i], of[i].0 as f64, of[i].1 as f64]
        });
        let found = found_by(&regions, logits.view(), deltas.view(), IMAGE, &config);
        let numbers = found.iter().flat_map(|d| {
            let [x1, y1, x2, y2] = d.bbox;
            [x1, y1, x2, y2, d.score, d.region as f64, d.class as f64]
        });
        listed("box, score, region, class", &numbers.collect::<Vec<_>>(), formula.collect())
    });
    // 1/20 is more than 0.05 if it is rounded to f32 and the threshold is not.
    let (alike, unmoved) = (Array2::<f32>::zeros((1, 20)), Array2::zeros((1, 76)));
    let config = DetectionConfig { score_threshold: 0.05, nms: 0.3, max_detections: 100 };
    let found = found_by(&[[1.0, 1.0, 5.0, 5.0]], alike.view(), unmoved.view(), IMAGE, &config);
    let none = agree("at the threshold in f32", &[found.len() as f64], [0.0]);
    all(reports.into_iter().chain([none]))
}
