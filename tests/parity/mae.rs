//! A whole pre-training step: every activation, gradient and updated weight of `mae_v1` and `mae_v2`.

use crate::golden::{Golden, Tolerance};
use ndarray::{ArrayD, Ix4};
use vit_mae::Real;
use vit_mae::exec::probe::Recorder;
use vit_mae::exec::{Backend, Exec};
use vit_mae::mae::{Mae, MaeConfig, MaeOutput, Mask};
use vit_mae::optim::{AdamW, clip, groups};
use vit_mae::params::Params;

/// The README's table: what f32 may be off by, per kind of tensor.
fn tolerance<F: Real>(key: &str, largest_gradient: f64) -> Tolerance {
    if F::NAME == "f64" {
        let adamw_qkv_bias = key.starts_with("adamw") && key.ends_with("attn.qkv.bias");
        return Tolerance { rel: if adamw_qkv_bias { 1e-9 } else { 1e-10 }, floor: 1e-14 };
    }
    let gradient = key.starts_with('g') && key != "grad_norm";
    let rel = match key {
        "target" => 5e-5,
        "loss" | "grad_norm" | "adamw_losses" => 5e-6,
        "loss_per_patch" => 2e-5,
        "grad_input" => 1e-4,
        _ if gradient => 5e-5,
        _ => 1e-5,
    };
    Tolerance { rel, floor: if gradient { 1e-7 * largest_gradient } else { 0.0 } }
}

fn config(meta: &serde_json::Value) -> MaeConfig {
    let mut config = meta["config"].as_object().expect("a configuration").clone();
    let side = config["img_size"].clone();
    config.insert("img_size".into(), serde_json::json!([side, side]));
    for not_architecture in ["batch", "flat_patch", "mask_ratio"] {
        config.remove(not_architecture);
    }
    serde_json::from_value(config.into()).expect("our names are the reference's")
}

fn load<F: Real>(golden: &Golden, model: &mut Mae<F>) {
    for tensor in model.tensors_mut() {
        let stored = golden.input(&format!("param.{}", tensor.name));
        assert_eq!(stored.shape(), tensor.shape, "{}", tensor.name);
        tensor.data.iter_mut().zip(&stored).for_each(|(x, &s)| *x = F::of(s));
    }
}

fn step<F: Real>(
    model: &Mae<F>,
    images: &ndarray::Array4<F>,
    masks: &[Mask],
    cx: &mut Exec<F>,
) -> (MaeOutput<F>, Mae<F>, ndarray::Array2<F>) {
    let removed = masks.iter().map(Mask::removed).sum();
    let (output, cache) = model.forward(images.view(), masks, cx);
    let mut grad = model.zeros_like();
    let dpatches = model.backward(cache, &output, masks, removed, &mut grad, cx);
    (output, grad, dpatches)
}

fn replay<F: Real>(case: &str) {
    let golden = Golden::open(&format!("{case}.{}", F::NAME));
    let config = config(&golden.meta);
    let mut model = Mae::<F>::new(config.clone());
    load(&golden, &mut model);
    let largest = golden
        .keys()
        .filter(|k| k.starts_with("grad.") || k.starts_with("gact."))
        .flat_map(|k| golden.get(k).iter().map(|x| x.abs()))
        .fold(0.0, f64::max);
    let compare = |key: &str, ours: ndarray::ArrayViewD<F>| {
        golden.compare(key, ours, tolerance::<F>(key, largest));
    };
    let compare_number = |key: &str, ours: f64| {
        golden.compare_values(key, &[ours], tolerance::<F>(key, largest));
    };

    // Masks from the recorded noise.
    let images = golden.input("images").mapv(F::of).into_dimensionality::<Ix4>().expect("four axes");
    let keep = golden.meta["len_keep"].as_u64().expect("len_keep") as usize;
    let ratio = golden.meta["config"]["mask_ratio"].as_f64().expect("mask_ratio");
    assert_eq!(vit_mae::mae::masking::len_keep(config.num_patches(), ratio), keep);
    let noise = golden.input("noise");
    let masks: Vec<Mask> =
        noise.outer_iter().map(|n| Mask::from_noise(&n.iter().copied().collect::<Vec<_>>(), keep)).collect();
    let exact = Tolerance { rel: 0.0, floor: 0.0 };
    let ids = |of: &dyn Fn(&Mask) -> Vec<usize>| -> Vec<f64> {
        masks.iter().flat_map(of).map(|i| i as f64).collect()
    };
    golden.compare_values("ids_shuffle", &ids(&|m| m.ids_shuffle.clone()), exact);
    golden.compare_values("ids_restore", &ids(&|m| m.ids_restore.clone()), exact);
    golden.compare_values("ids_keep", &ids(&|m| m.ids_keep().to_vec()), exact);
    let mask = ids(&|m| (0..config.num_patches()).map(|l| usize::from(m.removes(l))).collect());
    golden.compare_values("mask", &mask, exact);

    // Forward, backward, and everything in between.
    let recorder = Recorder::default();
    let mut cx = Exec::new(Backend::default()).with_probe(recorder.clone());
    let (output, grad, dpatches) = step(&model, &images, &masks, &mut cx);
    let removed: usize = masks.iter().map(Mask::removed).sum();
    compare("pred", output.pred.view().into_dyn());
    compare("target", output.target.view().into_dyn());
    compare("loss_per_patch", output.loss_per_patch.view().into_dyn());
    compare_number("loss", output.loss_sum / removed as f64);
    for (name, value) in recorder.tensors() {
        if golden.keys().any(|key| key == name) {
            compare(&name, value.view());
        }
    }
    for tensor in grad.tensors() {
        let key = format!("grad.{}", tensor.name);
        if tensor.name.ends_with("pos_embed") {
            assert!(tensor.data.iter().all(|&x| x == F::zero()), "{key}: positions are fixed");
        } else {
            compare(&key, ArrayD::from_shape_vec(tensor.shape, tensor.data.to_vec()).unwrap().view());
        }
    }
    let mut groups = groups::pretraining(&model, 0.05);
    compare_number("grad_norm", clip::norm(&grad, &groups));
    let (network, target) = model.images_gradient(images.view(), &output, &masks, &dpatches, &mut cx);
    compare("grad_input_encoder", network.view().into_dyn());
    compare("grad_input", (&network + &target).view().into_dyn());

    // Three steps of AdamW.
    assert_groups(&golden, &mut groups);
    let mut adamw = AdamW::new(&model, (0.9, 0.95));
    let mut losses = vec![output.loss_sum / removed as f64];
    let mut grad = grad;
    for number in 1..=3 {
        adamw.step(&mut model, &grad, &groups, 1e-3);
        if number != 2 {
            compare_weights(&golden, &model, number, largest);
        }
        let (output, next, _) = step(&model, &images, &masks, &mut cx);
        losses.push(output.loss_sum / removed as f64);
        grad = next;
    }
    golden.compare_values("adamw_losses", &losses, tolerance::<F>("adamw_losses", largest));
    golden.finish();
}

