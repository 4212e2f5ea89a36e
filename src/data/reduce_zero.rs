//! Label maps in which 0 is no class, as ADE20K's, whose 0 is "other objects": 0 becomes ignored, and class k is what was
//! k + 1.

use std::sync::Arc;

use super::target::IGNORED;
use super::{Dataset, Image, Target, TargetKind};
use crate::base::{Error, Result};

/// The setting that asks for it.
pub const KEY: &str = "data.reduce_zero_label";

/// Another data set's images, with reduced label maps and without the first class's name.
pub struct ReduceZeroLabel(Arc<dyn Dataset>);

impl ReduceZeroLabel {
    /// Over a data set of label maps.
    ///
    /// # Errors
    /// If it has other targets, or no class is left.
    pub fn new(whole: Arc<dyn Dataset>) -> Result<Self> {
        if whole.target_kind() != TargetKind::LabelMap {
            return Err(Error::setting(KEY, "data with label maps", whole.describe()));
        }
        if whole.classes().len() < 2 {
            return Err(Error::setting(KEY, "another class than 0", whole.describe()));
        }
        Ok(Self(whole))
    }
}

impl Dataset for ReduceZeroLabel {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn image(&self, index: usize) -> Result<Image> {
        self.0.image(index)
    }

    fn label(&self, _: usize) -> Option<usize> {
        None
    }

    fn target(&self, index: usize) -> Result<Target> {
        let reduced = |label: u8| if label == IGNORED { IGNORED } else { label.wrapping_sub(1) };
        Ok(match self.0.target(index)? {
            // 0 − 1 is 255, which is `IGNORED`.
            Target::LabelMap(labels) => Target::LabelMap(labels.mapv_into(reduced)),
            other => other,
        })
    }

    fn target_kind(&self) -> TargetKind {
        TargetKind::LabelMap
    }

    fn classes(&self) -> &[String] {
        &self.0.classes()[1..]
    }

    fn image_id(&self, index: usize) -> u64 {
        self.0.image_id(index)
    }

    fn category_ids(&self) -> Vec<u64> {
        self.0.category_ids()[1..].to_vec()
    }

    fn source(&self, index: usize) -> String {
        self.0.source(index)
    }

    fn describe(&self) -> String {
        format!("{}, of which 0 is ignored", self.0.describe())
    }

    fn notes(&self) -> &[String] {
        self.0.notes()
    }

    fn size(&self) -> Option<(usize, usize)> {
        self.0.size()
    }

    /// Of the whole's digest and that it is reduced.
    fn digest(&self) -> Result<u32> {
        let mut digest = crc32fast::Hasher::new();
        digest.update(&self.0.digest()?.to_le_bytes());
        digest.update(KEY.as_bytes());
        Ok(digest.finalize())
    }

    fn in_memory(&self) -> bool {
        self.0.in_memory()
    }
}
