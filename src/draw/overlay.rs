//! Label maps and objects in the palette's colours over their images.

use std::collections::BTreeSet;

use super::lettering::{mixed, to_u32};
use super::palette::colour;
use super::sheet::Picture;
use crate::data::{Image, Instance, Target};

/// How much of a pixel's colour is its class's, of 255.
const STRENGTH: u8 = 128;
/// The outline of a box is a pixel wide in pictures of less than this, two in those of less than twice as much, and so on.
const FINE: usize = 320;

/// An image with its target over it, and the numbers of the colours: of a label map the labels, 255 for what is ignored; of an
/// object one more than its class, since colour 0 is black. An object's pixels are coloured, and its box is outlined.
///
/// # Panics
/// If a label map or mask has another size than the image.
#[must_use]
pub fn overlay(image: &Image, target: &Target) -> (Picture, BTreeSet<usize>) {
    let colours = if image.colours() >= 3 { 3 } else { 1 };
    let of_pixel = |pixel: &[u8]| if colours == 3 { [pixel[0], pixel[1], pixel[2]] } else { [pixel[0]; 3] };
    let mut canvas = Canvas {
        width: image.width,
        pixels: image.pixels.chunks_exact(image.channels).map(of_pixel).collect(),
        numbers: BTreeSet::new(),
    };
    match target {
        Target::LabelMap(labels) => {
            assert_eq!(labels.dim(), (image.height, image.width), "a label map and its image");
            labels.indexed_iter().for_each(|(at, &label)| canvas.blend(at, label.into(), STRENGTH));
        }
        Target::Instances(objects) => objects.iter().for_each(|object| canvas.object(object, image)),
        Target::None | Target::Class(_) => {}
    }
    let bytes = canvas.pixels.concat();
    (Picture::rgb(to_u32(image.width), to_u32(image.height), bytes), canvas.numbers)
}

/// A picture that is coloured.
struct Canvas {
    width: usize,
    pixels: Vec<[u8; 3]>,
    numbers: BTreeSet<usize>,
}

impl Canvas {
    fn blend(&mut self, (y, x): (usize, usize), number: usize, strength: u8) {
        self.numbers.insert(number);
        for (value, of_class) in self.pixels[y * self.width + x].iter_mut().zip(colour(number)) {
            *value = mixed(*value, of_class, strength);
        }
    }

    fn object(&mut self, object: &Instance, image: &Image) {
        let number = object.class + 1;
        if let Some(mask) = &object.mask {
            assert_eq!(mask.size(), [image.height, image.width], "a mask and its image");
            let mask = mask.mask();
            let seen = mask.indexed_iter().filter(|(_, set)| **set);
            seen.for_each(|(at, _)| self.blend(at, number, STRENGTH));
        }
        // The first and last pixels that the box touches.
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "`as` saturates, which is meant"
        )]
        let pixel = |edge: f64, of: usize| (edge as usize).min(of - 1);
        let [x1, y1, x2, y2] = object.bbox;
        let (left, right) = (pixel(x1, image.width), pixel(x2.ceil() - 1.0, image.width));
        let (top, bottom) = (pixel(y1, image.height), pixel(y2.ceil() - 1.0, image.height));
        // Inwards, so that neighbours do not cover each other.
        for i in 0..=(image.width.max(image.height) / FINE) {
            let (left, right) = (left + i, right.saturating_sub(i));
            let (top, bottom) = (top + i, bottom.saturating_sub(i));
            if left > right || top > bottom {
                break;
            }
            let rows = (left..=right).flat_map(|x| [(top, x), (bottom, x)]);
            let columns = (top..=bottom).flat_map(|y| [(y, left), (y, right)]);
            rows.chain(columns).for_each(|at| self.blend(at, number, u8::MAX));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::rle::Rle;
    use ndarray::{Array2, arr2};

    #[test]
    fn half_of_each_pixel_is_its_classs_colour() {
        let image = Image::new(1, 2, 1, vec![100, 200]);
        let (picture, numbers) = overlay(&image, &Target::LabelMap(arr2(&[[1, 255]])));
        // (128, 0, 0) and (224, 224, 192), of which 128/255 are taken.
        let expected = Picture::rgb(2, 1, vec![114, 50, 50, 212, 212, 196]);
        assert_eq!((format!("{picture:?}"), numbers), (format!("{expected:?}"), BTreeSet::from([1, 255])));
    }

    #[test]
    fn an_object_is_coloured_and_its_box_outlined() {
        let object = Instance {
            bbox: [1.0, 0.0, 4.0, 3.0],
            class: 0,
            mask: Some(Rle::of_mask(Array2::from_shape_fn((3, 5), |at| at == (1, 2)).view())),
            crowd: false,
            area: 1.0,
        };
        let (picture, _) = overlay(&Image::new(3, 5, 1, vec![0; 15]), &Target::Instances(vec![object]));
        let red = [0, 128, 128, 128, 0, 0, 128, 64, 128, 0, 0, 128, 128, 128, 0];
        let expected = Picture::rgb(5, 3, red.iter().flat_map(|&red| [red, 0, 0]).collect());
        assert_eq!(format!("{picture:?}"), format!("{expected:?}"));
    }
}
