//! Random erasing (Zhong et al. 2020): a rectangle of the normalised image becomes noise.

use rand::Rng;
use rand_distr::{Distribution, StandardNormal};

use super::{real, rounded};
use crate::base::rng::{below, uniform};

/// The fraction of the image's area that is erased.
const AREA: (f64, f64) = (0.02, 1.0 / 3.0);
/// The range of a rectangle's height / width.
const ASPECT: (f64, f64) = (0.3, 1.0 / 0.3);
/// How often a rectangle that does not fit the image is drawn again.
const TRIES: usize = 10;

/// Erases a rectangle of `image`, `[C, height, width]` with mean 0 and standard deviation 1, with probability `prob`: each
/// of its values becomes a standard normal number. The reference's mode "pixel" with one rectangle.
///
/// `area ~ U(0.02, 1/3) · height · width`, `log aspect ~ U(log 0.3, log 1/0.3)`, `h = √(area · aspect)`,
/// `w = √(area / aspect)`, both rounded. If ten draws are not smaller than the image, nothing is erased.
///
/// # Panics
/// If the image is no whole number of planes.
pub fn erase(image: &mut [f32], height: usize, width: usize, prob: f64, rng: &mut impl Rng) {
    assert!(
        image.len().is_multiple_of(height * width),
        "{} values in planes of {height}×{width}",
        image.len()
    );
    if uniform(rng) >= prob {
        return;
    }
    let between = |low: f64, high: f64, rng: &mut _| low + (high - low) * uniform(rng);
    for _ in 0..TRIES {
        let area = real(height) * real(width) * between(AREA.0, AREA.1, rng);
        let aspect = libm::exp(between(libm::log(ASPECT.0), libm::log(ASPECT.1), rng));
        let (h, w) = (rounded((area * aspect).sqrt()), rounded((area / aspect).sqrt()));
        if h < height && w < width {
            let (top, left) = (below(rng, height - h + 1), below(rng, width - w + 1));
            for plane in image.chunks_exact_mut(height * width) {
                for row in plane.chunks_exact_mut(width).skip(top).take(h) {
                    row[left..left + w].fill_with(|| StandardNormal.sample(rng));
                }
            }
            return;
        }
    }
}
