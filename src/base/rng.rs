//! Addressed randomness: every random number is a function of (seed, purpose, epoch, sample).
//!
//! Nothing is streamed from one sample to the next, so a mask can be recomputed at will, resuming needs
//! no generator state, and neither batch size nor thread count can change what a sample sees.

use rand::rngs::ChaCha8Rng;
use rand::{Rng, SeedableRng};

/// What a random number is for; two purposes never share a sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum Purpose {
    /// Initial weights; `sample` is the tensor's address.
    Init = 1,
    /// The masking noise of one sample.
    Mask = 2,
    /// The order of the samples in one epoch.
    Shuffle = 3,
    /// Crops and flips of one sample.
    Augment = 4,
    /// Made-up data for benches and checks.
    Synthetic = 5,
    /// Which labelled images are kept, and which of them validate.
    Split = 6,
    /// Mixup and cutmix of one batch.
    Mix = 7,
    /// Which residual branches of one sample are dropped.
    DropPath = 8,
    /// Which images a contact sheet shows.
    Preview = 9,
    /// The patches and first centroids of a codebook.
    Codebook = 10,
    /// A scene made of embedded images; `epoch` is the split.
    Scene = 11,
    /// Which anchors and regions a detector learns from.
    Sampling = 12,
    /// Which test pictures a sample of them has; `epoch` is the sample.
    Bootstrap = 13,
}

/// The generator at one address: `ChaCha8` whose 256-bit key is the four words of the address.
#[must_use]
pub fn rng(seed: u64, purpose: Purpose, epoch: u64, sample: u64) -> ChaCha8Rng {
    view_rng(seed, purpose, epoch, sample, 0)
}

/// The same for one of several views of a sample. The upper half of the purpose's word is the view's, so view 0 has the
/// numbers that [`rng`] has always had.
#[must_use]
pub fn view_rng(seed: u64, purpose: Purpose, epoch: u64, sample: u64, view: u32) -> ChaCha8Rng {
    let mut key = [0; 32];
    let purpose_and_view = purpose as u64 | u64::from(view) << 32;
    for (bytes, word) in key.chunks_exact_mut(8).zip([seed, purpose_and_view, epoch, sample]) {
        bytes.copy_from_slice(&word.to_le_bytes());
    }
    ChaCha8Rng::from_seed(key)
}

/// A number in `[0, 1)` with 53 random bits.
pub fn uniform(rng: &mut impl Rng) -> f64 {
    (rng.next_u64() >> 11) as f64 / (1u64 << 53) as f64
}

/// A whole number in `0..n`, without bias: values of the top, incomplete cycle are drawn again.
///
/// # Panics
/// If `n` is 0.
pub fn below(rng: &mut impl Rng, n: usize) -> usize {
    assert!(n > 0, "nothing lies below 0");
    let n = n as u64;
    let limit = u64::MAX - u64::MAX % n;
    loop {
        let draw = rng.next_u64();
        if draw < limit {
            #[expect(clippy::cast_possible_truncation, reason = "less than n, which is a usize")]
            return (draw % n) as usize;
        }
    }
}

/// A uniformly random order of `0..n` (Fisher–Yates from the back).
pub fn permutation(rng: &mut impl Rng, n: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..n).collect();
    for i in (1..n).rev() {
        order.swap(i, below(rng, i + 1));
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pins the bits of the sequences that define a mask and an order: our own output, pasted on purpose,
    /// since changing it silently would make old runs irreproducible.
    #[test]
    fn sequences_are_pinned() {
        let mut r = rng(1, Purpose::Mask, 2, 3);
        let bits: Vec<u64> = (0..3).map(|_| uniform(&mut r).to_bits()).collect();
        assert_eq!(bits, PINNED_UNIFORM, "the masking noise changed");
        let order = permutation(&mut rng(1, Purpose::Shuffle, 2, 3), 8);
        assert_eq!(order, PINNED_ORDER, "the sample order changed");
    }

    const PINNED_UNIFORM: [u64; 3] =
        [4_601_211_965_074_945_726, 4_597_000_489_208_072_208, 4_591_278_209_022_757_680];
    const PINNED_ORDER: [usize; 8] = [5, 0, 2, 4, 6, 3, 1, 7];

    #[test]
    fn addresses_do_not_share_sequences() {
        let first = |s, p, e, i| rng(s, p, e, i).next_u64();
        let all = [
            first(0, Purpose::Mask, 0, 0),
            first(1, Purpose::Mask, 0, 0),
            first(0, Purpose::Shuffle, 0, 0),
            first(0, Purpose::Mask, 1, 0),
            first(0, Purpose::Mask, 0, 1),
            view_rng(0, Purpose::Mask, 0, 0, 1).next_u64(),
        ];
        for (i, a) in all.iter().enumerate() {
            assert!(all[i + 1..].iter().all(|b| a != b));
        }
    }

    #[test]
    fn permutation_holds_each_index_once() {
        let mut order = permutation(&mut rng(7, Purpose::Shuffle, 0, 0), 1000);
        assert_ne!(order, (0..1000).collect::<Vec<_>>());
        order.sort_unstable();
        assert_eq!(order, (0..1000).collect::<Vec<_>>());
    }
}
