//! Claim: a classifier starts where it says, from the very numbers of an encoder; what is frozen stays so and costs
//! nothing backward; drop path depends on the sample's address alone; evaluation keeps nothing; and an architecture that
//! cannot be is refused by the name of its key.

use ndarray::{Array2, Array4, s};
use vit_mae::exec::{Backend, Exec};
use vit_mae::layers::DropPath;
use vit_mae::layers::pos_interp::interpolate;
use vit_mae::mae::{Mae, MaeConfig};
use vit_mae::models::classify::features::features;
use vit_mae::models::classify::{Classifier, ClassifierConfig, Pooling, cross_entropy};
use vit_mae::models::vit::ForwardOptions;
use vit_mae::optim::groups;
use vit_mae::params::Params;

const BOTH: [Pooling; 2] = [Pooling::Class, Pooling::Mean];

pub(crate) fn mae() -> MaeConfig {
    MaeConfig {
        img_size: [8, 12],
        in_chans: 3,
        patch_size: 4,
        embed_dim: 16,
        depth: 2,
        num_heads: 2,
        decoder_embed_dim: 8,
        decoder_depth: 1,
        decoder_num_heads: 2,
        mlp_ratio: 2.0,
        layer_norm_eps: 1e-6,
        norm_pix_loss: false,
    }
}

/// Every number of it random, so that nothing passes by being 0 or 1.
fn trained() -> Mae<f32> {
    let mut mae = Mae::initialised(mae(), 3);
    for (t, tensor) in mae.tensors_mut().into_iter().enumerate() {
        for (i, x) in tensor.data.write().iter_mut().enumerate() {
            *x += 0.1 * ((t * 31 + i * 7) as f32).sin();
        }
    }
    mae
}

fn images(config: &ClassifierConfig, count: usize) -> Array4<f32> {
    let [height, width] = config.img_size;
    Array4::from_shape_fn((count, config.in_chans, height, width), |(b, c, y, x)| {
        ((b * 71 + c * 37 + y * 17 + x * 5) as f32).sin()
    })
}

fn exec() -> Exec<f32> {
    Exec::new(Backend::default())
}

/// The tensors of both, by name, must be the same numbers; returns the names that only the classifier has.
fn common(classifier: &Classifier<f32>, mae: &Mae<f32>) -> Vec<String> {
    let theirs = mae.tensors();
    let mut own = Vec::new();
    for tensor in classifier.tensors() {
        match theirs.iter().find(|t| t.name == tensor.name) {
            Some(same) => {
                assert_eq!((&tensor.shape, tensor.data), (&same.shape, same.data), "{}", tensor.name);
            }
            None => own.push(tensor.name),
        }
    }
    own
}

#[test]
fn from_scratch_means_from_the_encoder_that_pre_training_starts_from() {
    for pooling in BOTH {
        for seed in [0, 5] {
            let config = ClassifierConfig::new(&mae().vit(), 7, pooling);
            let own = common(&Classifier::initialised(&config, seed), &Mae::initialised(mae(), seed));
            let norm: &[&str] =
                if pooling == Pooling::Mean { &["fc_norm.weight", "fc_norm.bias"] } else { &[] };
            assert_eq!(own, [&["head.weight", "head.bias"], norm].concat());
        }
    }
}

#[test]
fn a_pre_trained_encoder_is_taken_over_number_by_number() {
    let mae = trained();
    for pooling in BOTH {
        let config = ClassifierConfig::new(&mae.config.vit(), 7, pooling);
        let classifier = Classifier::from_encoder(&mae.encoder, &config, 0);
        assert!(!common(&classifier, &mae).is_empty());
        if pooling == Pooling::Mean {
            let norm = &classifier.pool.norm;
            assert!(norm.weight.iter().all(|&x| x == 1.0) && norm.bias.iter().all(|&x| x == 0.0));
        }
    }
}

