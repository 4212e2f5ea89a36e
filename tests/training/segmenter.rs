//! Claim: a segmentation network starts where it says, from the very numbers of an encoder; a batch's gradient is that of its
//! chunks, whatever the threads and whatever a buffer held; a step in steady state allocates nothing; a prediction is the
//! largest logit; costs are counted; and an architecture that cannot be is refused by the name of its key.

use crate::chunk_sums::{add, assert_same};
use ndarray::{Array2, Array3, Array4, Axis, s};
use rayon::ThreadPoolBuilder;
use vit_mae::exec::{Backend, Exec};
use vit_mae::layers::init::init;
use vit_mae::layers::pos_interp::interpolate;
use vit_mae::models::mae::Encoder;
use vit_mae::models::segment::{Head, HeadKind, IGNORED, SegmentLosses, Segmenter, SegmenterConfig};
use vit_mae::models::vit::{ForwardOptions, VitConfig};
use vit_mae::params::Params;

const BOTH: [HeadKind; 2] = [HeadKind::Upernet, HeadKind::Linear];

const CLASSES: usize = 6;

fn vit() -> VitConfig {
    VitConfig {
        img_size: [32, 64],
        in_chans: 3,
        patch_size: 8,
        embed_dim: 16,
        depth: 4,
        num_heads: 2,
        mlp_ratio: 2.0,
        layer_norm_eps: 1e-6,
    }
}

fn config(head: HeadKind) -> SegmenterConfig {
    let config =
        SegmenterConfig { channels: 20, aux_channels: 12, ..SegmenterConfig::new(&vit(), CLASSES, head) };
    config.validate().unwrap();
    config
}

fn images(c: &SegmenterConfig, count: usize) -> Array4<f64> {
    let [height, width] = c.img_size;
    Array4::from_shape_fn((count, c.in_chans, height, width), |(b, c, y, x)| {
        ((b * 71 + c * 37 + y * 17 + x * 5) as f64).sin()
    })
}

fn labels(c: &SegmenterConfig, count: usize) -> Array3<u8> {
    let [height, width] = c.img_size;
    Array3::from_shape_fn((count, height, width), |(b, y, x)| {
        let number = b * 5 + y / 4 + x / 3;
        if number.is_multiple_of(5) { IGNORED } else { u8::try_from(number % CLASSES).unwrap() }
    })
}

/// Losses and gradient of some images, with the whole batch's denominator.
fn step(
    model: &Segmenter<f64>,
    images: &Array4<f64>,
    labels: &Array3<u8>,
    labelled: usize,
    cx: &mut Exec<f64>,
) -> (SegmentLosses, Vec<Vec<f64>>) {
    let mut grad = model.zeros_like();
    let labels: Vec<_> = labels.axis_iter(Axis(0)).collect();
    let o = ForwardOptions::default();
    let losses = model.loss_and_gradient(images.view(), &labels, labelled, &o, &mut grad, cx);
    (losses, grad.tensors().into_iter().map(|t| t.data.to_vec()).collect())
}

fn exec() -> Exec<f64> {
    Exec::new(Backend::default())
}

#[test]
fn a_pre_trained_encoder_is_taken_over_and_its_positions_are_interpolated() {
    let mut encoder = Encoder::<f64>::new(&VitConfig { img_size: [16, 24], ..vit() });
    init(&mut encoder, 3);
    encoder.norm.weight.fill(0.5);
    for head in BOTH {
        let model = Segmenter::from_encoder(&encoder, &config(head), 1);
        let positions = interpolate(encoder.vit.pos_embed.slice(s![0, .., ..]), (2, 3), (4, 8));
        assert_eq!(model.vit.pos_embed.slice(s![0, .., ..]), positions);
        let theirs = encoder.tensors();
        let of_trunk = |name: &str| {
            name.starts_with("blocks.") || name.starts_with("patch_embed.") || name == "cls_token"
        };
        for tensor in model.tensors().into_iter().filter(|t| of_trunk(&t.name)) {
            let same = theirs.iter().find(|t| t.name == tensor.name).unwrap();
            assert_eq!(tensor.data, same.data, "{}", tensor.name);
        }
        if let Head::Linear(head) = &model.head {
            assert_eq!(head.norm.weight, encoder.norm.weight, "it normalised the same tokens");
        }
        for tensor in model.tensors().into_iter().filter(|t| t.name.ends_with("classify.weight")) {
            let std = (tensor.data.iter().map(|x| x * x).sum::<f64>() / tensor.data.len() as f64).sqrt();
            assert!((0.006..0.014).contains(&std), "{}: {std}", tensor.name);
        }
        let of_seed = |seed| Segmenter::<f64>::initialised(&config(head), seed);
        let weights =
            |model: &Segmenter<f64>| model.tensors().iter().flat_map(|t| t.data.to_vec()).collect::<Vec<_>>();
        assert!(weights(&of_seed(1)) == weights(&of_seed(1)) && weights(&of_seed(1)) != weights(&of_seed(2)));
    }
}

