//! A data set's files as a test puts them there, and how such data is refused.

use std::fs;
use std::path::{Path, PathBuf};
use vit_mae::data::{Split, open};

/// Writes the file `name` below `root`.
pub(crate) fn put(root: impl AsRef<Path>, name: &str, bytes: &[u8]) -> PathBuf {
    let path = root.as_ref().join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, bytes).unwrap();
    path
}

/// The message with which data is refused, with exit code 2.
pub(crate) fn refusal(path: &Path, split: Split) -> String {
    let error = open(path, None, split).map(|data| data.describe()).expect_err("must be refused");
    assert_eq!(error.exit_code(), 2);
    error.to_string()
}

/// The message with which labels are refused, with exit code 2, while the images are read.
pub(crate) fn labels_refusal(path: &Path, split: Split) -> String {
    let data = open(path, None, split).expect("images need no labels");
    assert_eq!((data.label(0), data.classes().len()), (None, 0));
    let error = data.labels().expect_err("the labels must be refused");
    assert_eq!(error.exit_code(), 2);
    error.to_string()
}
