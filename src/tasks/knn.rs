//! k-nearest neighbours on frozen features: what they are worth without any training.
//!
//! The weighted vote of Wu et al. 2018 ("Unsupervised Feature Learning via Non-Parametric Instance Discrimination",
//! §3.4), with which self-supervised encoders are usually judged.

use crate::base::Real;
use crate::exec::{Backend, Exec};
use ndarray::{Array2, ArrayView2, ArrayViewMut1, Axis, s};
use rayon::prelude::*;
use std::cmp::Ordering;

/// Queries that one task compares with the whole bank.
const QUERIES: usize = 64;
/// Images of the bank that are compared at once: their similarities stay in cache.
const BANK: usize = 4096;
/// A vector shorter than this has no direction; its similarity to everything is about 0.
const SHORTEST: f64 = 1e-12;

/// How neighbours vote.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Knn {
    /// Neighbours that vote.
    pub k: usize,
    /// `τ`.
    pub temperature: f64,
}

/// `k = 20`, `τ = 0.07`, as is usual (Wu et al. 2018, "Unsupervised Feature Learning via Non-Parametric Instance
/// Discrimination").
impl Default for Knn {
    fn default() -> Self {
        Self { k: 20, temperature: 0.07 }
    }
}

impl Knn {
    /// `scores: [M, K]` of `queries: [M, D]`, the logarithm of each class's fraction of the votes:
    ///
    /// ```text
    /// s_i = cos(query, bank_i)         vote_i = e^(s_i / τ) for the k largest s_i
    /// score_c = log (Σ_{i of class c} vote_i / Σ_i vote_i)
    /// ```
    ///
    /// `−∞` where none of the neighbours is of a class. Of equally similar ones those that come first in the bank are
    /// nearer. The bits depend neither on the number of threads nor on the other queries.
    ///
    /// # Panics
    /// If the shapes do not fit together, or `k` is 0 or more than the bank holds.
    pub fn scores<F: Real>(
        &self,
        bank: ArrayView2<F>,
        labels: &[usize],
        classes: usize,
        queries: ArrayView2<F>,
        backend: Backend,
    ) -> Array2<f64> {
        assert_eq!(bank.nrows(), labels.len(), "images of the bank and labels");
        assert_eq!(bank.ncols(), queries.ncols(), "widths of bank and queries");
        assert!((1..=bank.nrows()).contains(&self.k), "{} neighbours of {}", self.k, bank.nrows());
        let (bank, queries) = (directions(bank), directions(queries));
        let mut scores = Array2::zeros((queries.nrows(), classes));
        let tasks: Vec<_> = queries
            .axis_chunks_iter(Axis(0), QUERIES)
            .zip(scores.axis_chunks_iter_mut(Axis(0), QUERIES))
            .collect();
        tasks.into_par_iter().for_each(|(queries, mut scores)| {
            let nearest = self.nearest(bank.view(), queries, backend);
            for (nearest, scores) in nearest.into_iter().zip(scores.outer_iter_mut()) {
                self.vote(&nearest, labels, scores);
            }
        });
        scores
    }

    /// The `k` nearest images of the bank for each query, nearest first.
    fn nearest<F: Real>(
        &self,
        bank: ArrayView2<F>,
        queries: ArrayView2<F>,
        backend: Backend,
    ) -> Vec<Vec<Neighbour>> {
        let mut cx = Exec::new(backend);
        // Every product has the same number of rows, so that a query's bits do not depend on how many come with it.
        let mut padded = Array2::zeros((QUERIES, queries.ncols()));
        padded.slice_mut(s![..queries.nrows(), ..]).assign(&queries);
        let mut nearest = vec![Vec::new(); queries.nrows()];
        for (block, images) in bank.axis_chunks_iter(Axis(0), BANK).enumerate() {
            let similarities = cx.matmul(padded.view(), images.t());
            for (nearest, row) in nearest.iter_mut().zip(similarities.outer_iter()) {
                let found = row.iter().enumerate();
                nearest
                    .extend(found.map(|(i, s)| Neighbour { similarity: s.f64(), image: block * BANK + i }));
                keep_nearest(nearest, self.k);
            }
            cx.recycle(similarities);
        }
        nearest
    }

    /// Votes are scaled by that of the nearest, so that none overflows however small `τ` is.
    fn vote(&self, nearest: &[Neighbour], labels: &[usize], mut scores: ArrayViewMut1<f64>) {
        let most = nearest[0].similarity;
        let mut all = 0.0;
        for neighbour in nearest {
            let vote = ((neighbour.similarity - most) / self.temperature).exp();
            scores[labels[neighbour.image]] += vote;
            all += vote;
        }
        scores.mapv_inplace(|votes| (votes / all).ln());
    }
}

#[derive(Clone, Copy)]
struct Neighbour {
    similarity: f64,
    image: usize,
}

fn nearer(a: &Neighbour, b: &Neighbour) -> Ordering {
    b.similarity.total_cmp(&a.similarity).then(a.image.cmp(&b.image))
}

/// Leaves the `k` nearest, in order.
fn keep_nearest(neighbours: &mut Vec<Neighbour>, k: usize) {
    if neighbours.len() > k {
        neighbours.select_nth_unstable_by(k - 1, nearer);
        neighbours.truncate(k);
    }
    neighbours.sort_unstable_by(nearer);
}

/// Each row divided by its length.
fn directions<F: Real>(x: ArrayView2<F>) -> Array2<F> {
    let mut x = x.to_owned();
    for mut row in x.outer_iter_mut() {
        let length = row.fold(0.0, |sum, x| sum + x.f64() * x.f64()).sqrt().max(SHORTEST);
        row.mapv_inplace(|x| F::of(x.f64() / length));
    }
    x
}
