//! From bytes to the numbers that a model sees: `(x / 255 − mean) / std`, planes of `[C, H, W]`.

use ndarray::Array3;

use super::Image;

/// The normalisation of one data set as a table: a byte can only have 256 values.
pub struct Normaliser {
    /// `tables[c][x] = (x / 255 − mean[c]) / std[c]`.
    tables: Vec<[f32; 256]>,
}

impl Normaliser {
    /// The tables for one `mean` and `std` per channel, of values in `[0, 1]`.
    ///
    /// # Panics
    /// If there are not as many means as standard deviations.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "0..256 is exact")]
    pub fn new(mean: &[f32], std: &[f32]) -> Self {
        assert_eq!(mean.len(), std.len(), "means and standard deviations");
        let table = |(&mean, &std)| std::array::from_fn(|x| (x as f32 / 255.0 - mean) / std);
        Self { tables: mean.iter().zip(std).map(table).collect() }
    }

    /// Writes the planes of `image`, one channel after the other, to `out`.
    ///
    /// # Panics
    /// If the image has another number of channels, or `out` another length than the image.
    pub fn write(&self, image: &Image, out: &mut [f32]) {
        assert_eq!(image.channels, self.tables.len(), "channels of the image and of mean and std");
        assert_eq!(image.pixels.len(), out.len(), "pixels and room for them");
        let planes = out.chunks_exact_mut((image.height * image.width).max(1));
        for ((c, table), plane) in self.tables.iter().enumerate().zip(planes) {
            let values = image.pixels[c..].iter().step_by(image.channels);
            for (out, &x) in plane.iter_mut().zip(values) {
                *out = table[usize::from(x)];
            }
        }
    }
}

/// One image as `[C, H, W]`: `(x / 255 − mean[c]) / std[c]`.
///
/// # Panics
/// If `mean` or `std` has another length than the image has channels.
#[must_use]
pub fn normalise(image: &Image, mean: &[f32], std: &[f32]) -> Array3<f32> {
    let mut planes = vec![0.0; image.pixels.len()];
    Normaliser::new(mean, std).write(image, &mut planes);
    Array3::from_shape_vec((image.channels, image.height, image.width), planes)
        .expect("an image has C·H·W values")
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn pixels_become_planes_of_normalised_values() {
        let image = Image::new(1, 2, 3, vec![0, 51, 102, 255, 204, 153]);
        let out = normalise(&image, &[0.0, 0.2, 0.5], &[1.0, 0.5, 0.25]);
        let expected = array![[[0.0_f32, 1.0]], [[0.0, 1.2]], [[-0.4, 0.4]]];
        for (a, b) in out.iter().zip(&expected) {
            assert!((a - b).abs() < 1e-6, "{out} is not {expected}");
        }
        assert_eq!(out.dim(), (3, 1, 2));
    }
}
