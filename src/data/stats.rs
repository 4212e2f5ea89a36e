//! Mean and standard deviation of each channel, which normalisation needs.

use rayon::prelude::*;
use serde::Serialize;

use super::{Dataset, none_usable};
use crate::base::{Error, Result};

/// Mean and standard deviation per channel, of values in `[0, 1]`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ChannelStats {
    /// Per channel.
    pub mean: Vec<f32>,
    /// Per channel, with divisor n; 1 where a channel has no contrast at all, so that dividing is safe.
    pub std: Vec<f32>,
    /// How many images were looked at.
    pub images: usize,
}

/// The statistics of at most `most_images` evenly spaced images, converted to `channels` channels.
///
/// Sums are of whole numbers, so they are exact and the same for any number of threads; every pixel weighs
/// the same, so a large image counts for more than a small one.
///
/// # Errors
/// If an image cannot be read or has not the channels (unless `skip_bad_images`), or none can.
pub fn channel_stats(
    dataset: &dyn Dataset,
    channels: usize,
    most_images: usize,
    skip_bad_images: bool,
) -> Result<ChannelStats> {
    let n = dataset.len();
    let images = n.min(most_images.max(1));
    let each: Vec<Result<Vec<Moments>>> = (0..images)
        .into_par_iter()
        .map(|i| {
            let index = i * n / images;
            let image = dataset.image(index)?.to_channels(channels);
            let image = image.map_err(|error| Error::at(dataset.source(index))(error))?;
            Ok((0..channels).map(|c| Moments::of(image.pixels[c..].iter().step_by(channels))).collect())
        })
        .collect();
    let mut totals = vec![Moments::default(); channels];
    let (mut read, mut first_bad) = (0, None);
    for moments in each {
        match moments {
            Ok(moments) => {
                read += 1;
                totals.iter_mut().zip(&moments).for_each(|(total, m)| total.add(m));
            }
            Err(error) if skip_bad_images => _ = first_bad.get_or_insert(error),
            Err(error) => return Err(error),
        }
    }
    if let (0, Some(error)) = (read, first_bad) {
        return Err(none_usable(dataset, &error.to_string()));
    }
    Ok(ChannelStats::of(&totals, read))
}

impl ChannelStats {
    /// From the moments of each channel.
    pub(super) fn of(channels: &[Moments], images: usize) -> Self {
        let mean = channels.iter().map(Moments::mean).collect();
        let std = channels.iter().map(Moments::std).collect();
        Self { mean, std, images }
    }
}

/// Number, sum and sum of squares of bytes, exactly.
#[derive(Clone, Copy, Default)]
pub(super) struct Moments {
    n: u64,
    sum: u64,
    squares: u64,
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "the last step is f64, then f32"
)]
impl Moments {
    pub(super) fn of<'a>(values: impl Iterator<Item = &'a u8>) -> Self {
        values.fold(Self::default(), |m, &x| {
            let x = u64::from(x);
            Self { n: m.n + 1, sum: m.sum + x, squares: m.squares + x * x }
        })
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.n += other.n;
        self.sum += other.sum;
        self.squares += other.squares;
    }

    fn mean(&self) -> f32 {
        (self.sum as f64 / self.n as f64 / 255.0) as f32
    }

    /// `√(n Σx² − (Σx)²) / n`, which loses nothing to cancellation as the difference is of whole numbers.
    fn std(&self) -> f32 {
        let (n, sum, squares) = (u128::from(self.n), u128::from(self.sum), u128::from(self.squares));
        let difference = n * squares - sum * sum;
        if difference == 0 { 1.0 } else { ((difference as f64).sqrt() / self.n as f64 / 255.0) as f32 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_values_have_the_mean_and_deviation_of_the_textbook() {
        let m = Moments::of([0, 255, 0, 255].iter());
        assert_eq!((m.mean(), m.std()), (0.5, 0.5));
        let m = Moments::of([51, 51].iter());
        assert_eq!((m.mean(), m.std()), (0.2, 1.0));
    }
}
