//! MoCo v3: layers, heads and loss as plain loops, the order of a step, and its two passes against one.

use super::formulas::{agree, all};
use super::shapes::{filled, random};
use crate::audit::gradcheck::GradCheck;
use crate::audit::report::Report;
use crate::exec::{Backend, Exec};
use crate::layers::{AffineBatchNorm, LinearMap, Relu};
use crate::models::moco::loss::{InfoNce, Unit};
use crate::models::moco::step::{Step, step};
use crate::models::moco::{BaseEncoder, Moco, MocoConfig, Predictor, Projector, Trunk, momentum};
use crate::params::{Params, Role};
use ndarray::{Array2, Array4, ArrayView2, arr2, s};

/// Images in a batch: enough that a batch norm of them is not just signs, and not a multiple of a chunk's two.
pub(super) const BATCH: usize = 5;

const M: f64 = 0.7;

pub(super) fn config(stop_grad_conv1: bool) -> MocoConfig {
    let config = MocoConfig {
        vit: super::shapes::config(3, false).vit(),
        mlp_dim: 7,
        out_dim: 4,
        temperature: 0.4,
        stop_grad_conv1,
        batch_norm_eps: 1e-5,
        batch_norm_momentum: 0.2,
    };
    config.validate().expect("a possible model");
    config
}

pub(super) fn model(check: &GradCheck, stop_grad_conv1: bool) -> Moco<f64> {
    filled(check, Moco::new(config(stop_grad_conv1)))
}

/// A momentum encoder with other weights than the model's.
pub(super) fn encoder(check: &GradCheck) -> BaseEncoder<f64> {
    filled(&other(check), BaseEncoder::new(&config(true)))
}

/// Two crops of each image.
pub(super) fn crops(check: &GradCheck) -> [Array4<f64>; 2] {
    let [height, width] = config(true).vit.img_size;
    let of = |check: &GradCheck| random(check, (BATCH, 3, height, width));
    [of(check), of(&other(check))]
}

fn other(check: &GradCheck) -> GradCheck {
    GradCheck { seed: check.seed.wrapping_mul(7).wrapping_add(11), ..check.clone() }
}

/// `y_rj = Σ_i x_ri W_ji`.
fn mapped(x: &Array2<f64>, map: &LinearMap<f64>) -> Array2<f64> {
    Array2::from_shape_fn((x.nrows(), map.weight.nrows()), |(r, j)| {
        (0..x.ncols()).map(|i| x[(r, i)] * map.weight[(j, i)]).sum()
    })
}

/// Mean and sum of squared differences from it of a column.
fn moments(x: &Array2<f64>, column: usize) -> (f64, f64) {
    let mean = x.column(column).iter().sum::<f64>() / x.nrows() as f64;
    (mean, x.column(column).iter().map(|x| (x - mean).powi(2)).sum())
}

/// `(x − μ) / √(σ² + 1e-5)` with divisor N.
fn normalised(x: &Array2<f64>) -> Array2<f64> {
    Array2::from_shape_fn(x.dim(), |(r, d)| {
        let (mean, squares) = moments(x, d);
        (x[(r, d)] - mean) / (squares / x.nrows() as f64 + 1e-5).sqrt()
    })
}

fn affine(x: &Array2<f64>, norm: &AffineBatchNorm<f64>) -> Array2<f64> {
    let unit = normalised(x);
    Array2::from_shape_fn(x.dim(), |(r, d)| norm.weight[d] * unit[(r, d)] + norm.bias[d])
}

fn positive(x: &Array2<f64>) -> Array2<f64> {
    x.mapv(|x| if x > 0.0 { x } else { 0.0 })
}

/// What each batch norm of a projector sees, and what comes out.
fn projected(x: &Array2<f64>, p: &Projector<f64>) -> ([Array2<f64>; 3], Array2<f64>) {
    let first = mapped(x, &p.fc1);
    let second = mapped(&positive(&affine(&first, &p.norm1)), &p.fc2);
    let third = mapped(&positive(&affine(&second, &p.norm2)), &p.fc3);
    let y = normalised(&third);
    ([first, second, third], y)
}

fn predicted(x: &Array2<f64>, p: &Predictor<f64>) -> ([Array2<f64>; 2], Array2<f64>) {
    let first = mapped(x, &p.fc1);
    let second = mapped(&positive(&affine(&first, &p.norm1)), &p.fc2);
    let y = normalised(&second);
    ([first, second], y)
}

