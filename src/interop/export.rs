//! Features in a file of their own, for other programs: `.npy` or `.safetensors`, written whole or not at all.

use crate::base::disk::Os;
use crate::base::out_file::check_out_file;
use crate::base::{Error, Result};
use crate::checkpoint::atomic::{replace_on, write_atomic};
use crate::checkpoint::values::Values;
use crate::checkpoint::{npy, tensors};
use ndarray::Array2;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Where features go: decided, and checked, before the work.
pub struct Export {
    path: PathBuf,
    numpy: bool,
}

impl Export {
    /// The file `path`, whose name says the format. Labels go beside a `.npy` file, as `NAME.labels.npy`, and into the
    /// same `.safetensors` file.
    ///
    /// # Errors
    /// If the name ends otherwise, the folder does not exist, or a file is there and `overwrite` is false.
    pub fn new(path: &Path, overwrite: bool) -> Result<Self> {
        check_out_file("--out", path, &["npy", "safetensors"], true)?; // what is there: below, with the labels
        let numpy = path.extension().is_some_and(|found| found.eq_ignore_ascii_case("npy"));
        let export = Self { path: path.to_path_buf(), numpy };
        let taken = export.files().into_iter().find(|file| file.exists());
        match taken.filter(|_| !overwrite) {
            Some(file) => Err(Error::setting("--out", "a new file, or --overwrite", file.display())),
            None => Ok(export),
        }
    }

    /// What may be written: the features, and for `.npy` the labels.
    #[must_use]
    pub fn files(&self) -> Vec<PathBuf> {
        let labels = self.numpy.then(|| self.path.with_extension("labels.npy"));
        [Some(self.path.clone()), labels].into_iter().flatten().collect()
    }

    /// Writes `[N, D]` features and, if there are any, `[N]` labels; `about` says where they come from, for formats that
    /// have room for it. Returns the files that were written; labels of features that were there before do not stay beside new ones.
    ///
    /// # Errors
    /// If a file cannot be written; what was there before then still is.
    pub fn write(
        &self,
        features: &Array2<f32>,
        labels: Option<&[usize]>,
        about: &BTreeMap<String, String>,
    ) -> Result<Vec<PathBuf>> {
        let whole = |label: &usize| i64::try_from(*label).expect("classes are counted in small numbers");
        let labels: Option<Vec<i64>> = labels.map(|labels| labels.iter().map(whole).collect());
        let labels = labels.as_deref();
        let shape = [features.nrows(), features.ncols()];
        let values = features.as_slice().expect("features are row-major");
        if !self.numpy {
            let mut entries = vec![("features".to_owned(), shape.to_vec(), Values::Real(values))];
            entries.extend(labels.map(|l| ("labels".to_owned(), vec![l.len()], Values::Whole(l))));
            replace_on(&Os, &self.path, |partial| tensors::write_mixed(&Os, partial, entries, about))?;
            return Ok(vec![self.path.clone()]);
        }
        let files = self.files();
        if let Some(labels) = labels {
            write_atomic(&files[1], &npy::vector(labels))?;
        }
        write_atomic(&files[0], &npy::matrix(shape, values))?;
        if labels.is_none() && files[1].exists() {
            fs::remove_file(&files[1]).map_err(Error::write(&files[1]))?;
        }
        Ok(files.into_iter().take(1 + usize::from(labels.is_some())).collect())
    }
}
