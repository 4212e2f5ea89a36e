//! What happens to the colours of a view after it is cut out: jitter, grey, blur and solarisation, as BYOL (Grill et al.
//! 2020, table 6) and MoCo v3 (Chen, Xie & He 2021) draw them, each operation to the bit as torchvision does it on Pillow's
//! images.
//!
//! An image of one channel goes through the same list: brightness, contrast, blur and solarisation apply, while saturation, hue
//! and grey leave it as it is. They are drawn all the same.

use rand::Rng;

use super::super::Image;
use super::{blur, enhance, hue, tone};
use crate::base::rng::{permutation, uniform};

/// How likely and how strong the changes of one view are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Photometric {
    /// How likely the colours are jittered: brightness, contrast, saturation and hue in random order, all four or none.
    pub jitter_prob: f64,
    /// The factor of the brightness is `1 ± brightness`.
    pub brightness: f64,
    /// The factor of the contrast is `1 ± contrast`.
    pub contrast: f64,
    /// The factor of the saturation is `1 ± saturation`.
    pub saturation: f64,
    /// The hue turns by `± hue` of the colour circle.
    pub hue: f64,
    /// How likely the view becomes grey.
    pub grayscale_prob: f64,
    /// How likely it is blurred.
    pub blur_prob: f64,
    /// The range of the blur's standard deviation, in pixels whatever the view's size.
    pub blur_sigma: (f64, f64),
    /// How likely the upper half of the values is inverted.
    pub solarize_prob: f64,
}

/// Values from here on are inverted.
const SOLARIZE_FROM: u32 = 128;

impl Photometric {
    /// MoCo v3's two views, which differ in blur and solarisation only. (In the paper each image meets both, since the loss
    /// is symmetric.)
    pub const MOCO_V3: [Self; 2] = {
        let first = Self {
            jitter_prob: 0.8,
            brightness: 0.4,
            contrast: 0.4,
            saturation: 0.2,
            hue: 0.1,
            grayscale_prob: 0.2,
            blur_prob: 1.0,
            blur_sigma: (0.1, 2.0),
            solarize_prob: 0.0,
        };
        [first, Self { blur_prob: 0.1, solarize_prob: 0.2, ..first }]
    };

    /// MoCo v3's jitter alone, which leaves edges and tones where they are.
    pub const JITTER: Self =
        Self { grayscale_prob: 0.0, blur_prob: 0.0, solarize_prob: 0.0, ..Self::MOCO_V3[0] };

    /// The changes of one view, in the order in which they are made; every amount is uniform in its range.
    #[expect(clippy::cast_possible_truncation, reason = "Pillow's factors are of single precision")]
    pub fn draw(&self, rng: &mut impl Rng) -> Vec<Op> {
        fn between(low: f64, high: f64, rng: &mut impl Rng) -> f64 {
            low + (high - low) * uniform(rng)
        }
        let mut ops = Vec::new();
        if uniform(rng) < self.jitter_prob {
            let order = permutation(rng, 4);
            let mut around_one = |by: f64| between(1.0 - by, 1.0 + by, rng) as f32;
            let (brightness, contrast) = (around_one(self.brightness), around_one(self.contrast));
            let saturation = around_one(self.saturation);
            let turns = between(-self.hue, self.hue, rng);
            let jitter = [
                Op::Brightness(brightness),
                Op::Contrast(contrast),
                Op::Saturation(saturation),
                Op::Hue(turns),
            ];
            ops.extend(order.into_iter().map(|i| jitter[i]));
        }
        if uniform(rng) < self.grayscale_prob {
            ops.push(Op::Grayscale);
        }
        if uniform(rng) < self.blur_prob {
            ops.push(Op::Blur(between(self.blur_sigma.0, self.blur_sigma.1, rng) as f32));
        }
        if uniform(rng) < self.solarize_prob {
            ops.push(Op::Solarize(SOLARIZE_FROM));
        }
        ops
    }
}

/// One change of an image's values.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Op {
    /// [`enhance::brightness`] by a factor.
    Brightness(f32),
    /// [`enhance::contrast`] by a factor.
    Contrast(f32),
    /// [`enhance::color`] by a factor.
    Saturation(f32),
    /// [`hue::hue`] by turns of the circle.
    Hue(f64),
    /// Luma in all channels.
    Grayscale,
    /// [`blur::gaussian_blur`] with a standard deviation.
    Blur(f32),
    /// [`tone::solarize`] from a threshold on.
    Solarize(u32),
}

impl Op {
    /// Changes the image.
    ///
    /// # Panics
    /// If it has neither 1 nor 3 channels.
    pub fn apply(self, image: &mut Image) {
        match self {
            Self::Brightness(factor) => enhance::brightness(image, factor),
            Self::Contrast(factor) => enhance::contrast(image, factor),
            Self::Saturation(factor) => enhance::color(image, factor),
            Self::Hue(turns) => hue::hue(image, turns),
            Self::Grayscale => enhance::color(image, 0.0),
            Self::Blur(sigma) => blur::gaussian_blur(image, sigma),
            Self::Solarize(threshold) => tone::solarize(image, threshold),
        }
    }
}
