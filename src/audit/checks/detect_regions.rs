//! RoIAlign, mask targets, pasting and losses against their definitions, sample by sample and pixel by pixel.

use super::detect::{ALIGNS, LEVELS, levels_of, maps, pair, regions};
use super::detect_boxes::listed;
use super::formulas::{agree, all};
use super::maps::joined;
use super::shapes::random;
use crate::audit::gradcheck::GradCheck;
use crate::audit::report::Report;
use crate::base::Real;
use crate::exec::{Backend, Exec};
use crate::models::detect::boxes::BBox;
use crate::models::detect::losses;
use crate::models::detect::mask_target::{covered, mask_target as target};
use crate::models::detect::paste::{paste as pasted, probabilities};
use crate::models::detect::roi_align::{Level, RoiAlign};
use ndarray::{Array2, arr2};

/// Bilinear between the centres of pixels, which lie at whole numbers.
fn hat(at: f64, pixel: usize) -> f64 {
    (1.0 - (at - pixel as f64).abs()).max(0.0)
}

/// Cell `(p, q)` of a region of a map: the mean of its samples.
fn cell(
    map: impl Fn(usize, usize) -> f64,
    Level { size: [height, width], scale }: Level,
    bbox: BBox<f64>,
    RoiAlign { output, sampling }: RoiAlign,
    [p, q]: [usize; 2],
) -> f64 {
    let [x1, y1, x2, y2] = bbox.map(|edge| edge * scale - 0.5);
    let [side_y, side_x] = [(y2 - y1) / output as f64, (x2 - x1) / output as f64];
    let samples = |side: f64| if sampling > 0 { sampling as f64 } else { side.ceil() };
    let (n_y, n_x) = (samples(side_y), samples(side_x));
    let (mut sum, mut i) = (0.0, 0.0);
    while i < n_y {
        let mut j = 0.0;
        while j < n_x {
            let y = y1 + p as f64 * side_y + (i + 0.5) * side_y / n_y;
            let x = x1 + q as f64 * side_x + (j + 0.5) * side_x / n_x;
            let inside = (-1.0..=height as f64).contains(&y) && (-1.0..=width as f64).contains(&x);
            if inside {
                let (y, x) = (y.clamp(0.0, (height - 1) as f64), x.clamp(0.0, (width - 1) as f64));
                for (a, b) in (0..height).flat_map(|a| (0..width).map(move |b| (a, b))) {
                    sum += hat(y, a) * hat(x, b) * map(a, b);
                }
            }
            j += 1.0;
        }
        i += 1.0;
    }
    sum / (n_y * n_x).max(1.0)
}

pub(super) fn roi_align(check: &GradCheck) -> Report {
    let (levels, cx) = (levels_of(&maps(check)), &mut Exec::new(Backend::default()));
    let none = ALIGNS[0].of(&[], &LEVELS).forward(&levels, cx).nrows();
    let of_none = agree("rows without regions", &[none as f64], [0.0]);
    joined([of_none].into_iter().chain(ALIGNS.map(|align| {
        let (regions, cells) = (regions(), align.output * align.output);
        let y = align.of(&regions, &LEVELS).forward(&levels, cx);
        let formula = Array2::from_shape_fn(y.dim(), |(row, c)| {
            let (region, at) = (regions[row / cells], row % cells);
            let level = LEVELS[region.level];
            let [height, width] = level.size;
            let map = |i, j| levels[region.level][((region.image * height + i) * width + j, c)];
            cell(map, level, region.bbox, align, [at / align.output, at % align.output])
        });
        agree("mean of samples", &y, formula)
    })))
}

/// Half covered is covered.
pub(super) fn mask_target(check: &GradCheck) -> Report {
    let mask = random(check, (9, 12)).mapv(|r: f64| r > 0.1);
    let level = Level { size: [9, 12], scale: 1.0 };
    let boxes = [[1.3, 0.8, 11.9, 7.2], [-3.0, 2.0, 6.0, 13.0], [4.0, 4.0, 4.0, 6.0], [2.2, 3.1, 3.0, 3.9]];
    let map = |i: usize, j: usize| f64::from(u8::from(mask[(i, j)]));
    let mut reports = Vec::new();
    for bbox in boxes {
        let align = RoiAlign { output: 4, sampling: 0 };
        let soft = Array2::from_shape_fn((4, 4), |(p, q)| cell(map, level, bbox, align, [p, q]));
        let found: Array2<f64> = covered(mask.view(), bbox, 4);
        reports.push(agree("covered", &found, soft));
        let hard: Array2<f64> = target(mask.view(), bbox, 4);
        reports.push(agree("half or more", &hard, found.mapv(|c| f64::from(u8::from(c >= 0.5)))));
    }
    // A cell is two pixels by two, and every second column is set.
    let stripes = Array2::from_shape_fn((8, 8), |(_, j)| j % 2 == 0);
    let found: Array2<f64> = target(stripes.view(), [0.0, 0.0, 8.0, 8.0], 4);
    reports.push(agree("exactly half", &found, [1.0; 16]));
    // As well where a cell has a number of pixels by which 1 cannot be divided without rounding.
    for n in (2..=64).step_by(2) {
        let (stripes, edge) =
            (Array2::from_shape_fn((4, 4 * n), |(_, j)| j / (n / 2) % 2 == 0), (4 * n) as f64);
        let found: Array2<f64> = target(stripes.view(), [0.0, 0.0, edge, 4.0], 4);
        let in_f32: Array2<f32> = target(stripes.view(), [0.0, 0.0, f32::of(edge), 4.0], 4);
        reports.push(agree("exactly half of many", &found, [1.0; 16]));
        reports.push(agree("exactly half of many in f32", &in_f32.mapv(f64::from), [1.0; 16]));
    }
    all(reports)
}

