//! Claim: a detection network starts from the very numbers of an encoder; a batch's gradient is that of its chunks, however many
//! regions each has, whatever the threads and whatever a buffer held; a step in steady state allocates nothing; images in which
//! nothing is sampled cost nothing; costs are counted; and what cannot be is refused by the name of its key.

use crate::chunk_sums::{add, assert_same};
use ndarray::{Array2, Array4, s};
use rayon::ThreadPoolBuilder;
use vit_mae::exec::{Backend, Exec};
use vit_mae::layers::init::init;
use vit_mae::layers::pos_interp::interpolate;
use vit_mae::models::detect::{
    AnchorSample, Denominators, DetectLosses, Detector, DetectorConfig, ImageSamples, RegionObject,
    RegionSample,
};
use vit_mae::models::mae::Encoder;
use vit_mae::models::vit::{ForwardOptions, VitConfig};
use vit_mae::params::Params;

const CLASSES: usize = 3;

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

fn config() -> DetectorConfig {
    let config = DetectorConfig {
        channels: 12,
        fc_dim: 20,
        canonical_size: 32.0,
        post_nms: 10,
        max_detections: 6,
        score_threshold: 0.1,
        ..DetectorConfig::new(&vit(), CLASSES)
    };
    config.validate().unwrap();
    config
}

fn images(count: usize) -> Array4<f64> {
    Array4::from_shape_fn((count, 3, 32, 64), |(b, c, y, x)| {
        ((b * 71 + c * 37 + y * 17 + x * 5) as f64).sin()
    })
}

fn region(bbox: [f64; 4], object: Option<(usize, [f64; 4])>) -> RegionSample<f64> {
    let mask = |class| Array2::from_shape_fn((28, 28), |(i, j)| ((i + j + class) % 2) as f64);
    let object = object.map(|(class, bbox)| RegionObject { class, bbox, mask: mask(class) });
    RegionSample { bbox, object }
}

/// Of three images: the first has most, the last has nothing.
fn samples() -> Vec<ImageSamples<f64>> {
    let anchor = |anchor, object| AnchorSample { anchor, object };
    vec![
        ImageSamples {
            anchors: vec![anchor(5, None), anchor(390, Some([3.0, 4.0, 21.0, 17.0])), anchor(511, None)],
            regions: vec![
                region([2.0, 3.0, 20.0, 18.0], Some((2, [3.0, 4.0, 21.0, 17.0]))),
                region([30.0, 1.0, 62.0, 31.0], None),
                region([5.0, 5.0, 11.0, 12.0], Some((0, [4.0, 5.0, 10.0, 13.0]))),
            ],
        },
        ImageSamples {
            anchors: vec![anchor(100, Some([1.0, 1.0, 9.0, 9.0]))],
            regions: vec![region([0.0, 0.0, 64.0, 32.0], Some((1, [1.0, 1.0, 60.0, 30.0])))],
        },
        ImageSamples { anchors: vec![], regions: vec![] },
    ]
}

const OF: Denominators = Denominators { anchors: 12, regions: 4, foreground: 3 };

fn exec() -> Exec<f64> {
    Exec::new(Backend::default())
}

/// Losses and gradient of some images.
fn step(
    model: &Detector<f64>,
    images: &Array4<f64>,
    samples: &[ImageSamples<f64>],
    cx: &mut Exec<f64>,
) -> (DetectLosses, Vec<Vec<f64>>) {
    let mut grad = model.zeros_like();
    let forward = model.forward(images.view(), &ForwardOptions::default(), cx);
    let losses = model.loss_and_gradient(forward, samples, OF, &mut grad, cx);
    (losses, grad.tensors().into_iter().map(|t| t.data.to_vec()).collect())
}

#[test]
fn a_pre_trained_encoder_is_taken_over_and_its_positions_are_interpolated() {
    let mut encoder = Encoder::<f64>::new(&VitConfig { img_size: [16, 24], ..vit() });
    init(&mut encoder, 3);
    let model = Detector::from_encoder(&encoder, &config(), 1);
    let positions = interpolate(encoder.vit.pos_embed.slice(s![0, .., ..]), (2, 3), (4, 8));
    assert_eq!(model.vit.pos_embed.slice(s![0, .., ..]), positions);
    let theirs = encoder.tensors();
    let of_trunk =
        |name: &str| name.starts_with("blocks.") || name.starts_with("patch_embed.") || name == "cls_token";
    for tensor in model.tensors().into_iter().filter(|t| of_trunk(&t.name)) {
        let same = theirs.iter().find(|t| t.name == tensor.name).unwrap();
        assert_eq!(tensor.data, same.data, "{}", tensor.name);
    }
    for (name, std) in [
        ("rpn.objectness.weight", 0.01),
        ("rpn.deltas.weight", 0.01),
        ("box.score.weight", 0.01),
        ("box.deltas.weight", 0.001),
        ("mask.classify.weight", 0.001),
    ] {
        let tensors = model.tensors();
        let data = tensors.iter().find(|t| t.name == name).unwrap().data;
        let found = (data.iter().map(|x| x * x).sum::<f64>() / data.len() as f64).sqrt();
        // Four standard errors of a deviation from so many numbers.
        let error = 4.0 * std / (2.0 * data.len() as f64).sqrt();
        assert!((found - std).abs() < error, "{name}: {found} of {std}");
    }
}

