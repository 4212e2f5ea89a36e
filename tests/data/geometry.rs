//! Claim: an image, its boxes, its masks and its label map go the same way into a view, which is the recorded one; and the
//! loader hands them out together, in as many views as are asked for.

use std::sync::Arc;

use ndarray::Array2;
use proptest::prelude::*;
use vit_mae::Result;
use vit_mae::base::rng::{Purpose, rng, uniform};
use vit_mae::data::augment::random_crop;
use vit_mae::data::geometry::short_edge;
use vit_mae::data::resample::{CropBox, Filter};
use vit_mae::data::rle::Rle;
use vit_mae::data::target::{IGNORED, mask_box};
use vit_mae::data::{
    Augment, Batch, Dataset, Geometry, Image, Instance, Loader, LoaderConfig, RandAugment, Subset, Target,
    normalise,
};

/// `augment_v.json`.
#[derive(serde::Deserialize)]
struct Recorded {
    cases: Vec<Case>,
    short_edge: Vec<ShortEdge>,
}

#[derive(serde::Deserialize)]
struct Case {
    size: (usize, usize),
    label: Vec<u8>,
    masks: Vec<Vec<u8>>,
    boxes: Vec<[f64; 4]>,
    steps: Vec<Step>,
}

/// What one operation makes of a case. The last three are a crop's.
#[derive(serde::Deserialize)]
struct Step {
    op: String,
    to: Option<(usize, usize)>,
    label: Vec<u8>,
    masks: Vec<Vec<u8>>,
    boxes: Vec<[f64; 4]>,
    at: Option<(usize, usize)>,
    nonempty: Option<Vec<bool>>,
    mask_boxes: Option<Vec<Option<[f64; 4]>>>,
}

#[derive(serde::Deserialize)]
struct ShortEdge {
    size: (usize, usize),
    short: usize,
    longest: usize,
    to: (usize, usize),
}

fn recorded() -> Recorded {
    serde_json::from_str(include_str!("../golden/augment_v.json")).unwrap()
}

/// All of an image of this size, as it is.
fn identity((height, width): (usize, usize)) -> Geometry {
    let out = (height, width);
    Geometry { crop: CropBox { top: 0, left: 0, height, width }, scale: out, flip: false, out }
}

fn of_step(size: (usize, usize), step: &Step) -> Geometry {
    let whole = identity(size);
    let to = step.to.unwrap_or(size);
    match step.op.as_str() {
        "resize" => Geometry { scale: to, out: to, ..whole },
        "flip" => Geometry { flip: true, ..whole },
        "crop" => {
            let (top, left) = step.at.unwrap();
            Geometry { crop: CropBox { top, left, height: to.0, width: to.1 }, scale: to, out: to, ..whole }
        }
        "pad" => Geometry { out: to, ..whole },
        other => panic!("an operation {other}"),
    }
}

fn mask((height, width): (usize, usize), pixels: &[u8]) -> Array2<bool> {
    Array2::from_shape_vec((height, width), pixels.iter().map(|&x| x == 1).collect()).unwrap()
}

fn object(bbox: [f64; 4], mask: Option<Array2<bool>>) -> Instance {
    Instance { bbox, class: 3, mask: mask.map(|mask| Rle::of_mask(mask.view())), crowd: false, area: 1.5 }
}

/// An object's view, if it is seen.
fn seen(geometry: Geometry, object: Instance) -> Option<Instance> {
    match geometry.target(&Target::Instances(vec![object])) {
        Target::Instances(mut objects) => objects.pop(),
        other => panic!("{other:?} is no list of instances"),
    }
}

fn near(a: [f64; 4], b: [f64; 4], most: f64) -> bool {
    a.iter().zip(b).all(|(a, b)| (a - b).abs() <= most)
}

#[test]
fn label_maps_masks_and_boxes_are_the_recorded_ones() {
    for case in recorded().cases {
        for step in &case.steps {
            let geometry = of_step(case.size, step);
            let labels = Array2::from_shape_vec(case.size, case.label.clone()).unwrap();
            let expected = Array2::from_shape_vec(geometry.out, step.label.clone()).unwrap();
            assert_eq!(geometry.target(&Target::LabelMap(labels)), Target::LabelMap(expected), "{}", step.op);
            for (i, (&before, &after)) in case.boxes.iter().zip(&step.boxes).enumerate() {
                match seen(geometry, object(before, None)) {
                    Some(seen) => {
                        assert!(near(seen.bbox, after, 1e-9), "{}: {seen:?} for {after:?}", step.op);
                        assert!(step.nonempty.as_ref().is_none_or(|nonempty| nonempty[i]));
                        assert_eq!(seen, object(seen.bbox, None), "nothing else changes");
                    }
                    None => assert!(!step.nonempty.as_ref().unwrap()[i]),
                }
            }
            for (i, (before, after)) in case.masks.iter().zip(&step.masks).enumerate() {
                let after = mask(geometry.out, after);
                let seen = seen(geometry, object(case.boxes[i], Some(mask(case.size, before))));
                let expected = step.mask_boxes.as_ref().map_or(Some(step.boxes[i]), |boxes| boxes[i]);
                assert_eq!(seen.is_some(), expected.is_some(), "{}: {i}", step.op);
                if let (Some(seen), Some(expected)) = (seen, expected) {
                    assert!(near(seen.bbox, expected, 1e-9), "{}: {seen:?} for {expected:?}", step.op);
                    assert_eq!(seen.mask.unwrap().mask(), after, "{}", step.op);
                }
            }
        }
    }
}

