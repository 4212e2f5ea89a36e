//! Claim: the fast kernels compute what the plain formulas say, in f64 to 1e-12 and in f32 to a few roundings, and
//! the result does not depend on how wide the machine's vectors are.

use assert_cmd::Command;
use ndarray::{Array1, Array2, ArrayView2, Axis, s};
use std::fs;
use vit_mae::Real;
use vit_mae::base::rng::{Purpose, rng, uniform};
use vit_mae::exec::{Backend, Exec, small};
use vit_mae::layers::init::init;
use vit_mae::layers::mlp::gelu;
use vit_mae::layers::{Attention, LayerNorm};
use vit_mae::mae::loss::PixelTarget;

fn random<F: Real>(purpose: u64, rows: usize, columns: usize) -> Array2<F> {
    let mut rng = rng(11, Purpose::Synthetic, 0, purpose);
    Array2::from_shape_simple_fn((rows, columns), || F::of(2.0 * uniform(&mut rng) - 1.0))
}

/// The largest difference between what was computed in `F` and the plain form in f64, over the largest value.
fn error<F: Real>(found: &Array2<F>, plain: &Array2<f64>) -> f64 {
    assert_eq!(found.dim(), plain.dim());
    let largest = plain.fold(0.0, |max: f64, x| max.max(x.abs()));
    found.iter().zip(plain).fold(0.0, |max: f64, (x, y)| max.max((x.f64() - y).abs())) / largest
}

fn limit<F: Real>() -> f64 {
    if F::NAME == "f64" { 1e-12 } else { 2e-6 }
}

fn wide<F: Real>(x: ArrayView2<F>) -> Array2<f64> {
    x.mapv(Real::f64)
}

fn small_products<F: Real>() {
    let gemm = Backend::default().build::<F>();
    let mut own = 0;
    for (m, k, n) in
        [(1, 1, 1), (2, 3, 5), (5, 13, 4), (13, 32, 13), (13, 13, 32), (50, 16, 50), (50, 50, 16)]
            .into_iter()
            .chain([(7, 64, 33), (17, 17, 64), (197, 32, 20), (3, 65, 8), (40, 80, 40), (197, 197, 32)])
    {
        own += usize::from(small::fits(m, k, n));
        let (a, at) = (random::<F>(0, m, k + 3), random::<F>(1, k, m + 1));
        let (b, bt) = (random::<F>(2, k, n + 2), random::<F>(3, n, k + 5));
        let [a, at] = [a.slice(s![.., 2..k + 2]), at.slice(s![.., 1..])];
        let [b, bt] = [b.slice(s![.., ..n]), bt.slice(s![.., 4..k + 4])];
        for (a, b) in [(a, b), (a, bt.t()), (at.t(), b), (at.t(), bt.t())] {
            let mut c = Array2::from_elem((m, n + 4), F::nan());
            small::product(&*gemm, F::of(0.75), a, b, c.slice_mut(s![.., 1..=n]));
            let plain = wide(a).dot(&wide(b)) * 0.75;
            let found = c.slice(s![.., 1..=n]).to_owned();
            assert!(error(&found, &plain) < limit::<F>(), "{} {m}×{k}×{n}", F::NAME);
            let around = c.slice(s![.., 0]).iter().chain(c.slice(s![.., n + 1..])).all(|x| x.is_nan());
            assert!(around, "{m}×{k}×{n}: nothing else is written");
        }
    }
    assert_eq!(own, 10, "the last three are handed to the backend");
}

#[test]
fn small_products_are_those_of_a_triple_loop() {
    small_products::<f64>();
    small_products::<f32>();
}

fn attention<F: Real>() {
    let (images, tokens, heads, head_width) = (3, 7, 2, 12);
    let width = heads * head_width;
    let mut layer = Attention::<F>::new(width, heads);
    init(&mut layer, 1);
    layer.qkv.weight.mapv_inplace(|x| x * F::of(4.0)); // scores far apart
    let x = random::<F>(4, images * tokens, width);
    let qkv = wide(x.view()).dot(&wide(layer.qkv.weight.t().view));
    let mut context = Array2::zeros((images * tokens, width));
    for (image, head) in (0..images).flat_map(|image| (0..heads).map(move |head| (image, head))) {
        let rows = image * tokens..(image + 1) * tokens;
        let part = |part: usize| {
            let first = part * width + head * head_width;
            qkv.slice(s![rows.clone(), first..first + head_width])
        };
        let mut p = (part(0).dot(&part(1).t()) / (head_width as f64).sqrt()).exp();
        let sums = p.sum_axis(Axis(1)).insert_axis(Axis(1));
        p /= &sums;
        let columns = head * head_width..(head + 1) * head_width;
        context.slice_mut(s![rows.clone(), columns]).assign(&p.dot(&part(2)));
    }
    let plain = context.dot(&wide(layer.proj.weight.t().view));
    let (found, _) = layer.forward(x, tokens, &mut Exec::new(Backend::default()));
    assert!(error(&found, &plain) < limit::<F>(), "{}: {:e}", F::NAME, error(&found, &plain));
}

#[test]
fn attention_is_the_softmax_of_its_scores_head_by_head() {
    attention::<f64>();
    attention::<f32>();
}