#[test]
fn a_batchs_gradient_is_the_sum_of_its_chunks() {
    let (model, mut cx) = (Detector::<f64>::initialised(&config(), 5), exec());
    let (images, samples) = (images(3), samples());
    let (losses, whole) = step(&model, &images, &samples, &mut cx);
    let mut summed: Vec<Vec<f64>> = whole.iter().map(|tensor| vec![0.0; tensor.len()]).collect();
    let mut total = 0.0;
    for chunk in [0..1, 1..3] {
        let images = images.slice(s![chunk.clone(), .., .., ..]).to_owned();
        let (losses, part) = step(&model, &images, &samples[chunk], &mut cx);
        total += losses.total();
        add(&mut summed, &part);
    }
    assert!((total - losses.total()).abs() < 1e-12 * total, "{total} {losses:?}");
    assert_same(&whole, &summed);
}

#[test]
fn threads_and_what_a_buffer_held_change_no_bits_and_later_steps_allocate_nothing() {
    let model = Detector::<f64>::initialised(&config(), 5);
    let (images, samples) = (images(3), samples());
    let fresh = step(&model, &images, &samples, &mut exec());
    let boxes = |cx: &mut Exec<f64>| {
        let found = model.infer(images.view(), cx).into_iter().flatten();
        found.map(|found| (found.detection, found.mask.unwrap())).collect::<Vec<_>>()
    };
    let found = boxes(&mut exec());
    for threads in [1, 3] {
        let pool = ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let split = pool.install(|| step(&model, &images, &samples, &mut exec().split(true)));
        assert!(split == fresh, "{threads} threads");
        assert!(pool.install(|| boxes(&mut exec().split(true))) == found, "{threads} threads");
    }
    let mut cx = exec();
    for power in 0..20 {
        for _ in 0..64 {
            cx.recycle(Array2::from_elem((1, 1 << power), f64::NAN));
        }
    }
    assert!(step(&model, &images, &samples, &mut cx) == fresh, "read before it was written");
    assert!(boxes(&mut cx) == found, "read before it was written");
    let mut cx = exec();
    let mut allocated = || {
        step(&model, &images, &samples, &mut cx);
        cx.pool().allocated()
    };
    // In the second step a buffer may serve another request than in the first, when there were none.
    let second = [allocated(), allocated()][1];
    assert_eq!([allocated(), allocated()], [second; 2]);
}

#[test]
fn where_nothing_is_sampled_nothing_is_lost() {
    let model = Detector::<f64>::initialised(&config(), 5);
    let (losses, grad) =
        step(&model, &images(3).slice(s![..1, .., .., ..]).to_owned(), &samples()[2..], &mut exec());
    assert_eq!(losses, DetectLosses::default());
    assert!(grad.iter().flatten().all(|&dx| dx == 0.0));
    // Background alone: no mask, no box.
    let background =
        vec![ImageSamples { anchors: vec![], regions: vec![region([2.0, 3.0, 20.0, 18.0], None)] }];
    let (losses, _) = step(&model, &images(1), &background, &mut exec());
    assert!(
        losses.cls > 0.0 && losses.mask == 0.0 && losses.bbox == 0.0 && losses.rpn_cls == 0.0,
        "{losses:?}"
    );
}

#[test]
fn a_detection_lies_in_the_image_has_a_class_and_a_mask_and_the_best_comes_first() {
    let model = Detector::<f64>::initialised(&config(), 5);
    let found = model.infer(images(2).view(), &mut exec());
    assert_eq!(found.len(), 2);
    for image in &found {
        assert!(!image.is_empty() && image.len() <= 6);
        assert!(image.is_sorted_by(|a, b| a.detection.score >= b.detection.score));
        for found in image {
            let ([x1, y1, x2, y2], mask) = (found.detection.bbox, found.mask.as_ref().unwrap());
            assert!(0.0 <= x1 && x1 <= x2 && x2 <= 64.0 && 0.0 <= y1 && y1 <= y2 && y2 <= 32.0);
            assert!(found.detection.class < CLASSES && found.detection.region < 10);
            assert!(mask.dim() == (28, 28) && mask.iter().all(|p| (0.0..=1.0).contains(p)));
        }
    }
    let boxes_alone = DetectorConfig { mask_head: false, ..config() };
    let found = Detector::<f64>::initialised(&boxes_alone, 5).infer(images(1).view(), &mut exec());
    assert!(found[0].iter().all(|found| found.mask.is_none()));
    assert!(Detector::<f64>::new(&boxes_alone).tensors().iter().all(|t| !t.name.starts_with("mask.")));
}

