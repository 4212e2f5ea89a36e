//! Detection: gradients and adjoints of what has any, RoIAlign and the losses.

use super::adjoints;
use super::maps::{FROM_KINK, IMAGES, away_from_kinks, joined};
use super::shapes::{every_element, random};
use crate::audit::gradcheck::GradCheck;
use crate::audit::report::Report;
use crate::exec::{Backend, Exec};
use crate::models::detect::boxes::BBox;
use crate::models::detect::losses;
use crate::models::detect::roi_align::{Level, Region, RoiAlign};
use ndarray::{Array2, Axis, arr0, concatenate, s};

/// Of images of 36 × 48 pixels.
pub(super) const LEVELS: [Level; 2] =
    [Level { size: [9, 12], scale: 0.25 }, Level { size: [5, 6], scale: 0.125 }];

/// Sides, samples.
pub(super) const ALIGNS: [RoiAlign; 3] = [
    RoiAlign { output: 3, sampling: 2 },
    RoiAlign { output: 2, sampling: 0 },
    RoiAlign { output: 5, sampling: 1 },
];

/// Inside, over borders, far outside, of no width, no height, neither, inverted, less than a pixel, the image, more than it.
const BOXES: [BBox<f64>; 12] = [
    [9.1, 0.3, 22.4, 19.3],
    [-11.3, -7.7, 28.8, 19.8],
    [24.4, 14.6, 61.6, 45.2],
    [68.3, 5.1, 89.7, 19.9],
    [-61.2, -50.4, -33.1, -22.6],
    [7.3, 3.1, 7.3, 21.4],
    [9.6, 12.4, 20.7, 12.4],
    [6.6, 6.6, 6.6, 6.6],
    [26.4, 21.6, 9.6, 9.0],
    [10.2, 11.1, 10.9, 12.3],
    [0.0, 0.0, 48.0, 36.0],
    [-30.4, -25.2, 76.7, 69.9],
];

/// Of all images and both levels in turn.
pub(super) fn regions() -> Vec<Region<f64>> {
    let regions = BOXES.into_iter().chain(BOXES).enumerate();
    regions
        .map(|(i, bbox)| Region { image: (i + i / 12) % IMAGES, level: (i / 2 + i / 12) % 2, bbox })
        .collect()
}

fn pixels(level: usize) -> usize {
    IMAGES * LEVELS[level].size.iter().product::<usize>()
}

/// The levels' maps, one below the other.
pub(super) fn maps(check: &GradCheck) -> Array2<f64> {
    random(check, (pixels(0) + pixels(1), 5))
}

pub(super) fn levels_of(maps: &Array2<f64>) -> [Array2<f64>; 2] {
    [maps.slice(s![..pixels(0), ..]).to_owned(), maps.slice(s![pixels(0).., ..]).to_owned()]
}

fn roi_align_backward(align: RoiAlign, dy: &Array2<f64>, cx: &Exec<f64>) -> Array2<f64> {
    // What other heads gave these maps already.
    let given = 0.5;
    let mut dmaps = [0, 1].map(|level| Array2::from_elem((pixels(level), 5), given));
    align.of(&regions(), &LEVELS).backward(dy.view(), &mut dmaps, cx);
    concatenate(Axis(0), &[dmaps[0].view(), dmaps[1].view()]).expect("of one width") - given
}

pub(super) fn roi_align(check: &GradCheck) -> Report {
    joined(ALIGNS.map(|align| {
        check.function(
            &maps(check),
            |maps, cx| align.of(&regions(), &LEVELS).forward(&levels_of(maps), cx),
            |_, dy, cx| roi_align_backward(align, dy, cx),
        )
    }))
}

pub(super) fn roi_align_adjoint(check: &GradCheck) -> Report {
    let cx = &mut Exec::new(Backend::default());
    joined(ALIGNS.map(|align| {
        let x = maps(&adjoints::other(check, 41));
        let y = align.of(&regions(), &LEVELS).forward(&levels_of(&x), cx);
        let dy: Array2<f64> = random(&adjoints::other(check, 42), y.dim());
        let right = (&x * &roi_align_backward(align, &dy, cx)).sum();
        adjoints::agree("RoIAlign", dy.len(), (&y * &dy).sum(), right)
    }))
}

/// Two matrices of numbers from −3 to 3.
pub(super) fn pair(check: &GradCheck) -> [Array2<f64>; 2] {
    [43, 44].map(|stream| 3.0 * random(&adjoints::other(check, stream), (6, 4)))
}

fn slice(x: &Array2<f64>) -> &[f64] {
    x.as_slice().expect("in standard layout")
}

/// A loss that is a part of a larger batch's.
fn loss_gradient(
    check: &GradCheck,
    x: &Array2<f64>,
    target: &Array2<f64>,
    loss: impl Fn(&[f64], &[f64], f64) -> (f64, Vec<f64>),
) -> Report {
    let scale = 1.0 / 7.0;
    every_element(check).function(
        x,
        |x, _| arr0(scale * loss(slice(x), slice(target), scale).0),
        |x, dloss, _| {
            let dx = loss(slice(x), slice(target), scale).1;
            Array2::from_shape_vec(x.dim(), dx).expect("as many") * dloss
        },
    )
}

pub(super) fn bce(check: &GradCheck) -> Report {
    let [x, target] = pair(check);
    // From 0 to 1, and both of them.
    let target = target.mapv(|t| ((t + 1.5) / 3.0).clamp(0.0, 1.0));
    loss_gradient(check, &x, &target, losses::bce)
}

/// Predictions, and targets of which some are near.
fn near_and_far(check: &GradCheck) -> [Array2<f64>; 2] {
    let [x, apart] = pair(check);
    let target = &x + &apart.mapv(|d| if d < 0.0 { d / 10.0 } else { d });
    [x, target]
}

/// Away from where the absolute value has no slope and where the parabola ends.
pub(super) fn smooth_l1(check: &GradCheck) -> Report {
    joined([0.0, 1.0 / 9.0, 1.0].map(|beta| {
        let check = away_from_kinks(check, |check| {
            let [x, target] = near_and_far(check);
            (x - target).iter().all(|d| d.abs() > FROM_KINK && (d.abs() - beta).abs() > FROM_KINK)
        });
        let [x, target] = near_and_far(&check);
        loss_gradient(&check, &x, &target, |x, t, scale| losses::smooth_l1(x, t, beta, scale))
    }))
}
