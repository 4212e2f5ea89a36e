//! The worked examples of predicting tokens: k-means, the mask token, the loss, computed by the library.

use crate::example::Example;
use ndarray::{Array1, Array2};
use vit_mae::exec::Backend;
use vit_mae::models::beit::block_mask::ORIGINAL_RATIO;
use vit_mae::models::beit::mask_token::MaskToken;
use vit_mae::models::beit::model::predictions;
use vit_mae::models::beit::{BlockMasking, Codebook, kmeans};
use vit_mae::models::classify::cross_entropy;
use vit_mae::params::Params;
use vit_mae::tasks::beit::monitor;

fn numbers(ids: impl IntoIterator<Item = usize>) -> Array1<f64> {
    ids.into_iter().map(|id| id as f64).collect()
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "whole numbers on the page")]
fn indices(printed: &Array1<f64>) -> Vec<usize> {
    printed.iter().map(|&id| id as usize).collect()
}

#[test]
fn lloyds_iteration_has_the_numbers_of_its_chapter() {
    let mut e = Example::read("15-tokens.md", "lloyd");
    let (x, codebook) = (e.given("x"), Codebook::new(e.given("c")));
    let squares = Array2::from_shape_fn((x.nrows(), codebook.tokens()), |(i, k)| {
        (&x.row(i) - &codebook.centroids.row(k)).mapv(|d| d * d).sum()
    });
    e.check("‖x − c‖²", &squares);
    let engine = Backend::default().into();
    let first = kmeans::iterate(x.view(), &codebook, &engine);
    e.check("tokens", &numbers(first.ids));
    e.check("counts", &numbers(first.counts));
    e.check_scalar("inertia", first.inertia);
    e.check("new c", &first.next.centroids);
    let second = kmeans::iterate(x.view(), &first.next, &engine);
    e.check("new tokens", &numbers(second.ids));
    e.check_scalar("new inertia", second.inertia);
    assert_eq!(second.next, first.next, "the page says that nothing changes any more");
    e.done();
}

#[test]
fn the_mask_token_has_the_numbers_of_its_chapter() {
    let mut e = Example::read("15-tokens.md", "mask token");
    let masked: Vec<bool> = e.vector("w").iter().map(|&w| w == 1.0).collect();
    let mut layer = MaskToken::new(2);
    layer.mask_token.as_slice_mut().unwrap().copy_from_slice(e.vector("τ").as_slice().unwrap());
    let (z, dx) = (e.given("z"), e.given("dx"));
    e.check("x", &layer.forward(z, &masked));
    let mut grad = layer.zeros_like();
    e.check("dz", &MaskToken::backward(&masked, dx, &mut grad));
    e.check("dτ", &grad.mask_token);
    e.done();
}

#[test]
fn the_loss_of_masked_patches_has_the_numbers_of_its_chapter() {
    let mut e = Example::read("15-tokens.md", "masked patches");
    let (logits, labels) = (e.given("s"), indices(&e.vector("tokens")));
    let (patches, tokens) = logits.dim();
    let one_hot = cross_entropy::targets(&labels, tokens, 0.0);
    let loss = |rows: std::ops::Range<usize>| {
        let of = |matrix: &Array2<f64>| matrix.slice(ndarray::s![rows.clone(), ..]).to_owned();
        cross_entropy::sum(&of(&logits), &of(&one_hot))
    };
    let mut p = logits.mapv(f64::exp);
    p.outer_iter_mut().for_each(|mut row| row /= row.sum());
    e.check("p", &p);
    e.check("ℓ", &(0..patches).map(|m| loss(m..m + 1)).collect::<Array1<f64>>());
    e.check_scalar("loss", loss(0..patches) / patches as f64);
    e.check_scalar("mean of the images' means", f64::midpoint(loss(0..2) / 2.0, loss(2..3)));
    e.check("ds", &cross_entropy::backward(&logits, &one_hot, patches));

    let predicted: Vec<usize> = predictions(&logits).collect();
    let hits = predicted.iter().zip(&labels).filter(|(predicted, label)| predicted == label).count();
    e.check("predicted", &numbers(predicted));
    e.check_scalar("accuracy", hits as f64 / patches as f64);
    let frequencies = one_hot.sum_axis(ndarray::Axis(0)) / patches as f64;
    e.check_scalar("most frequent", frequencies.fold(0.0, |max: f64, &f| max.max(f)));
    e.check_scalar("ln V", (tokens as f64).ln());
    e.check_scalar("−Σ f ln f", frequencies.iter().filter(|&&f| f > 0.0).map(|f| -f * f.ln()).sum());
    e.done();
}

#[test]
fn trivial_predictors_have_the_numbers_of_their_chapter() {
    let mut e = Example::read("15-tokens.md", "trivial predictors");
    let (tokens, w) = (e.given("tokens"), e.given("w"));
    let grid = tokens.dim();
    let ids = indices(&tokens.flatten().to_owned());
    let masked: Vec<bool> = w.iter().map(|&w| w == 1.0).collect();
    let hidden: Vec<usize> = (0..ids.len()).filter(|&patch| masked[patch]).collect();
    e.check("hidden tokens", &numbers(hidden.iter().map(|&patch| ids[patch])));
    // With the printed token at one hidden patch and tokens that nobody has at the others, copying is right just once.
    let copied = e.vector("nearest visible");
    for (&patch, &token) in hidden.iter().zip(&indices(&copied)) {
        let mut guessed = ids.clone();
        for &other in &hidden {
            guessed[other] = usize::MAX;
        }
        guessed[patch] = token;
        let right = monitor::nearest_visible(&guessed, &masked, grid);
        assert!((right - 1.0 / hidden.len() as f64).abs() < 1e-12, "patch {patch} copies {token}");
    }
    e.check_scalar("accuracy of copying", monitor::nearest_visible(&ids, &masked, grid));
    e.check_scalar("accuracy of always 0", monitor::most_frequent(&ids, &masked, 3));
    e.done();
}

#[test]
fn block_sizes_are_those_of_their_chapter() {
    let mut e = Example::read("15-tokens.md", "block sizes");
    for side in [14, 8, 7] {
        let masking = BlockMasking::of_grid((side, side), ORIGINAL_RATIO);
        let printed = format!("{side} × {side}: target, min_area");
        e.check(&printed, &numbers([masking.target, masking.min_area]));
    }
    e.done();
}