/// The reference's `trunc_normal_(std=2e-5)`; 4,800 numbers, so the standard deviation is known to 1 %.
#[test]
fn the_head_starts_near_zero() {
    let config = ClassifierConfig::new(&mae().vit(), 300, Pooling::Class);
    let head = Classifier::<f32>::initialised(&config, 0).head;
    let count = head.weight.len() as f64;
    let std = (head.weight.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>() / count).sqrt();
    assert!((std / 2e-5 - 1.0).abs() < 0.05, "{std:e}");
    assert!(head.bias.iter().all(|&x| x == 0.0));
    assert_ne!(*head.weight, *Classifier::<f32>::initialised(&config, 1).head.weight, "the seed decides it");
}

#[test]
fn positions_are_interpolated_for_larger_images_and_nothing_else_changes() {
    let mae = trained();
    let mut config = ClassifierConfig::new(&mae.config.vit(), 7, Pooling::Class);
    config.img_size = [16, 20];
    config.vit().fits(&mae.config.vit()).unwrap();
    let mut classifier = Classifier::from_encoder(&mae.encoder, &config, 0);
    let positions = interpolate(mae.encoder.vit.pos_embed.slice(s![0, .., ..]), (2, 3), (4, 5));
    assert_eq!(classifier.vit.pos_embed.slice(s![0, .., ..]), positions);
    classifier.vit.pos_embed.clone_from(&mae.encoder.vit.pos_embed);
    assert_eq!(common(&classifier, &mae), ["head.weight", "head.bias"]);
    let logits =
        Classifier::from_encoder(&mae.encoder, &config, 0).logits(images(&config, 2).view(), &mut exec());
    assert_eq!(logits.dim(), (2, 7));
}

/// The probe's features of the class token are those of a classifier that pools the class token.
#[test]
fn features_of_a_frozen_encoder_are_its_normalised_tokens() {
    let mae = trained();
    let config = ClassifierConfig::new(&mae.config.vit(), 7, Pooling::Class);
    let classifier = Classifier::from_encoder(&mae.encoder, &config, 0);
    let images = images(&config, 3);
    let class = features(&mae.encoder, Pooling::Class, images.view(), &mut exec());
    let of_classifier = classifier.features(images.view(), &mut exec());
    assert!(class.iter().zip(&of_classifier).all(|(a, b)| (a - b).abs() < 1e-5), "{class} {of_classifier}");

    // Each token normalised before the mean: one of the mean's features is then far from a norm of the mean.
    let mut plain = mae.encoder.clone();
    plain.norm.weight.fill(1.0);
    plain.norm.bias.fill(0.0);
    let mean = features(&plain, Pooling::Mean, images.view(), &mut exec());
    let squares = |row: &[f32]| row.iter().map(|x| x * x).sum::<f32>() / row.len() as f32;
    let of_class = features(&plain, Pooling::Class, images.view(), &mut exec());
    for (mean, class) in mean.rows().into_iter().zip(of_class.rows()) {
        assert!((squares(class.as_slice().unwrap()) - 1.0).abs() < 1e-3, "a token has variance 1");
        assert!(squares(mean.as_slice().unwrap()) < 0.99, "a mean of normalised tokens has less");
    }
}

#[test]
fn evaluation_gives_the_training_passs_logits_and_allocates_nothing_the_second_time() {
    for pooling in BOTH {
        let config = ClassifierConfig::new(&mae().vit(), 7, pooling);
        let mut classifier = Classifier::initialised(&config, 0);
        classifier.head.weight.fill(0.3);
        let (images, mut cx) = (images(&config, 4), exec());
        let (logits, _) = classifier.forward(images.view(), &ForwardOptions::default(), &mut exec());
        let mut evaluate = || {
            let evaluated: Array2<f32> = classifier.logits(images.view(), &mut cx);
            assert_eq!(evaluated, logits);
            cx.recycle(evaluated);
            cx.pool().allocated()
        };
        let first = evaluate();
        assert_eq!([evaluate(), evaluate()], [first; 2]);
    }
}

