//! How an image of any size becomes what a trained model sees, without anything random.

use crate::base::{Error, Result};
use crate::config::sections::DataConfig;
use crate::data::normalise::Normaliser;
use crate::data::{Dataset, Image, evaluation_image};
use ndarray::{Array3, Array4};
use std::ops::Range;

/// Channels, size and normalisation of a model's images.
pub struct Input {
    channels: usize,
    size: [usize; 2],
    normaliser: Normaliser,
}

impl Input {
    /// Images of `channels` and `[height, width]`, normalised with one mean and one standard deviation a channel.
    ///
    /// # Panics
    /// If `mean` and `std` differ in length.
    #[must_use]
    pub fn new(channels: usize, size: [usize; 2], mean: &[f32], std: &[f32]) -> Self {
        Self { channels, size, normaliser: Normaliser::new(mean, std) }
    }

    /// As the settings of a run have it, for a model for images of `([height, width], channels)`.
    #[must_use]
    pub fn of(data: &DataConfig, (size, channels): ([usize; 2], usize)) -> Self {
        let (mean, std) = (data.mean.as_deref(), data.std.as_deref());
        Self::new(channels, size, mean.unwrap_or_default(), std.unwrap_or_default())
    }

    /// `[C, H, W]`.
    #[must_use]
    pub fn shape(&self) -> (usize, usize, usize) {
        (self.channels, self.size[0], self.size[1])
    }

    /// The picture that the model sees, before normalisation: scaled so that its shorter side fits, its centre cut out.
    ///
    /// # Errors
    /// If the image, which comes from `source`, cannot be brought to the model's size or channels.
    pub fn picture(&self, source: &str, image: &Image) -> Result<Image> {
        let [height, width] = self.size;
        if (image.height, image.width) == (height, width) {
            return image.to_channels(self.channels).map_err(Error::at(source));
        }
        evaluation_image(image, self.channels, height, width).map_err(Error::at(source))
    }

    /// The same, normalised: `[C, H, W]`.
    ///
    /// # Errors
    /// As [`Input::picture`].
    pub fn image(&self, source: &str, image: &Image) -> Result<Array3<f32>> {
        let mut values = Array3::zeros(self.shape());
        let picture = self.picture(source, image)?;
        self.normaliser.write(&picture, values.as_slice_mut().expect("a new array is contiguous"));
        Ok(values)
    }

    /// Some images of a data set, normalised: `[B, C, H, W]`.
    ///
    /// # Errors
    /// The first of them that cannot be read, or as [`Input::picture`].
    pub fn batch(&self, dataset: &dyn Dataset, images: Range<usize>) -> Result<Array4<f32>> {
        let (channels, height, width) = self.shape();
        let mut values = Array4::zeros((images.len(), channels, height, width));
        for (index, mut values) in images.zip(values.outer_iter_mut()) {
            let picture = self.picture(&dataset.source(index), &dataset.image(index)?)?;
            self.normaliser.write(&picture, values.as_slice_mut().expect("images are contiguous"));
        }
        Ok(values)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_of_the_models_size_is_taken_as_it_is_which_is_what_scaling_gives() {
        let image = Image::new(5, 7, 3, (0..105_u8).map(|i| i.wrapping_mul(37)).collect());
        let input = Input::new(3, [5, 7], &[0.0; 3], &[1.0; 3]);
        assert_eq!(input.picture("test", &image).unwrap(), image);
        assert_eq!(evaluation_image(&image, 3, 5, 7).unwrap(), image);
    }
}
