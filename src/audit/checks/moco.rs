//! MoCo v3: gradients of trunk, heads and loss, and of the whole network in two passes.

use super::moco_formulas::{BATCH, config, crops, encoder, model};
use super::shapes::{every_element, filled, positions_fixed, random};
use crate::audit::gradcheck::GradCheck;
use crate::audit::report::Report;
use crate::exec::probe::Recorder;
use crate::exec::{Backend, Exec};
use crate::layers::{AffineBatchNorm, LinearMap, Relu};
use crate::models::moco::loss::InfoNce;
use crate::models::moco::{Predictor, Projector};
use crate::params::Params;
use ndarray::{Array2, Array4, Axis, arr0, concatenate, s};
use std::collections::BTreeSet;

/// The nearest that an element may come to ReLU's kink, far beyond what a difference moves.
const FROM_KINK: f64 = 1e-3;

/// Of the whole network's loss: batch norms over five rows make its gradient so large that the rounding of a difference
/// quotient would be more than what a key's bias, whose true gradient is 0, may have.
const SCALE: f64 = 1.0 / 16.0;

/// The first of other seeds whose batch norms' outputs, which ReLU sees, stay away from its kink.
fn away_from_kinks(check: &GradCheck, run: impl Fn(&GradCheck, &mut Exec<f64>)) -> GradCheck {
    let mut seeds = (0..).map(|i| GradCheck { seed: check.seed.wrapping_add(1000 * i), ..check.clone() });
    let is_away = |check: &GradCheck| {
        let recorder = Recorder::default();
        run(check, &mut Exec::new(Backend::default()).with_probe(recorder.clone()));
        let seen = recorder.tensors();
        let before_relu = seen.iter().filter(|(name, _)| name.contains("norm"));
        before_relu.flat_map(|(_, x)| x).all(|x| x.abs() > FROM_KINK)
    };
    seeds.find(is_away).expect("most seeds are")
}

pub(super) fn linear_map(check: &GradCheck) -> Report {
    check.layer(
        &filled(check, LinearMap::new(5, 3)),
        &random(check, (70, 5)),
        |map, x, cx| map.forward(x.clone(), cx),
        |map, cache, dy, grad, cx| map.backward(cache, dy.view(), grad, cx),
    )
}

pub(super) fn relu(check: &GradCheck) -> Report {
    let x = random(check, (9, 4)).mapv(|x: f64| x + 0.1 * x.signum());
    every_element(check).function(
        &x,
        |x, cx| Relu.forward(x.clone(), cx).0,
        |x, dy, cx| {
            let cache = Relu.forward(x.clone(), cx).1;
            Relu.backward(cache, dy.view(), &mut Relu, cx)
        },
    )
}

pub(super) fn affine_batch_norm(check: &GradCheck, training: bool) -> Report {
    let mut norm = filled(check, AffineBatchNorm::new(4, 1e-5));
    let (_, seen) = norm.forward(3.0 * random(check, (6, 4)) + 0.5, &mut Exec::new(Backend::default()));
    norm.track(seen.statistics().expect("of a training batch"));
    check.layer(
        &norm,
        &random(check, (9, 4)),
        |norm, x, cx| {
            if training { norm.forward(x.clone(), cx) } else { norm.forward_eval(x.clone(), cx) }
        },
        |norm, cache, dy, grad, cx| norm.backward(cache, dy.view(), grad, cx),
    )
}

pub(super) fn projector(check: &GradCheck) -> Report {
    let projector = |check: &GradCheck| filled(check, Projector::new(&config(true)));
    let features = |check: &GradCheck| random(check, (BATCH, config(true).vit.embed_dim));
    let check = away_from_kinks(check, |check, cx| {
        let _ = projector(check).forward(features(check), cx);
    });
    check.layer(
        &projector(&check),
        &features(&check),
        |projector, x, cx| projector.forward(x.clone(), cx),
        |projector, cache, dy, grad, cx| projector.backward(cache, dy.view(), grad, cx),
    )
}

pub(super) fn predictor(check: &GradCheck) -> Report {
    let predictor = |check: &GradCheck| filled(check, Predictor::new(&config(true)));
    let projected = |check: &GradCheck| random(check, (BATCH, config(true).out_dim));
    let check = away_from_kinks(check, |check, cx| {
        let _ = predictor(check).forward(projected(check), cx);
    });
    check.layer(
        &predictor(&check),
        &projected(&check),
        |predictor, x, cx| predictor.forward(x.clone(), cx),
        |predictor, cache, dy, grad, cx| predictor.backward(cache, dy.view(), grad, cx),
    )
}