#[test]
fn an_impossible_architecture_is_refused_by_its_key() {
    let good = ClassifierConfig::new(&mae().vit(), 7, Pooling::Class);
    good.validate().unwrap();
    let refused = |change: &dyn Fn(&mut ClassifierConfig), key: &str, found: &str| {
        let mut config = good.clone();
        change(&mut config);
        let error = config.validate().unwrap_err();
        assert_eq!(error.exit_code(), 2);
        let text = error.to_string();
        assert!(text.starts_with(&format!("{key}: ")) && text.ends_with(&format!("found {found}")), "{text}");
    };
    refused(&|c| c.num_classes = 1, "model.num_classes", "1");
    refused(&|c| c.num_classes = 1 << 20, "model.num_classes", "1048576");
    refused(&|c| c.patch_size = 5, "model.patch_size", "5");
    refused(&|c| c.num_heads = 3, "model.num_heads", "3");
    refused(&|c| c.mlp_ratio = f64::NAN, "model.mlp_ratio", "NaN");
}

#[test]
fn an_encoder_of_another_architecture_is_refused_by_the_key_that_differs() {
    let pretrained = mae().vit();
    let mut config = ClassifierConfig::new(&pretrained, 7, Pooling::Mean);
    config.img_size = [24, 24];
    config.vit().fits(&pretrained).expect("positions are interpolated");
    config.embed_dim = 24;
    let text = config.vit().fits(&pretrained).unwrap_err().to_string();
    assert_eq!(text, "model.embed_dim: expected 16, as in the pre-trained encoder, found 24");
}

#[test]
fn a_configuration_survives_toml_and_refuses_unknown_keys() {
    let config = ClassifierConfig::new(&mae().vit(), 7, Pooling::Mean);
    let text = toml::to_string(&config).unwrap();
    assert!(text.contains("pooling = \"mean\""), "{text}");
    assert_eq!(toml::from_str::<ClassifierConfig>(&text).unwrap(), config);
    assert!(toml::from_str::<ClassifierConfig>(&format!("{text}\nglobal_pool = true\n")).is_err());
}

#[test]
fn dropped_branches_depend_on_the_sample_and_not_on_its_chunk() {
    let drop_path = DropPath { rate: 0.4, depth: 3 };
    let of = |samples: &[u64]| drop_path.draw::<f32>(1, 2, samples).unwrap().0;
    let (whole, first, rest) = (of(&[4, 9, 5, 0]), of(&[4]), of(&[9, 5, 0]));
    for ((whole, first), rest) in whole.iter().zip(first).zip(rest) {
        assert_eq!(*whole, [first, rest].concat());
    }
    assert_ne!(drop_path.draw::<f32>(1, 3, &[4, 9, 5, 0]).unwrap().0, whole, "the epoch decides them, too");
    assert_ne!(drop_path.draw::<f32>(2, 2, &[4, 9, 5, 0]).unwrap().0, whole, "and the seed");
}

/// 4,000 draws of probability p: five standard deviations are at most 0.04. A factor's mean is 1.
#[test]
fn branches_are_dropped_at_rates_that_rise_with_depth() {
    let samples: Vec<u64> = (0..4000).collect();
    let branches = DropPath { rate: 0.4, depth: 3 }.draw::<f64>(0, 0, &samples).unwrap().0;
    for (branch, p) in branches.iter().zip([0.0, 0.0, 0.2, 0.2, 0.4, 0.4]) {
        let dropped = branch.iter().filter(|&&s| s == 0.0).count() as f64 / 4000.0;
        assert!((dropped - p).abs() < 0.04, "{dropped} dropped for {p}");
        assert!((branch.iter().sum::<f64>() / 4000.0 - 1.0).abs() < 0.07);
    }
    let dropped_together =
        branches[4].iter().zip(&branches[5]).filter(|(a, b)| **a == 0.0 && **b == 0.0).count();
    assert!(
        (dropped_together as f64 / 4000.0 - 0.16).abs() < 0.03,
        "the two branches of a block are independent"
    );
    assert_eq!(DropPath { rate: 0.0, depth: 3 }.draw::<f64>(0, 0, &samples), None);
    assert_eq!(DropPath { rate: 0.4, depth: 1 }.rate_of(0), 0.0, "as the reference's linspace of one");
}

