//! What scenes are made of, from the data in the program; no item and no photograph is in two splits.
//!
//! ```text
//! items        train: 5 of every 6 training images of fashion-mini    validation: the 6th    test: its test images
//! photographs  two or four in colour and one or two toned prints for each split
//! ```

use std::io::Read;
use std::path::Path;

use flate2::read::GzDecoder;
use ndarray::{Array2, ArrayView2};

use super::super::decode::decode;
use super::super::{Image, Split, embedded};

/// The side of the items' pictures.
pub(super) const ITEM_SIDE: usize = 28;

/// Of so many training images one is kept for validation.
const VALIDATION_EVERY: usize = 6;

/// The items and photographs of a split.
pub(super) struct Parts {
    levels: Vec<u8>,
    classes: Vec<u8>,
    pub(super) photographs: Vec<Image>,
}

/// The photographs of a split.
fn names(split: Split) -> &'static [&'static str] {
    match split {
        Split::Train => &["alpine-landscape", "astronaut", "cat", "nagasaki-boats", "raccoon", "retina"],
        Split::Validation => &["march-pastoral", "rocket"],
        Split::Test => &["black-canyon", "coffee"],
    }
}

impl Parts {
    pub(super) fn of(split: Split) -> Self {
        let (file, keep): (_, fn(usize) -> bool) = match split {
            Split::Train => ("train", |at| at % VALIDATION_EVERY != VALIDATION_EVERY - 1),
            Split::Validation => ("train", |at| at % VALIDATION_EVERY == VALIDATION_EVERY - 1),
            Split::Test => ("t10k", |_| true),
        };
        let pictures = idx(&format!("{file}-images-idx3-ubyte.gz"));
        let labels = idx(&format!("{file}-labels-idx1-ubyte.gz"));
        let kept = |at: &usize| keep(*at);
        let picture = |at: usize| &pictures[at * ITEM_SIDE * ITEM_SIDE..(at + 1) * ITEM_SIDE * ITEM_SIDE];
        let photograph = |name: &&str| {
            let path = format!("data/photos/{name}.jpg");
            decode(Path::new(&path), embedded::bytes(&path)).expect("a sound photograph")
        };
        Self {
            levels: (0..labels.len()).filter(kept).flat_map(|at| picture(at).iter().copied()).collect(),
            classes: (0..labels.len()).filter(kept).map(|at| labels[at]).collect(),
            photographs: names(split).iter().map(photograph).collect(),
        }
    }

    /// The number of items.
    pub(super) fn items(&self) -> usize {
        self.classes.len()
    }

    /// An item's class.
    pub(super) fn class(&self, item: usize) -> usize {
        self.classes[item].into()
    }

    /// An item's grey levels, on black.
    pub(super) fn levels(&self, item: usize) -> Array2<u8> {
        let pixels = &self.levels[item * ITEM_SIDE * ITEM_SIDE..(item + 1) * ITEM_SIDE * ITEM_SIDE];
        ArrayView2::from_shape((ITEM_SIDE, ITEM_SIDE), pixels).expect("28 × 28 levels").to_owned()
    }

    /// A CRC-32 of all pixels and classes.
    pub(super) fn digest(&self) -> u32 {
        let mut digest = crc32fast::Hasher::new();
        digest.update(&self.levels);
        digest.update(&self.classes);
        self.photographs.iter().for_each(|photograph| digest.update(&photograph.pixels));
        digest.finalize()
    }
}

/// The bytes behind the header of an embedded IDX file: its fourth byte is the number of dimensions, of four bytes each.
fn idx(name: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let packed = embedded::bytes(&format!("data/fashion-mini/{name}"));
    GzDecoder::new(packed).read_to_end(&mut bytes).expect("a sound archive");
    let header = 4 + 4 * usize::from(bytes[3]);
    bytes.split_off(header)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn no_item_and_no_photograph_is_in_two_splits() {
        let all = Split::ALL.map(Parts::of);
        assert_eq!(all.each_ref().map(Parts::items), [5000, 1000, 1000]);
        let pictures = all.each_ref().map(|parts| parts.levels.chunks(784).collect::<BTreeSet<_>>());
        let names = Split::ALL.map(|split| names(split).iter().collect::<BTreeSet<_>>());
        for (a, b) in [(0, 1), (0, 2), (1, 2)] {
            assert!(pictures[a].is_disjoint(&pictures[b]) && names[a].is_disjoint(&names[b]));
        }
        assert_eq!(names.iter().map(BTreeSet::len).sum::<usize>(), 10);
        for parts in &all {
            assert_eq!((0..parts.items()).map(|item| parts.class(item)).collect::<BTreeSet<_>>().len(), 10);
        }
    }
}
