//! Claim: every backward pass is the derivative of its forward pass, to 1e-6 by central differences in
//! f64, for every tensor and for the input; and every linear map that only moves numbers has its exact
//! adjoint, to 1e-12.

use ndarray::{Array2, Array4, arr1, s};
use vit_mae::audit::{GradCheck, checks};
use vit_mae::exec::{Backend, Exec};
use vit_mae::layers::Attention;
use vit_mae::mae::patchify::{patchify, unpatchify};
use vit_mae::mae::{Decoder, Encoder};
use vit_mae::params::Params;

fn passes(name: &str) {
    let (_, check) = checks::ALL.iter().find(|(n, _)| *n == name).expect("a check of this name");
    for seed in 0..2 {
        let report = check(&GradCheck { seed, ..GradCheck::default() });
        println!("{name}: worst {:.1e}\n{report}", report.worst());
        assert!(report.passed(), "{name}, seed {seed}\n{report}");
    }
}

/// One test a check, so that each failure has its name.
macro_rules! tests {
    ($($sentence:ident: $name:literal;)*) => {
        $(#[test]
        fn $sentence() {
            passes($name);
        })*

        #[test]
        fn every_check_is_run() {
            assert_eq!(checks::ALL.map(|(name, _)| name), [$($name),*]);
        }
    };
}

tests! {
    linear_agrees_with_differences: "linear";
    layer_norm_agrees_with_differences: "layer_norm";
    mlp_and_gelu_agree_with_differences: "mlp";
    attention_agrees_with_differences: "attention";
    block_agrees_with_differences: "block";
    patch_embed_agrees_with_differences: "patch_embed";
    encoder_agrees_with_differences: "encoder";
    decoder_agrees_with_differences: "decoder";
    loss_agrees_with_differences: "loss";
    target_of_pixels_agrees_with_differences: "target (pixels)";
    target_of_normalised_pixels_agrees_with_differences: "target (normalised)";
    mae_on_one_channel_agrees_with_differences: "mae 1 channel, pixels";
    mae_on_one_channel_normalised_agrees_with_differences: "mae 1 channel, normalised";
    mae_on_three_channels_agrees_with_differences: "mae 3 channels, pixels";
    mae_on_three_channels_normalised_agrees_with_differences: "mae 3 channels, normalised";
    mae_on_five_channels_agrees_with_differences: "mae 5 channels, pixels";
    mae_on_five_channels_normalised_agrees_with_differences: "mae 5 channels, normalised";
    mae_with_a_constant_target_agrees_with_differences: "mae, target held constant";
}

#[test]
fn the_key_bias_has_no_gradient() {
    // A key bias adds the same number to all scores of a query, which softmax does not see.
    let (check, cx) = (GradCheck::default(), &mut Exec::new(Backend::default()));
    let mut attention = Attention::new(8, 2);
    check.fill(&mut attention, -1.0..1.0);
    let mut x = Array2::zeros((2 * 5, 8));
    check.fill_array(&mut x, -1.0..1.0);
    let dy = x.mapv(|x: f64| (5.0 * x).cos());
    let mut grad = attention.zeros_like();
    let (_, cache) = attention.forward(x, 5, cx);
    attention.backward(cache, 5, dy.view(), &mut grad, cx);
    let largest = |part: usize| {
        let bias = grad.qkv.bias.slice(s![part * 8..(part + 1) * 8]);
        bias.fold(0.0, |max: f64, x| max.max(x.abs()))
    };
    assert!(largest(1) < 1e-14, "key bias: {:e}", largest(1));
    assert!(largest(0) > 1e-3 && largest(2) > 1e-3, "query and value biases do have one");
}

/// `⟨a, b⟩`, relative to the size of its terms.
fn agree(name: &str, left: f64, right: f64, size: f64) {
    let error = (left - right).abs() / size;
    assert!(error < 1e-12, "{name}: ⟨Ax, y⟩ = {left}, ⟨x, Aᵀy⟩ = {right}");
}

fn random(seed: u64, shape: (usize, usize)) -> Array2<f64> {
    let mut array = Array2::zeros(shape);
    GradCheck { seed, ..GradCheck::default() }.fill_array(&mut array, -1.0..1.0);
    array
}

#[test]
fn patchify_has_unpatchify_as_its_adjoint() {
    let mut images = Array4::zeros((2, 5, 6, 9));
    let cx = &mut Exec::new(Backend::default());
    GradCheck::default().fill_array(&mut images, -1.0..1.0);
    let y = random(1, (2 * 6, 45));
    let left = (&patchify(images.view(), 3, cx) * &y).sum();
    let right = (&images * &unpatchify(y.view(), (5, 6, 9), 3)).sum();
    agree("patchify", left, right, images.len() as f64);
}

#[test]
fn keeping_the_visible_has_its_adjoint() {
    let (config, masks, cx) = (checks::config(3, false), checks::masks(), &mut Exec::new(Backend::default()));
    let mut encoder = Encoder::<f64>::new(&config);
    GradCheck::default().fill(&mut encoder, -1.0..1.0);
    // Linear in patches and class token once the class token's position, a constant, is 0.
    encoder.pos_embed.fill(0.0);
    let (patches, y) = (random(2, (3 * 6, 12)), random(3, (3 * (1 + masks[0].len_keep), 12)));
    let mut grad = encoder.zeros_like();
    let left = (&encoder.keep_visible(&patches, &masks, cx) * &y).sum();
    let dpatches = Encoder::keep_visible_backward(&y, &masks, &mut grad, cx);
    let right = (&patches * &dpatches).sum() + (&encoder.cls_token * &grad.cls_token).sum();
    agree("keep_visible", left, right, y.len() as f64);
}

#[test]
fn unshuffle_has_its_adjoint() {
    let (config, masks, cx) = (checks::config(3, false), checks::masks(), &mut Exec::new(Backend::default()));
    let mut decoder = Decoder::<f64>::new(&config);
    GradCheck::default().fill(&mut decoder, -1.0..1.0);
    let (x, y) = (random(4, (3 * (1 + masks[0].len_keep), 8)), random(5, (3 * (1 + 6), 8)));
    let mut grad = decoder.zeros_like();
    let left = (&decoder.unshuffle(&x, &masks, cx) * &y).sum();
    let dx = Decoder::unshuffle_backward(&y, &masks, &mut grad, cx);
    let right = (&x * &dx).sum() + (&decoder.mask_token * &grad.mask_token).sum();
    agree("unshuffle", left, right, y.len() as f64);
}

#[test]
fn a_gradient_that_is_not_a_number_does_not_pass() {
    let x = arr1(&[1.0, 2.0]);
    let report = GradCheck::default().function(&x, |x, _| x.clone(), |_, dy, _| dy.mapv(|_| f64::NAN));
    assert!(!report.passed() && report.worst().is_nan(), "{report}");
}
