//! Bugs of detection's operations: half pixels, borders, limits, ties, thresholds, weights, who suppresses whom.

use super::{Bug, bug, twice};

const BOXES: &str = "models/detect/boxes.rs";
const OVERLAP: &str = "intersection / (area(a) + area(b) - intersection)";
const MOVED_WEIGHT: &str = "deltas[i] / F::of(weights[i])";

const ANCHORS: &str = "models/detect/anchors.rs";
const CENTRE: &str = "(cell as f64 + config.offset)";

const LEVELS: &str = "models/detect/levels.rs";

const MATCHER: &str = "models/detect/matcher.rs";
const BEST: &str = "if self.low_quality";

const ORDER: &str = "models/detect/order.rs";
const DESCENDING: &str = "key(b).total_cmp(&key(a))";

const NMS: &str = "models/detect/nms.rs";
const SUPPRESSES: &str = "iou(boxes[better], boxes[candidate]).f64() > threshold";

const SAMPLING: &str = "models/detect/sampling.rs";

const ROI: &str = "models/detect/roi_align.rs";
const EDGE: &str = "x.f64() * scale - 0.5";
const COUNT: &str = "of_cell as f64";
const OUTSIDE: &str = "at < -1.0 || at > pixels as f64";
const OWN: &str = "region.level == level && region.image == image";

const SPARSE: &str = "layers/sparse_map.rs";

const TARGET: &str = "models/detect/mask_target.rs";
const HALF: &str = "covered >= 0.5";

const LOSSES: &str = "models/detect/losses.rs";

const PROPOSALS: &str = "models/detect/proposals.rs";
const PROPOSED: &str = "clip(decode(deltas[i], anchors[first + i], RPN_WEIGHTS), size)";

const DETECTIONS: &str = "models/detect/detections.rs";
const DETECTED: &str = "clip(decode(moved, from, BOX_WEIGHTS), size)";

const PASTE: &str = "models/detect/paste.rs";
const PLACE: &str = "(x as f64 + 0.5 - start) / side - 0.5";

