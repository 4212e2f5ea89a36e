//! What ranks tell each other beside gradients: numbers, exactly.

use crate::base::{Real, Result};
use crate::exec::ranks::{Ranks, agree};
use ndarray::Array2;

/// What ranks tell each other: numbers, none of which loses a bit on the way.
pub trait Told: Send + Sized {
    /// Adds the numbers to a list.
    fn tell(&self, to: &mut Vec<f64>);

    /// Takes them from it again.
    ///
    /// # Panics
    /// If there are too few.
    fn told(from: &mut dyn Iterator<Item = f64>) -> Self;
}

impl Told for () {
    fn tell(&self, _: &mut Vec<f64>) {}

    fn told(_: &mut dyn Iterator<Item = f64>) -> Self {}
}

impl Told for f64 {
    fn tell(&self, to: &mut Vec<f64>) {
        to.push(*self);
    }

    fn told(from: &mut dyn Iterator<Item = f64>) -> Self {
        from.next().expect("as many numbers as were told")
    }
}

/// Below 2⁵³.
impl Told for usize {
    fn tell(&self, to: &mut Vec<f64>) {
        to.push(*self as f64);
    }

    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it was a usize")]
    fn told(from: &mut dyn Iterator<Item = f64>) -> Self {
        f64::told(from) as Self
    }
}

/// Nothing is told as the number NaN, so what is told must not be one.
impl Told for Option<f64> {
    fn tell(&self, to: &mut Vec<f64>) {
        to.push(self.unwrap_or(f64::NAN));
    }

    fn told(from: &mut dyn Iterator<Item = f64>) -> Self {
        Some(f64::told(from)).filter(|number| !number.is_nan())
    }
}

impl<A: Told, B: Told> Told for (A, B) {
    fn tell(&self, to: &mut Vec<f64>) {
        self.0.tell(to);
        self.1.tell(to);
    }

    fn told(from: &mut dyn Iterator<Item = f64>) -> Self {
        (A::told(from), B::told(from))
    }
}

impl<T: Told> Told for Vec<T> {
    fn tell(&self, to: &mut Vec<f64>) {
        self.len().tell(to);
        for item in self {
            item.tell(to);
        }
    }

    fn told(from: &mut dyn Iterator<Item = f64>) -> Self {
        (0..usize::told(from)).map(|_| T::told(from)).collect()
    }
}

impl<T: Told, const N: usize> Told for [T; N] {
    fn tell(&self, to: &mut Vec<f64>) {
        for item in self {
            item.tell(to);
        }
    }

    fn told(from: &mut dyn Iterator<Item = f64>) -> Self {
        std::array::from_fn(|_| T::told(from))
    }
}

impl<F: Real> Told for Array2<F> {
    fn tell(&self, to: &mut Vec<f64>) {
        self.dim().tell(to);
        to.extend(self.iter().map(|x| x.f64()));
    }

    fn told(from: &mut dyn Iterator<Item = f64>) -> Self {
        let shape = <(usize, usize)>::told(from);
        Self::from_shape_simple_fn(shape, || F::of(f64::told(from)))
    }
}

/// What each rank has to tell, by rank, where none of them can have failed.
pub fn tell_all<T: Told>(ranks: &dyn Ranks, own: T) -> Vec<T> {
    if ranks.size() == 1 {
        return vec![own];
    }
    ranks.all_gather(&to_bytes(&own)).iter().map(|word| from_bytes(word)).collect()
}

/// What each rank has to tell, by rank.
///
/// # Errors
/// If a rank has failed on the way here.
pub fn gather<T: Told>(ranks: &dyn Ranks, own: T) -> Result<Vec<T>> {
    if ranks.size() == 1 {
        return Ok(vec![own]);
    }
    Ok(agree(ranks, &to_bytes(&own))?.iter().map(|word| from_bytes(word)).collect())
}

fn to_bytes(own: &impl Told) -> Vec<u8> {
    let mut numbers = Vec::new();
    own.tell(&mut numbers);
    numbers.into_iter().flat_map(f64::to_le_bytes).collect()
}

fn from_bytes<T: Told>(word: &[u8]) -> T {
    let (numbers, _) = word.as_chunks();
    T::told(&mut numbers.iter().map(|bytes| f64::from_le_bytes(*bytes)))
}
