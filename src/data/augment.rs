//! What happens to an image between its file and the model: random changes for training, one fixed resize and
//! centre crop for evaluation.
//!
//! A sample's changes come in a fixed order from one generator: scale, crop, flip, [`shift()`], [`rand_augment`], [`photometric`], and
//! after normalisation [`erase()`]. What is off draws nothing, so switching on a later one leaves the earlier as they were.

use rand::Rng;

use super::resample::{CropBox, Filter, crop_and_resize};
use super::{Geometry, Image};
use crate::base::rng::{below, uniform};
use crate::base::{Error, Result};

pub mod affine;
pub mod blur;
pub mod config;
pub mod enhance;
pub mod erase;
pub mod hue;
pub mod photometric;
pub mod rand_augment;
pub mod scale_crop;
pub mod shift;
pub mod tone;

pub use config::AugmentConfig;
pub use erase::erase;
pub use photometric::Photometric;
pub use rand_augment::RandAugment;
pub use scale_crop::ScaleCrop;
pub use shift::shift;

/// The augmentation of single images.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Augment {
    /// The smallest and largest part of an image's area that a crop takes, (0.2, 1) in the reference's
    /// pre-training; `None` does not crop, for images that have the model's size.
    pub crop_area: Option<(f64, f64)>,
    /// A random scale and a random crop with padding, instead of `crop_area`.
    pub scale_crop: Option<ScaleCrop>,
    /// How a crop is resized.
    pub filter: Filter,
    /// Whether every second image, at random, is mirrored.
    pub flip: bool,
    /// The most pixels that an image is shifted in each direction.
    pub pad_crop: Option<usize>,
    /// Random operations on tones, colours and geometry.
    pub rand_augment: Option<RandAugment>,
    /// Random changes of colour and sharpness.
    pub photometric: Option<Photometric>,
    /// How likely a rectangle of the normalised image is erased.
    pub erasing_prob: f64,
}

impl Augment {
    /// None at all.
    pub const NONE: Self = Self {
        crop_area: None,
        scale_crop: None,
        filter: Filter::Bicubic,
        flip: false,
        pad_crop: None,
        rand_augment: None,
        photometric: None,
        erasing_prob: 0.0,
    };

    /// The reference's in pre-training, "random resized cropping and horizontal flipping" (He et al. 2022, §4 and
    /// table 8): crops of 0.2 to 1 of the area, and flips.
    pub const REFERENCE: Self = Self { crop_area: Some((0.2, 1.0)), flip: true, ..Self::NONE };

    /// MoCo v3's two views of an image (Chen, Xie & He 2021, after BYOL): crops of `area`, (0.08, 1) for its `ViT`s, resized
    /// bilinearly, flips, and [`Photometric::MOCO_V3`].
    ///
    /// There the flip comes last. Here it comes with the crop, to the same bits, since what follows treats left and right
    /// alike.
    #[must_use]
    pub fn moco_v3(area: (f64, f64)) -> [Self; 2] {
        Photometric::MOCO_V3.map(|photometric| Self {
            crop_area: Some(area),
            filter: Filter::Bilinear,
            flip: true,
            photometric: Some(photometric),
            ..Self::NONE
        })
    }

    /// For segmentation: [`ScaleCrop::REFERENCE`], resized bilinearly, flips, and [`Photometric::JITTER`]. What is padded has the
    /// data's mean colour, whatever the jitter, and is [`super::target::IGNORED`] in the label map.
    pub const SEGMENTATION: Self = Self {
        scale_crop: Some(ScaleCrop::REFERENCE),
        filter: Filter::Bilinear,
        flip: true,
        photometric: Some(Photometric::JITTER),
        ..Self::NONE
    };

    /// Whether it makes views of images of any size.
    pub(super) fn takes_any_size(&self) -> bool {
        self.crop_area.is_some() || self.scale_crop.is_some()
    }

    /// Refuses numbers out of range, and RandAugment or changes of colour on images that are neither grey nor in colour. Messages name
    /// keys of the section `section`.
    pub(super) fn check(&self, section: &str, height: usize, width: usize, channels: usize) -> Result<()> {
        let wrong = |key: &str, expected: &str, found: String| {
            Err(Error::setting(format!("{section}.{key}"), expected, found))
        };
        if let Some((low, high)) = self.crop_area
            && !(low > 0.0 && low <= high && high <= 1.0)
        {
            return wrong("crop", "0 < smallest ≤ largest ≤ 1", format!("({low}, {high})"));
        }
        if let Some(ScaleCrop { low, high, .. }) = self.scale_crop
            && !(low > 0.0 && low <= high && high.is_finite())
        {
            return wrong("scale", "0 < smallest ≤ largest", format!("({low}, {high})"));
        }
        if let Some(pad) = self.pad_crop
            && pad >= height.min(width)
        {
            let expected = format!("less than the sides of the {height}×{width} images");
            return wrong("pad_crop", &expected, pad.to_string());
        }
        if let Some(rand_augment) = self.rand_augment {
            rand_augment.check(section)?;
            if rand_augment.ops > 0 && !matches!(channels, 1 | 3) {
                return wrong(
                    "rand_augment",
                    "images of 1 or 3 channels for it",
                    format!("{channels} channels"),
                );
            }
        }
        if self.photometric.is_some() && !matches!(channels, 1 | 3) {
            let expected = "1 (grey) or 3 (colour), whose brightness and contrast can be changed";
            return Err(Error::setting("model.in_chans", expected, channels));
        }
        if !(0.0..=1.0).contains(&self.erasing_prob) {
            return wrong("erasing_prob", "0 to 1", self.erasing_prob.to_string());
        }
        Ok(())
    }

