//! Layers on maps against their definitions, pixel by pixel.

use super::formulas::{agree, all};
use super::maps::{IMAGES, SIZES, joined, resizes};
use super::shapes::{filled, random};
use crate::audit::gradcheck::GradCheck;
use crate::audit::report::Report;
use crate::exec::{Backend, Exec};
use crate::layers::concat::concat;
use crate::layers::conv_norm::Convolution;
use crate::layers::{
    BiasedConv3x3, Conv3x3, ConvNorm, ConvNormRelu, ConvTranspose2x2, LinearMap, MaxPool, Pointwise,
};
use crate::models::pyramid::tokens::to_maps;
use ndarray::Array2;

/// Element `(b, i, j, c)` of maps, 0 outside.
fn pixel(x: &Array2<f64>, [height, width]: [usize; 2], b: usize, i: isize, j: isize, c: usize) -> f64 {
    match (usize::try_from(i), usize::try_from(j)) {
        (Ok(i), Ok(j)) if i < height && j < width => x[((b * height + i) * width + j, c)],
        _ => 0.0,
    }
}

/// Image, row, column of a row of a token matrix.
pub(super) fn place(row: usize, [height, width]: [usize; 2]) -> (usize, usize, usize) {
    (row / (height * width), row / width % height, row % width)
}

/// `Σ_c Σ_ab W[o, c, a, b] x_c[i + a − 1, j + b − 1]`.
pub(super) fn convolved(x: &Array2<f64>, size: [usize; 2], conv: &Conv3x3<f64>) -> Array2<f64> {
    let (d_out, d_in, ..) = conv.weight.dim();
    Array2::from_shape_fn((x.nrows(), d_out), |(row, o)| {
        let (image, i, j) = place(row, size);
        let mut sum = 0.0;
        for (c, a, b) in (0..d_in).flat_map(|c| (0..9).map(move |ab| (c, ab / 3, ab % 3))) {
            let at = |place: usize, tap: usize| place.cast_signed() + tap.cast_signed() - 1;
            sum += conv.weight[(o, c, a, b)] * pixel(x, size, image, at(i, a), at(j, b), c);
        }
        sum
    })
}

/// Twice, since what a buffer held before must not matter.
pub(super) fn conv3x3(check: &GradCheck) -> Report {
    let (conv, cx) = (filled(check, BiasedConv3x3::<f64>::new(5, 4)), &mut Exec::new(Backend::default()));
    joined(SIZES.iter().chain(&SIZES).map(|&size| {
        let x: Array2<f64> = random(check, (IMAGES * size[0] * size[1], 5));
        let (y, cache) = conv.map.forward(x.clone(), size, cx);
        cache.recycle(cx);
        let report = agree("Σ W_ab x[i + a − 1, j + b − 1]", &y, convolved(&x, size, &conv.map));
        cx.recycle(y);
        report
    }))
}

pub(super) fn biased_conv3x3(check: &GradCheck) -> Report {
    let (conv, cx) = (filled(check, BiasedConv3x3::<f64>::new(5, 4)), &mut Exec::new(Backend::default()));
    let x: Array2<f64> = random(check, (IMAGES * 8, 5));
    let y = conv.forward(x.clone(), SIZES[0], cx).0;
    agree("Σ W_ab x[i + a − 1, j + b − 1] + b", &y, convolved(&x, SIZES[0], &conv.map) + &conv.bias)
}

pub(super) fn conv_transpose2x2(check: &GradCheck) -> Report {
    let (conv, cx) = (filled(check, ConvTranspose2x2::<f64>::new(5, 3)), &mut Exec::new(Backend::default()));
    let (x, size): (Array2<f64>, _) = (random(check, (IMAGES * 8, 5)), SIZES[0]);
    let y = conv.forward(x.clone(), size, cx).0;
    let formula = Array2::from_shape_fn(y.dim(), |(row, o)| {
        let (image, i, j) = place(row, size.map(|n| 2 * n));
        let (from, a, b) = ((image * size[0] + i / 2) * size[1] + j / 2, i % 2, j % 2);
        conv.bias[o] + (0..5).map(|c| x[(from, c)] * conv.weight[(c, o, a, b)]).sum::<f64>()
    });
    agree("x[i/2, j/2] W[.., i mod 2, j mod 2] + bias", &y, formula)
}

/// The maximum; and of equal ones the first has the gradient.
pub(super) fn max_pool(check: &GradCheck) -> Report {
    let cx = &mut Exec::new(Backend::default());
    joined([(2, [4, 6]), (4, [8, 4])].map(|(s, size)| {
        // Few values, so that many are equal.
        let x = random(check, (IMAGES * size[0] * size[1], 5)).mapv(|x: f64| (3.0 * x).round());
        let pooled = size.map(|n| n / s);
        let (y, cache) = MaxPool { window: s }.forward(x.clone(), size, cx);
        let dy: Array2<f64> = random(check, y.dim());
        let dx = MaxPool { window: s }.backward(cache, dy.view(), &mut MaxPool { window: s }, cx);
        // The elements of a window in row-major order, by row.
        let window = |row: usize| {
            let (image, i, j) = place(row, pooled);
            (0..s * s).map(move |k| (image * size[0] + i * s + k / s) * size[1] + j * s + k % s)
        };
        let largest = |row, c| window(row).map(|from| x[(from, c)]).fold(f64::NEG_INFINITY, f64::max);
        let mut gradient = Array2::zeros(x.dim());
        for ((row, c), dy) in dy.indexed_iter() {
            let first =
                window(row).find(|&from| x[(from, c)] >= largest(row, c)).expect("one is the largest");
            gradient[(first, c)] += dy;
        }
        all([
            agree("max", &y, Array2::from_shape_fn(y.dim(), |(row, c)| largest(row, c))),
            agree("dy to the first of equal ones", &dx, gradient),
        ])
    }))
}