/// `2 T · mean_i −log(e^(s_ii) / Σ_j e^(s_ij))` with `s_ij = ⟨q_i, k_j⟩ / (‖q_i‖ ‖k_j‖ T)`; and the fraction of rows whose
/// largest is on the diagonal.
fn contrast(q: &Array2<f64>, k: &Array2<f64>, temperature: f64) -> (f64, f64) {
    let n = q.nrows();
    let dot = |a: ArrayView2<f64>, i: usize, b: ArrayView2<f64>, j: usize| -> f64 {
        (0..a.ncols()).map(|d| a[(i, d)] * b[(j, d)]).sum()
    };
    let (q, k) = (q.view(), k.view());
    let cosine = |i, j| dot(q, i, k, j) / (dot(q, i, q, i) * dot(k, j, k, j)).sqrt();
    let (mut loss, mut right) = (0.0, 0.0);
    for i in 0..n {
        let scores: Vec<f64> = (0..n).map(|j| cosine(i, j) / temperature).collect();
        loss -= (scores[i].exp() / scores.iter().map(|s| s.exp()).sum::<f64>()).ln();
        right += f64::from(u8::from(scores.iter().all(|&s| s <= scores[i])));
    }
    (2.0 * temperature * loss / n as f64, right / n as f64)
}

pub(super) fn linear_map(check: &GradCheck) -> Report {
    let (map, x) = (filled(check, LinearMap::new(5, 3)), random(check, (70, 5)));
    let y = map.forward(x.clone(), &mut Exec::new(Backend::default())).0;
    agree("x Wᵀ", &y, mapped(&x, &map))
}

/// At 0, too, where the slope is 0 by convention.
pub(super) fn relu(check: &GradCheck) -> Report {
    let (mut x, cx): (Array2<f64>, _) = (random(check, (9, 4)), &mut Exec::new(Backend::default()));
    x.row_mut(3).fill(0.0);
    let (y, cache) = Relu.forward(x.clone(), cx);
    let dx = Relu.backward(cache, Array2::ones((9, 4)).view(), &mut Relu, cx);
    let slope = x.mapv(|x| f64::from(u8::from(x > 0.0)));
    all([agree("max(x, 0)", &y, positive(&x)), agree("slope", &dx, slope)])
}

pub(super) fn affine_batch_norm(check: &GradCheck) -> Report {
    let (mut norm, cx) = (filled(check, AffineBatchNorm::new(4, 1e-5)), &mut Exec::new(Backend::default()));
    let mut x: Array2<f64> = random(check, (9, 4));
    x.column_mut(1).mapv_inplace(|x| 0.2 + 1e-3 * x);
    let (y, cache) = norm.forward(x.clone(), cx);
    norm.track(cache.statistics().expect("of a training batch"));
    let unseen: Array2<f64> = random(check, (3, 4));
    let (evaluated, _) = norm.forward_eval(unseen.clone(), cx);
    let of_unseen = unseen.indexed_iter().map(|((_, d), value)| {
        let (mean, squares) = moments(&x, d);
        let (mean, variance) = (0.1 * mean, 0.9 + 0.1 * squares / 8.0);
        norm.weight[d] * (value - mean) / (variance + 1e-5).sqrt() + norm.bias[d]
    });
    all([agree("training", &y, affine(&x, &norm)), agree("evaluation", &evaluated, of_unseen)])
}

pub(super) fn heads(check: &GradCheck) -> Report {
    let (model, cx) = (model(check, true), &mut Exec::new(Backend::default()));
    let x: Array2<f64> = random(check, (BATCH, config(true).vit.embed_dim));
    let p = model.base.projector.forward(x.clone(), cx).0;
    let q = model.predictor.forward(p.clone(), cx).0;
    all([
        agree("projector", &p, projected(&x, &model.base.projector).1),
        agree("predictor", &q, predicted(&p, &model.predictor).1),
    ])
}

pub(super) fn info_nce(check: &GradCheck) -> Report {
    let (q, cx): (Array2<f64>, _) = (random(check, (BATCH, 4)), &mut Exec::new(Backend::default()));
    let k = &q + &random(&other(check), (BATCH, 4));
    let found = InfoNce::new(&q, &k, 0.3, cx);
    let (loss, accuracy) = contrast(&q, &k, 0.3);
    // A row of zeros has no direction; it stays 0, and its gradient is that of the division by 1e-12.
    let zeros = Unit::of(&Array2::<f64>::zeros((1, 4)));
    let dx = zeros.backward(Array2::ones((1, 4)));
    let rows_apart = Unit::of(&arr2(&[[3.0, 4.0], [-3.0, 4.0]]));
    all([
        agree("−2 T log p", &[found.loss], [loss]),
        agree("accuracy", &[found.accuracy], [accuracy]),
        agree("zeros", &zeros.rows, [0.0; 4]),
        agree("gradient of zeros", &dx, [1e12; 4]),
        agree("standard deviation", &[rows_apart.spread()], [0.3]),
    ])
}