/// A training pass, and the gradient.
fn step(
    model: &Classifier<f32>,
    pass: &ForwardOptions<f32>,
    cx: &mut Exec<f32>,
) -> (Array2<f32>, Classifier<f32>) {
    let images = images(&model.config, 6);
    let targets = cross_entropy::targets(&[0, 1, 2, 3, 4, 5], 7, 0.1);
    let (logits, cache) = model.forward(images.view(), pass, cx);
    let dlogits = cross_entropy::backward(&logits, &targets, 6);
    let mut grad = model.zeros_like();
    if let Some(dpatches) = model.backward(cache, dlogits.view(), &mut grad, cx) {
        cx.recycle(dpatches);
    }
    (logits, grad)
}

fn ready(pooling: Pooling) -> Classifier<f32> {
    let mut model =
        Classifier::from_encoder(&trained().encoder, &ClassifierConfig::new(&mae().vit(), 7, pooling), 0);
    model.head.weight.fill(0.0);
    model.head.weight.iter_mut().enumerate().for_each(|(i, x)| *x = (i as f32).sin());
    model
}

#[test]
fn what_is_trained_is_what_the_update_calls_trained() {
    for pooling in BOTH {
        let model = ready(pooling);
        for tune_blocks in [None, Some(0), Some(1), Some(2), Some(9)] {
            let (_, grad) =
                step(&model, &ForwardOptions { tune_blocks, ..ForwardOptions::default() }, &mut exec());
            let groups = groups::finetuning(&model, 0.05, 0.75, 2, tune_blocks);
            for (tensor, group) in grad.tensors().iter().zip(&groups) {
                let moved = tensor.data.iter().any(|&x| x != 0.0);
                assert_eq!(moved, group.trained, "{tune_blocks:?}: {}", group.name);
            }
            let blocks = |name: &str| groups.iter().any(|g| g.name.starts_with(name) && g.trained);
            let trained = ["blocks.0.", "blocks.1.", "head.", "cls_token"].map(blocks);
            let expected = match tune_blocks {
                None => [true; 4],
                Some(0) => [false, false, true, false],
                Some(1) => [false, true, true, false],
                Some(_) => [true, true, true, false],
            };
            assert_eq!(trained, expected, "{tune_blocks:?}");
        }
    }
}

#[test]
fn what_is_frozen_changes_no_gradient_above_it_and_keeps_no_buffers() {
    let model = ready(Pooling::Mean);
    let (mut whole, mut part) = (exec(), exec());
    let (logits, grad) = step(&model, &ForwardOptions::default(), &mut whole);
    let (same_logits, of_part) =
        step(&model, &ForwardOptions { tune_blocks: Some(1), ..ForwardOptions::default() }, &mut part);
    assert_eq!(logits, same_logits);
    assert_eq!(*grad.vit.blocks[1].mlp.fc1.weight, *of_part.vit.blocks[1].mlp.fc1.weight);
    assert_eq!(*grad.head.weight, *of_part.head.weight);
    assert!(part.pool().allocated() < whole.pool().allocated());
}

#[test]
fn splitting_and_repeating_a_step_with_drop_path_changes_no_bits() {
    for pooling in BOTH {
        let model = ready(pooling);
        let branches = DropPath { rate: 0.5, depth: 2 }.draw(0, 0, &[0, 1, 2, 3, 4, 5]);
        let pass = ForwardOptions { drop_path: branches.as_ref(), ..ForwardOptions::default() };
        let mut cx = exec();
        let (logits, grad) = step(&model, &pass, &mut cx);
        for cx in [&mut cx, &mut exec().split(true)] {
            let (again, grad_again) = step(&model, &pass, cx);
            assert_eq!(again, logits);
            for (a, b) in grad.tensors().iter().zip(grad_again.tensors()) {
                assert_eq!(a.data, b.data, "{}", a.name);
            }
        }
        assert_ne!(step(&model, &ForwardOptions::default(), &mut cx).0, logits, "something was dropped");
    }
}
