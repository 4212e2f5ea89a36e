//! The worked examples of the chapters about layers, computed by the library's layers.

use crate::example::Example;
use ndarray::{Array1, Array2, Array4, arr2, concatenate, s};
use vit_mae::exec::{Backend, Exec};
use vit_mae::layers::{Attention, Block, LayerNorm, Linear, Mlp, PatchEmbed, pos_embed};
use vit_mae::mae::patchify::patchify;
use vit_mae::params::Params;

fn exec() -> Exec<f64> {
    Exec::new(Backend::default())
}

#[test]
fn linear_has_the_numbers_of_its_chapter() {
    let mut e = Example::read("02-linear.md", "linear");
    let (x, dy) = (e.given("x"), e.given("dy"));
    let mut layer = Linear { weight: e.given("W").into(), bias: e.vector("b") };
    let cx = &mut exec();
    let (y, cache) = layer.forward(x.clone(), cx);
    e.check("y", &y);
    e.check_scalar("loss", (&dy * &y).sum());
    let mut grad = layer.zeros_like();
    let dx = layer.backward(cache, dy.view(), &mut grad, cx);
    e.check("dW", &grad.weight);
    e.check("db", &grad.bias);
    e.check("dx", &dx);
    layer.weight[[1, 2]] += 0.1;
    e.check_scalar("loss with W₁₂ + 0.1", (&dy * &layer.forward(x, cx).0).sum());
    e.done();
}

#[test]
fn layer_norm_has_the_numbers_of_its_chapter() {
    let mut e = Example::read("03-layer-norm.md", "layer norm");
    let (x, dy) = (e.given("x"), e.given("dy"));
    let layer = LayerNorm { weight: e.vector("γ"), bias: e.vector("β"), eps: e.scalar("ε") };
    let cx = &mut exec();

    let mean = x.mean().unwrap();
    let sigma = (x.mapv(|x| (x - mean).powi(2)).mean().unwrap() + layer.eps).sqrt();
    let x_hat = x.mapv(|x| (x - mean) / sigma);
    let dx_hat = &dy * &layer.weight;
    e.check_scalar("μ", mean);
    e.check_scalar("σ", sigma);
    e.check("x̂", &x_hat);
    e.check("dx̂", &dx_hat);
    e.check_scalar("mean(dx̂)", dx_hat.mean().unwrap());
    e.check("dx̂ ⊙ x̂", &(&dx_hat * &x_hat));
    e.check_scalar("mean(dx̂ ⊙ x̂)", (&dx_hat * &x_hat).mean().unwrap());

    let (y, cache) = layer.forward(x.clone(), cx);
    let mut grad = layer.zeros_like();
    let dx = layer.backward(cache, dy.view(), &mut grad, cx);
    e.check("y", &y);
    e.check("dx", &dx);
    e.check("dγ", &grad.weight);
    e.check("dβ", &grad.bias);
    e.check_scalar("Σ dx", dx.sum());
    e.check_scalar("Σ dx ⊙ x̂", (&dx * &x_hat).sum());
    e.done();
}

#[test]
fn attention_has_the_numbers_of_its_chapter() {
    let mut e = Example::read("04-attention.md", "attention");
    let (q, k, v, dout) = (e.given("Q"), e.given("K"), e.given("V"), e.given("do"));
    let (tokens, width) = q.dim();
    // Token n is the n-th unit vector, so column n of the weight is what token n asks, offers and says; an identity
    // behind makes the output the context.
    let mut layer = Attention::new(width, 1);
    layer.qkv.weight.slice_mut(s![.., ..tokens]).assign(&concatenate![ndarray::Axis(1), q, k, v].t());
    layer.proj.weight.assign(&Array2::eye(width));
    let x = Array2::from_shape_fn((tokens, width), |(n, j)| f64::from(u8::from(n == j)));
    let cx = &mut exec();
    let (out, cache) = layer.forward(x, tokens, cx);
    let mut grad = layer.zeros_like();
    layer.backward(cache, dout.view(), &mut grad, cx);
    let dqkv = grad.qkv.weight.slice(s![.., ..tokens]).t().to_owned();
    e.check("o", &out);
    e.check("dV", &dqkv.slice(s![.., 2 * width..]));
    e.check("dQ", &dqkv.slice(s![.., ..width]));
    e.check("dK", &dqkv.slice(s![.., width..2 * width]));
    e.check("Σ dK", &dqkv.slice(s![.., width..2 * width]).sum_axis(ndarray::Axis(0)));

    // What lies between, from the definitions.
    let scores = q.dot(&k.t()) / (width as f64).sqrt();
    let mut p = scores.mapv(f64::exp);
    p.outer_iter_mut().for_each(|mut row| row /= row.sum());
    let dp = dout.dot(&v.t());
    let sums = (&dp * &p).sum_axis(ndarray::Axis(1));
    e.check("S", &scores);
    e.check("P", &p);
    e.check("dP", &dp);
    e.check("Σ dP ⊙ P", &sums);
    e.check("dS", &(&p * &(&dp - &sums.insert_axis(ndarray::Axis(1)))));
    e.done();
}

