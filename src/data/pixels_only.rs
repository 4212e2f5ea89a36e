//! A data set without what its images teach: pre-training needs none of it, so it neither decodes it nor minds what is wrong with it.

use super::{Dataset, Image, Target, TargetKind};
use crate::base::{Error, Result};
use std::sync::Arc;

/// The images of a data set.
pub struct PixelsOnly(Arc<dyn Dataset>);

impl PixelsOnly {
    /// Of a data set whose targets say where something is; another as it is, since classes cost nothing and judge neighbours.
    #[must_use]
    pub fn of(whole: Arc<dyn Dataset>) -> Arc<dyn Dataset> {
        if whole.target_kind().is_dense() { Arc::new(Self(whole)) } else { whole }
    }
}

impl Dataset for PixelsOnly {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn image(&self, index: usize) -> Result<Image> {
        self.0.image(index)
    }

    fn label(&self, _: usize) -> Option<usize> {
        None
    }

    fn target(&self, _: usize) -> Result<Target> {
        Ok(Target::None)
    }

    fn target_kind(&self) -> TargetKind {
        TargetKind::None
    }

    fn classes(&self) -> &[String] {
        &[]
    }

    fn label_problem(&self) -> Option<&Error> {
        self.0.label_problem()
    }

    fn source(&self, index: usize) -> String {
        self.0.source(index)
    }

    fn describe(&self) -> String {
        self.0.describe()
    }

    fn notes(&self) -> &[String] {
        self.0.notes()
    }

    fn size(&self) -> Option<(usize, usize)> {
        self.0.size()
    }

    fn in_memory(&self) -> bool {
        self.0.in_memory()
    }

    /// That of the whole data: a run that was begun before resumes.
    fn digest(&self) -> Result<u32> {
        self.0.digest()
    }
}
