//! Which samples an epoch visits, and when: a shuffle that is a function of seed and epoch alone.
//!
//! A *sample* is one visit of an image within an epoch. Its address, `index · repeats + repeat`, selects
//! its crop and its mask.

use crate::base::rng::{Purpose, permutation, rng};

/// The addresses of `images · repeats` samples in the order of `epoch`; each occurs once.
#[must_use]
pub fn epoch_order(seed: u64, epoch: u64, images: usize, repeats: usize) -> Vec<usize> {
    permutation(&mut rng(seed, Purpose::Shuffle, epoch, 0), images * repeats)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_epoch_visits_each_sample_once_in_an_order_of_its_own() {
        let mut first = epoch_order(3, 0, 50, 2);
        assert_ne!(first, epoch_order(3, 1, 50, 2));
        assert_ne!(first, epoch_order(4, 0, 50, 2));
        first.sort_unstable();
        assert_eq!(first, (0..100).collect::<Vec<_>>());
    }
}