fn layer_norm<F: Real>() {
    let (rows, width) = (70, 37);
    let mut layer = LayerNorm::<F>::new(width, 1e-6);
    layer.weight = random::<F>(5, 1, width).remove_axis(Axis(0));
    layer.bias = random::<F>(6, 1, width).remove_axis(Axis(0));
    let x = random::<F>(7, rows, width);
    let vector = |v: &Array1<F>| v.mapv(Real::f64);
    let mut plain = wide(x.view());
    for mut row in plain.outer_iter_mut() {
        let mean = row.sum() / width as f64;
        let variance = row.mapv(|x| (x - mean) * (x - mean)).sum() / width as f64;
        let normed = row.mapv(|x| (x - mean) / (variance + 1e-6).sqrt());
        row.assign(&(normed * vector(&layer.weight) + vector(&layer.bias)));
    }
    let (found, _) = layer.forward(x, &mut Exec::new(Backend::default()));
    assert!(error(&found, &plain) < limit::<F>(), "{}", F::NAME);
}

#[test]
fn layer_norm_is_its_formula() {
    layer_norm::<f64>();
    layer_norm::<f32>();
}

fn gelu_of<F: Real>() {
    let h = random::<F>(8, 65, 33) * F::of(6.0);
    let exact = wide(h.view());
    let phi = |x: f64| (-0.5 * x * x).exp() / (2.0 * std::f64::consts::PI).sqrt();
    let cdf = |x: f64| 0.5 * libm::erfc(-x / 2.0f64.sqrt());
    let (a, slope) = gelu(h, &mut Exec::new(Backend::default()));
    assert!(error(&a, &exact.mapv(|x| x * cdf(x))) < limit::<F>(), "{}", F::NAME);
    assert!(error(&slope, &exact.mapv(|x| cdf(x) + x * phi(x))) < limit::<F>(), "{}", F::NAME);
}

#[test]
fn gelu_and_its_slope_are_their_formulas() {
    gelu_of::<f64>();
    gelu_of::<f32>();
}

#[test]
fn the_normalised_target_is_its_formula() {
    let images = random::<f64>(9, 2, 3 * 12 * 8).into_shape_with_order((2, 3, 12, 8)).expect("the same size");
    let target = |norm_pix_loss| {
        PixelTarget { patch_size: 4, norm_pix_loss }.target(images.view(), &mut Exec::new(Backend::default()))
    };
    let (pixels, found) = (target(false), target(true));
    for ((image, l), row) in (0..2).flat_map(|image| (0..6).map(move |l| (image, l))).zip(pixels.outer_iter())
    {
        let (y, x) = (l / 2 * 4, l % 2 * 4);
        let values = (0..48).map(|j| images[[image, j % 3, y + j / 12, x + j / 3 % 4]]);
        assert!(row.iter().copied().eq(values), "the order is row, column, channel");
    }
    let mut plain = pixels;
    for mut row in plain.outer_iter_mut() {
        let mean = row.sum() / 48.0;
        let variance = row.mapv(|x| (x - mean) * (x - mean)).sum() / 47.0;
        row.mapv_inplace(|x| (x - mean) / (variance + 1e-6).sqrt());
    }
    assert!(error(&found, &plain) < 1e-12);
}

/// The weights and the last loss of a short run with this instruction set; `None` if the machine lacks it.
fn trained_with(instruction_set: &str) -> Option<(Vec<u8>, f64)> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let run = folder.path().join("run");
    let output = Command::cargo_bin("vit-mae")
        .expect("the program is built")
        .env("VIT_MAE_SIMD", instruction_set)
        .args(["pretrain", "--epochs", "1", "--threads", "2", "--out"])
        .arg(&run)
        .args(["--set", "data.path=\"data/fashion-mini\"", "--set", "model.depth=1"])
        .args(["--set", "optim.batch_size=512", "--set", "run.held_out_images=16"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("the program runs");
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.code() == Some(2) && error.contains("one that this machine has") {
        return None;
    }
    assert!(output.status.success(), "{error}");
    let metrics = fs::read_to_string(run.join("metrics.jsonl")).expect("a log");
    let last: serde_json::Value = serde_json::from_str(metrics.lines().last()?).expect("JSON");
    let loss = last["held_out_loss"].as_f64().expect("a held-out loss");
    Some((fs::read(run.join("checkpoint/model.safetensors")).expect("weights"), loss))
}

#[test]
fn training_has_the_same_bits_with_avx2_and_avx512_and_nearly_the_same_loss_without_either() {
    let scalar = trained_with("scalar").expect("every machine has it");
    let [avx2, avx512] = ["avx2", "avx512"].map(trained_with);
    for vectors in [&avx2, &avx512].into_iter().flatten() {
        assert!((vectors.1 / scalar.1 - 1.0).abs() < 1e-3, "{} and {}", vectors.1, scalar.1);
    }
    if let (Some(avx2), Some(avx512)) = (avx2, avx512) {
        assert!(avx2.0 == avx512.0, "the same weights, bit for bit");
    }
}

#[test]
fn an_instruction_set_that_the_machine_lacks_is_refused() {
    let output =
        Command::cargo_bin("vit-mae").expect("built").env("VIT_MAE_SIMD", "mmx").arg("bench").output();
    let output = output.expect("the program runs");
    assert_eq!(output.status.code(), Some(2));
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(error.contains("VIT_MAE_SIMD") && error.contains("scalar") && error.contains("mmx"), "{error}");
}
