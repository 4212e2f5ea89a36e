//! One scene: a crop of a photograph, and items on it, tinted, mirrored and scaled, each at least half visible.

use ndarray::Array2;
use rand::Rng;

use super::super::augment::random_crop;
use super::super::resample::{CropBox, Filter};
use super::super::{Geometry, Image, Split};
use super::cutout::mask;
use super::parts::{ITEM_SIDE, Parts};
use crate::base::rng::{Purpose, below, permutation, rng, uniform};

/// The most items in a scene.
const MOST_ITEMS: usize = 5;
/// An item's side is at least `SMALLEST` and less than `LARGEST` percent of the scene's.
const SMALLEST: usize = 30;
const LARGEST: usize = 65;
/// The part of a photograph that is seen.
const AREA: (f64, f64) = (0.1, 0.6);
/// A channel of the background is so many percent as bright as the photograph's.
const DARKEST_GAIN: usize = 50;
const BRIGHTEST_GAIN: usize = 150;
/// Each channel of a tint is at least this, so that no item is black.
const DARKEST_TINT: usize = 96;
/// An item's darkest pixel has this fraction, of 255, of its tint.
const DARKEST: usize = 64;
/// How often a place is drawn at which too little of an item would be seen.
const TRIES: usize = 10;

/// Which scene: all that it depends on, beside the parts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Address {
    pub(super) side: usize,
    /// Whether it has one item, rather than 1 to 5.
    pub(super) single: bool,
    pub(super) split: Split,
    pub(super) index: usize,
}

/// A picture and what is on it, from back to front.
pub(super) struct Scene {
    pub(super) image: Image,
    pub(super) objects: Vec<Object>,
}

/// An item in a scene.
pub(super) struct Object {
    /// Its number among the parts.
    pub(super) item: usize,
    /// The pixels at which it is seen.
    pub(super) mask: Array2<bool>,
    /// How many pixels it has, hidden ones among them.
    pixels: usize,
}

/// The items of a scene, and the generator of all else.
pub(super) fn items(parts: &Parts, address: Address) -> (Vec<usize>, impl Rng) {
    let mut rng = rng(0, Purpose::Scene, address.split as u64, address.index as u64);
    let several = 1 + below(&mut rng, MOST_ITEMS);
    let number = if address.single { 1 } else { several };
    ((0..number).map(|_| below(&mut rng, parts.items())).collect(), rng)
}

/// Makes a scene.
pub(super) fn compose(parts: &Parts, address: Address) -> Scene {
    let (items, mut rng) = items(parts, address);
    let side = address.side;
    let photograph = &parts.photographs[below(&mut rng, parts.photographs.len())];
    let crop = random_crop(photograph.height, photograph.width, AREA, &mut rng);
    let (flip, out) = (uniform(&mut rng) < 0.5, (side, side));
    let image = Geometry { crop, scale: out, flip, out }.image(photograph, Filter::Bicubic, &[]);
    let mut scene = Scene { image: varied(&image, &mut rng), objects: Vec::new() };
    for item in items {
        scene.add(parts, item, &mut rng);
    }
    scene
}

/// A square picture turned by quarters, its channels in another order and each brighter or darker. Ten photographs are few: as
/// they are, a network learns these skies and meadows by heart, and takes any other sky for an item.
fn varied(image: &Image, rng: &mut impl Rng) -> Image {
    let (side, quarters, order) = (image.height, below(rng, 4), permutation(rng, 3));
    let gains: [usize; 3] = std::array::from_fn(|_| DARKEST_GAIN + below(rng, BRIGHTEST_GAIN - DARKEST_GAIN));
    let turned = |(y, x): (usize, usize)| match quarters {
        0 => (y, x),
        1 => (x, side - 1 - y),
        2 => (side - 1 - y, side - 1 - x),
        _ => (side - 1 - x, y),
    };
    let pixel = |at: (usize, usize)| {
        let (y, x) = turned(at);
        let pixel = &image.pixels[(y * side + x) * 3..][..3];
        std::array::from_fn::<u8, 3, _>(|k| {
            let level = usize::from(pixel[order[k]]) * gains[k] / 100;
            u8::try_from(level).unwrap_or(u8::MAX)
        })
    };
    let pixels = (0..side * side).flat_map(|i| pixel((i / side, i % side))).collect();
    Image::new(side, side, 3, pixels)
}

impl Scene {
    /// Puts an item in front, unless no place is found where it leaves half of every other to be seen.
    fn add(&mut self, parts: &Parts, item: usize, rng: &mut impl Rng) {
        let side = self.image.height;
        let of_side = |percent: usize| side * percent / 100;
        let length = of_side(SMALLEST) + below(rng, of_side(LARGEST) - of_side(SMALLEST));
        let tint: [usize; 3] = std::array::from_fn(|_| DARKEST_TINT + below(rng, 256 - DARKEST_TINT));
        let crop = CropBox { top: 0, left: 0, height: ITEM_SIDE, width: ITEM_SIDE };
        let (flip, out) = (uniform(rng) < 0.5, (length, length));
        let geometry = Geometry { crop, scale: out, flip, out };
        let levels = parts.levels(item);
        let cutout = geometry.map(&mask(&levels), false);
        let levels = Image::new(ITEM_SIDE, ITEM_SIDE, 1, levels.into_raw_vec_and_offset().0);
        let levels = geometry.image(&levels, Filter::Bilinear, &[]).pixels;
        let pixels = cutout.iter().filter(|&&set| set).count();
        for _ in 0..TRIES {
            let (top, left) = (below(rng, side - length + 1), below(rng, side - length + 1));
            let covers = |y: usize, x: usize| {
                let (y, x) = (y.wrapping_sub(top), x.wrapping_sub(left));
                y < length && x < length && cutout[[y, x]]
            };
            let half_seen = |object: &Object| {
                let seen =
                    object.mask.indexed_iter().filter(|((y, x), set)| **set && !covers(*y, *x)).count();
                2 * seen >= object.pixels
            };
            if !self.objects.iter().all(half_seen) {
                continue;
            }
            for object in &mut self.objects {
                object.mask.indexed_iter_mut().for_each(|((y, x), set)| *set &= !covers(y, x));
            }
            let shown = Array2::from_shape_fn((side, side), |(y, x)| covers(y, x));
            for ((y, x), _) in shown.indexed_iter().filter(|(_, set)| **set) {
                let level = levels[(y - top) * length + x - left];
                let pixel = (y * side + x) * 3;
                self.image.pixels[pixel..pixel + 3].copy_from_slice(&tint.map(|tint| shade(tint, level)));
            }
            self.objects.push(Object { item, mask: shown, pixels });
            return;
        }
    }
}

/// A grey level in a tint: `tint · (¼ + ¾ level / 255)`, in whole numbers.
fn shade(tint: usize, level: u8) -> u8 {
    let strength = DARKEST * 255 + (255 - DARKEST) * usize::from(level);
    u8::try_from((tint * strength + 255 * 255 / 2) / (255 * 255)).expect("at most the tint")
}