    /// One random view of `image`, `height × width`, before normalisation, and how it was cut out. `fill` is the colour of
    /// what a rotation, shear or translation brings in from outside.
    ///
    /// # Panics
    /// If there is no crop and the image has another size, or RandAugment or a change of colour cannot work with its
    /// channels.
    #[must_use]
    pub fn apply(
        &self,
        image: &Image,
        height: usize,
        width: usize,
        fill: &[u8],
        rng: &mut impl Rng,
    ) -> (Image, Geometry) {
        let (size, out) = ((image.height, image.width), (height, width));
        let mut geometry = if let Some(scale_crop) = self.scale_crop {
            scale_crop.draw(size, out, rng)
        } else if let Some(area) = self.crop_area {
            Geometry { crop: random_crop(size.0, size.1, area, rng), ..Geometry::resized(size, out) }
        } else {
            assert_eq!(size, out, "size of an image that is not cropped");
            Geometry::resized(size, out)
        };
        geometry.flip = self.flip && uniform(rng) < 0.5;
        // Padded last: padding has the same colour in all views, and no part in their contrast.
        let mut view = Geometry { out: geometry.scale, ..geometry }.image(image, self.filter, fill);
        if let Some(pad) = self.pad_crop {
            shift(&mut view, pad, rng);
        }
        if let Some(rand_augment) = self.rand_augment.filter(|rand_augment| rand_augment.ops > 0) {
            rand_augment.apply(&mut view, fill, rng);
        }
        if let Some(photometric) = self.photometric {
            photometric.draw(rng).into_iter().for_each(|op| op.apply(&mut view));
        }
        (geometry.padded(view, fill), geometry)
    }

    /// Whether it moves pixels in ways that its [`Geometry`] does not tell.
    pub(super) fn moves_more(&self) -> bool {
        self.pad_crop.is_some() || self.rand_augment.is_some_and(|rand_augment| rand_augment.ops > 0)
    }

    /// What happens to the view after normalisation, `[C, height, width]`, in place; from the same generator.
    pub fn apply_normalised(&self, planes: &mut [f32], height: usize, width: usize, rng: &mut impl Rng) {
        if self.erasing_prob > 0.0 {
            erase(planes, height, width, self.erasing_prob, rng);
        }
    }
}

/// The colour with the channel means `mean`, of values in `[0, 1]`, in 8 bits.
#[must_use]
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "`as` saturates, which is meant")]
pub fn fill_colour(mean: &[f32]) -> Vec<u8> {
    mean.iter().map(|&mean| (255.0 * f64::from(mean)).round_ties_even() as u8).collect()
}

/// The range of a crop's width / height.
const ASPECT: (f64, f64) = (3.0 / 4.0, 4.0 / 3.0);
/// How often a crop that does not fit the image is drawn again.
const TRIES: usize = 10;

/// A crop of a random area and a random aspect ratio at a random place, as torchvision's
/// `RandomResizedCrop` draws it.
///
/// `area ~ U(low, high) · height · width`, `log aspect ~ U(log ¾, log 4/3)`, `w = √(area · aspect)`,
/// `h = √(area / aspect)`, both rounded. If ten draws do not fit into the image: the largest central crop
/// whose aspect ratio is in range. `libm`'s functions give the same crops on every platform.
#[must_use]
pub fn random_crop(height: usize, width: usize, area: (f64, f64), rng: &mut impl Rng) -> CropBox {
    let between = |low: f64, high: f64, rng: &mut _| low + (high - low) * uniform(rng);
    for _ in 0..TRIES {
        let target = (real(height) * real(width)) * between(area.0, area.1, rng);
        let aspect = libm::exp(between(libm::log(ASPECT.0), libm::log(ASPECT.1), rng));
        let w = rounded((target * aspect).sqrt());
        let h = rounded((target / aspect).sqrt());
        if (1..=width).contains(&w) && (1..=height).contains(&h) {
            let top = below(rng, height - h + 1);
            let left = below(rng, width - w + 1);
            return CropBox { top, left, height: h, width: w };
        }
    }
    let aspect = real(width) / real(height);
    let (h, w) = if aspect < ASPECT.0 {
        (rounded(real(width) / ASPECT.0), width)
    } else if aspect > ASPECT.1 {
        (height, rounded(real(height) * ASPECT.1))
    } else {
        (height, width)
    };
    CropBox { top: (height - h) / 2, left: (width - w) / 2, height: h, width: w }
}

/// The longest side to which an image is enlarged before its centre is cut out.
const MAX_RESIZED_SIDE: usize = 1 << 14;

