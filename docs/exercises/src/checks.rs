//! How each answer is checked: forward is the library's, backward is the answer, and differences decide.
//!
//! Each check takes the answer as a parameter, so that wrong ones can be tried, too.

mod contrastive;
mod maps;

pub use contrastive::{INFO_NCE, batch_norm, info_nce};
pub use maps::{conv3x3, roi_align};

use crate::grader::{Measured, Trial, measured};
use ndarray::{Array, Array1, Array2, Array4, ArrayView2, Axis, Dimension, ShapeBuilder, arr0, s};
use vit_mae::audit::GradCheck;
use vit_mae::exec::{Backend, Exec};
use vit_mae::layers::{Attention, Block, LayerNorm, Linear, Mlp, PatchEmbed};
use vit_mae::mae::masking::Masking;
use vit_mae::mae::{Decoder, MaeConfig, Mask, Strategy, loss as library_loss};
use vit_mae::models::vit::{Positions, Vit};
use vit_mae::optim::{AdamW, groups};
use vit_mae::params::Params;

const IMAGES: usize = 3;

vit_mae::params! {
    /// One head's queries, keys and values.
    pub struct Head {
        tensors {
            /// `[N, d_h]`.
            q: Array2<F> = Weight,
            /// `[N, d_h]`.
            k: Array2<F> = Weight,
            /// `[N, d_h]`.
            v: Array2<F> = Weight,
        }
    }
}

vit_mae::params! {
    /// A learnt token.
    pub struct Token {
        tensors {
            /// `[D]`.
            token: Array1<F> = Token,
        }
    }
}

vit_mae::params! {
    /// A table of positions that is trained.
    pub struct Table {
        tensors {
            /// `[L, D]`.
            table: Array2<F> = Position,
        }
    }
}

/// What stays the same from step to step of AdamW.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// `η`.
    pub lr: f64,
    /// `λ`.
    pub weight_decay: f64,
    /// `(β₁, β₂)`.
    pub betas: (f64, f64),
    /// `ϵ`, added outside of the root.
    pub eps: f64,
}

fn check() -> GradCheck {
    GradCheck { elements: 60, ..GradCheck::default() }
}

fn filled<P: Params<f64>>(mut layer: P) -> P {
    check().fill(&mut layer, -1.0..1.0);
    layer
}

fn random<D: Dimension>(shape: impl ShapeBuilder<Dim = D>) -> Array<f64, D> {
    let mut array = Array::zeros(shape);
    check().fill_array(&mut array, -1.0..1.0);
    array
}

fn masks() -> Vec<Mask> {
    let masking = Masking { strategy: Strategy::Random, mask_ratio: 0.5, grid: (2, 3) };
    (0..IMAGES as u64).map(|sample| masking.mask(5, 1, sample)).collect()
}

/// The smallest model on 2 × 3 patches, for the library's masking and unshuffle.
fn config() -> MaeConfig {
    MaeConfig {
        img_size: [4, 6],
        in_chans: 1,
        patch_size: 2,
        embed_dim: 8,
        depth: 1,
        num_heads: 1,
        decoder_embed_dim: 8,
        decoder_depth: 1,
        decoder_num_heads: 1,
        mlp_ratio: 1.0,
        layer_norm_eps: 1e-6,
        norm_pix_loss: false,
    }
}

/// `linear::backward`.
pub fn linear(
    trial: Trial,
    answer: impl Fn(&Linear<f64>, &Array2<f64>, &Array2<f64>, &mut Linear<f64>) -> Array2<f64>,
) -> Vec<Measured> {
    measured(&check().layer(
        &filled(Linear::new(5, 3)),
        &random((4, 5)),
        |layer, x, cx| (layer.forward(x.clone(), cx).0, x.clone()),
        |layer, x, dy, grad, _| trial.run(grad, x.shape(), |grad| answer(layer, &x, dy, grad)),
    ))
}

type LayerNormAnswer =
    fn(&LayerNorm<f64>, &Array2<f64>, &Array1<f64>, &Array2<f64>, &mut LayerNorm<f64>) -> Array2<f64>;

