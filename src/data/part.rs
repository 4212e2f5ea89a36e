//! The part of a batch that one of several ranks makes.

use super::{Geometry, Target};
use ndarray::Array2;
use std::ops::Range;

/// Which rows of a batch a loader makes. The batch has all of its rows nevertheless, so that whoever uses it need not know: the
/// others have pixels of 0 and empty targets, and cost no memory as long as nobody touches them. Samples are those of all rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// The rows.
    pub rows: Range<usize>,
    /// Whether also those that stand at the same places from the batch's end, with which images are mixed.
    pub mirrored: bool,
}

impl Part {
    /// Whether row `row` of `rows` is made.
    #[must_use]
    pub fn wants(&self, row: usize, rows: usize) -> bool {
        self.rows.contains(&row) || self.mirrored && self.rows.contains(&(rows - 1 - row))
    }

    /// The targets and geometries of a batch, with empty ones of the same kind where a row was not made.
    pub(super) fn filled(rows: Vec<Option<(Target, Geometry)>>) -> Vec<(Target, Geometry)> {
        let Some(empty) = rows.iter().flatten().next().map(|(target, geometry)| (empty(target), *geometry))
        else {
            return Vec::new();
        };
        rows.into_iter().map(|row| row.unwrap_or_else(|| empty.clone())).collect()
    }
}

/// A target of this kind that says nothing.
fn empty(like: &Target) -> Target {
    match like {
        Target::None | Target::Class(_) => Target::None,
        Target::Instances(_) => Target::Instances(Vec::new()),
        Target::LabelMap(_) => Target::LabelMap(Array2::default((0, 0))),
    }
}
