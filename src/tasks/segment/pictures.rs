//! Label maps as pictures: laid over their images in the colours of their classes, side by side on a sheet.

use super::evaluate::label_map;
use crate::base::{Error, Result};
use crate::data::target::IGNORED;
use crate::data::{Dataset, Image};
use crate::draw::palette::colour;
use crate::draw::sheet::{Picture, Sheet};
use ndarray::{Array2, ArrayView2};

/// Of 256, how much of the class's colour is laid over a pixel.
const OPACITY: u32 = 144;

/// An image with its map laid over it; ignored pixels stay as they are.
///
/// # Errors
/// If the image is neither grey nor in colour.
///
/// # Panics
/// If the map is of another size.
pub fn overlay(source: &str, image: &Image, map: ArrayView2<u8>) -> Result<Image> {
    let mut image = image.to_channels(3).map_err(Error::at(source))?;
    assert_eq!(map.dim(), (image.height, image.width), "a map of the image's size");
    for (pixel, &class) in image.pixels.chunks_exact_mut(3).zip(map).filter(|(_, class)| **class != IGNORED) {
        for (channel, of_class) in pixel.iter_mut().zip(colour(class)) {
            let mixed = (u32::from(*channel) * (256 - OPACITY) + u32::from(of_class) * OPACITY) / 256;
            *channel = u8::try_from(mixed).expect("a mean of two bytes");
        }
    }
    Ok(image)
}

/// A map in the colours of its classes.
#[must_use]
pub fn painted(map: ArrayView2<u8>) -> Image {
    let pixels = map.iter().flat_map(|&class| colour(class)).collect();
    Image::new(map.nrows(), map.ncols(), 3, pixels)
}

/// A sheet of images of a data set: each beside its true map and the predicted one, with what is said of it.
///
/// # Errors
/// If an image or its map can no longer be read, or the picture cannot be encoded.
pub fn sheet(
    dataset: &dyn Dataset,
    predicted: &[(usize, Array2<u8>)],
    note: &str,
    say: impl Fn(usize) -> String,
) -> Result<Vec<u8>> {
    let mut sheet = Sheet::new(&["image", "true classes", "predicted classes", "laid over"], Some(note));
    for (index, map) in predicted {
        let (source, image) = (dataset.source(*index), dataset.image(*index)?);
        let over = overlay(&source, &image, map.view())?;
        let truth = painted(label_map(dataset, *index)?.view());
        let tiles = [image.to_channels(3).map_err(Error::at(&source))?, truth, painted(map.view()), over];
        let said = [say(*index), String::new(), String::new(), String::new()];
        let lines = |text: String| if text.is_empty() { Vec::new() } else { vec![text] };
        sheet.push_labelled_row(tiles.iter().zip(said).map(|(tile, text)| (Picture::of(tile), lines(text))));
    }
    sheet.to_png_bytes()
}

/// The classes of maps with their colours in words, for a note: only those that are there.
#[must_use]
pub fn legend(names: &[String], maps: &[(usize, Array2<u8>)]) -> String {
    let there = |class: usize| maps.iter().any(|(_, map)| map.iter().any(|&k| usize::from(k) == class));
    let entry = |(class, name): (usize, &String)| {
        let [red, green, blue] = u8::try_from(class).map_or([0; 3], colour);
        format!("{name} #{red:02x}{green:02x}{blue:02x}")
    };
    let entries: Vec<_> = names.iter().enumerate().filter(|(class, _)| there(*class)).map(entry).collect();
    entries.join(", ")
}