#[test]
fn mlp_has_the_numbers_of_its_chapter() {
    let mut e = Example::read("05-mlp.md", "mlp");
    let (x, dy) = (e.given("x"), e.given("dy"));
    let layer = Mlp {
        fc1: Linear { weight: e.given("W₁").into(), bias: e.vector("b₁") },
        fc2: Linear { weight: e.given("W₂").into(), bias: e.vector("b₂") },
    };
    let cx = &mut exec();
    let h = x.dot(&layer.fc1.weight.t().view) + &layer.fc1.bias;
    let density = h.mapv(|h| (-0.5 * h * h).exp() / (2.0 * std::f64::consts::PI).sqrt());
    let cdf = h.mapv(normal_cdf);
    let slope = &cdf + &(&h * &density);
    let da = dy.dot(&*layer.fc2.weight);
    e.check("h", &h);
    e.check("Φ(h)", &cdf);
    e.check("φ(h)", &density);
    e.check("a", &(&h * &cdf));
    e.check("GELU′(h)", &slope);
    e.check("da", &da);
    e.check("dh", &(&da * &slope));

    let (y, cache) = layer.forward(x, cx);
    let mut grad = layer.zeros_like();
    let dx = layer.backward(cache, dy.view(), &mut grad, cx);
    e.check("y", &y);
    e.check("dW₂", &grad.fc2.weight);
    e.check("dW₁", &grad.fc1.weight);
    e.check("dx", &dx);
    e.done();
}

/// `Φ(x) = ½ + ∫₀ˣ φ`, by Simpson's rule: nothing that the library uses.
fn normal_cdf(x: f64) -> f64 {
    let (n, density) = (2000, |t: f64| (-0.5 * t * t).exp() / (2.0 * std::f64::consts::PI).sqrt());
    let step = x / f64::from(n);
    let sum: f64 = (0..=n)
        .map(|i| if i == 0 || i == n { 1.0 } else if i % 2 == 1 { 4.0 } else { 2.0 } * density(f64::from(i) * step))
        .sum();
    0.5 + sum * step / 3.0
}