/// `layer_norm::backward`.
pub fn layer_norm(trial: Trial, answer: LayerNormAnswer) -> Vec<Measured> {
    measured(&check().layer(
        &filled(LayerNorm::new(6, 1e-6)),
        &random((5, 6)),
        |layer, x, cx| {
            let centred = x - &(x.sum_axis(Axis(1)) / 6.0).insert_axis(Axis(1));
            let inv_std =
                ((&centred * &centred).sum_axis(Axis(1)) / 6.0).mapv(|v| 1.0 / (v + layer.eps).sqrt());
            let x_hat = centred * inv_std.view().insert_axis(Axis(1));
            (layer.forward(x.clone(), cx).0, (x_hat, inv_std))
        },
        |layer, (x_hat, inv_std), dy, grad, _| {
            trial.run(grad, x_hat.shape(), |grad| answer(layer, &x_hat, &inv_std, dy, grad))
        },
    ))
}

fn softmaxed(scores: &Array2<f64>) -> Array2<f64> {
    let mut p = scores.mapv(f64::exp);
    p.outer_iter_mut().for_each(|mut row| row /= row.sum());
    p
}

/// `softmax::backward`.
pub fn softmax(trial: Trial, answer: impl Fn(&Array2<f64>, &Array2<f64>) -> Array2<f64>) -> Vec<Measured> {
    measured(&check().function(
        &(2.0 * random((5, 5))),
        |scores, _| softmaxed(scores),
        |scores, dp, _| {
            let p = softmaxed(scores);
            trial.run(&mut no_weights(), p.shape(), |_| answer(&p, dp))
        },
    ))
}

/// For answers that have no weights.
fn no_weights() -> Token<f64> {
    Token { token: Array1::zeros(0) }
}

type AttentionAnswer =
    fn(&Array2<f64>, &Array2<f64>, &Array2<f64>, &Array2<f64>, &Array2<f64>) -> [Array2<f64>; 3];

/// `attention::backward`.
pub fn attention(trial: Trial, answer: AttentionAnswer) -> Vec<Measured> {
    let head = filled(Head { q: Array2::zeros((5, 3)), k: Array2::zeros((5, 3)), v: Array2::zeros((5, 3)) });
    let probabilities = |head: &Head<f64>| softmaxed(&(head.q.dot(&head.k.t()) / 3f64.sqrt()));
    measured(&check().layer(
        &head,
        &Array1::zeros(0),
        |head, _, _| (probabilities(head).dot(&head.v), ()),
        |head, (), dout, grad, _| {
            trial.run(grad, &[0], |grad| {
                let answers = answer(&head.q, &head.k, &head.v, &probabilities(head), dout);
                let [dq, dk, dv] = answers;
                for (name, d) in [("dq", &dq), ("dk", &dk), ("dv", &dv)] {
                    assert!(d.dim() == (5, 3), "`{name}` has the shape {:?}, it should be [5, 3]", d.shape());
                }
                grad.q += &dq;
                grad.k += &dk;
                grad.v += &dv;
                Array1::zeros(0)
            })
        },
    ))
}

type MlpAnswer =
    fn(&Mlp<f64>, &Array2<f64>, &Array2<f64>, &Array2<f64>, &Array2<f64>, &mut Mlp<f64>) -> Array2<f64>;

/// `mlp::backward`.
pub fn mlp(trial: Trial, answer: MlpAnswer) -> Vec<Measured> {
    measured(&check().layer(
        &filled(Mlp::new(4, 7)),
        &(3.0 * random((6, 4))),
        |layer, x, cx| {
            let h = layer.fc1.forward(x.clone(), cx).0;
            let a = vit_mae::layers::mlp::gelu(h.clone(), cx).0;
            (layer.forward(x.clone(), cx).0, (x.clone(), h, a))
        },
        |layer, (x, h, a), dy, grad, _| {
            trial.run(grad, x.shape(), |grad| answer(layer, &x, &h, &a, dy, grad))
        },
    ))
}

type Branch<'a> = &'a mut dyn FnMut(&Array2<f64>) -> Array2<f64>;

