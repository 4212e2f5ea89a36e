//! Every image of a data set decoded once: which cannot be, and which pictures are there more than once.

use super::survey::OnImage;
use super::{Dataset, Split};
use crate::base::Result;
use rayon::prelude::*;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

/// What tells a picture from every other: the SHA-256 of its size and its pixels as they are decoded.
pub type Fingerprint = [u8; 32];

/// What decoding every image of a data set found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// Index and error of each image that cannot be decoded, or whose target cannot.
    pub bad: Vec<(usize, String)>,
    /// Of every other image.
    pub pictures: Vec<(usize, Fingerprint)>,
}

/// Decodes every image and its target.
#[must_use]
pub fn verify(dataset: &dyn Dataset, on_image: OnImage) -> Verified {
    let look = |index| {
        let picture = fingerprint(dataset, index);
        on_image();
        picture.map_or_else(|e| Err((index, e.to_string())), |picture| Ok((index, picture)))
    };
    let looks: Vec<_> = (0..dataset.len()).into_par_iter().map(look).collect();
    let (mut bad, mut pictures) = (Vec::new(), Vec::new());
    for look in looks {
        match look {
            Ok(picture) => pictures.push(picture),
            Err(error) => bad.push(error),
        }
    }
    Verified { bad, pictures }
}

fn fingerprint(dataset: &dyn Dataset, index: usize) -> Result<Fingerprint> {
    let image = dataset.image(index)?;
    dataset.target(index)?;
    let mut hash = Sha256::new();
    for n in [image.height, image.width, image.channels] {
        hash.update((n as u64).to_le_bytes());
    }
    hash.update(&image.pixels);
    Ok(hash.finalize().into())
}

/// Where each picture that is there more than once is, by split and index. A picture of several splits comes before one that is
/// repeated inside a split: what is trained on and tested on makes the test say too much.
#[must_use]
pub fn repeated(
    pictures: impl IntoIterator<Item = (Fingerprint, (Split, usize))>,
) -> Vec<Vec<(Split, usize)>> {
    let mut places = BTreeMap::<Fingerprint, Vec<(Split, usize)>>::new();
    for (picture, place) in pictures {
        places.entry(picture).or_default().push(place);
    }
    let mut repeated: Vec<_> = places.into_values().filter(|places| places.len() > 1).collect();
    // By place inside the two kinds: a fingerprint's own order means nothing.
    repeated.sort_by_key(|places| (!crosses_splits(places), places[0].0 as usize, places[0].1));
    repeated
}

/// Whether not all of these places are in one split.
#[must_use]
pub fn crosses_splits(places: &[(Split, usize)]) -> bool {
    places.iter().any(|(split, _)| *split != places[0].0)
}