/// All of them.
pub(super) const BUGS: &[Bug] = &[
    bug(
        BOXES,
        "overlap: a pixel more between the edges",
        "a[2].min(b[2]) - a[0].max(b[0])",
        "a[2].min(b[2]) - a[0].max(b[0]) + F::one()",
    ),
    bug(
        BOXES,
        "overlap: intersection counted twice in the union",
        OVERLAP,
        "intersection / (area(a) + area(b))",
    ),
    bug(BOXES, "overlap: over the smaller box", OVERLAP, "intersection / area(a).min(area(b))"),
    bug(BOXES, "clip: to the last pixel's centre", "F::of(side as f64)", "F::of(side as f64 - 1.0)"),
    bug(BOXES, "clip: height taken for width", "within(x2, width)", "within(x2, height)"),
    bug(BOXES, "encode: corner taken for centre", "x1 + half * width", "x1"),
    twice(
        BOXES,
        "encode and decode: weights forgotten",
        [("weights.map(F::of)", "weights.map(|_| F::one())"), (MOVED_WEIGHT, "deltas[i]")],
    ),
    bug(BOXES, "decode: weights multiplied", MOVED_WEIGHT, "deltas[i] * F::of(weights[i])"),
    bug(BOXES, "decode: the weight of x for all", MOVED_WEIGHT, "deltas[i] / F::of(weights[0])"),
    bug(BOXES, "decode: growth without a limit", "dw.min(limit).exp()", "dw.exp()"),
    bug(BOXES, "decode: limited from below, too", "dh.min(limit).exp()", "dh.max(-limit).min(limit).exp()"),
    bug(BOXES, "encode: ratio instead of its logarithm", "(to[3] / height).ln()", "(to[3] / height)"),
    bug(
        ANCHORS,
        "ratio is width over height",
        "(size * size / ratio).sqrt()",
        "(size * size * ratio).sqrt()",
    ),
    bug(ANCHORS, "size is the width", "(size * size / ratio).sqrt()", "size"),
    bug(ANCHORS, "centres in the middle of cells", CENTRE, "(cell as f64 + 0.5)"),
    bug(ANCHORS, "columns before rows", "(centre(i), centre(j))", "(centre(j), centre(i))"),
    bug(LEVELS, "another canonical size", "side / self.canonical_size", "side / 256.0"),
    bug(LEVELS, "rounded", "level.floor()", "level.round()"),
    bug(LEVELS, "area taken for side", "area(bbox).f64().sqrt()", "area(bbox).f64()"),
    bug(LEVELS, "no coarsest level", "self.max_level as f64", "f64::MAX"),
    bug(MATCHER, "low-quality matches left out", BEST, "if self.low_quality && best_of_objects.is_empty()"),
    bug(MATCHER, "low-quality matches always", BEST, "if true"),
    bug(
        MATCHER,
        "objects that nothing overlaps make all positive",
        "most > F::zero() && quality(object, candidate) == most",
        "quality(object, candidate) == most",
    ),
    bug(
        MATCHER,
        "lower end of positive exclusive",
        "quality >= F::of(self.positive_from)",
        "quality > F::of(self.positive_from)",
    ),
    bug(
        MATCHER,
        "lower end of ignored exclusive",
        "quality < F::of(self.negative_below)",
        "quality <= F::of(self.negative_below)",
    ),
    bug(MATCHER, "the last of equal objects", "q > best", "q >= best"),
    bug(ORDER, "ascending", DESCENDING, "key(a).total_cmp(&key(b))"),
    bug(ORDER, "the last of equals first", DESCENDING, "key(b).total_cmp(&key(a)).then(b.cmp(&a))"),
    bug(
        NMS,
        "suppressed at the threshold",
        SUPPRESSES,
        "iou(boxes[better], boxes[candidate]).f64() >= threshold",
    ),
    bug(NMS, "classes suppress each other", "classes[a] == classes[b]", "true"),
    bug(
        NMS,
        "only neighbours in the order suppress",
        "kept.iter()",
        "kept[kept.len().saturating_sub(1)..].iter()",
    ),
    bug(SAMPLING, "as many negatives as the whole quota", "quota.saturating_sub(positives.len())", "quota"),
    bug(SAMPLING, "positives without a limit", "(fraction * quota as f64) as usize", "quota"),
    bug(SAMPLING, "the first ones", "i + below(rng, candidates.len() - i)", "i"),
    bug(SAMPLING, "not in order", "candidates.sort_unstable();", "();"),
    bug(ROI, "without the half pixel", EDGE, "x.f64() * scale"),
    bug(ROI, "half a pixel of the image, not of the map", EDGE, "(x.f64() - 0.5) * scale"),
    bug(ROI, "scale forgotten", EDGE, "x.f64() - 0.5"),
    bug(ROI, "samples just outside read 0", OUTSIDE, "at < 0.0 || at > (pixels - 1) as f64"),
    bug(ROI, "samples far outside read the border", OUTSIDE, "false"),
    bug(ROI, "mirrored at the border", "at.max(0.0)", "at.abs()"),
    bug(ROI, "beyond the last pixel nothing", "add(pixels - 1, 1.0)", "()"),
    bug(ROI, "mean of the samples inside", COUNT, "terms.iter().map(|term| term.1).sum::<f64>()"),
    bug(ROI, "samples in the corners of their parts", "(sample as f64 + 0.5)", "sample as f64"),
    bug(ROI, "one sample instead of as many as pixels", "side.ceil().max(0.0) as usize", "1"),
    bug(ROI, "samples rounded down", "side.ceil().max(0.0) as usize", "side.floor().max(0.0) as usize"),
    bug(ROI, "regions of a pixel at least", "(end - start)", "(end - start).max(1.0)"),
    bug(ROI, "weights the wrong way round", "add(low, 1.0 - at.fract())", "add(low, at.fract())"),
    bug(
        ROI,
        "forward and backward: columns by rows",
        "axis([y1, y2], self, height)",
        "axis([x1, x2], self, height)",
    ),
    bug(ROI, "forward: all from the first image", "&x[region.image * image..][..image]", "&x[..image]"),
    bug(ROI, "backward: gradient to all images", OWN, "region.level == level"),
    bug(
        ROI,
        "backward: gradient to the first level alone",
        OWN,
        "region.level == level && region.image == image && level == 0",
    ),
    bug(SPARSE, "adjoint: dx = instead of +=", "*dx += term.weight * dy;", "*dx = term.weight * dy;"),
    bug(SPARSE, "adjoint: weights forgotten", "*dx += term.weight * dy;", "*dx += dy;"),
    bug(TARGET, "exactly half is not covered", HALF, "covered > 0.5"),
    bug(TARGET, "touched is covered", HALF, "covered > 0.0"),
    bug(TARGET, "without the half pixel", "x.f64() - 0.5", "x.f64()"),
    bug(LOSSES, "cross-entropy: overflows", "e.ln_1p()", "(F::one() + x.exp()).ln() - x.max(F::zero())"),
    bug(LOSSES, "cross-entropy: target forgotten in the slope", "scale * (sigmoid - t)", "scale * sigmoid"),
    bug(LOSSES, "cross-entropy: linear below 0", "x.max(F::zero()) - x * t", "x - x * t"),
    bug(LOSSES, "smooth L1: slope without beta", "scale * d / beta", "scale * d"),
    bug(LOSSES, "smooth L1: the two parts do not meet", "d.abs() - half * beta", "d.abs()"),
    bug(LOSSES, "smooth L1: parabola of twice the height", "half * d * d / beta", "d * d / beta"),
    bug(LOSSES, "L1: slope 1 at 0", "(F::zero(), F::zero())", "(F::zero(), scale)"),
    bug(LOSSES, "L1: slope of the square", "scale * d.signum()", "scale * d"),
    bug(PROPOSALS, "not clipped", PROPOSED, "decode(deltas[i], anchors[first + i], RPN_WEIGHTS)"),
    bug(
        PROPOSALS,
        "anchors of the first level",
        PROPOSED,
        "clip(decode(deltas[i], anchors[i], RPN_WEIGHTS), size)",
    ),
    bug(
        PROPOSALS,
        "weights of the box head",
        PROPOSED,
        "clip(decode(deltas[i], anchors[first + i], super::boxes::BOX_WEIGHTS), size)",
    ),
    bug(PROPOSALS, "empty ones kept", "if x1 < x2 && y1 < y2", "if true"),
    bug(PROPOSALS, "levels suppress each other", "Some(&levels)", "None"),
    bug(PROPOSALS, "all of a level looked at", "config.pre_nms", "usize::MAX"),
    bug(DETECTIONS, "not clipped", DETECTED, "decode(moved, from, BOX_WEIGHTS)"),
    bug(
        DETECTIONS,
        "deltas without weights",
        DETECTED,
        "clip(decode(moved, from, super::boxes::RPN_WEIGHTS), size)",
    ),
    bug(DETECTIONS, "the first class's deltas", "4 * class + i", "i"),
    bug(
        DETECTIONS,
        "threshold inclusive",
        "score > F::of(config.score_threshold)",
        "score >= F::of(config.score_threshold)",
    ),
    bug(DETECTIONS, "classes suppress each other", "Some(&of_class)", "None"),
    bug(DETECTIONS, "no end of them", "config.max_detections", "usize::MAX"),
    bug(PASTE, "pixels' corners taken for their centres", PLACE, "(x as f64 - start) / side - 0.5"),
    bug(PASTE, "cells' corners taken for their centres", PLACE, "(x as f64 + 0.5 - start) / side"),
    bug(PASTE, "exactly half is not set", "value >= F::of(0.5)", "value > F::of(0.5)"),
    bug(PASTE, "cut at the box's edge", "start - 0.5 * side", "start"),
    bug(
        PASTE,
        "the first class's probability",
        "logits[(n * cells + cell, classes[n])]",
        "logits[(n * cells + cell, 0)]",
    ),
];
