//! The classifier with its pooling and drop path, tuned whole or in part: gradients and formulas.

use super::formulas::{agree, all};
use super::shapes::{IMAGES, config, filled, images, random};
use crate::audit::gradcheck::GradCheck;
use crate::audit::report::Report;
use crate::base::rng::{Purpose, rng, uniform};
use crate::exec::{Backend, Exec};
use crate::layers::Block;
use crate::layers::drop_path::{Branches, DropPath};
use crate::models::classify::{Classifier, ClassifierConfig, Pooling, cross_entropy};
use crate::models::vit::ForwardOptions;
use crate::optim::groups;
use crate::params::Params;
use ndarray::{Array2, Array4};
use std::collections::BTreeSet;

const CLASSES: usize = 7;

/// Tokens of an image: the class token and 2 × 3 patches.
const TOKENS: usize = 7;

fn model(check: &GradCheck, pooling: Pooling) -> Classifier<f64> {
    let config = ClassifierConfig::new(&config(3, false).vit(), CLASSES, pooling);
    config.validate().expect("a possible model");
    filled(check, Classifier::new(&config))
}

fn batch(check: &GradCheck) -> (Array4<f64>, Array2<f64>) {
    (images(check, &config(3, false)), cross_entropy::targets(&[3, 0, 6], CLASSES, 0.1))
}

pub(super) fn gradient(check: &GradCheck, pooling: Pooling) -> Report {
    gradient_of(check, pooling, &ForwardOptions::default())
}

/// Some branches dropped and some kept, in every block.
pub(super) fn gradient_dropping(check: &GradCheck) -> Report {
    gradient_of(check, Pooling::Mean, &dropping(&branches()))
}

/// What is frozen must be left untouched: by the update's own list of it, [`groups::tunes`].
pub(super) fn gradient_tuning(check: &GradCheck, pooling: Pooling, last_blocks: usize) -> Report {
    let branches = branches();
    let tuning = ForwardOptions { tune_blocks: Some(last_blocks), ..dropping(&branches) };
    gradient_of(check, pooling, &tuning)
}

fn dropping(branches: &Branches<f64>) -> ForwardOptions<'_, f64> {
    ForwardOptions { drop_path: Some(branches), ..ForwardOptions::default() }
}

fn gradient_of(check: &GradCheck, pooling: Pooling, o: &ForwardOptions<f64>) -> Report {
    let (images, targets) = batch(check);
    let model = model(check, pooling);
    let names = model.tensors().into_iter().map(|t| t.name);
    let tuned = |name: &String| groups::tunes(name, model.config.depth, o.tune_blocks);
    let (tuned, frozen): (BTreeSet<_>, BTreeSet<_>) = names.partition(tuned);
    let mut check = GradCheck { frozen, ..check.clone() };
    if !check.frozen.is_empty() {
        // Backward ends above the images.
        check.only = Some(&tuned | &check.frozen);
    }
    check.loss(
        &model,
        &images,
        |model, images, cx| {
            let (logits, cache) = model.forward(images.view(), o, cx);
            (cross_entropy::sum(&logits, &targets) / IMAGES as f64, (logits, cache))
        },
        |model, (logits, cache), grad, cx| {
            let dlogits = cross_entropy::backward(&logits, &targets, IMAGES);
            match model.backward(cache, dlogits.view(), grad, cx) {
                Some(dpatches) => model.vit.images_gradient(&dpatches, cx),
                None => Array4::zeros(images.dim()),
            }
        },
    )
}

/// Factors of two blocks' branches for three images: dropped, kept with various rates, and left alone.
fn branches() -> Branches<f64> {
    let factors = [[0.0, 1.25, 1.25], [1.25, 0.0, 1.25], [1.5, 1.5, 0.0], [1.0, 1.0, 1.0]];
    Branches(factors.map(|branch| branch.to_vec()).to_vec())
}

/// `x + s · f(x)`, image by image.
fn residual(x: &Array2<f64>, branch: &Array2<f64>, factors: &[f64]) -> Array2<f64> {
    let tokens = x.nrows() / factors.len();
    Array2::from_shape_fn(x.dim(), |(row, d)| x[(row, d)] + factors[row / tokens] * branch[(row, d)])
}

pub(super) fn drop_path_gradient(check: &GradCheck) -> Report {
    let branches = branches();
    check.layer(
        &filled(check, Block::new(6, 2, 10, 1e-6)),
        &random(check, (IMAGES * 5, 6)),
        |block, x, cx| block.forward_with(x.clone(), 5, branches.of_block(0), None, cx),
        |block, cache, dy, grad, cx| block.backward(cache, dy.view(), grad, cx),
    )
}

/// Of a block of which only some rows are needed behind attention; the others matter all the same, as keys and values.
pub(super) fn some_rows_gradient(check: &GradCheck) -> Report {
    let branches = branches();
    let rows: Vec<usize> = (0..IMAGES).flat_map(|image| [image * 5, image * 5 + 3]).collect();
    check.layer(
        &filled(check, Block::new(6, 2, 10, 1e-6)),
        &random(check, (IMAGES * 5, 6)),
        |block, x, cx| block.forward_with(x.clone(), 5, branches.of_block(0), Some(&rows), cx),
        |block, cache, dy, grad, cx| block.backward(cache, dy.view(), grad, cx),
    )
}

