//! Predictors that learn next to nothing of what is to be seen: what a network must beat.

use super::evaluate::label_map;
use super::metrics::PixelMetrics;
use crate::base::Result;
use crate::data::subset::evenly_spaced;
use crate::data::target::IGNORED;
use crate::data::{Dataset, Image};
use ndarray::Array2;

/// Training images that the table is made of, and images it is judged on, at most.
const IMAGES: usize = 200;
/// Bits of each channel that tell colours apart.
const BITS: u32 = 4;

/// For each colour the class that most training pixels of that colour have; of colours that were not seen, the most frequent.
pub(super) struct ColourTable {
    class_of: Vec<u8>,
    most_frequent: u8,
    classes: usize,
}

impl ColourTable {
    /// Counts the pixels of evenly spaced training images.
    pub(super) fn of(train: &dyn Dataset) -> Self {
        let classes = train.classes().len();
        let mut counts = Array2::<u64>::zeros((1 << (3 * BITS), classes));
        for index in evenly_spaced(train.len(), IMAGES) {
            // One that cannot be read ends training, or is left out of it and named there.
            let (Ok(image), Ok(map)) = (train.image(index), label_map(train, index)) else { continue };
            for (colour, &label) in colours(&image).zip(&map).filter(|(_, label)| **label != IGNORED) {
                counts[[colour, usize::from(label)]] += 1;
            }
        }
        let most = |counts: ndarray::ArrayView1<u64>| {
            counts.iter().enumerate().fold(0, |best, (k, &n)| if n > counts[best] { k } else { best })
        };
        let class = |class: usize| u8::try_from(class).expect("at most 255 classes");
        let most_frequent = class(most(counts.sum_axis(ndarray::Axis(0)).view()));
        let of_colour =
            |row: ndarray::ArrayView1<u64>| if row.sum() == 0 { most_frequent } else { class(most(row)) };
        Self { class_of: counts.outer_iter().map(of_colour).collect(), most_frequent, classes }
    }

    /// What the table reaches, and what always the most frequent class does, on evenly spaced images.
    ///
    /// # Errors
    /// If one of them cannot be read.
    pub(super) fn judge(&self, dataset: &dyn Dataset) -> Result<[PixelMetrics; 2]> {
        let mut metrics = [PixelMetrics::new(self.classes), PixelMetrics::new(self.classes)];
        for index in evenly_spaced(dataset.len(), IMAGES) {
            let (image, map) = (dataset.image(index)?, label_map(dataset, index)?);
            let by_colour: Vec<u8> = colours(&image).map(|colour| self.class_of[colour]).collect();
            let by_colour = Array2::from_shape_vec(map.dim(), by_colour).expect("a map of the image's size");
            metrics[0].count(map.view(), by_colour.view());
            metrics[1].count(map.view(), Array2::from_elem(map.dim(), self.most_frequent).view());
        }
        Ok(metrics)
    }
}

/// The upper bits of each pixel's red, green and blue.
fn colours(image: &Image) -> impl Iterator<Item = usize> {
    let of = |pixel: &[u8], i: usize| usize::from(pixel[if pixel.len() < 3 { 0 } else { i }] >> (8 - BITS));
    image
        .pixels
        .chunks_exact(image.channels)
        .map(move |pixel| (of(pixel, 0) << (2 * BITS)) | (of(pixel, 1) << BITS) | of(pixel, 2))
}