#[test]
fn the_boxes_of_the_recorded_masks_are_found() {
    for case in recorded().cases {
        for (pixels, bbox) in case.masks.iter().zip(&case.boxes) {
            assert_eq!(mask_box(mask(case.size, pixels).view()), Some(*bbox));
        }
    }
}

#[test]
fn sides_by_the_shorter_edge_are_the_recorded_ones() {
    let recorded = recorded().short_edge;
    assert_eq!(recorded.len(), 40);
    for case in recorded {
        assert_eq!(short_edge(case.size, case.short, case.longest), case.to, "{:?}", case.size);
    }
}
#[test]
fn an_object_whose_mask_has_no_pixel_is_known_by_its_box() {
    let empty = object([2.25, 3.0, 2.75, 3.5], Some(Array2::from_elem((12, 15), false)));
    let half = Geometry::resized((12, 15), (6, 30));
    let Instance { bbox, mask, .. } = seen(half, empty.clone()).unwrap();
    assert_eq!((bbox, mask), ([4.5, 1.5, 5.5, 1.75], None));
    let elsewhere = CropBox { top: 0, left: 5, height: 12, width: 10 };
    assert_eq!(seen(Geometry { crop: elsewhere, ..half }, empty), None);
}

/// Any way into a view: a crop of an image of 12 × 15, scaled, perhaps mirrored and padded.
fn any_geometry() -> impl Strategy<Value = Geometry> {
    let side = |n: usize| (1..=n).prop_flat_map(move |len| (0..=n - len).prop_map(move |start| (start, len)));
    let sides = (side(12), side(15), (1usize..30, 1usize..30), (0usize..4, 0usize..4));
    (sides, any::<bool>()).prop_map(|(((top, height), (left, width), scale, pad), flip)| Geometry {
        crop: CropBox { top, left, height, width },
        scale,
        flip,
        out: (scale.0 + pad.0, scale.1 + pad.1),
    })
}

/// A mask of 12 × 15 with a filled rectangle, and the rectangle.
fn any_object() -> impl Strategy<Value = Instance> {
    (0usize..11, 0usize..14).prop_flat_map(|(y, x)| (Just((y, x)), y + 1..=12, x + 1..=15)).prop_map(
        |((y1, x1), y2, x2)| {
            let mask =
                Array2::from_shape_fn((12, 15), |(y, x)| (y1..y2).contains(&y) && (x1..x2).contains(&x));
            object([x1, y1, x2, y2].map(|edge| edge as f64), Some(mask))
        },
    )
}

proptest! {
    #[test]
    fn a_flip_twice_is_the_identity(object in any_object(), values in prop::collection::vec(any::<u8>(), 180)) {
        let flip = Geometry { flip: true, ..identity((12, 15)) };
        let image = Image::new(12, 15, 1, values.clone());
        prop_assert_eq!(&flip.image(&flip.image(&image, Filter::Bicubic, &[0]), Filter::Bicubic, &[0]), &image);
        let labels = Target::LabelMap(Array2::from_shape_vec((12, 15), values).unwrap());
        for target in [Target::Instances(vec![object]), labels, Target::Class(2), Target::None] {
            prop_assert_eq!(flip.target(&flip.target(&target)), target);
        }
    }

    #[test]
    fn the_box_of_a_mask_is_the_box_within_a_pixel(geometry in any_geometry(), object in any_object()) {
        if let Some(seen) = seen(geometry, object) {
            let of_mask = mask_box(seen.mask.unwrap().mask().view()).unwrap();
            prop_assert!(near(seen.bbox, of_mask, 1.0), "{:?} and {of_mask:?}", seen.bbox);
            // No box reaches into the padding.
            prop_assert!(seen.bbox[2] <= geometry.scale.1 as f64 && seen.bbox[3] <= geometry.scale.0 as f64);
        }
    }

    #[test]
    fn a_label_map_goes_where_the_image_goes(geometry in any_geometry(), values in prop::collection::vec(0u8..9, 180)) {
        // Without scaling every pixel of the image is one of the original's, so image and labels must agree.
        let crop = geometry.crop;
        let pad = (geometry.out.0 - geometry.scale.0, geometry.out.1 - geometry.scale.1);
        let (scale, out) = ((crop.height, crop.width), (crop.height + pad.0, crop.width + pad.1));
        let geometry = Geometry { scale, out, ..geometry };
        let image = geometry.image(&Image::new(12, 15, 1, values.clone()), Filter::Bicubic, &[IGNORED]);
        let expected = Array2::from_shape_vec(out, image.pixels).unwrap();
        let labels = Target::LabelMap(Array2::from_shape_vec((12, 15), values).unwrap());
        prop_assert_eq!(geometry.target(&labels), Target::LabelMap(expected));
    }
}