/// `block::backward`. The branches' tensors are the library's affair: the input alone is checked.
pub fn block(trial: Trial, answer: fn(&Array2<f64>, Branch, Branch) -> Array2<f64>) -> Vec<Measured> {
    let layer = filled(Block::new(6, 2, 10, 1e-6));
    measured(&check().function(
        &random((2 * 4, 6)),
        |x, cx| layer.forward(x.clone(), 4, cx).0,
        |x, dy, cx| {
            let (n1, norm1) = layer.norm1.forward(x.clone(), cx);
            let (a, attn): (Array2<f64>, _) = Attention::forward(&layer.attn, n1, 4, cx);
            let (n2, norm2) = layer.norm2.forward(x + &a, cx);
            let (_, mlp) = layer.mlp.forward(n2, cx);
            let (mut grad, mut once, mut other) =
                (layer.zeros_like(), Some((norm2, mlp)), Some((norm1, attn)));
            let grad = std::cell::RefCell::new(&mut grad);
            let through_mlp = &mut |d: &Array2<f64>| {
                let ((norm, mlp), cx) = (once.take().expect("`mlp` may be called once"), &mut exec());
                let d = layer.mlp.backward(mlp, d.view(), &mut grad.borrow_mut().mlp, cx);
                layer.norm2.backward(norm, d.view(), &mut grad.borrow_mut().norm2, cx)
            };
            let through_attention = &mut |d: &Array2<f64>| {
                let ((norm, attn), cx) = (other.take().expect("`attention` may be called once"), &mut exec());
                let d = layer.attn.backward(attn, d.view(), &mut grad.borrow_mut().attn, cx);
                layer.norm1.backward(norm, d.view(), &mut grad.borrow_mut().norm1, cx)
            };
            trial.run(&mut no_weights(), x.shape(), |_| answer(dy, through_mlp, through_attention))
        },
    ))
}

fn exec() -> Exec<f64> {
    Exec::new(Backend::default())
}

/// `patch_embed::images_gradient`.
pub fn patch_embed(
    trial: Trial,
    answer: impl Fn(&Array2<f64>, [usize; 4], usize) -> Array4<f64>,
) -> Vec<Measured> {
    let shape = [2, 3, 4, 6];
    // With the identity for a weight, the library's embedding is the cutting itself.
    let mut cutting = PatchEmbed::new(3, 2, 12);
    cutting.proj.weight.assign(&Array2::eye(12));
    measured(&GradCheck { elements: usize::MAX, ..check() }.function(
        &random((2, 3, 4, 6)),
        |images: &Array4<f64>, cx| cutting.forward(images.view(), cx).0,
        |_, dpatches, _| trial.run(&mut no_weights(), &shape, |_| answer(dpatches, shape, 2)),
    ))
}

/// `positions::backward`.
pub fn positions(
    trial: Trial,
    answer: impl Fn(&Array2<f64>, &mut Array2<f64>) -> Array2<f64>,
) -> Vec<Measured> {
    measured(&check().layer(
        &filled(Table { table: Array2::zeros((4, 5)) }),
        &random((IMAGES * 4, 5)),
        |layer, z, _| {
            let mut y = z.clone();
            y.axis_chunks_iter_mut(Axis(0), 4).for_each(|mut image| image += &layer.table);
            (y, ())
        },
        |_, (), dz, grad, _| trial.run(grad, dz.shape(), |grad| answer(dz, &mut grad.table)),
    ))
}

/// An answer that moves rows and gathers some of them in a token.
type TokenAnswer = fn(&Array2<f64>, &[Mask], &mut Array1<f64>) -> Array2<f64>;

/// `masking::backward`.
pub fn masking(trial: Trial, answer: TokenAnswer) -> Vec<Measured> {
    let (masks, mut vit) = (masks(), Vit::new(&config().vit(), Positions::Fixed));
    vit.pos_embed.fill(0.0);
    measured(&check().layer(
        &filled(Token { token: Array1::zeros(8) }),
        &random((IMAGES * 6, 8)),
        |layer, z, cx| {
            let mut vit = vit.clone();
            vit.cls_token.slice_mut(s![0, 0, ..]).assign(&layer.token);
            (vit.tokens(z, |b| masks[b].ids_keep(), cx), ())
        },
        |_, (), dx, grad, _| trial.run(grad, &[IMAGES * 6, 8], |grad| answer(dx, &masks, &mut grad.token)),
    ))
}