/// As the original has it: all tokens through the blocks, all normalised, the class token's row taken. Parts have checks of
/// their own.
pub(super) fn trunk(check: &GradCheck) -> Report {
    let (trunk, cx) = (model(check, true).base.trunk, &mut Exec::new(Backend::default()));
    let images = crops(check)[0].clone();
    let patches = trunk.vit.patch_embed.forward(images.view(), cx).0;
    let (len, tokens) = (trunk.vit.config.num_patches(), trunk.vit.config.tokens());
    let mut x = Array2::from_shape_fn((BATCH * tokens, patches.ncols()), |(row, d)| {
        let token = match (row % tokens).checked_sub(1) {
            None => trunk.vit.cls_token[(0, 0, d)],
            Some(patch) => patches[(row / tokens * len + patch, d)],
        };
        token + trunk.vit.pos_embed[(0, row % tokens, d)]
    });
    for block in &trunk.vit.blocks {
        x = block.forward(x, tokens, cx).0;
    }
    let normed = trunk.pool.norm.forward(x, cx).0;
    let formula: Vec<f64> = normed.slice(s![..;tokens, ..]).iter().copied().collect();
    let (trained, _) = trunk.forward(images.view(), cx);
    all([
        agree("features", &trunk.infer(images.view(), cx), formula.clone()),
        agree("features in training", &trained, formula),
    ])
}

/// A step in chunks of so many images.
fn in_chunks(check: &GradCheck, images: usize) -> (Step<f64>, Moco<f64>) {
    let (mut model, encoder, crops) = (model(check, false), encoder(check), crops(check));
    // Nothing reads the online running statistics, and no average takes them in.
    model.base.projector.norm3.running_mean.fill(2.0);
    let cx = || Exec::new(Backend::default());
    let chunk = |crop: &Array4<f64>, first: usize| {
        crop.slice(s![first..BATCH.min(first + images), .., .., ..]).to_owned()
    };
    let firsts = || (0..BATCH).step_by(images);
    let features = |trunk: &Trunk<f64>| {
        crops.each_ref().map(|crop| {
            let mut all = Array2::zeros((BATCH, trunk.vit.config.embed_dim));
            for first in firsts() {
                let part = trunk.infer(chunk(crop, first).view(), &mut cx());
                all.slice_mut(s![first..first + part.nrows(), ..]).assign(&part);
            }
            all
        })
    };
    let trunk_gradient = |dfeatures: &[Array2<f64>; 2], grad: &mut Moco<f64>| {
        for first in firsts() {
            let views = crops.each_ref().map(|crop| chunk(crop, first));
            let rows = first..BATCH.min(first + images);
            model.backward_chunk(views.each_ref().map(|x| x.view()), dfeatures, rows, grad, &mut cx());
        }
    };
    let mut grad = model.zeros_like();
    let step = step(&model, &encoder, M, features, trunk_gradient, &mut grad, &mut cx());
    (step, grad)
}

/// Every element of every weight, in one row: relative to the largest of them all.
fn flat(weights: &impl Params<f64>) -> Vec<f64> {
    let tensors = weights.tensors().into_iter().filter(|t| t.role != Role::Buffer);
    tensors.flat_map(|t| t.data.to_vec()).collect()
}

/// In two passes, in chunks of two images, the gradient is that of one pass, whose caches are kept.
pub(super) fn two_passes(check: &GradCheck) -> Report {
    let ((chunked, grad), cx) = (in_chunks(check, 2), &mut Exec::new(Backend::default()));
    let (model, crops) = (model(check, false), crops(check));
    let keys = {
        let features = crops.each_ref().map(|crop| chunked.encoder.trunk.infer(crop.view(), cx));
        chunked.encoder.keys(features, cx).0
    };
    let [(first, cache1), (second, cache2)] =
        crops.each_ref().map(|crop| model.base.trunk.forward(crop.view(), cx));
    let (contrast, cache) = model.forward([first, second], &keys, cx);
    let mut whole = model.zeros_like();
    let dfeatures = model.backward(cache, &mut whole, cx);
    for (cache, dfeatures) in [cache1, cache2].into_iter().zip(&dfeatures) {
        model.base.trunk.backward(cache, dfeatures.view(), &mut whole.base.trunk, cx);
    }
    all([
        agree("loss", &[chunked.contrast.loss()], [contrast.loss()]),
        agree("gradient", &flat(&grad), flat(&whole)),
    ])
}

