//! Layers on maps: gradients of those that are trained, adjoints of those that are linear.

use super::adjoints;
use super::shapes::{every_element, filled, random};
use crate::audit::gradcheck::GradCheck;
use crate::audit::report::Report;
use crate::exec::{Backend, Exec};
use crate::layers::concat::{concat, concat_backward};
use crate::layers::conv_norm::Convolution;
use crate::layers::{BiasedConv3x3, Conv3x3, ConvNormRelu, ConvTranspose2x2, MaxPool, Resize};
use crate::models::pyramid::tokens::{to_maps, to_maps_backward};
use crate::params::Params;
use ndarray::Array2;

/// Images of a check.
pub(super) const IMAGES: usize = 3;

/// Maps that are not square, and as small as a map can be.
pub(super) const SIZES: [[usize; 2]; 4] = [[2, 4], [1, 1], [1, 3], [3, 1]];

/// The nearest that two elements may come between which a maximum decides, or one to ReLU's kink.
pub(super) const FROM_KINK: f64 = 1e-4;

/// The first of other seeds for which `is_away` from kinks.
pub(super) fn away_from_kinks(check: &GradCheck, is_away: impl Fn(&GradCheck) -> bool) -> GradCheck {
    let mut seeds = (0..).map(|i| GradCheck { seed: check.seed.wrapping_add(1000 * i), ..check.clone() });
    seeds.find(is_away).expect("many seeds are")
}

/// Several reports of one kind in one.
pub(super) fn joined(reports: impl IntoIterator<Item = Report>) -> Report {
    let join = |mut all: Report, report: Report| {
        all.rows.extend(report.rows);
        all
    };
    reports.into_iter().reduce(join).expect("a report")
}

/// Whether no window of `s × s` pixels has two largest elements that are close, channel by channel.
pub(super) fn windows_decide(x: &Array2<f64>, size: [usize; 2], s: usize) -> bool {
    let [height, width] = size;
    let images = x.nrows() / (height * width);
    let windows = (0..images * height / s).flat_map(|i| (0..width / s).map(move |j| (i, j)));
    windows.into_iter().all(|(i, j)| {
        (0..x.ncols()).all(|c| {
            let element = |k: usize| x[((i * s + k / s) * width + j * s + k % s, c)];
            let mut window: Vec<f64> = (0..s * s).map(element).collect();
            window.sort_by(|a, b| b.total_cmp(a));
            s == 1 || window[0] - window[1] > FROM_KINK
        })
    })
}

pub(super) fn conv3x3(check: &GradCheck) -> Report {
    joined(SIZES.map(|size| {
        every_element(check).layer(
            &filled(check, Conv3x3::new(5, 4)),
            &random(check, (IMAGES * size[0] * size[1], 5)),
            |conv, x, cx| conv.forward(x.clone(), size, cx),
            |conv, cache, dy, grad, cx| conv.backward(cache, dy.view(), grad, cx),
        )
    }))
}

pub(super) fn biased_conv3x3(check: &GradCheck) -> Report {
    check.layer(
        &filled(check, BiasedConv3x3::new(5, 4)),
        &random(check, (IMAGES * 8, 5)),
        |conv, x, cx| conv.forward(x.clone(), SIZES[0], cx),
        |conv, cache, dy, grad, cx| conv.backward(cache, dy.view(), grad, cx),
    )
}

/// Linear in the maps: `⟨W ∗ x, y⟩ = ⟨x, Wᵀ ∗ y⟩`.
pub(super) fn conv3x3_adjoint(check: &GradCheck) -> Report {
    let (conv, cx) = (filled(check, Conv3x3::<f64>::new(5, 4)), &mut Exec::new(Backend::default()));
    joined(SIZES.map(|size| {
        let pixels = IMAGES * size[0] * size[1];
        let x: Array2<f64> = random(&adjoints::other(check, 21), (pixels, 5));
        let dy: Array2<f64> = random(&adjoints::other(check, 22), (pixels, 4));
        let (y, cache) = conv.forward(x.clone(), size, cx);
        let dx = conv.backward(cache, dy.view(), &mut conv.zeros_like(), cx);
        adjoints::agree("W ∗", 45 * dy.len(), (&y * &dy).sum(), (&x * &dx).sum())
    }))
}

pub(super) fn conv_transpose2x2(check: &GradCheck) -> Report {
    every_element(check).layer(
        &filled(check, ConvTranspose2x2::new(5, 3)),
        &random(check, (IMAGES * 8, 5)),
        |conv, x, cx| conv.forward(x.clone(), SIZES[0], cx),
        |conv, cache, dy, grad, cx| conv.backward(cache, dy.view(), grad, cx),
    )
}

