//! The gradient check of every layer and of the whole model.

use super::shapes::{IMAGES, config, every_element, filled, images, masks, positions_fixed, random, removed};
use crate::audit::gradcheck::GradCheck;
use crate::audit::report::Report;
use crate::exec::{Backend, Exec};
use crate::layers::{Attention, Block, LayerNorm, Linear, Mlp, PatchEmbed};
use crate::models::mae::loss::{self, PixelTarget};
use crate::models::mae::{Decoder, Encoder, Mae};
use ndarray::{Array2, Array4, arr0};

pub(super) fn linear(check: &GradCheck) -> Report {
    // 70 rows are two row blocks, one of them incomplete.
    check.layer(
        &filled(check, Linear::new(5, 3)),
        &random(check, (70, 5)),
        |linear, x, cx| linear.forward(x.clone(), cx),
        |linear, cache, dy, grad, cx| linear.backward(cache, dy.view(), grad, cx),
    )
}

pub(super) fn layer_norm(check: &GradCheck) -> Report {
    check.layer(
        &filled(check, LayerNorm::new(6, 1e-6)),
        &random(check, (70, 6)),
        |norm, x, cx| norm.forward(x.clone(), cx),
        |norm, cache, dy, grad, cx| norm.backward(cache, dy.view(), grad, cx),
    )
}

pub(super) fn mlp(check: &GradCheck) -> Report {
    // Inputs of up to ±4, so that GELU is tried where it bends and in both tails.
    check.layer(
        &filled(check, Mlp::new(4, 7)),
        &(4.0 * random(check, (6, 4))),
        |mlp, x, cx| mlp.forward(x.clone(), cx),
        |mlp, cache, dy, grad, cx| mlp.backward(cache, dy.view(), grad, cx),
    )
}

pub(super) fn attention(check: &GradCheck) -> Report {
    check.layer(
        &filled(check, Attention::new(6, 2)),
        &random(check, (IMAGES * 5, 6)),
        |attention, x, cx| attention.forward(x.clone(), 5, cx),
        |attention, cache, dy, grad, cx| attention.backward(cache, dy.view(), grad, cx),
    )
}

pub(super) fn block(check: &GradCheck) -> Report {
    check.layer(
        &filled(check, Block::new(6, 2, 10, 1e-6)),
        &random(check, (IMAGES * 5, 6)),
        |block, x, cx| block.forward(x.clone(), 5, cx),
        |block, cache, dy, grad, cx| block.backward(cache, dy.view(), grad, cx),
    )
}

pub(super) fn patch_embed(check: &GradCheck) -> Report {
    check.layer(
        &filled(check, PatchEmbed::new(3, 2, 5)),
        &random(check, (IMAGES, 3, 4, 6)),
        |embed, images, cx| embed.forward(images.view(), cx),
        |embed, cache, dy, grad, cx| {
            embed.backward(cache, dy.view(), grad, cx);
            embed.images_gradient(dy.view(), 4, 6, cx)
        },
    )
}

pub(super) fn encoder(check: &GradCheck) -> Report {
    let (config, masks) = (config(3, false), masks());
    positions_fixed(check).layer(
        &filled(check, Encoder::new(&config.vit())),
        &images(check, &config),
        |encoder, images, cx| encoder.forward(images.view(), &masks, cx),
        |encoder, cache, dy, grad, cx| {
            let dpatches = encoder.backward(cache, &masks, dy.view(), grad, cx);
            encoder.vit.images_gradient(&dpatches, cx)
        },
    )
}

pub(super) fn decoder(check: &GradCheck) -> Report {
    let (config, masks) = (config(3, false), masks());
    let latent = random(check, (IMAGES * (1 + masks[0].len_keep), config.embed_dim));
    positions_fixed(check).layer(
        &filled(check, Decoder::new(&config)),
        &latent,
        |decoder, latent, cx| decoder.forward(latent.clone(), &masks, cx),
        |decoder, cache, dy, grad, cx| decoder.backward(cache, &masks, dy.view(), grad, cx),
    )
}

pub(super) fn masked_loss(check: &GradCheck) -> Report {
    let (masks, removed) = (masks(), removed(&masks()));
    let pred: Array2<f64> = random(check, (IMAGES * 6, 12));
    let target = pred.mapv(|x| (3.0 * x).sin());
    every_element(check).function(
        &pred,
        |pred, _| {
            let sum = loss::masked_sum(&loss::loss_per_patch(pred, &target), &masks);
            arr0(sum / removed as f64)
        },
        |pred, dloss, cx| loss::backward(pred, &target, &masks, removed, cx) * dloss,
    )
}

pub(super) fn target(check: &GradCheck, norm_pix_loss: bool) -> Report {
    let target = PixelTarget { patch_size: 2, norm_pix_loss };
    every_element(check).function(
        &random(check, (IMAGES, 3, 4, 6)),
        |images: &Array4<f64>, cx| target.target(images.view(), cx),
        |images, dtarget, cx| target.images_gradient(images.view(), dtarget.clone(), cx),
    )
}

/// The whole model, and the gradient with respect to the images: through the network and the target.
pub(super) fn mae(check: &GradCheck, channels: usize, norm_pix_loss: bool) -> Report {
    let (config, masks) = (config(channels, norm_pix_loss), masks());
    let removed = removed(&masks);
    let images = images(check, &config);
    positions_fixed(check).loss(
        &filled(check, Mae::new(config)),
        &images,
        |mae, images, cx| {
            let (output, cache) = mae.forward(images.view(), &masks, cx);
            (output.loss_sum / removed as f64, (output, cache))
        },
        |mae, (output, cache), grad, cx| {
            let dpatches = mae.backward(cache, &output, &masks, removed, grad, cx);
            let (network, target) = mae.images_gradient(images.view(), &output, &masks, &dpatches, cx);
            network + target
        },
    )
}

/// The first of the two parts of [`Mae::images_gradient`], alone.
pub(super) fn mae_with_constant_target(check: &GradCheck) -> Report {
    let (config, masks) = (config(3, true), masks());
    let removed = removed(&masks);
    let images = images(check, &config);
    let cx = &mut Exec::new(Backend::default());
    let target = PixelTarget { patch_size: config.patch_size, norm_pix_loss: true }.target(images.view(), cx);
    positions_fixed(check).loss(
        &filled(check, Mae::new(config)),
        &images,
        |mae, images, cx| {
            let (output, cache) = mae.forward(images.view(), &masks, cx);
            let sum = loss::masked_sum(&loss::loss_per_patch(&output.pred, &target), &masks);
            (sum / removed as f64, (output, cache))
        },
        |mae, (output, cache), grad, cx| {
            let dpatches = mae.backward(cache, &output, &masks, removed, grad, cx);
            mae.images_gradient(images.view(), &output, &masks, &dpatches, cx).0
        },
    )
}
