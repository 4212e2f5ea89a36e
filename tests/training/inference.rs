//! Claim: a forward pass without a backward pass has the bits of the training pass, in memory that does not grow with the
//! depth of the model.

#![expect(clippy::cast_possible_truncation, reason = "random images are made in f64")]

use ndarray::{Array4, ArrayView2};
use vit_mae::base::rng::{Purpose, rng, uniform};
use vit_mae::exec::{Backend, Exec};
use vit_mae::mae::masking::Masking;
use vit_mae::mae::{Mae, MaeConfig, Mask, Strategy};

const IMAGES: usize = 3;

fn config(depth: usize) -> MaeConfig {
    MaeConfig {
        img_size: [8, 12],
        in_chans: 3,
        patch_size: 4,
        embed_dim: 24,
        depth,
        num_heads: 3,
        decoder_embed_dim: 16,
        decoder_depth: depth,
        decoder_num_heads: 2,
        mlp_ratio: 4.0,
        layer_norm_eps: 1e-6,
        norm_pix_loss: true,
    }
}

fn input(config: &MaeConfig) -> (Array4<f32>, Vec<Mask>) {
    let mut noise = rng(5, Purpose::Synthetic, 0, 0);
    let [height, width] = config.img_size;
    let shape = (IMAGES, config.in_chans, height, width);
    let images = Array4::from_shape_simple_fn(shape, || uniform(&mut noise) as f32);
    let masking = Masking { strategy: Strategy::Random, mask_ratio: 0.5, grid: config.grid() };
    (images, (0..IMAGES as u64).map(|sample| masking.mask(5, 0, sample)).collect())
}

fn bits(values: ArrayView2<f32>) -> Vec<u32> {
    values.iter().map(|x| x.to_bits()).collect()
}

#[test]
fn inference_has_the_bits_of_the_training_pass() {
    let config = config(3);
    let model = Mae::<f32>::initialised(config.clone(), 1);
    let (images, masks) = input(&config);
    let mut cx = Exec::new(Backend::default());
    let (trained, _) = model.forward(images.view(), &masks, &mut cx);
    let inferred = model.infer(images.view(), &masks, &mut cx);
    assert_eq!(bits(inferred.pred.view()), bits(trained.pred.view()));
    assert_eq!(inferred.loss_sum.to_bits(), trained.loss_sum.to_bits());
}

#[test]
fn a_deeper_model_needs_no_more_buffers_for_inference() {
    let allocated = |depth: usize| {
        let config = config(depth);
        let model = Mae::<f32>::initialised(config.clone(), 1);
        let (images, masks) = input(&config);
        let mut cx = Exec::new(Backend::default());
        model.infer(images.view(), &masks, &mut cx).recycle(&mut cx);
        cx.pool().allocated()
    };
    assert_eq!(allocated(2), allocated(9));
}
