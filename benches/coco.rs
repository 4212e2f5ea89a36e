//! COCO's evaluation of as many images as COCO's validation set has, 100 detections in each, and non-maximum suppression of an
//! image's proposals.
//!
//! `cargo bench --bench coco`. Images, objects and detections are made up.

use criterion::{Criterion, criterion_group, criterion_main};
use ndarray::Array2;
use rand::Rng;
use std::hint::black_box;
use std::time::Duration;
use vit_mae::base::rng::{Purpose, below, rng, uniform};
use vit_mae::data::rle::Rle;
use vit_mae::models::detect::nms::nms;
use vit_mae::tasks::detect::coco::{Detection, ImageResult, Object, Overlap, Protocol, evaluate};

const IMAGES: u64 = 5000;
const SIZE: [usize; 2] = [480, 640];
const CLASSES: usize = 80;
const OBJECTS: usize = 7;
const DETECTIONS: usize = 100;
const PROPOSALS: usize = 1000;

/// Corner and size.
fn anywhere(noise: &mut impl Rng) -> [usize; 4] {
    let [width, height] = [8, 8].map(|least| least + below(noise, 120));
    [below(noise, SIZE[1] - width), below(noise, SIZE[0] - height), width, height]
}

/// All of a box.
fn filled([x, y, width, height]: [usize; 4]) -> Rle {
    Rle::of_part(Array2::from_elem((height, width), true).view(), [y, x], SIZE)
}

fn image(id: u64) -> ImageResult {
    let noise = &mut rng(0, Purpose::Synthetic, 0, id);
    let mut boxes = Vec::new();
    let mut object = || {
        let (at, class) = (anywhere(noise), below(noise, CLASSES));
        boxes.push((at, class));
        let [x, y, w, h] = at.map(|side| side as f64);
        Object { bbox: [x, y, w, h], class, mask: Some(filled(at)), crowd: false, area: w * h }
    };
    let objects = (0..OBJECTS).map(|_| object()).collect();
    let mut detection = |i: usize| {
        // Every fifth is an object's.
        let (at, class) = if i.is_multiple_of(5) {
            boxes[below(noise, OBJECTS)]
        } else {
            (anywhere(noise), below(noise, CLASSES))
        };
        Detection { bbox: at.map(|side| side as f64), score: uniform(noise), class, mask: Some(filled(at)) }
    };
    ImageResult { id, objects, detections: (0..DETECTIONS).map(&mut detection).collect() }
}

fn coco(c: &mut Criterion) {
    let images: Vec<ImageResult> = (0..IMAGES).map(image).collect();
    let mut group = c.benchmark_group("5,000 images");
    group.sample_size(10).warm_up_time(Duration::from_millis(1));
    for (name, overlap) in [("boxes", Overlap::Boxes), ("masks", Overlap::Masks)] {
        group.bench_function(name, |b| {
            b.iter(|| black_box(evaluate(&images, CLASSES, overlap, &Protocol::default())));
        });
    }
    group.finish();
    let noise = &mut rng(0, Purpose::Synthetic, 1, 0);
    let proposal = |_| {
        let [x, y, w, h] = anywhere(noise).map(|side| side as f64);
        ([x, y, x + w, y + h], uniform(noise))
    };
    let (boxes, scores): (Vec<_>, Vec<_>) = (0..PROPOSALS).map(proposal).unzip();
    c.bench_function("non-maximum suppression of 1,000 proposals", |b| {
        b.iter(|| black_box(nms(&boxes, &scores, None, 0.7)));
    });
}

criterion_group!(benches, coco);
criterion_main!(benches);