#[test]
fn block_has_the_numbers_of_its_chapter() {
    let mut e = Example::read("06-block.md", "block");
    let (x, dy) = (e.given("x"), e.given("dy"));
    let width = x.ncols();
    let mut layer = Block::new(width, 1, 1, 0.0);
    layer.norm1.weight.fill(1.0);
    layer.norm2.weight.fill(1.0);
    layer.attn.qkv.weight.slice_mut(s![2 * width.., ..]).assign(&(Array2::eye(width) * e.scalar("v")));
    layer.attn.proj.weight.assign(&Array2::eye(width));
    layer.mlp.fc1.weight.assign(&e.given("W₁"));
    layer.mlp.fc2.weight.assign(&e.given("W₂").t());
    let cx = &mut exec();

    let (n1, norm1) = layer.norm1.forward(x.clone(), cx);
    let (a, attention) = layer.attn.forward(n1.clone(), 1, cx);
    let mid = &x + &a;
    let (n2, norm2) = layer.norm2.forward(mid.clone(), cx);
    let (f, mlp) = layer.mlp.forward(n2.clone(), cx);
    e.check("LN₁(x)", &n1);
    e.check("Attn(LN₁(x))", &a);
    e.check("mid", &mid);
    e.check("LN₂(mid)", &n2);
    e.check("MLP(LN₂(mid))", &f);

    let grad = &mut layer.zeros_like();
    let dn2 = layer.mlp.backward(mlp, dy.view(), &mut grad.mlp, cx);
    let through_mlp = layer.norm2.backward(norm2, dn2.view(), &mut grad.norm2, cx);
    let dmid = &dy + &through_mlp;
    let dn1 = layer.attn.backward(attention, dmid.view(), &mut grad.attn, cx);
    let through_attention = layer.norm1.backward(norm1, dn1.view(), &mut grad.norm1, cx);
    e.check("MLPᵀ(dy)", &dn2);
    e.check("LN₂ᵀ(MLPᵀ(dy))", &through_mlp);
    e.check("dmid", &dmid);
    e.check("LN₁ᵀ(Attnᵀ(dmid))", &through_attention);

    // The block as a whole must say the same.
    let (y, cache) = layer.forward(x, 1, cx);
    let dx = layer.backward(cache, dy.view(), &mut layer.zeros_like(), cx);
    e.check("y", &y);
    e.check("dx", &dx);
    e.done();
}

#[test]
fn patch_embedding_has_the_numbers_of_its_chapter() {
    let mut e = Example::read("07-patch-embedding.md", "patch embedding");
    let channels = [e.given("channel 0"), e.given("channel 1")];
    let images: Array4<f64> =
        Array4::from_shape_fn((1, 2, 2, 4), |(_, channel, row, column)| channels[channel][[row, column]]);
    let mut layer = PatchEmbed::new(2, 2, 2);
    layer.proj = Linear { weight: e.given("W").into(), bias: e.vector("b") };
    let dz = e.given("dz");
    let cx = &mut exec();
    let (z, cache) = layer.forward(images.view(), cx);
    e.check("z", &z);
    let mut grad = layer.zeros_like();
    layer.backward(cache, dz.view(), &mut grad, cx);
    e.check("dW", &grad.proj.weight);
    e.check("db", &grad.proj.bias);
    let dimages = layer.images_gradient(dz.view(), 2, 4, cx);
    e.check("dchannel 0", &dimages.slice(s![0, 0, .., ..]));
    e.check("dchannel 1", &dimages.slice(s![0, 1, .., ..]));
    e.check("t₀", &patchify(images.view(), 2, cx).row(0));

    // A weight that picks one number after the other reads the patches themselves.
    let mut reader = PatchEmbed::new(2, 2, 8);
    reader.proj.weight.assign(&Array2::eye(8));
    let (patches, _) = reader.forward(images.view(), cx);
    e.check("x₀", &patches.row(0));
    e.check("x₁", &patches.row(1));
    e.done();
}

#[test]
fn positions_have_the_numbers_of_their_chapter() {
    let mut e = Example::read("08-positions.md", "positions");
    let table = pos_embed::sincos(4, 2, 2, true);
    for (name, row) in
        ["e₀", "e at row 0, column 0", "e at row 0, column 1", "e at row 1, column 0", "e at row 1, column 1"]
            .iter()
            .zip(table.outer_iter())
    {
        e.check(name, &row);
    }
    // One column to the right: the pair (sin, cos) is turned by ω = 1.
    let (sin, cos) = 1f64.sin_cos();
    let turn = arr2(&[[cos, sin], [-sin, cos]]);
    e.check("turn", &turn);
    let wide = pos_embed::sincos(4, 1, 4, false);
    let pair = |column: usize| wide.slice(s![column, ..2]).to_owned();
    e.check("column 2", &pair(2));
    e.check("column 3", &pair(3));
    assert!((turn.dot(&pair(2)) - pair(3)).iter().all(|x: &f64| x.abs() < 1e-12));
    let omegas: Array1<f64> = (0..2).map(|i| pos_embed::sincos(8, 1, 2, false)[[1, i]].asin()).collect();
    e.check("ω for D of 8", &omegas);
    e.done();
}