#[test]
fn parameters_are_counted_for_every_patch_size_with_and_without_masks() {
    for (patch_size, mask_head) in [4, 8, 16].into_iter().flat_map(|p| [(p, false), (p, true)]) {
        let config = DetectorConfig { patch_size, mask_head, ..config() };
        assert_eq!(config.parameters(), Detector::<f64>::new(&config).count(), "{config:?}");
        assert!(config.flops_per_image() > config.inference_flops_per_image());
        assert!(config.waiting_bytes() + config.head_bytes() > config.inference_bytes() / 8);
    }
}

/// Those of detectron2 and ViTDet at their image size.
#[test]
fn usual_settings_follow_the_images_size() {
    let usual =
        |side| DetectorConfig::new(&VitConfig { img_size: [side, side], patch_size: 16, ..vit() }, 80);
    let large = usual(1024);
    assert_eq!(large.anchor_sizes, [32.0, 64.0, 128.0, 256.0, 512.0]);
    assert!((large.canonical_size - 224.0).abs() < 1e-9 && large.canonical_level == 4);
    assert_eq!([large.rpn_batch_per_image, large.roi_batch_per_image], [256, 512]);
    assert_eq!(
        [large.pre_nms_train, large.post_nms_train, large.pre_nms, large.post_nms],
        [2000, 1000, 1000, 1000]
    );
    let small = usual(96);
    assert_eq!(small.anchor_sizes[0], 8.0);
    assert_eq!([small.rpn_batch_per_image, small.roi_batch_per_image, small.post_nms], [64, 48, 128]);
    usual(64).validate().unwrap();
}

#[test]
fn what_cannot_be_is_refused_by_the_name_of_its_key() {
    for (config, key) in [
        (DetectorConfig { patch_size: 32, ..config() }, "model.patch_size"),
        (DetectorConfig { img_size: [48, 64], ..config() }, "model.img_size"),
        (DetectorConfig { depth: 3, ..config() }, "model.depth"),
        (DetectorConfig { embed_dim: 18, ..config() }, "model.embed_dim"),
        (DetectorConfig { num_classes: 0, ..config() }, "model.num_classes"),
        (DetectorConfig { channels: 0, ..config() }, "model.channels"),
        (DetectorConfig { fc_dim: 1 << 20, ..config() }, "model.fc_dim"),
        (DetectorConfig { box_size: 0, ..config() }, "model.box_size"),
        (DetectorConfig { mask_size: 1 << 10, ..config() }, "model.mask_size"),
        (DetectorConfig { sampling: 1 << 10, ..config() }, "model.sampling"),
        (DetectorConfig { canonical_level: 6, ..config() }, "model.canonical_level"),
        (DetectorConfig { canonical_size: 0.0, ..config() }, "model.canonical_size"),
        (DetectorConfig { anchor_sizes: vec![8.0; 4], ..config() }, "model.anchor_sizes"),
        (DetectorConfig { anchor_sizes: vec![f64::NAN; 5], ..config() }, "model.anchor_sizes"),
        (DetectorConfig { anchor_ratios: vec![], ..config() }, "model.anchor_ratios"),
        (DetectorConfig { anchor_ratios: vec![-1.0], ..config() }, "model.anchor_ratios"),
        (DetectorConfig { anchor_offset: 2.0, ..config() }, "model.anchor_offset"),
        (DetectorConfig { rpn_thresholds: [0.7, 0.3], ..config() }, "model.rpn_thresholds"),
        (DetectorConfig { rpn_batch_per_image: 0, ..config() }, "model.rpn_batch_per_image"),
        (DetectorConfig { rpn_positive_fraction: f64::NAN, ..config() }, "model.rpn_positive_fraction"),
        (DetectorConfig { roi_threshold: 1.5, ..config() }, "model.roi_threshold"),
        (DetectorConfig { roi_batch_per_image: 0, ..config() }, "model.roi_batch_per_image"),
        (DetectorConfig { roi_positive_fraction: -0.1, ..config() }, "model.roi_positive_fraction"),
        (DetectorConfig { pre_nms_train: 0, ..config() }, "model.pre_nms_train"),
        (DetectorConfig { post_nms: usize::MAX, ..config() }, "model.post_nms"),
        (DetectorConfig { rpn_nms: 1.1, ..config() }, "model.rpn_nms"),
        (DetectorConfig { score_threshold: f64::INFINITY, ..config() }, "model.score_threshold"),
        (DetectorConfig { box_nms: -1.0, ..config() }, "model.box_nms"),
        (DetectorConfig { max_detections: 0, ..config() }, "model.max_detections"),
    ] {
        let error = config.validate().expect_err(key).to_string();
        assert!(error.contains(key), "{key}: {error}");
    }
}