/// The view that evaluation takes: `channels` channels, the shorter side (relative to the target) resized
/// bicubically, the centre cut out. An image that already has the size stays as it is.
///
/// # Errors
/// If `channels` is neither 1 nor 3, or the image is so narrow that its resized length is beyond reason.
///
/// # Panics
/// If the image or the target is empty.
pub fn evaluation_image(image: &Image, channels: usize, height: usize, width: usize) -> Result<Image> {
    let image = image.to_channels(channels)?;
    // Sides truncated and margins rounded to even as torchvision's Resize and CenterCrop do.
    let (h, w) = if width * image.height >= height * image.width {
        (width * image.height / image.width, width)
    } else {
        (height, height * image.width / image.height)
    };
    if h.max(w) > MAX_RESIZED_SIDE.max(height).max(width) {
        let found = format!("{}×{} (height × width)", image.height, image.width);
        return Err(Error::setting("image size", "sides less far from the model's aspect ratio", found));
    }
    let resized = crop_and_resize(&image, CropBox::whole(&image), h, w, Filter::Bicubic);
    let margin = |outer: usize, inner: usize| rounded(real(outer - inner) / 2.0);
    let centre = CropBox { top: margin(h, height), left: margin(w, width), height, width };
    Ok(crop_and_resize(&resized, centre, height, width, Filter::Bicubic))
}

#[expect(clippy::cast_precision_loss, reason = "sides of images are far below 2⁵²")]
fn real(pixels: usize) -> f64 {
    pixels as f64
}

/// To the nearest whole number, halves to even, as Python's `round` does.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "lengths are positive")]
fn rounded(pixels: f64) -> usize {
    pixels.round_ties_even() as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::{Purpose, rng};

    const AREA: (f64, f64) = (0.2, 1.0);

    #[test]
    fn crops_stay_inside_and_their_areas_in_range() {
        for (height, width) in [(28, 28), (480, 640), (300, 100), (100, 300), (7, 5)] {
            let mut aspects = Vec::new();
            for sample in 0..2000 {
                let crop = random_crop(height, width, AREA, &mut rng(1, Purpose::Augment, 0, sample));
                assert!(crop.top + crop.height <= height && crop.left + crop.width <= width, "{crop:?}");
                assert!(crop.height > 0 && crop.width > 0);
                // Rounding moves each side by at most half a pixel.
                let (h, w) = (real(crop.height), real(crop.width));
                let whole = real(height) * real(width);
                assert!((h + 0.5) * (w + 0.5) >= 0.2 * whole, "{crop:?} of {height}×{width} is too small");
                assert!((w - 0.5) / (h + 0.5) <= 4.0 / 3.0 && (w + 0.5) / (h - 0.5) >= 0.75, "{crop:?}");
                aspects.push(w / h);
            }
            let share = real(aspects.iter().filter(|&&a| a > 1.0).count()) / 2000.0;
            assert!((0.1..0.9).contains(&share), "wide crops of {height}×{width}: {share}");
        }
    }

    #[test]
    fn a_very_narrow_image_gets_the_central_crop() {
        let crop = random_crop(10, 1000, (0.9, 1.0), &mut rng(1, Purpose::Augment, 0, 0));
        assert_eq!(crop, CropBox { top: 0, left: 493, height: 10, width: 13 });
        let crop = random_crop(1000, 1, (0.9, 1.0), &mut rng(1, Purpose::Augment, 0, 0));
        assert_eq!(crop, CropBox { top: 499, left: 0, height: 1, width: 1 });
    }

    #[test]
    fn about_half_of_the_images_are_flipped() {
        let image = Image::new(1, 2, 1, vec![1, 2]);
        let augment = Augment { flip: true, ..Augment::NONE };
        let flipped = (0..1000)
            .filter(|&s| {
                augment.apply(&image, 1, 2, &[0], &mut rng(1, Purpose::Augment, 0, s)).0.pixels == [2, 1]
            })
            .count();
        assert!((440..560).contains(&flipped), "{flipped} of 1000");
    }

    #[test]
    fn evaluation_leaves_an_image_of_the_right_size_alone() {
        let image = Image::new(2, 3, 1, vec![1, 2, 3, 4, 5, 6]);
        assert_eq!(evaluation_image(&image, 1, 2, 3).unwrap(), image);
    }

    #[test]
    fn evaluation_takes_the_centre() {
        let image = Image::new(1, 4, 1, vec![10, 20, 30, 40]);
        assert_eq!(evaluation_image(&image, 1, 1, 2).unwrap().pixels, [20, 30]);
        let flat = Image::new(30, 50, 3, [9, 8, 7].repeat(1500));
        assert_eq!(evaluation_image(&flat, 3, 16, 8).unwrap(), Image::new(16, 8, 3, [9, 8, 7].repeat(128)));
    }

    #[test]
    fn evaluation_refuses_to_blow_up_a_thread() {
        let thread = Image::new(1, 16_000, 1, vec![0; 16_000]);
        assert!(evaluation_image(&thread, 1, 224, 224).is_err());
    }
}