/// The weight of input `a` in output `o` of an axis.
fn weight(kind: &str, n: usize, m: usize, o: usize, a: usize) -> f64 {
    match kind {
        // A hat of width 1 on either side of the sampled place, which does not leave the outermost centres.
        "bilinear" => {
            let place = ((o as f64 + 0.5) * n as f64 / m as f64 - 0.5).clamp(0.0, (n - 1) as f64);
            (1.0 - (place - a as f64).abs()).max(0.0)
        }
        // Inputs that cell [o n/m, (o + 1) n/m) overlaps, in whole numbers.
        "average" => {
            let overlaps = |a: usize| a * m < (o + 1) * n && (a + 1) * m > o * n;
            if overlaps(a) { 1.0 / (0..n).filter(|&a| overlaps(a)).count() as f64 } else { 0.0 }
        }
        "nearest2x" => f64::from(u8::from(a == o / 2)),
        "subsample2" => f64::from(u8::from(a == 2 * o)),
        _ => unreachable!("no other kind"),
    }
}

/// `y[i, j] = Σ_ab w_i(a) w_j(b) x[a, b]`.
pub(super) fn resize(check: &GradCheck) -> Report {
    let cx = &mut Exec::new(Backend::default());
    joined(resizes().into_iter().map(|(kind, from, to, resize)| {
        let x: Array2<f64> = random(check, (IMAGES * from[0] * from[1], 5));
        let y = resize.forward(x.view(), cx);
        agree(kind, &y, resized(kind, &x, from, to))
    }))
}

pub(super) fn resized(kind: &str, x: &Array2<f64>, from: [usize; 2], to: [usize; 2]) -> Array2<f64> {
    let images = x.nrows() / (from[0] * from[1]);
    Array2::from_shape_fn((images * to[0] * to[1], x.ncols()), |(row, c)| {
        let (image, i, j) = place(row, to);
        let mut sum = 0.0;
        for (a, b) in (0..from[0]).flat_map(|a| (0..from[1]).map(move |b| (a, b))) {
            let w = weight(kind, from[0], to[0], i, a) * weight(kind, from[1], to[1], j, b);
            sum += w * x[((image * from[0] + a) * from[1] + b, c)];
        }
        sum
    })
}

pub(super) fn concat_formula(check: &GradCheck) -> Report {
    let cx = &mut Exec::new(Backend::default());
    let (a, b): (Array2<f64>, Array2<f64>) = (random(check, (70, 2)), random(check, (70, 3)));
    let b = b.mapv(|x| (5.0 * x).sin());
    let beside = |(row, c): (usize, usize)| if c < 2 { a[(row, c)] } else { b[(row, c - 2)] };
    agree("a beside b", &concat(&[&a, &b], cx), Array2::from_shape_fn((70, 5), beside))
}

/// Without the first row of every image.
pub(super) fn tokens(check: &GradCheck) -> Report {
    let (x, cx): (Array2<f64>, _) = (random(check, (IMAGES * 7, 5)), &mut Exec::new(Backend::default()));
    let formula = Array2::from_shape_fn((IMAGES * 6, 5), |(row, c)| x[(row / 6 * 7 + 1 + row % 6, c)]);
    agree("patches", &to_maps(x.clone(), 7, cx), formula)
}

/// `max(0, LN(W x))`, LN over the channels of a pixel.
pub(super) fn conv_norm_relu(check: &GradCheck) -> Report {
    let (x, cx): (Array2<f64>, _) = (random(check, (IMAGES * 8, 5)), &mut Exec::new(Backend::default()));
    let wide = filled(check, ConvNormRelu::<f64, Conv3x3<f64>>::new(5, 4, 1e-6));
    let point = filled(check, ConvNormRelu::<f64, Pointwise<LinearMap<f64>>>::new(5, 4, 1e-6));
    let mapped = Array2::from_shape_fn((x.nrows(), 4), |(row, o)| {
        (0..5).map(|c| x[(row, c)] * point.0.conv.0.weight[(o, c)]).sum::<f64>()
    });
    all([
        agree(
            "3 × 3",
            &wide.forward(x.clone(), SIZES[0], cx).0,
            normed(&convolved(&x, SIZES[0], &wide.0.conv), &wide.0).mapv(positive),
        ),
        agree("1 × 1", &point.forward(x.clone(), SIZES[0], cx).0, normed(&mapped, &point.0).mapv(positive)),
        agree("1 × 1 without ReLU", &point.0.forward(x.clone(), SIZES[0], cx).0, normed(&mapped, &point.0)),
    ])
}

pub(super) fn positive(x: f64) -> f64 {
    x.max(0.0)
}

/// LN over the channels of each row.
pub(super) fn normed<C: Convolution<f64>>(x: &Array2<f64>, layer: &ConvNorm<f64, C>) -> Array2<f64> {
    let d = x.ncols() as f64;
    Array2::from_shape_fn(x.dim(), |(row, c)| {
        let mean = x.row(row).sum() / d;
        let variance = x.row(row).iter().map(|x| (x - mean).powi(2)).sum::<f64>() / d;
        let x_hat = (x[(row, c)] - mean) / (variance + 1e-6).sqrt();
        layer.norm.weight[c] * x_hat + layer.norm.bias[c]
    })
}