/// `unshuffle::backward`.
pub fn unshuffle(trial: Trial, answer: TokenAnswer) -> Vec<Measured> {
    let (masks, decoder) = (masks(), Decoder::new(&config()));
    let rows = IMAGES * (1 + masks[0].len_keep);
    measured(&check().layer(
        &filled(Token { token: Array1::zeros(8) }),
        &random((rows, 8)),
        |layer, y, cx| {
            let mut decoder = decoder.clone();
            decoder.mask_token.slice_mut(s![0, 0, ..]).assign(&layer.token);
            (decoder.unshuffle(y, &masks, cx), ())
        },
        |_, (), dx, grad, _| trial.run(grad, &[rows, 8], |grad| answer(dx, &masks, &mut grad.token)),
    ))
}

/// How many removed patches the batch has beside those of the chunk that `loss` checks.
const REMOVED_ELSEWHERE: usize = 7;

/// The factor between dividing by the chunk's removed patches and by the batch's.
#[must_use]
pub fn chunk_for_batch() -> f64 {
    let here: usize = masks().iter().map(Mask::removed).sum();
    here as f64 / (here + REMOVED_ELSEWHERE) as f64
}

/// `loss::backward`.
pub fn loss(
    trial: Trial,
    answer: impl Fn(&Array2<f64>, &Array2<f64>, &[Mask], usize) -> Array2<f64>,
) -> Vec<Measured> {
    let masks = masks();
    let in_batch = masks.iter().map(Mask::removed).sum::<usize>() + REMOVED_ELSEWHERE;
    let pred: Array2<f64> = 3.0 * random((IMAGES * 6, 4));
    let target = pred.mapv(|x| (3.0 * x).sin());
    measured(&GradCheck { elements: usize::MAX, ..check() }.function(
        &pred,
        |pred, _| {
            let sum = library_loss::masked_sum(&library_loss::loss_per_patch(pred, &target), &masks);
            arr0(sum / in_batch as f64)
        },
        |pred, dloss, _| {
            trial.run(&mut no_weights(), pred.shape(), |_| answer(pred, &target, &masks, in_batch)) * dloss
        },
    ))
}

type AdamWAnswer = fn(Settings, i32, &Array1<f64>, &mut Array1<f64>, &mut Array1<f64>, &mut Array1<f64>);

/// `adamw::step`, beside the library over five steps.
pub fn adamw(trial: Trial, answer: AdamWAnswer) -> Vec<Measured> {
    // ϵ is the library's; gradients are so small that it shows.
    let settings = Settings { lr: 0.1, weight_decay: 0.3, betas: (0.9, 0.95), eps: 1e-8 };
    let mut model = Linear::new(6, 1);
    check().fill(&mut model, -1.0..1.0);
    let groups = groups::pretraining(&model, settings.weight_decay);
    let mut library = AdamW::new(&model, settings.betas);
    let (mut m, mut v, mut w) = (Array1::zeros(6), Array1::zeros(6), model.weight.row(0).to_owned());
    let start = w.clone();
    for k in 1..=5 {
        let g = random(6).mapv(|x: f64| 3e-8 * (x + f64::from(k)).sin());
        let mut grad = model.zeros_like();
        grad.weight.row_mut(0).assign(&g);
        library.step(&mut model, &grad, &groups, settings.lr);
        answer(settings, k, &g, &mut m, &mut v, &mut w);
    }
    let row = |tensor: &str, from: &Array1<f64>, to: &Array1<f64>, library: ArrayView2<f64>| {
        let (mut off, mut largest) = (0.0f64, 0.0f64);
        for ((&from, &to), &library) in from.iter().zip(to).zip(library) {
            let difference = (trial.moved(from, to) - library).abs();
            off = if difference.is_nan() { f64::NAN } else { off.max(difference) };
            largest = largest.max(library.abs());
        }
        let error = off / largest;
        Measured { tensor: tensor.to_owned(), error, right: error <= 1e-9 }
    };
    let zero = Array1::zeros(6);
    vec![
        row("m", &zero, &m, library.m.weight.view().view),
        row("v", &zero, &v, library.v.weight.view().view),
        row("w", &start, &w, model.weight.view().view),
    ]
}