/// Over borders, far away, smaller than a pixel, of no width, and where a cell is a pixel.
pub(super) fn paste(check: &GradCheck) -> Report {
    let (mask, size): (Array2<f64>, _) = (random(check, (4, 4)).mapv(f64::abs), [11, 14]);
    let boxes = [
        [2.3, 1.7, 11.1, 8.9],
        [-3.2, -2.1, 5.5, 20.0],
        [3.1, 4.2, 3.9, 4.9],
        [30.0, 2.0, 40.0, 8.0],
        [5.0, 2.0, 5.0, 8.0],
        [3.0, 2.0, 7.0, 6.0],
    ];
    let mut reports = Vec::new();
    for [x1, y1, x2, y2] in boxes {
        let soft = Array2::from_shape_fn((11, 14), |(i, j)| {
            let u = (j as f64 + 0.5 - x1) / (x2 - x1) * 4.0 - 0.5;
            let v = (i as f64 + 0.5 - y1) / (y2 - y1) * 4.0 - 0.5;
            // Nothing is finite in a box of no width.
            let weight = |a: usize, b: usize| if u.is_finite() { hat(v, a) * hat(u, b) } else { 0.0 };
            mask.indexed_iter().map(|((a, b), m)| weight(a, b) * m).sum::<f64>()
        });
        let found = pasted(mask.view(), [x1, y1, x2, y2], size);
        let bits = found.bits(size).mapv(|bit| f64::from(u8::from(bit)));
        reports.push(agree("bits", &bits, found.soft(size).mapv(|value| f64::from(u8::from(value >= 0.5)))));
        reports.push(agree("bilinear", &found.soft(size), soft));
    }
    let exactly = pasted(Array2::from_elem((4, 4), 0.5).view(), [3.0, 2.0, 7.0, 6.0], size).bits(size);
    let set = exactly.iter().filter(|bit| **bit).count() as f64;
    reports.push(agree("exactly half", &[set], [16.0]));

    // Two detections of two cells.
    let logits = arr2(&[[1.0, 2.0], [3.0, 4.0], [5.0, 6.0], [-7.0, -8.0]]);
    let sigmoid = |z: f64| z.exp() / (z.exp() + 1.0);
    let found = probabilities(logits.view(), &[1, 0]);
    reports.push(agree("σ of the class", &found, [2.0, 4.0, 5.0, -7.0].map(sigmoid)));
    all(reports)
}

/// From the two logarithms; and where they would be infinite.
pub(super) fn bce(check: &GradCheck) -> Report {
    let [x, t] = pair(check).map(|pair| pair.into_raw_vec_and_offset().0);
    let t: Vec<f64> = t.into_iter().map(|t| ((t + 1.5) / 3.0).clamp(0.0, 1.0)).collect();
    let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
    let each = || x.iter().zip(&t).map(|(&x, &t)| (sigmoid(x), t));
    let sum = each().map(|(p, t)| -t * p.ln() - (1.0 - t) * (1.0 - p).ln()).sum();
    let (loss, slopes) = losses::bce(&x, &t, 0.25);
    let (far, far_slopes) = losses::bce(&[100.0, -100.0, 1000.0, -1000.0], &[0.0, 1.0, 0.25, 0.0], 1.0);
    all([
        agree("−t ln σ − (1 − t) ln(1 − σ)", &[loss], [sum]),
        agree("(σ − t) / 4", &slopes, each().map(|(p, t)| 0.25 * (p - t))),
        agree("far from 0", &[far], [100.0 + 100.0 + 750.0]),
        agree("slopes far from 0", &far_slopes, [1.0, -1.0, 0.75, 0.0]),
    ])
}

/// Nothing, within beta, at beta, beyond, on either side.
pub(super) fn smooth_l1(_: &GradCheck) -> Report {
    let (x, t) = ([1.0, 1.5, 3.0, 4.0, -1.5, -4.0], [1.0, 1.0, 1.0, 1.0, -1.0, -1.0]);
    let each = |beta: f64| {
        let alone = move |i: usize| losses::smooth_l1(&x[i..=i], &t[i..=i], beta, 0.5);
        (0..6).map(alone).map(|(loss, slope)| [loss, slope[0]]).collect::<Vec<_>>()
    };
    // d is 0, ½, 2, 3, −½, −3.
    let of_2 = [0.0, 0.0, 0.0625, 0.125, 1.0, 0.5, 2.0, 0.5, 0.0625, -0.125, 2.0, -0.5];
    let of_0 = [0.0, 0.0, 0.5, 0.5, 2.0, 0.5, 3.0, 0.5, 0.5, -0.5, 3.0, -0.5];
    all([
        listed("beta 2", each(2.0).as_flattened(), of_2.to_vec()),
        listed("L1", each(0.0).as_flattened(), of_0.to_vec()),
        agree("sum", &[losses::smooth_l1(&x, &t, 0.0, 1.0).0], [9.0]),
    ])
}
