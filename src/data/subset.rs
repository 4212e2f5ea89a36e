//! Some images of a data set, as a data set of its own: a fraction of the labels, or what is held out.

use std::sync::Arc;

use super::{Dataset, Image, Target, TargetKind, count};
use crate::base::{Error, Result};

/// The images of another data set at the indices given, in their order. Classes stay the whole's, so that a
/// label means the same in every subset, also in one that lacks a class.
pub struct Subset {
    whole: Arc<dyn Dataset>,
    indices: Vec<usize>,
}

impl Subset {
    /// The images of `whole` at `indices`.
    ///
    /// # Panics
    /// If there are no indices, or one is not below the whole's length.
    #[must_use]
    pub fn new(whole: Arc<dyn Dataset>, indices: Vec<usize>) -> Self {
        assert!(!indices.is_empty(), "a subset of no images");
        let (len, last) = (whole.len(), indices.iter().max());
        assert!(last.is_some_and(|&last| last < len), "image {last:?} of a data set of {len}");
        Self { whole, indices }
    }

    /// At most `most` images, evenly spaced.
    ///
    /// # Panics
    /// If `most` is 0.
    #[must_use]
    pub fn evenly_spaced(whole: Arc<dyn Dataset>, most: usize) -> Self {
        let indices = evenly_spaced(whole.len(), most).collect();
        Self::new(whole, indices)
    }
}

/// At most `most` of `len` positions, with the same distance between them but for rounding.
pub fn evenly_spaced(len: usize, most: usize) -> impl ExactSizeIterator<Item = usize> + Clone {
    let most = most.min(len);
    (0..most).map(move |i| i * len / most)
}

impl Dataset for Subset {
    fn len(&self) -> usize {
        self.indices.len()
    }

    fn image(&self, index: usize) -> Result<Image> {
        self.whole.image(self.indices[index])
    }

    fn label(&self, index: usize) -> Option<usize> {
        self.whole.label(self.indices[index])
    }

    fn target(&self, index: usize) -> Result<Target> {
        self.whole.target(self.indices[index])
    }

    fn target_kind(&self) -> TargetKind {
        self.whole.target_kind()
    }

    fn classes(&self) -> &[String] {
        self.whole.classes()
    }

    fn image_id(&self, index: usize) -> u64 {
        self.whole.image_id(self.indices[index])
    }

    fn category_ids(&self) -> Vec<u64> {
        self.whole.category_ids()
    }

    fn with_targets(&self, kind: TargetKind) -> Option<Arc<dyn Dataset>> {
        Some(Arc::new(Self { whole: self.whole.with_targets(kind)?, indices: self.indices.clone() }))
    }

    fn label_problem(&self) -> Option<&Error> {
        self.whole.label_problem()
    }

    fn source(&self, index: usize) -> String {
        self.whole.source(self.indices[index])
    }

    fn describe(&self) -> String {
        format!("{} of {}", count(self.len(), "image", "images"), self.whole.describe())
    }

    fn notes(&self) -> &[String] {
        self.whole.notes()
    }

    fn size(&self) -> Option<(usize, usize)> {
        self.whole.size()
    }

    /// Of the whole's digest and the indices.
    fn digest(&self) -> Result<u32> {
        let mut digest = crc32fast::Hasher::new();
        digest.update(&self.whole.digest()?.to_le_bytes());
        for &index in &self.indices {
            digest.update(&(index as u64).to_le_bytes());
        }
        Ok(digest.finalize())
    }

    fn in_memory(&self) -> bool {
        self.whole.in_memory()
    }
}
