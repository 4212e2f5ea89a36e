//! RandAugment (Cubuk et al. 2020) with the policy that the reference fine-tunes with: `timm`'s
//! `rand-m9-mstd0.5-inc1`, the fifteen operations of which a larger magnitude always changes more.

use rand::Rng;
use rand_distr::{Distribution, StandardNormal};
use serde::{Deserialize, Serialize};

use super::super::Image;
use super::{affine, enhance, tone};
use crate::base::rng::{below, uniform};
use crate::base::{Error, Result};

/// How many operations are tried on an image, how likely and how strong each is.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RandAugment {
    /// Operations tried one after the other, each drawn from all fifteen; 0 changes nothing.
    pub ops: usize,
    /// The mean magnitude, 0 to 10.
    pub magnitude: f64,
    /// The standard deviation of the magnitude, which is then clipped to 0 to 10.
    pub magnitude_std: f64,
    /// How likely an operation that was drawn is applied.
    pub prob: f64,
}

/// The largest magnitude.
const MOST: f64 = 10.0;
/// The most operations: a slip of the keyboard should not take hours an image.
const MOST_OPS: usize = 100;

impl RandAugment {
    /// The reference's: two operations, each with probability ½ and a magnitude of 9 ± 0.5.
    pub const REFERENCE: Self = Self { ops: 2, magnitude: 9.0, magnitude_std: 0.5, prob: 0.5 };

    /// Refuses numbers out of range; messages name keys of the section `section`.
    pub(super) fn check(&self, section: &str) -> Result<()> {
        let wrong = |key: &str, expected: &str, found: String| {
            Err(Error::setting(format!("{section}.rand_augment.{key}"), expected, found))
        };
        if self.ops > MOST_OPS {
            return wrong("ops", "0 (off) to 100", self.ops.to_string());
        }
        if !(0.0..=MOST).contains(&self.magnitude) {
            return wrong("magnitude", "0 to 10", self.magnitude.to_string());
        }
        if !(self.magnitude_std >= 0.0 && self.magnitude_std.is_finite()) {
            return wrong("magnitude_std", "0 or more", self.magnitude_std.to_string());
        }
        if !(0.0..=1.0).contains(&self.prob) {
            return wrong("prob", "0 to 1", self.prob.to_string());
        }
        Ok(())
    }

    /// Draws operations and applies them; `fill` is the colour of what comes from outside of the image.
    ///
    /// # Panics
    /// If the image has not 1 or 3 channels, or `fill` another number of them.
    pub fn apply(&self, image: &mut Image, fill: &[u8], rng: &mut impl Rng) {
        assert!(matches!(image.channels, 1 | 3), "RandAugment of {} channels", image.channels);
        assert_eq!(fill.len(), image.channels, "channels of the fill colour and of the image");
        for _ in 0..self.ops {
            let kind = Kind::ALL[below(rng, Kind::ALL.len())];
            if uniform(rng) < self.prob {
                let noise: f64 = StandardNormal.sample(rng);
                let magnitude = (self.magnitude + self.magnitude_std * noise).clamp(0.0, MOST);
                kind.at(magnitude, uniform(rng) < 0.5).apply(image, fill);
            }
        }
    }
}

/// The operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is a variant of `Op`, which says what it does")]
pub enum Kind {
    AutoContrast,
    Equalize,
    Invert,
    Rotate,
    Posterize,
    Solarize,
    SolarizeAdd,
    Color,
    Contrast,
    Brightness,
    Sharpness,
    ShearX,
    ShearY,
    TranslateX,
    TranslateY,
}