#[test]
fn padding_has_the_fill_colour_in_every_channel() {
    let view = Geometry { out: (2, 3), ..identity((1, 2)) };
    let image = Image::new(1, 2, 3, vec![1, 2, 3, 4, 5, 6]);
    let expected = [1, 2, 3, 4, 5, 6, 7, 8, 9, 7, 8, 9, 7, 8, 9, 7, 8, 9];
    assert_eq!(view.image(&image, Filter::Bicubic, &[7, 8, 9]), Image::new(2, 3, 3, expected.to_vec()));
}

/// Eight images of 20 × 18, each with a label map, or with one object.
struct Dense {
    instances: bool,
}

impl Dataset for Dense {
    fn len(&self) -> usize {
        8
    }

    fn image(&self, index: usize) -> Result<Image> {
        let value = |i: usize| (i * (index + 3) + i / 18 * 5).to_le_bytes()[0];
        Ok(Image::new(20, 18, 1, (0..360).map(value).collect()))
    }

    fn label(&self, _: usize) -> Option<usize> {
        None
    }

    fn target(&self, index: usize) -> Result<Target> {
        let labels = Array2::from_shape_vec((20, 18), self.image(index)?.pixels).unwrap();
        if self.instances {
            let mask = labels.mapv(|x| x > 99);
            return Ok(Target::Instances(vec![object(mask_box(mask.view()).unwrap(), Some(mask))]));
        }
        Ok(Target::LabelMap(labels))
    }

    fn classes(&self) -> &[String] {
        &[]
    }

    fn source(&self, index: usize) -> String {
        format!("dense-{index}")
    }

    fn describe(&self) -> String {
        "made up".to_owned()
    }

    fn size(&self) -> Option<(usize, usize)> {
        None
    }

    fn digest(&self) -> Result<u32> {
        Ok(0)
    }
}

/// Four of the eight images, four times each, in these views.
fn batch(instances: bool, views: &[Augment]) -> Result<Batch> {
    let data = Subset::new(Arc::new(Dense { instances }), vec![1, 3, 5, 7]);
    let config = LoaderConfig {
        height: 9,
        width: 12,
        channels: 1,
        mean: vec![0.5],
        std: vec![0.25],
        batch_size: 16,
        repeats: 4,
        views: views.to_vec(),
        seed: 5,
        skip_bad_images: false,
        cache_bytes: 0,
    };
    Loader::new(Arc::new(data), config)?.epoch(2, 0).next().unwrap()
}

#[test]
fn a_batch_has_the_views_that_its_addresses_draw_and_the_targets_of_what_they_show() {
    for instances in [false, true] {
        let batch = batch(instances, &[Augment::REFERENCE]).unwrap();
        assert_eq!((batch.views.len(), batch.targets.len(), batch.geometry.len()), (1, 16, 16));
        let mut flips = 0;
        for (i, (&sample, geometry)) in batch.samples.iter().zip(&batch.geometry).enumerate() {
            let (data, index) = (Dense { instances }, usize::try_from(sample / 4 * 2 + 1).unwrap());
            let (draw, out) = (&mut rng(5, Purpose::Augment, 2, sample), (9, 12));
            let crop = random_crop(20, 18, (0.2, 1.0), draw);
            assert_eq!(*geometry, Geometry { crop, scale: out, flip: uniform(draw) < 0.5, out });
            let view = geometry.image(&data.image(index).unwrap(), Filter::Bicubic, &[0]);
            assert_eq!(batch.views[0].index_axis(ndarray::Axis(0), i), normalise(&view, &[0.5], &[0.25]));
            assert_eq!(batch.targets[i], geometry.target(&data.target(index).unwrap()));
            assert_ne!(batch.targets[i], data.target(index).unwrap());
            flips += usize::from(geometry.flip);
        }
        assert!((1..16).contains(&flips), "images with and without a flip");
    }
}

#[test]
fn a_second_view_is_another_one_and_leaves_the_first_as_it_was() {
    let one = batch(false, &[Augment::REFERENCE]).unwrap();
    let two = batch(false, &[Augment::REFERENCE; 2]).unwrap();
    assert_eq!((one.views.len(), two.views.len()), (1, 2));
    assert_eq!((&one.views[0], &one.targets, &one.geometry), (&two.views[0], &two.targets, &two.geometry));
    assert_eq!(two.views[1].dim(), two.views[0].dim());
    for (first, second) in two.views[0].outer_iter().zip(two.views[1].outer_iter()) {
        assert_ne!(first, second);
    }
    assert_eq!(batch(false, &[Augment::REFERENCE; 2]).unwrap().views, two.views);
}

#[test]
fn what_moves_pixels_without_their_targets_is_refused() {
    let shift = Augment { pad_crop: Some(2), ..Augment::REFERENCE };
    let operations = Augment { rand_augment: Some(RandAugment::REFERENCE), ..Augment::REFERENCE };
    for (instances, augment) in [(false, shift), (true, operations)] {
        let message = batch(instances, &[augment]).unwrap_err().to_string();
        assert!(message.starts_with("augment: expected no shift and no rand_augment"), "{message}");
    }
}