/// The factors that a seed decides: a branch is dropped where its number is below `p_i`, and `1/(1 − p_i)` otherwise.
pub(super) fn drop_path_formula(_: &GradCheck) -> Report {
    const DEPTH: usize = 4;
    let samples: Vec<u64> = (10..40).collect();
    let drop_path = DropPath { rate: 0.6, depth: DEPTH };
    let drawn: Branches<f64> = drop_path.draw(7, 2, &samples).expect("a rate above 0");
    let found: Vec<f64> = drawn.0.into_iter().flatten().collect();
    let factor = |branch: usize, sample: u64| {
        let mut numbers = rng(7, Purpose::DropPath, 2, sample);
        let number = (0..=branch).fold(0.0, |_, _| uniform(&mut numbers));
        let p = [0.0, 0.2, 0.4, 0.6][branch / 2];
        if number < p { 0.0 } else { 1.0 / (1.0 - p) }
    };
    let formula = (0..2 * DEPTH).flat_map(|branch| samples.iter().map(move |&sample| factor(branch, sample)));
    agree("0 or 1/(1 − p)", &found, formula)
}

pub(super) fn pooling_gradient(check: &GradCheck, pooling: Pooling) -> Report {
    check.function(
        &random(check, (IMAGES * 5, 6)),
        |x, cx| pooling.pool(x, IMAGES, cx),
        |_, dy, cx| {
            // A used buffer, in which what is not written would show.
            let mut used = cx.take(IMAGES * 5, 6);
            used.fill(1.0);
            cx.recycle(used);
            pooling.backward(dy.view(), 5, cx)
        },
    )
}

/// One row an image: the class token's, or the mean over the patches'.
fn pooled(x: &Array2<f64>, tokens: usize, pooling: Pooling) -> Array2<f64> {
    Array2::from_shape_fn((x.nrows() / tokens, x.ncols()), |(image, d)| match pooling {
        Pooling::Class => x[(image * tokens, d)],
        Pooling::Mean => {
            (1..tokens).map(|token| x[(image * tokens + token, d)]).sum::<f64>() / (tokens - 1) as f64
        }
    })
}

pub(super) fn pooling_formula(check: &GradCheck) -> Report {
    let (x, cx) = (random(check, (IMAGES * 5, 6)), &mut Exec::new(Backend::default()));
    all([("class token", Pooling::Class), ("mean over patches", Pooling::Mean)]
        .map(|(name, pooling)| agree(name, &pooling.pool(&x, IMAGES, cx), pooled(&x, 5, pooling))))
}

/// Positions on the class token and every patch, blocks with drop path; then as the reference has it: all tokens
/// normalised and the class token's row taken, or the mean over patches normalised; then the head. Parts have checks of
/// their own.
pub(super) fn formula(check: &GradCheck, pooling: Pooling) -> Report {
    let cx = &mut Exec::new(Backend::default());
    let (model, (images, _)) = (model(check, pooling), batch(check));
    let (kept, branches) = (Branches(vec![vec![1.0; IMAGES]; 4]), branches());
    let (whole, _) = model.forward(images.view(), &ForwardOptions::default(), cx);
    let (dropped, _) = model.forward(images.view(), &dropping(&branches), cx);
    let (features, logits) = plain(&model, &images, &kept, cx);
    all([
        agree("logits with drop path", &dropped, plain(&model, &images, &branches, cx).1),
        agree("logits", &whole, logits.clone()),
        agree("features in evaluation", &model.features(images.view(), cx), features),
        agree("logits in evaluation", &model.logits(images.view(), cx), logits),
    ])
}

/// Features and logits.
fn plain(
    model: &Classifier<f64>,
    images: &Array4<f64>,
    branches: &Branches<f64>,
    cx: &mut Exec<f64>,
) -> (Array2<f64>, Array2<f64>) {
    let patches = model.vit.patch_embed.forward(images.view(), cx).0;
    let mut x = Array2::from_shape_fn((IMAGES * TOKENS, patches.ncols()), |(row, d)| {
        let token = match (row % TOKENS).checked_sub(1) {
            None => model.vit.cls_token[(0, 0, d)],
            Some(patch) => patches[(row / TOKENS * (TOKENS - 1) + patch, d)],
        };
        token + model.vit.pos_embed[(0, row % TOKENS, d)]
    });
    for (block, factors) in model.vit.blocks.iter().zip(branches.0.chunks(2)) {
        let normed = block.norm1.forward(x.clone(), cx).0;
        x = residual(&x, &block.attn.forward(normed, TOKENS, cx).0, &factors[0]);
        let normed = block.norm2.forward(x.clone(), cx).0;
        x = residual(&x, &block.mlp.forward(normed, cx).0, &factors[1]);
    }
    let (norm, pooling) = (&model.pool.norm, model.config.pooling);
    let features = match pooling {
        Pooling::Class => pooled(&norm.forward(x, cx).0, TOKENS, pooling),
        Pooling::Mean => norm.forward(pooled(&x, TOKENS, pooling), cx).0,
    };
    let logits = model.head.forward(features.clone(), cx).0;
    (features, logits)
}