/// Linear in the maps once the bias is 0.
pub(super) fn conv_transpose2x2_adjoint(check: &GradCheck) -> Report {
    let (mut conv, cx) =
        (filled(check, ConvTranspose2x2::<f64>::new(5, 3)), &mut Exec::new(Backend::default()));
    conv.bias.fill(0.0);
    let x: Array2<f64> = random(&adjoints::other(check, 23), (IMAGES * 8, 5));
    let dy: Array2<f64> = random(&adjoints::other(check, 24), (IMAGES * 32, 3));
    let (y, cache) = conv.forward(x.clone(), SIZES[0], cx);
    let dx = conv.backward(cache, dy.view(), &mut conv.zeros_like(), cx);
    adjoints::agree("transposed W", 5 * dy.len(), (&y * &dy).sum(), (&x * &dx).sum())
}

/// Windows of 2 on lines that are not a window long, and of 4.
pub(super) fn max_pool(check: &GradCheck) -> Report {
    let cases = [(2, [4, 6]), (4, [4, 8])].map(|(window, size)| {
        let maps = |check: &GradCheck| random(check, (IMAGES * size[0] * size[1], 5));
        let check = away_from_kinks(check, |check| windows_decide(&maps(check), size, window));
        every_element(&check).function(
            &maps(&check),
            |x, cx| MaxPool { window }.forward(x.clone(), size, cx).0,
            |x, dy, cx| {
                let cache = MaxPool { window }.forward(x.clone(), size, cx).1;
                MaxPool { window }.backward(cache, dy.view(), &mut MaxPool { window }, cx)
            },
        )
    });
    joined(cases)
}

/// What it is called, from which size and to which.
type Kind = (&'static str, [usize; 2], [usize; 2], Resize<f64>);

/// Every kind of resizing, up and down, from and to a single pixel.
pub(super) fn resizes() -> Vec<Kind> {
    let sizes = [
        ([3, 5], [7, 4]),
        ([1, 2], [6, 5]),
        ([4, 4], [16, 16]),
        ([7, 6], [3, 2]),
        ([5, 4], [5, 4]),
        ([2, 3], [1, 1]),
    ];
    let mut all = Vec::new();
    for (from, to) in sizes {
        all.push(("bilinear", from, to, Resize::bilinear(from, to)));
        all.push(("average", from, to, Resize::average(from, to)));
        all.push(("nearest2x", from, from.map(|n| 2 * n), Resize::nearest2x(from)));
        all.push(("subsample2", from, from.map(|n| n.div_ceil(2)), Resize::subsample2(from)));
    }
    all
}

pub(super) fn resize_adjoint(check: &GradCheck) -> Report {
    let cx = &mut Exec::new(Backend::default());
    joined(resizes().into_iter().map(|(name, from, to, resize)| {
        let x: Array2<f64> = random(&adjoints::other(check, 25), (IMAGES * from[0] * from[1], 5));
        let dy: Array2<f64> = random(&adjoints::other(check, 26), (IMAGES * to[0] * to[1], 5));
        let left = (&resize.forward(x.view(), cx) * &dy).sum();
        let right = (&x * &resize.backward(dy.view(), cx)).sum();
        adjoints::agree(name, dy.len() + x.len(), left, right)
    }))
}

pub(super) fn concat_adjoint(check: &GradCheck) -> Report {
    let cx = &mut Exec::new(Backend::default());
    let parts: [Array2<f64>; 3] =
        [(27, 2), (28, 5), (29, 1)].map(|(s, c)| random(&adjoints::other(check, s), (70, c)));
    let dy: Array2<f64> = random(&adjoints::other(check, 30), (70, 8));
    let left = (&concat(&parts.each_ref(), cx) * &dy).sum();
    let dparts = concat_backward(dy.view(), &[2, 5, 1], cx);
    let right = parts.iter().zip(&dparts).map(|(x, dx)| (x * dx).sum()).sum();
    adjoints::agree("beside", dy.len(), left, right)
}

pub(super) fn tokens_adjoint(check: &GradCheck) -> Report {
    let cx = &mut Exec::new(Backend::default());
    let x: Array2<f64> = random(&adjoints::other(check, 31), (IMAGES * 7, 5));
    let dy: Array2<f64> = random(&adjoints::other(check, 32), (IMAGES * 6, 5));
    let left = (&to_maps(x.clone(), 7, cx) * &dy).sum();
    let right = (&x * &to_maps_backward(dy.view(), 7, cx)).sum();
    adjoints::agree("to maps", dy.len(), left, right)
}

/// 1 × 1 and 3 × 3.
pub(super) fn conv_norm_relu<C: Convolution<f64>>(check: &GradCheck) -> Report {
    let layer = |check: &GradCheck| filled(check, ConvNormRelu::<f64, C>::new(5, 4, 1e-6));
    let x = |check: &GradCheck| -> Array2<f64> { random(check, (IMAGES * 8, 5)) };
    let check = away_from_kinks(check, |check| {
        let (layer, cx) = (layer(check), &mut Exec::new(Backend::default()));
        layer.0.forward(x(check), SIZES[0], cx).0.iter().all(|y: &f64| y.abs() > FROM_KINK)
    });
    check.layer(
        &layer(&check),
        &x(&check),
        |layer, x, cx| layer.forward(x.clone(), SIZES[0], cx),
        |layer, cache, dy, grad, cx| layer.backward(cache, dy.view(), grad, cx),
    )
}