/// A mean over the batch's labelled pixels, however many each image has.
#[test]
fn a_batchs_gradient_is_the_sum_of_its_chunks() {
    for head in BOTH {
        let (config, mut cx) = (config(head), exec());
        let model = Segmenter::<f64>::initialised(&config, 5);
        let (images, mut labels) = (images(&config, 3), labels(&config, 3));
        labels.slice_mut(s![0, 3.., ..]).fill(IGNORED);
        let labelled = labels.iter().filter(|&&label| label != IGNORED).count();
        let (losses, whole) = step(&model, &images, &labels, labelled, &mut cx);
        let mut summed: Vec<Vec<f64>> = whole.iter().map(|tensor| vec![0.0; tensor.len()]).collect();
        let mut sums = SegmentLosses::default();
        for chunk in [0..1, 1..3] {
            let images = images.slice(s![chunk.clone(), .., .., ..]).to_owned();
            let (losses, part) =
                step(&model, &images, &labels.slice(s![chunk, .., ..]).to_owned(), labelled, &mut cx);
            sums.main += losses.main;
            sums.auxiliary += losses.auxiliary;
            add(&mut summed, &part);
        }
        assert!((sums.main - losses.main).abs() < 1e-12 * losses.main, "{sums:?} {losses:?}");
        assert!((sums.auxiliary - losses.auxiliary).abs() <= 1e-12 * losses.auxiliary);
        assert_same(&whole, &summed);
    }
}

#[test]
fn threads_and_what_a_buffer_held_change_no_bits_and_later_steps_allocate_nothing() {
    for head in BOTH {
        let config = config(head);
        let model = Segmenter::<f64>::initialised(&config, 5);
        let (images, labels) = (images(&config, 2), labels(&config, 2));
        let fresh = step(&model, &images, &labels, 4000, &mut exec());
        for threads in [1, 3] {
            let pool = ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let split = pool.install(|| step(&model, &images, &labels, 4000, &mut exec().split(true)));
            assert!(split == fresh, "{head:?}, {threads} threads");
        }
        let mut cx = exec();
        for power in 0..20 {
            for _ in 0..64 {
                cx.recycle(Array2::from_elem((1, 1 << power), f64::NAN));
            }
        }
        assert!(
            step(&model, &images, &labels, 4000, &mut cx) == fresh,
            "{head:?}: read before it was written"
        );
        let mut cx = exec();
        let mut allocated = || {
            step(&model, &images, &labels, 4000, &mut cx);
            cx.pool().allocated()
        };
        // In the second step a buffer may serve another request than in the first, when there were none.
        let second = [allocated(), allocated()][1];
        assert_eq!([allocated(), allocated()], [second; 2], "{head:?}");
    }
}

#[test]
fn a_prediction_is_the_largest_logit_and_evaluation_is_the_forward_pass() {
    for head in BOTH {
        let config = config(head);
        let model = Segmenter::<f64>::initialised(&config, 5);
        let (images, mut cx) = (images(&config, 2), exec());
        let (logits, predicted) =
            (model.logits(images.view(), &mut cx), model.predict(images.view(), &mut cx));
        assert_eq!(logits.dim(), (2 * 32 * 64, CLASSES));
        for (row, &class) in logits.outer_iter().zip(&predicted) {
            assert!(row.iter().all(|&z| z <= row[usize::from(class)]));
        }
        let (low, cache) = model.forward(images.view(), &ForwardOptions::default(), &mut cx);
        drop(cache);
        assert_eq!(low.main, model.infer(images.view(), &mut cx));
    }
}

#[test]
fn parameters_are_counted_for_every_patch_size() {
    for (patch_size, head) in [4, 8, 16].into_iter().flat_map(|p| BOTH.map(|head| (p, head))) {
        let config = SegmenterConfig { patch_size, ..config(head) };
        assert_eq!(config.parameters(), Segmenter::<f64>::new(&config).count(), "{config:?}");
        assert!(config.flops_per_image() > 0.0 && config.activation_bytes() > config.inference_bytes() / 8);
    }
}

#[test]
fn pool_scales_follow_the_coarsest_map() {
    let scales = |img_size| SegmenterConfig::usual_pool_scales(img_size);
    assert_eq!(scales([32, 64]), [1]);
    assert_eq!(scales([64, 128]), [1, 2]);
    assert_eq!(scales([96, 96]), [1, 2, 3]);
    assert_eq!(scales([256, 192]), [1, 2, 3, 6]);
}

#[test]
fn what_cannot_be_is_refused_by_the_name_of_its_key() {
    let upernet = || config(HeadKind::Upernet);
    for (config, key) in [
        (SegmenterConfig { patch_size: 32, ..upernet() }, "model.patch_size"),
        (SegmenterConfig { patch_size: 2, ..upernet() }, "model.patch_size"),
        (SegmenterConfig { img_size: [48, 64], ..upernet() }, "model.img_size"),
        (SegmenterConfig { depth: 3, ..upernet() }, "model.depth"),
        (SegmenterConfig { channels: 0, ..upernet() }, "model.channels"),
        (SegmenterConfig { aux_channels: 0, ..upernet() }, "model.aux_channels"),
        (SegmenterConfig { pool_scales: vec![], ..upernet() }, "model.pool_scales"),
        (SegmenterConfig { pool_scales: vec![1, 0], ..upernet() }, "model.pool_scales"),
        (SegmenterConfig { aux_weight: -0.1, ..upernet() }, "model.aux_weight"),
        (SegmenterConfig { aux_weight: f64::NAN, ..upernet() }, "model.aux_weight"),
        (SegmenterConfig { num_classes: 256, ..upernet() }, "model.num_classes"),
        (SegmenterConfig { num_classes: 1, ..upernet() }, "model.num_classes"),
        (SegmenterConfig { embed_dim: 18, ..upernet() }, "embed_dim"),
    ] {
        let error = config.validate().expect_err(key).to_string();
        assert!(error.contains(key), "{key}: {error}");
    }
    // Without a pyramid, none of this matters.
    let linear = SegmenterConfig { img_size: [40, 56], depth: 1, channels: 0, ..config(HeadKind::Linear) };
    linear.validate().unwrap();
}