/// An operation with its strength.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Op {
    /// [`tone::autocontrast`].
    AutoContrast,
    /// [`tone::equalize`].
    Equalize,
    /// [`tone::invert`].
    Invert,
    /// [`affine::rotate`] by degrees.
    Rotate(f64),
    /// [`tone::posterize`] to bits.
    Posterize(u32),
    /// [`tone::solarize`] from a threshold on.
    Solarize(u32),
    /// [`tone::solarize_add`] of a value.
    SolarizeAdd(u8),
    /// [`enhance::color`] by a factor; the identity on one channel, as in Pillow.
    Color(f32),
    /// [`enhance::contrast`] by a factor.
    Contrast(f32),
    /// [`enhance::brightness`] by a factor.
    Brightness(f32),
    /// [`enhance::sharpness`] by a factor.
    Sharpness(f32),
    /// [`affine::shear_x`] by a factor.
    ShearX(f64),
    /// [`affine::shear_y`] by a factor.
    ShearY(f64),
    /// [`affine::translate_x`] by a fraction of the width.
    TranslateX(f64),
    /// [`affine::translate_y`] by a fraction of the height.
    TranslateY(f64),
}

impl Kind {
    /// All of them.
    #[rustfmt::skip]
    pub const ALL: [Self; 15] = [
        Self::AutoContrast, Self::Equalize, Self::Invert, Self::Rotate, Self::Posterize,
        Self::Solarize, Self::SolarizeAdd, Self::Color, Self::Contrast, Self::Brightness,
        Self::Sharpness, Self::ShearX, Self::ShearY, Self::TranslateX, Self::TranslateY,
    ];

    /// The operation at a magnitude `m` of 0 to 10, which `negative` turns the other way where there is one:
    /// rotations up to ±30°, shears up to ±0.3, shifts up to ±0.45 of a side, factors `1 ± 0.9 m/10` (at least
    /// 0.1), 4 to 0 bits, thresholds 256 to 0, additions 0 to 110.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "truncated as the reference does"
    )]
    pub fn at(self, magnitude: f64, negative: bool) -> Op {
        let level = magnitude / MOST;
        let signed = |most: f64| if negative { -(level * most) } else { level * most };
        let factor = || (1.0 + signed(0.9)).max(0.1) as f32;
        match self {
            Self::AutoContrast => Op::AutoContrast,
            Self::Equalize => Op::Equalize,
            Self::Invert => Op::Invert,
            Self::Rotate => Op::Rotate(signed(30.0)),
            Self::Posterize => Op::Posterize(4 - (level * 4.0) as u32),
            Self::Solarize => Op::Solarize(256 - (level * 256.0) as u32),
            Self::SolarizeAdd => Op::SolarizeAdd((level * 110.0) as u8),
            Self::Color => Op::Color(factor()),
            Self::Contrast => Op::Contrast(factor()),
            Self::Brightness => Op::Brightness(factor()),
            Self::Sharpness => Op::Sharpness(factor()),
            Self::ShearX => Op::ShearX(signed(0.3)),
            Self::ShearY => Op::ShearY(signed(0.3)),
            Self::TranslateX => Op::TranslateX(signed(0.45)),
            Self::TranslateY => Op::TranslateY(signed(0.45)),
        }
    }
}

impl Op {
    /// Changes the image; `fill` is the colour of what comes from outside of it.
    pub fn apply(self, image: &mut Image, fill: &[u8]) {
        match self {
            Self::AutoContrast => tone::autocontrast(image),
            Self::Equalize => tone::equalize(image),
            Self::Invert => tone::invert(image),
            Self::Rotate(degrees) => affine::rotate(image, degrees, fill),
            Self::Posterize(bits) => tone::posterize(image, bits),
            Self::Solarize(threshold) => tone::solarize(image, threshold),
            Self::SolarizeAdd(add) => tone::solarize_add(image, add),
            Self::Color(factor) => enhance::color(image, factor),
            Self::Contrast(factor) => enhance::contrast(image, factor),
            Self::Brightness(factor) => enhance::brightness(image, factor),
            Self::Sharpness(factor) => enhance::sharpness(image, factor),
            Self::ShearX(factor) => affine::shear_x(image, factor, fill),
            Self::ShearY(factor) => affine::shear_y(image, factor, fill),
            Self::TranslateX(share) => affine::translate_x(image, share, fill),
            Self::TranslateY(share) => affine::translate_y(image, share, fill),
        }
    }
}
