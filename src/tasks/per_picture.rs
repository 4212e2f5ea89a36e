//! A score on test pictures that can be taken over any choice of them, some more than once: what a bootstrap asks for.

use crate::data::Dataset;
use std::fmt;
use std::sync::Arc;

type Score = dyn Fn(&[u32]) -> Option<f64> + Send + Sync;

/// The pictures that a model was judged on, and its score on any choice of them.
#[derive(Clone)]
pub struct PerPicture {
    /// Where each stands, in the order of the data.
    pub sources: Vec<String>,
    score: Arc<Score>,
}

impl PerPicture {
    /// Of a data set, where `score` is told how often each picture counts.
    pub fn new(set: &dyn Dataset, score: impl Fn(&[u32]) -> Option<f64> + Send + Sync + 'static) -> Self {
        Self { sources: (0..set.len()).map(|index| set.source(index)).collect(), score: Arc::new(score) }
    }

    /// The accuracy: of each picture it is known whether it is right.
    pub fn accuracy(set: &dyn Dataset, right: impl IntoIterator<Item = bool>) -> Self {
        let right: Vec<bool> = right.into_iter().collect();
        Self::new(set, move |times| {
            let all = times.iter().copied().map(f64::from).sum::<f64>();
            let hits = right.iter().zip(times).filter(|(right, _)| **right);
            Some(hits.map(|(_, &times)| f64::from(times)).sum::<f64>() / all).filter(|_| all > 0.0)
        })
    }

    /// The score where picture `i` counts `times[i]` times; none where nothing among them can be judged.
    ///
    /// # Panics
    /// If there are not as many numbers as pictures.
    #[must_use]
    pub fn score(&self, times: &[u32]) -> Option<f64> {
        assert_eq!(times.len(), self.sources.len(), "a number for each picture");
        (self.score)(times)
    }
}

impl fmt::Debug for PerPicture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PerPicture({} pictures)", self.sources.len())
    }
}
