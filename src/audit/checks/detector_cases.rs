//! What the checks of a detection network are run on: networks with as few channels as can be told apart, and samples.

use super::segment_formulas::{IMAGES, vit, with_large_norms};
use super::shapes::{filled, random};
use crate::audit::gradcheck::GradCheck;
use crate::models::detect::box_head::BoxHead;
use crate::models::detect::fpn::Fpn;
use crate::models::detect::mask_head::MaskHead;
use crate::models::detect::rpn_head::RpnHead;
use crate::models::detect::{
    AnchorSample, Denominators, Detector, DetectorConfig, ImageSamples, RegionObject, RegionSample,
};
use crate::models::pyramid::levels::{self, LEVELS};
use crate::params::Params;
use ndarray::{Array1, Array2, Array4};

pub(super) const IMG_SIZE: [usize; 2] = [32, 64];

/// `C`, which differs from `D`, 8.
pub(super) const CHANNELS: usize = 5;

pub(super) const CLASSES: usize = 3;

/// Regions of a check of the heads.
pub(super) const REGIONS: usize = 4;

/// Of the batch that a check's images are a part of: more than they have themselves.
pub(super) const OF: Denominators = Denominators { anchors: 20, regions: 11, foreground: 7 };

pub(super) fn config(mask_head: bool) -> DetectorConfig {
    DetectorConfig {
        channels: CHANNELS,
        fc_dim: 6,
        mask_head,
        box_size: 3,
        mask_size: 4,
        canonical_size: 16.0,
        anchor_sizes: vec![6.0, 12.0, 24.0, 48.0, 96.0],
        anchor_ratios: vec![0.5, 2.0],
        pre_nms: 12,
        post_nms: 9,
        max_detections: 7,
        ..DetectorConfig::new(&vit(IMG_SIZE, 16, 4), CLASSES)
    }
}

/// With deltas that are not so large that all boxes are the whole image.
pub(super) fn model(check: &GradCheck, mask_head: bool) -> Detector<f64> {
    let config = config(mask_head);
    config.validate().expect("a possible model");
    let mut model = with_large_norms(filled(check, Detector::new(&config)));
    for tensor in model.tensors_mut().into_iter().filter(|tensor| tensor.name.contains("deltas")) {
        tensor.data.write().iter_mut().for_each(|x| *x *= 0.2);
    }
    model
}

pub(super) fn batch(check: &GradCheck) -> Array4<f64> {
    random(check, (IMAGES, 5, IMG_SIZE[0], IMG_SIZE[1]))
}

/// On every map; in the first image more than in the second, and two anchors twice.
pub(super) fn samples() -> Vec<ImageSamples<f64>> {
    let anchor = |anchor, object| AnchorSample { anchor, object };
    let region = |bbox, object: Option<(usize, [f64; 4])>| RegionSample {
        bbox,
        object: object.map(|(class, bbox)| RegionObject { class, bbox, mask: mask(class) }),
    };
    vec![
        ImageSamples {
            anchors: vec![
                anchor(3, Some([2.0, 1.0, 9.5, 8.0])),
                anchor(3, Some([2.0, 1.0, 9.5, 8.0])),
                anchor(100, None),
                anchor(100, None),
                anchor(260, Some([11.0, 3.0, 25.0, 14.5])),
                anchor(325, None),
                anchor(338, Some([1.0, 2.0, 50.0, 30.0])),
                anchor(341, Some([5.0, 0.5, 61.0, 29.0])),
            ],
            regions: vec![
                region([2.0, 3.0, 30.0, 28.0], Some((2, [4.0, 1.0, 33.0, 25.0]))),
                region([10.0, 5.0, 18.0, 12.0], None),
                region([1.0, 1.0, 12.0, 9.0], Some((0, [1.5, 2.0, 10.0, 12.0]))),
                region([40.0, 1.0, 52.0, 16.0], None),
            ],
        },
        ImageSamples {
            anchors: vec![anchor(7, None), anchor(300, Some([20.0, 6.0, 49.0, 31.0])), anchor(341, None)],
            regions: vec![
                region([0.0, 0.0, 60.0, 31.0], None),
                region([33.0, 10.0, 38.0, 16.0], Some((1, [32.0, 9.0, 40.0, 15.0]))),
                region([20.5, 4.25, 47.0, 30.0], Some((2, [18.0, 6.0, 49.5, 31.0]))),
            ],
        },
    ]
}

/// An object's cells: another pattern for every class.
fn mask(class: usize) -> Array2<f64> {
    Array2::from_shape_fn((8, 8), |(i, j)| {
        f64::from(u8::from((3 * i + 5 * j + class).is_multiple_of(3 + class)))
    })
}

pub(super) fn fpn(check: &GradCheck) -> Fpn<f64> {
    filled(check, Fpn::new(8, CHANNELS, levels::sizes(IMG_SIZE), 1e-6))
}

/// The four levels of all images, one below the other.
pub(super) fn levels_of(check: &GradCheck) -> Array2<f64> {
    random(check, (pixels(&levels::sizes(IMG_SIZE)[..LEVELS]).iter().sum(), 8))
}

pub(super) fn rpn(check: &GradCheck) -> RpnHead<f64> {
    filled(check, RpnHead::new(CHANNELS, 2))
}

/// `p2 … p6` of all images, one below the other.
pub(super) fn maps_of(check: &GradCheck) -> Array2<f64> {
    random(check, (pixels(&config(true).map_sizes()).iter().sum(), CHANNELS))
}

pub(super) fn box_head(check: &GradCheck) -> BoxHead<f64> {
    with_large_norms(filled(check, BoxHead::new(CHANNELS, 6, CLASSES, 3, 1e-6)))
}

pub(super) fn mask_head(check: &GradCheck) -> MaskHead<f64> {
    with_large_norms(filled(check, MaskHead::new(CHANNELS, CLASSES, 4, 1e-6)))
}

/// Features of regions of `side × side` pixels.
pub(super) fn features(check: &GradCheck, side: usize) -> Array2<f64> {
    random(check, (REGIONS * side * side, CHANNELS))
}

/// Pixels of maps of these sizes in all images.
fn pixels(sizes: &[[usize; 2]]) -> Vec<usize> {
    sizes.iter().map(|[height, width]| IMAGES * height * width).collect()
}

/// What stands one below the other, as maps of these sizes.
pub(super) fn maps(x: &Array2<f64>, sizes: &[[usize; 2]]) -> Vec<Array2<f64>> {
    let mut rows = x.outer_iter();
    let map = |rows_of: usize| {
        let part: Vec<f64> = rows.by_ref().take(rows_of).flatten().copied().collect();
        Array2::from_shape_vec((rows_of, x.ncols()), part).expect("as many rows")
    };
    pixels(sizes).into_iter().map(map).collect()
}

/// All numbers one behind the other.
pub(super) fn flat<'a>(all: impl IntoIterator<Item = &'a Array2<f64>>) -> Array1<f64> {
    all.into_iter().flatten().copied().collect()
}

/// The inverse of [`flat`].
pub(super) fn unflat(numbers: &Array1<f64>, shapes: &[(usize, usize)]) -> Vec<Array2<f64>> {
    let mut rest = numbers.iter().copied();
    let part = |&(rows, columns): &(usize, usize)| {
        Array2::from_shape_vec((rows, columns), rest.by_ref().take(rows * columns).collect())
            .expect("as many")
    };
    shapes.iter().map(part).collect()
}