/// Our groups are the recorded ones: the same tensors decay, and only position tables are fixed.
fn assert_groups(golden: &Golden, groups: &mut [groups::Group]) {
    for recorded in golden.meta["param_groups"].as_array().expect("groups") {
        for name in recorded["params"].as_array().expect("names") {
            let ours = groups.iter().find(|g| g.name == name.as_str().unwrap()).expect("a tensor of ours");
            assert!(ours.trained, "{name}");
            assert_eq!(Some(ours.weight_decay), recorded["weight_decay"].as_f64(), "{name}");
        }
    }
    let fixed: Vec<_> = groups.iter().filter(|g| !g.trained).map(|g| g.name.as_str()).collect();
    assert_eq!(fixed, ["pos_embed", "decoder_pos_embed"]);
}

/// f64: elementwise. f32: an AdamW step divides by the gradient's magnitude, so tiny gradients' rounding
/// errors grow; per tensor at most max(1, 0.1 %) of the elements may be off by more than 1e-6, all by at
/// most 2 · lr · steps, and the key part of `qkv.bias` (true gradient 0) only by the latter.
fn compare_weights<F: Real>(golden: &Golden, model: &Mae<F>, steps: usize, largest: f64) {
    for tensor in model.tensors() {
        if tensor.name.ends_with("pos_embed") {
            continue;
        }
        let key = format!("adamw{steps}.{}", tensor.name);
        let ours: Vec<f64> = tensor.data.iter().map(|x| x.f64()).collect();
        if F::NAME == "f64" {
            golden.compare_values(&key, &ours, tolerance::<F>(&key, largest));
            continue;
        }
        let theirs = golden.get(&key);
        let third = ours.len() / 3;
        let key_bias = |i: usize| tensor.name.ends_with("attn.qkv.bias") && (third..2 * third).contains(&i);
        let mut off = 0;
        for (i, (a, b)) in ours.iter().zip(theirs).enumerate() {
            assert!((a - b).abs() <= 2.0 * 1e-3 * steps as f64, "{key}[{i}]: {a} and {b}");
            off += usize::from((a - b).abs() > 1e-6 && !key_bias(i));
        }
        assert!(
            off <= (ours.len() / 1000).max(1),
            "{key}: {off} of {} are off by more than 1e-6",
            ours.len()
        );
        golden.accounted(&key);
    }
}

#[test]
fn a_step_on_raw_pixels_of_one_channel_is_the_references_in_f64() {
    replay::<f64>("mae_v1");
}

#[test]
fn a_step_on_raw_pixels_of_one_channel_is_the_references_in_f32() {
    replay::<f32>("mae_v1");
}

#[test]
fn a_step_on_normalised_pixels_of_three_channels_is_the_references_in_f64() {
    replay::<f64>("mae_v2");
}

#[test]
fn a_step_on_normalised_pixels_of_three_channels_is_the_references_in_f32() {
    replay::<f32>("mae_v2");
}
