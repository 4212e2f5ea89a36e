//! How much a score hangs on the pictures that test it: the score on samples of them, drawn with replacement.
//!
//! ```text
//! sample b = 0, 1, … 999   as many groups as there are, drawn from the address (bootstrap, b) alone
//! x_b                      the score where each picture counts as often as its group was drawn
//! ```
//!
//! All runs that are judged on the same pictures are judged on the same samples, so differences between runs can be taken sample by
//! sample; the scores of all samples are all that is kept of a run's pictures.

use crate::base::rng::{Purpose, below, rng};
use crate::base::{Error, Result};
use crate::tasks::per_picture::PerPicture;
use rayon::prelude::*;
use std::collections::BTreeMap;
use std::path::Path;

/// Samples of the test pictures.
pub const SAMPLES: u64 = 1000;

/// A score on every sample.
#[derive(Clone, Debug, PartialEq)]
pub struct Resampled {
    /// The name of its column.
    pub column: String,
    /// How many test pictures there are.
    pub pictures: usize,
    /// In how many groups.
    pub groups: usize,
    /// By sample, to six decimals; NaN where nothing in a sample can be judged.
    pub scores: Vec<f64>,
}

impl Resampled {
    /// The score of a column on every sample of the pictures. Those whose names are the same up to the last `by` are drawn together, or
    /// without one each by itself.
    ///
    /// # Errors
    /// If a picture's name has no `by`.
    pub fn of(column: &str, pictures: &PerPicture, by: Option<&str>) -> Result<Self> {
        let group = groups(&pictures.sources, by)?;
        let groups = group.iter().max().map_or(0, |last| last + 1);
        let score = |sample: u64| {
            let (mut rng, mut drawn) = (rng(0, Purpose::Bootstrap, sample, 0), vec![0; groups]);
            (0..groups).for_each(|_| drawn[below(&mut rng, groups)] += 1);
            let times: Vec<u32> = group.iter().map(|&group| drawn[group]).collect();
            pictures.score(&times).map_or(f64::NAN, |score| (score * 1e6).round() / 1e6)
        };
        let scores = (0..SAMPLES).into_par_iter().map(score).collect();
        Ok(Self { column: column.to_owned(), pictures: group.len(), groups, scores })
    }
}

/// The group of each picture, counted in the order of the data.
///
/// # Errors
/// If a picture's name has no `by`.
pub(super) fn groups(sources: &[String], by: Option<&str>) -> Result<Vec<usize>> {
    let Some(by) = by else { return Ok((0..sources.len()).collect()) };
    let mut known = BTreeMap::new();
    let group = |source: &String| {
        let name =
            Path::new(source).file_name().map_or(source.as_str().into(), |name| name.to_string_lossy());
        let expected = || Error::setting("--group-by", format!("names of test pictures with {by:?}"), &name);
        let (group, _) = name.rsplit_once(by).ok_or_else(expected)?;
        let next = known.len();
        Ok(*known.entry(group.to_owned()).or_insert(next))
    };
    sources.iter().map(group).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Dataset, Image};

    /// Four pictures in two groups.
    struct Named;

    impl Dataset for Named {
        fn len(&self) -> usize {
            4
        }
        fn image(&self, _: usize) -> Result<Image> {
            unreachable!("names are all that is asked for")
        }
        fn label(&self, _: usize) -> Option<usize> {
            None
        }
        fn classes(&self) -> &[String] {
            &[]
        }
        fn source(&self, index: usize) -> String {
            ["a_b/x_1.png", "a_b/y_1.png", "a_b/x_2.png", "a_b/y_z_1.png"][index].to_owned()
        }
        fn describe(&self) -> String {
            String::new()
        }
        fn size(&self) -> Option<(usize, usize)> {
            None
        }
        fn digest(&self) -> Result<u32> {
            Ok(0)
        }
    }

    #[test]
    fn pictures_of_a_group_are_drawn_together() {
        let pictures = PerPicture::accuracy(&Named, [true, false, true, false]);
        let [alone, grouped] = [None, Some("_")].map(|by| Resampled::of("x", &pictures, by).unwrap());
        assert_eq!(groups(&pictures.sources, Some("_")).unwrap(), [0, 1, 0, 2]);
        assert_eq!((alone.pictures, alone.groups, grouped.groups), (4, 4, 3));
        assert_eq!(alone, Resampled::of("x", &pictures, None).unwrap());
        // The mean of a fraction of n pictures has the standard deviation √(p (1 − p) / n).
        let mean = alone.scores.iter().sum::<f64>() / SAMPLES as f64;
        let squares = alone.scores.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / SAMPLES as f64;
        assert!((mean - 0.5).abs() < 0.03 && (squares.sqrt() - 0.25).abs() < 0.02, "{mean} {squares}");
        let error = groups(&pictures.sources, Some("z_")).unwrap_err().to_string();
        assert!(error.contains("--group-by") && error.contains("x_1.png"), "{error}");
        assert_eq!(pictures.score(&[2, 0, 1, 3]), Some(0.5));
    }
}