/// The order of a step: queries; the moving average; keys with what it gives; both terms; running statistics, crop 1 first.
pub(super) fn order(check: &GradCheck) -> Report {
    let (Step { contrast: found, encoder: averaged }, _) = in_chunks(check, BATCH);
    let (mut model, before, cx) = (model(check, false), encoder(check), &mut Exec::new(Backend::default()));
    let crops = crops(check);
    let average: Vec<f64> =
        flat(&before).iter().zip(flat(&model.base)).map(|(a, w)| M * a + (1.0 - M) * w).collect();
    let mut key_encoder = before.clone();
    let weights = key_encoder.tensors_mut().into_iter().filter(|t| t.role != Role::Buffer);
    weights.flat_map(|t| t.data.write()).zip(&average).for_each(|(x, &a)| *x = a);

    let of = |encoder: &BaseEncoder<f64>, cx: &mut Exec<f64>| {
        crops.each_ref().map(|crop| projected(&encoder.trunk.infer(crop.view(), cx), &encoder.projector))
    };
    let [(seen1, p1), (seen2, p2)] = of(&model.base, cx);
    let [(in1, q1), (in2, q2)] = [&p1, &p2].map(|p| predicted(p, &model.predictor));
    let [(key_seen1, k1), (key_seen2, k2)] = of(&key_encoder, cx);
    let (terms, t) = ([(&q1, &k2), (&q2, &k1)], model.config.temperature);
    let [(loss12, accuracy12), (loss21, accuracy21)] = terms.map(|(q, k)| contrast(q, k, t));
    model.track(&found.statistics);
    all([
        agree("average", &flat(&averaged), average),
        agree("loss", &[found.loss()], [loss12 + loss21]),
        agree("loss12", &[found.losses[0]], [loss12]),
        agree("accuracy", &[found.accuracy()], [f64::midpoint(accuracy12, accuracy21)]),
        agree("projector's buffers", &buffers(&model.base.projector), running(&seen1, &seen2)),
        agree("predictor's buffers", &buffers(&model.predictor), running(&in1, &in2)),
        agree("keys' buffers", &buffers(&averaged.projector), running(&key_seen1, &key_seen2)),
    ])
}

fn buffers(head: &impl Params<f64>) -> Vec<f64> {
    let tensors = head.tensors().into_iter().filter(|t| t.role == Role::Buffer);
    tensors.flat_map(|t| t.data.to_vec()).collect()
}

/// Running mean from 0, variance with divisor N − 1 from 1, and the count, after both crops.
fn running(first: &[Array2<f64>], second: &[Array2<f64>]) -> Vec<f64> {
    let (keep, take) = (0.8, 0.2);
    let norm = |(first, second): (&Array2<f64>, &Array2<f64>)| {
        let columns = || 0..first.ncols();
        let after = |start: f64, a: f64, b: f64| keep * (keep * start + take * a) + take * b;
        let mean = columns().map(|d| after(0.0, moments(first, d).0, moments(second, d).0));
        let over = (BATCH - 1) as f64;
        let variance = columns().map(|d| after(1.0, moments(first, d).1 / over, moments(second, d).1 / over));
        mean.chain(variance).chain([2.0]).collect::<Vec<_>>()
    };
    first.iter().zip(second).flat_map(norm).collect()
}

/// At the start, a third of the way, and at the end; and weights that are equal stay equal to the bit.
pub(super) fn coefficient(check: &GradCheck) -> Report {
    let at = |t: f64| momentum::coefficient(0.9, t, 12.0);
    let (mut same, online) = (encoder(check), encoder(check));
    momentum::average(&mut same, &online, 0.9);
    let moved = flat(&same).iter().zip(flat(&online)).filter(|(a, b)| **a != *b).count() as f64;
    all([
        agree("from m₀ to 1", &[at(0.0), at(4.0), at(6.0), at(12.0)], [0.9, 0.925, 0.95, 1.0]),
        agree("equal weights that moved", &[moved + 1.0], [1.0]),
    ])
}
