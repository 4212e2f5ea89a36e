//! The classifier: its gradient and its formula, with either pooling.

use super::formulas::{agree, all};
use super::shapes::{IMAGES, config, filled, images, random};
use crate::audit::gradcheck::GradCheck;
use crate::audit::report::Report;
use crate::exec::{Backend, Exec};
use crate::tasks::{Classifier, ClassifierConfig, Pass, Pooling, cross_entropy};
use ndarray::{Array2, Array4};

const CLASSES: usize = 7;

/// Tokens of an image: the class token and 2 × 3 patches.
const TOKENS: usize = 7;

fn model(check: &GradCheck, pooling: Pooling) -> Classifier<f64> {
    let config = ClassifierConfig::new(&config(3, false), CLASSES, pooling);
    config.validate().expect("a possible model");
    filled(check, Classifier::new(&config))
}

fn batch(check: &GradCheck) -> (Array4<f64>, Array2<f64>) {
    (images(check, &config(3, false)), cross_entropy::targets(&[3, 0, 6], CLASSES, 0.1))
}

pub(super) fn gradient(check: &GradCheck, pooling: Pooling) -> Report {
    let (images, targets) = batch(check);
    check.loss(
        &model(check, pooling),
        &images,
        |model, images, cx| {
            let (logits, cache) = model.forward(images.view(), &Pass::default(), cx);
            (cross_entropy::sum(&logits, &targets) / IMAGES as f64, (logits, cache))
        },
        |model, (logits, cache), grad, cx| {
            let dlogits = cross_entropy::backward(&logits, &targets, IMAGES);
            let dpatches = model.backward(cache, dlogits.view(), grad, cx);
            model.images_gradient(&dpatches.expect("everything is trained"), cx)
        },
    )
}

pub(super) fn pooling_gradient(check: &GradCheck, pooling: Pooling) -> Report {
    check.function(
        &random(check, (IMAGES * 5, 6)),
        |x, cx| pooling.pool(x, 5, cx),
        |_, dy, cx| pooling.backward(dy, 5, cx),
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
        .map(|(name, pooling)| agree(name, &pooling.pool(&x, 5, cx), pooled(&x, 5, pooling))))
}

/// Positions on the class token and every patch, blocks; then as the reference has it: all tokens normalised and the
/// class token's row taken, or the mean over patches normalised; then the head. Parts have checks of their own.
pub(super) fn formula(check: &GradCheck, pooling: Pooling) -> Report {
    let cx = &mut Exec::new(Backend::default());
    let (model, (images, _)) = (model(check, pooling), batch(check));
    let (logits, _) = model.forward(images.view(), &Pass::default(), cx);
    let patches = model.patch_embed.forward(images.view(), cx).0;
    let mut x = Array2::from_shape_fn((IMAGES * TOKENS, patches.ncols()), |(row, d)| {
        let token = match (row % TOKENS).checked_sub(1) {
            None => model.cls_token[(0, 0, d)],
            Some(patch) => patches[(row / TOKENS * (TOKENS - 1) + patch, d)],
        };
        token + model.pos_embed[(0, row % TOKENS, d)]
    });
    for block in &model.blocks {
        x = block.forward(x, TOKENS, cx).0;
    }
    let norm = &model.pool.norm;
    let features = match pooling {
        Pooling::Class => pooled(&norm.forward(&x, cx).0, TOKENS, pooling),
        Pooling::Mean => norm.forward(&pooled(&x, TOKENS, pooling), cx).0,
    };
    let expected = model.head.forward(features.clone(), cx).0;
    all([
        agree("logits", &logits, expected.clone()),
        agree("features in evaluation", &model.features(images.view(), cx), features),
        agree("logits in evaluation", &model.logits(images.view(), cx), expected),
    ])
}
