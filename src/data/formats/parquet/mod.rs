//! Parquet files as the Hugging Face hub stores image data sets: `image` (a struct of `bytes` and `path`) and `label`.
//!
//! The reader is compiled with the feature `parquet`, since few need it and its crates are many; without it such a path is
//! answered with how to build it.

use super::super::{Dataset, Split};
use super::shards;
use crate::base::Result;
use std::path::Path;
use std::sync::Arc;

#[cfg(feature = "parquet")]
mod columns;
#[cfg(feature = "parquet")]
pub mod table;

/// Whether the path is a `.parquet` file, a pattern for some, or a folder of them.
pub(super) fn recognises(path: &Path) -> bool {
    shards::recognises(path, "parquet")
}

#[cfg(feature = "parquet")]
pub(super) fn open(path: &Path, split: Split) -> Result<Arc<dyn Dataset>> {
    Ok(Arc::new(table::Table::open(path, split)?))
}

#[cfg(not(feature = "parquet"))]
pub(super) fn open(path: &Path, _: Split) -> Result<Arc<dyn Dataset>> {
    let expected = "a program built with its reader: cargo install --path . --locked --features parquet";
    Err(crate::base::Error::input(path, "Parquet data", expected, "one built without"))
}