/// Queries of various lengths; keys are constants.
pub(super) fn info_nce(check: &GradCheck) -> Report {
    let q: Array2<f64> = random(check, (BATCH, 4));
    let k = q.mapv(|x| (5.0 * x).sin());
    every_element(check).function(
        &q,
        |q, cx| arr0(InfoNce::new(q, &k, 0.3, cx).loss),
        |q, dloss, cx| InfoNce::new(q, &k, 0.3, cx).backward(cx).dq * dloss,
    )
}

pub(super) fn trunk(check: &GradCheck, stop_grad_conv1: bool) -> Report {
    let images = crops(check)[0].clone();
    frozen(check, stop_grad_conv1).layer(
        &model(check, stop_grad_conv1).base.trunk,
        &images,
        |trunk, images, cx| trunk.forward(images.view(), cx),
        |trunk, cache, dy, grad, cx| {
            let dpatches = trunk.backward(cache, dy.view(), grad, cx);
            trunk.vit.images_gradient(&dpatches, cx)
        },
    )
}

/// The whole network in two passes, in chunks of two images: both crops' images, one below the other, are the input. Whatever
/// shifts all features the first batch norm takes out again, so the shift of the norm in front of it has no gradient.
pub(super) fn moco(check: &GradCheck, stop_grad_conv1: bool) -> Report {
    let cx = &mut Exec::new(Backend::default());
    let keys_of = |check: &GradCheck, cx: &mut Exec<f64>| {
        let encoder = encoder(check);
        let features = crops(check).map(|images| encoder.trunk.infer(images.view(), cx));
        encoder.keys(features, cx).0
    };
    let check = away_from_kinks(check, |check, cx| {
        let model = model(check, stop_grad_conv1);
        let features =
            crops(check).map(|x| model.base.trunk.infer(x.view(), &mut Exec::new(Backend::default())));
        let keys = keys_of(check, &mut Exec::new(Backend::default()));
        let _ = model.forward(features, &keys, cx);
    });
    let keys = keys_of(&check, cx);
    let [first, second] = crops(&check);
    let images = concatenate(Axis(0), &[first.view(), second.view()]).expect("images of one size");
    let check = GradCheck { zero: &["norm.bias"], ..frozen(&check, stop_grad_conv1) };
    check.loss(
        &model(&check, stop_grad_conv1),
        &images,
        |model, images: &Array4<f64>, cx| {
            let views = images.axis_chunks_iter(Axis(0), BATCH).map(|crop| model.base.trunk.infer(crop, cx));
            let features = views.collect::<Vec<_>>().try_into().expect("two crops");
            let (contrast, cache) = model.forward(features, &keys, cx);
            (SCALE * contrast.loss(), cache)
        },
        |model, cache, grad, cx| {
            let mut own = model.zeros_like();
            let dfeatures = model.backward(cache, &mut own, cx);
            let mut dimages = Array4::zeros(images.dim());
            for first in (0..BATCH).step_by(2) {
                let rows = first..BATCH.min(first + 2);
                let of_crop = |crop: usize| rows.start + crop * BATCH..rows.end + crop * BATCH;
                let views = [0, 1].map(|crop| images.slice(s![of_crop(crop), .., .., ..]));
                let dpatches = model.backward_chunk(views, &dfeatures, rows.clone(), &mut own, cx);
                for (crop, dpatches) in dpatches.iter().enumerate() {
                    let part = model.base.trunk.vit.images_gradient(dpatches, cx);
                    dimages.slice_mut(s![of_crop(crop), .., .., ..]).assign(&part);
                }
            }
            own.scale(SCALE);
            grad.accumulate(&own);
            dimages * SCALE
        },
    )
}

/// Positions are fixed; a frozen patch projection gets no gradient either.
fn frozen(check: &GradCheck, stop_grad_conv1: bool) -> GradCheck {
    let projection = ["patch_embed.proj.weight", "patch_embed.proj.bias"].map(str::to_owned);
    let frozen = if stop_grad_conv1 { projection.into() } else { BTreeSet::new() };
    GradCheck { frozen, ..positions_fixed(check) }
}
