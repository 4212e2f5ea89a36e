//! A picture in 8 bits: what every format decodes to and every transformation works on.

use crate::base::{Error, Result};

/// The most memory that decoding one image may take, and the longest image file.
pub(super) const MAX_BYTES: u64 = 512 << 20;

/// A picture of 1 (grey) or 3 channels (red, green, blue), perhaps with alpha behind them, or an array of any number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// Values per pixel.
    pub channels: usize,
    /// Whether the last channel is alpha. Pictures in files can have it; an array's last channel is as good as the others.
    pub alpha: bool,
    /// The values in the order row, column, channel, with the channel fastest.
    pub pixels: Vec<u8>,
}

impl Image {
    /// An image of the given pixels, without alpha.
    ///
    /// # Panics
    /// If their number is not `height · width · channels`.
    #[must_use]
    pub fn new(height: usize, width: usize, channels: usize, pixels: Vec<u8>) -> Self {
        assert_eq!(pixels.len(), height * width * channels, "pixels of {height}×{width}×{channels}");
        Self { height, width, channels, alpha: false, pixels }
    }

    /// The same picture with `channels` channels: as many as it has, or 1 or 3.
    ///
    /// Colour becomes grey as Pillow's mode "L" has it (ITU-R 601 luma in 16-bit fixed point); grey becomes
    /// colour by repetition; an alpha channel is dropped, not blended, as torchvision's `convert("RGB")` does.
    ///
    /// # Errors
    /// If `channels` is another number, or this image is neither grey nor colour.
    pub fn to_channels(&self, channels: usize) -> Result<Self> {
        let of_pixel = |f: fn(&[u8], &mut Vec<u8>)| {
            let mut pixels = Vec::with_capacity(self.height * self.width * channels);
            self.pixels.chunks_exact(self.channels).for_each(|pixel| f(pixel, &mut pixels));
            Self::new(self.height, self.width, channels, pixels)
        };
        match (self.colours(), channels) {
            (_, to) if to == self.channels => Ok(self.clone()),
            (3, 1) => Ok(of_pixel(|p, out| out.push(luma(p[0], p[1], p[2])))),
            (1, 1) => Ok(of_pixel(|p, out| out.push(p[0]))),
            (1, 3) => Ok(of_pixel(|p, out| out.extend([p[0]; 3]))),
            (3, 3) => Ok(of_pixel(|p, out| out.extend(&p[..3]))),
            (colours, to) => {
                let converted = if matches!(colours, 1 | 3) { ", or 1 (grey) or 3 (colour)" } else { "" };
                let expected = format!("{}, as the image has{converted}", self.channels);
                Err(Error::setting("model.in_chans", expected, to))
            }
        }
    }

    /// The channels without alpha.
    #[must_use]
    pub fn colours(&self) -> usize {
        self.channels - usize::from(self.alpha)
    }

    /// Mirrors the image, left to right, in place.
    pub fn flip_horizontally(&mut self) {
        let channels = self.channels;
        for row in self.pixels.chunks_exact_mut((self.width * channels).max(1)) {
            for left in 0..self.width / 2 {
                let right = self.width - 1 - left;
                for c in 0..channels {
                    row.swap(left * channels + c, right * channels + c);
                }
            }
        }
    }

    /// The bytes that the pixels take in memory.
    pub fn bytes(&self) -> usize {
        self.pixels.len()
    }
}

/// `(19595 R + 38470 G + 7471 B + 2¹⁵) / 2¹⁶`, which are 0.299, 0.587 and 0.114.
#[expect(clippy::cast_possible_truncation, reason = "the weights sum to 2¹⁶, so the result is at most 255")]
fn luma(red: u8, green: u8, blue: u8) -> u8 {
    let weighted = 19_595 * u32::from(red) + 38_470 * u32::from(green) + 7_471 * u32::from(blue);
    ((weighted + 0x8000) >> 16) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grey_becomes_colour_by_repetition_and_comes_back_unchanged() {
        let grey = Image::new(1, 3, 1, vec![0, 100, 255]);
        let colour = grey.to_channels(3).unwrap();
        assert_eq!(colour.pixels, [0, 0, 0, 100, 100, 100, 255, 255, 255]);
        assert_eq!(colour.to_channels(1).unwrap(), grey);
    }

    #[test]
    fn alpha_is_dropped() {
        let rgba = Image { alpha: true, ..Image::new(1, 2, 4, vec![1, 2, 3, 0, 4, 5, 6, 128]) };
        assert_eq!(rgba.to_channels(3).unwrap().pixels, [1, 2, 3, 4, 5, 6]);
        let grey_alpha = Image { alpha: true, ..Image::new(1, 2, 2, vec![7, 0, 8, 255]) };
        assert_eq!(grey_alpha.to_channels(1).unwrap().pixels, [7, 8]);
        assert_eq!(grey_alpha.to_channels(3).unwrap().pixels, [7, 7, 7, 8, 8, 8]);
    }

    #[test]
    fn the_last_channel_of_an_array_is_not_taken_for_alpha() {
        for channels in [2, 4, 5] {
            let array = Image::new(1, 1, channels, vec![9; channels]);
            assert_eq!(array.to_channels(channels).unwrap(), array);
            for other in [1, 3] {
                let message = array.to_channels(other).unwrap_err().to_string();
                assert_eq!(
                    message,
                    format!("model.in_chans: expected {channels}, as the image has, found {other}")
                );
            }
        }
    }

    #[test]
    fn an_impossible_number_of_channels_is_refused() {
        let message = Image::new(1, 1, 3, vec![0; 3]).to_channels(2).unwrap_err().to_string();
        assert!(message.contains("found 2"), "{message}");
    }

    #[test]
    fn flipping_swaps_columns_and_keeps_channels_together() {
        let mut image = Image::new(2, 3, 2, vec![1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
        image.flip_horizontally();
        assert_eq!(image.pixels, [5, 6, 3, 4, 1, 2, 11, 12, 9, 10, 7, 8]);
    }
}
