//! Claim: what the last block leaves out, since nobody reads it, changes neither outputs nor gradients, and is what the
//! counted operations say; where somebody looks at intermediates, they are whole.

use crate::classifier::mae;
use ndarray::{Array2, Array4};
use vit_mae::Real;
use vit_mae::exec::census::Census;
use vit_mae::exec::probe::Recorder;
use vit_mae::exec::{Backend, Exec};
use vit_mae::models::beit::{Beit, BeitConfig};
use vit_mae::models::classify::{Classifier, ClassifierConfig, Pooling, cross_entropy};
use vit_mae::models::moco::{MocoConfig, Trunk};
use vit_mae::models::vit::{ForwardOptions, VitConfig};
use vit_mae::params::Params;

const IMAGES: usize = 3;
const TOKENS: usize = 7;

fn vit() -> VitConfig {
    mae().vit()
}

fn images<F: Real>() -> Array4<F> {
    let pixel = |(b, c, y, x)| F::of(((b * 71 + c * 37 + y * 17 + x * 5) as f64).sin());
    Array4::from_shape_fn((IMAGES, 3, 8, 12), pixel)
}

/// Every number of it another one.
fn filled<F: Real, P: Params<F>>(mut model: P) -> P {
    for (t, tensor) in model.tensors_mut().into_iter().enumerate() {
        for (i, x) in tensor.data.write().iter_mut().enumerate() {
            *x += F::of(0.3 * ((t * 31 + i * 7) as f64).sin());
        }
    }
    model
}

fn plain() -> Exec<f64> {
    Exec::new(Backend::default())
}

/// Takes the same step seen and unseen: output, gradient, and that of the patches. Seen, the last block's output has all rows.
fn compare<P: Params<f64>>(step: impl Fn(&mut Exec<f64>) -> (Array2<f64>, P, Array2<f64>)) {
    let recorder = Recorder::default();
    let (output, grad, dpatches) = step(&mut plain());
    let (seen_output, seen_grad, seen_dpatches) = step(&mut plain().with_probe(recorder.clone()));
    let close = |name: &str, a: &[f64], b: &[f64]| {
        assert_eq!(a.len(), b.len(), "{name}");
        let worst = a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        assert!(worst < 1e-12, "{name}: {worst}");
    };
    close("output", output.as_slice().unwrap(), seen_output.as_slice().unwrap());
    close("patches", dpatches.as_slice().unwrap(), seen_dpatches.as_slice().unwrap());
    for (a, b) in grad.tensors().iter().zip(seen_grad.tensors()) {
        close(&a.name, a.data, b.data);
    }
    let fc1 = grad.tensors().into_iter().find(|tensor| tensor.name.ends_with("blocks.1.mlp.fc1.weight"));
    let largest = fc1.unwrap().data.iter().fold(0.0, |largest: f64, x| largest.max(x.abs()));
    assert!(largest > 1e-6, "the last block learns: {largest}");
    let seen = recorder.tensors();
    for name in ["act.blocks.1", "gact.blocks.1", "act.blocks.1.mlp.out", "gact.blocks.1.attn.context"] {
        assert_eq!(seen[name].shape(), [IMAGES * TOKENS, 16], "{name}");
    }
}

/// Operations of a step, as they are asked for.
fn counted(step: impl FnOnce(&mut Exec<f32>)) -> f64 {
    let (engine, census) = Census::engine();
    step(&mut Exec::new(engine));
    census.flops() / IMAGES as f64
}

fn classify<F: Real>(pooling: Pooling, cx: &mut Exec<F>) -> (Array2<F>, Classifier<F>, Array2<F>) {
    let model = filled(Classifier::new(&ClassifierConfig::new(&vit(), 5, pooling)));
    let (logits, cache) = model.forward(images().view(), &ForwardOptions::default(), cx);
    let dlogits = cross_entropy::backward(&logits, &cross_entropy::targets(&[3, 0, 4], 5, 0.1), IMAGES);
    let mut grad = model.zeros_like();
    let dpatches = model.backward(cache, dlogits.view(), &mut grad, cx).unwrap();
    (logits, grad, dpatches)
}

#[test]
fn a_classifier_needs_one_row_of_the_last_block_if_it_pools_the_class_token() {
    compare(|cx| classify(Pooling::Class, cx));
    let flops = [Pooling::Class, Pooling::Mean].map(|pooling| {
        let expected = ClassifierConfig::new(&vit(), 5, pooling).flops_per_image();
        let found = counted(|cx| drop(classify(pooling, cx)));
        assert!((found / expected - 1.0).abs() < 1e-12, "{pooling:?}: {found} for {expected}");
        found
    });
    assert!(flops[0] < 0.8 * flops[1], "{flops:?}");
}

#[test]
fn so_does_the_trunk_of_moco() {
    let config = MocoConfig {
        vit: vit(),
        mlp_dim: 8,
        out_dim: 4,
        stop_grad_conv1: false,
        temperature: 0.2,
        batch_norm_eps: 1e-5,
        batch_norm_momentum: 0.1,
    };
    let trunk = filled(Trunk::<f64>::new(&config));
    compare(|cx| {
        let (features, cache) = trunk.forward(images().view(), cx);
        let mut grad = trunk.zeros_like();
        let dpatches = trunk.backward(cache, features.view(), &mut grad, cx);
        assert_eq!(trunk.infer(images().view(), cx), features);
        (features, grad, dpatches)
    });
}

fn beit<F: Real>(masked: &[bool], cx: &mut Exec<F>) -> (Array2<F>, Beit<F>, Array2<F>) {
    let ids: Vec<usize> = (0..18).map(|patch| patch * 5 % 8).collect();
    let model = filled(Beit::new(&BeitConfig { vit: vit(), vocab_size: 8 }));
    let (output, cache) = model.forward(images().view(), masked, &ids, cx);
    let mut grad = model.zeros_like();
    let dpatches = model.backward(cache, &output, masked, 10, &mut grad, cx);
    (output.logits, grad, dpatches)
}

#[test]
fn beit_needs_the_rows_of_what_is_masked() {
    // Not as many of each image.
    let masked = [1, 0, 0, 1, 1, 0, 0, 0, 0, 0, 1, 0, 1, 1, 1, 1, 1, 1].map(|masked| masked == 1);
    compare(|cx| beit(&masked, cx));
    assert_eq!(beit(&[false; 18], &mut plain()).0.dim(), (0, 8));
    for every in [1, 2, 6] {
        let masked: Vec<bool> = (0..18).map(|patch| patch % every == 0).collect();
        let expected = BeitConfig { vit: vit(), vocab_size: 8 }.flops_per_image(6 / every);
        let found = counted(|cx| drop(beit(&masked, cx)));
        assert!((found / expected - 1.0).abs() < 1e-12, "{every}: {found} for {expected}");
    }
}
