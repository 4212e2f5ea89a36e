//! Claim: what segmentation trains on and is evaluated on keeps image and label map together, whatever the scale, crop, flip,
//! padding and jitter, and is the same for any number of threads.

use std::sync::Arc;

use ndarray::{Array2, Array4, s};
use rayon::ThreadPoolBuilder;
use vit_mae::Result;
use vit_mae::base::rng::{Purpose, rng};
use vit_mae::data::resample::Filter;
use vit_mae::data::target::IGNORED;
use vit_mae::data::{Augment, Dataset, Geometry, Image, Loader, LoaderConfig, Target, TargetKind};

/// Images of different sizes made of tiles of 8 × 8 pixels, each of one class, which its colour tells.
struct Tiles;

/// The colour of a class; none is that of the padding.
fn colour(class: u8) -> [u8; 3] {
    [20 + 25 * class, 230 - 30 * class, 100 + 50 * (class % 3)]
}

const FILL: [u8; 3] = [1, 2, 3];

impl Tiles {
    fn labels(index: usize) -> Array2<u8> {
        let size = [(48, 64), (64, 48), (30, 41), (120, 90)][index % 4];
        Array2::from_shape_fn(size, |(y, x)| u8::try_from((y / 8 * 3 + x / 8 * 5 + index) % 7).unwrap())
    }
}

impl Dataset for Tiles {
    fn len(&self) -> usize {
        8
    }

    fn image(&self, index: usize) -> Result<Image> {
        let labels = Self::labels(index);
        let (height, width) = labels.dim();
        Ok(Image::new(height, width, 3, labels.iter().flat_map(|&class| colour(class)).collect()))
    }

    fn label(&self, _: usize) -> Option<usize> {
        None
    }

    fn target(&self, index: usize) -> Result<Target> {
        Ok(Target::LabelMap(Self::labels(index)))
    }

    fn target_kind(&self) -> TargetKind {
        TargetKind::LabelMap
    }

    fn classes(&self) -> &[String] {
        &[]
    }

    fn source(&self, index: usize) -> String {
        format!("tiles-{index}")
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

/// Compares a view's colours with its map where no two classes are mixed by resizing, which is where the map has one value all
/// around; how many pixels were compared, and how many of them are padding.
fn compared(view: &Image, target: &Target, geometry: Geometry) -> (usize, usize) {
    let Target::LabelMap(labels) = target else { panic!("{target:?}") };
    let enlarged = geometry.scale.0.div_ceil(geometry.crop.height);
    let around = 1 + enlarged.max(geometry.scale.1.div_ceil(geometry.crop.width));
    let (mut compared, mut padding) = (0, 0);
    for (at, pixel) in view.pixels.chunks_exact(3).enumerate() {
        let (y, x) = (at / view.width, at % view.width);
        let rows = y.saturating_sub(around)..(y + around + 1).min(view.height);
        let columns = x.saturating_sub(around)..(x + around + 1).min(view.width);
        let class = labels[[y, x]];
        if labels.slice(s![rows, columns]).iter().all(|&near| near == class) {
            let expected = if class == IGNORED { FILL } else { colour(class) };
            assert_eq!(pixel, expected, "at {at}: {geometry:?}");
            compared += 1;
            padding += usize::from(class == IGNORED);
        }
    }
    (compared, padding)
}

#[test]
fn every_colour_stands_where_its_class_does_after_scale_crop_flip_and_padding() {
    let augment = Augment { photometric: None, ..Augment::SEGMENTATION };
    let (mut pixels, mut padding, mut flips) = (0, 0, 0);
    for sample in 0..200 {
        let index = usize::try_from(sample).unwrap() % 8;
        let draw = &mut rng(3, Purpose::Augment, 1, sample);
        let (view, geometry) = augment.apply(&Tiles.image(index).unwrap(), 64, 80, &FILL, draw);
        let found = compared(&view, &geometry.target(&Tiles.target(index).unwrap()), geometry);
        pixels += found.0;
        padding += found.1;
        flips += usize::from(geometry.flip);
    }
    assert!(pixels > 200 * 64 * 80 / 8, "{pixels} pixels were compared");
    assert!(padding > 1000 && (60..140).contains(&flips), "{padding} of padding, {flips} flips");
}

#[test]
fn jitter_changes_colours_and_neither_geometry_nor_padding() {
    let plain = Augment { photometric: None, ..Augment::SEGMENTATION };
    let mut changed = 0;
    for sample in 0..40 {
        let image = Tiles.image(1).unwrap();
        let view =
            |augment: Augment| augment.apply(&image, 64, 80, &FILL, &mut rng(3, Purpose::Augment, 1, sample));
        let ((before, geometry), (after, same)) = (view(plain), view(Augment::SEGMENTATION));
        assert_eq!(geometry, same);
        let (rows, columns) = geometry.scale;
        for (at, pixel) in after.pixels.chunks_exact(3).enumerate() {
            if at / 80 >= rows || at % 80 >= columns {
                assert_eq!(pixel, FILL, "sample {sample}, pixel {at}");
            }
        }
        changed += usize::from(before != after);
    }
    assert!((20..40).contains(&changed), "{changed} of 40 are jittered, which 0.8 of them should be");
}

/// An epoch of batches, prepared by so many threads.
fn batches(threads: usize) -> Vec<(Array4<f32>, Vec<Target>, Vec<Geometry>)> {
    let config = LoaderConfig {
        height: 32,
        width: 40,
        channels: 3,
        mean: vec![0.5; 3],
        std: vec![0.25; 3],
        batch_size: 6,
        repeats: 3,
        views: vec![Augment::SEGMENTATION],
        seed: 5,
        skip_bad_images: false,
        cache_bytes: 1 << 20,
    };
    let pool = ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    let loader = pool.install(|| Loader::new(Arc::new(Tiles), config)).unwrap();
    let parts = |mut batch: vit_mae::data::Batch| (batch.views.remove(0), batch.targets, batch.geometry);
    loader.epoch(4, 0).map(|batch| parts(batch.unwrap())).collect()
}

#[test]
fn batches_have_the_same_bits_for_any_number_of_threads() {
    let one = batches(1);
    assert_eq!(one.len(), 4);
    for threads in [2, 3, 4] {
        assert!(batches(threads) == one, "{threads} threads");
    }
    for (views, targets, _) in &one {
        assert_eq!(views.dim(), (6, 3, 32, 40));
        assert!(targets.iter().all(|t| matches!(t, Target::LabelMap(map) if map.dim() == (32, 40))));
    }
}

#[test]
fn evaluation_sees_the_whole_image_resized_or_as_it_is() {
    let mut all = 0;
    for index in 0..4 {
        let (image, target) = (Tiles.image(index).unwrap(), Tiles.target(index).unwrap());
        let size = (image.height, image.width);
        let as_it_is = Geometry::identity(size);
        assert_eq!(as_it_is.image(&image, Filter::Bilinear, &FILL), image);
        assert_eq!(as_it_is.target(&target), target);
        let resized = Geometry::resized(size, (100, 70));
        let view = resized.image(&image, Filter::Bilinear, &FILL);
        assert_eq!((view.height, view.width), (100, 70));
        let (pixels, padding) = compared(&view, &resized.target(&target), resized);
        assert_eq!(padding, 0);
        all += pixels;
    }
    assert!(all > 2000, "{all} pixels were compared");
}
