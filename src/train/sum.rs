//! Sums over the chunks of a batch: on the threads of this process, and on its ranks where there are several.

use super::told::{Told, tell_all};
use super::workers::WorkerPool;
use crate::base::Real;
use crate::base::sync::lock;
use crate::exec::Exec;
use crate::exec::ranks::{self, BUCKET};
use crate::exec::tree::{self, Node};
use crate::params::Params;
use rayon::prelude::*;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Mutex;

/// A sum over the chunks of a batch, and its gradient.
///
/// A chunk is a fixed number of images (`micro_batch`). One thread carries it through forward and backward with its
/// activations in cache: `chunk(i, grad, cx)` adds the gradient of chunk `i` to `grad` and returns its part of the sum.
/// Sums and gradients of the chunks are added along a binary tree over their index. Neither depends on the number of
/// threads or ranks, so neither do the bits. Denominators are the whole batch's, so they are the caller's.
///
/// # Panics
/// If there are no chunks.
pub fn sum<F: Real, P: Params<F>>(
    model: &P,
    chunks: usize,
    workers: &WorkerPool<F, P>,
    chunk: impl Fn(usize, &mut P, &mut Exec<F>) -> f64 + Sync,
) -> (f64, P) {
    let (sum, _, grad) = sum_and_map(model, chunks, workers, |i, grad, cx| (chunk(i, grad, cx), ()));
    (sum, grad)
}

/// The same with something of each chunk beside its part of the sum, in order.
///
/// # Panics
/// As [`sum`].
pub fn sum_and_map<F: Real, P: Params<F>, R: Told>(
    model: &P,
    chunks: usize,
    workers: &WorkerPool<F, P>,
    chunk: impl Fn(usize, &mut P, &mut Exec<F>) -> (f64, R) + Sync,
) -> (f64, Vec<R>, P) {
    workers.check_chunks(chunks);
    let ranks = workers.ranks();
    let own = ranks::share(chunks, ranks.rank(), ranks.size());
    // With fewer chunks than threads the products themselves spread over the threads.
    let split = own.len() < rayon::current_num_threads();
    let besides: Vec<Mutex<Option<R>>> = own.clone().map(|_| Mutex::default()).collect();
    let one = |i: usize| {
        let mut grad = workers.gradient(model);
        let (part, beside) = workers.run(split, |cx| chunk(i, &mut grad, cx));
        *lock(&besides[i - own.start]) = Some(beside);
        (1, part, grad)
    };
    let add = |(chunks_a, sum, mut grad): (usize, f64, P), (chunks_b, other_sum, other): (usize, f64, P)| {
        // The last sum has all threads. Earlier they have chunks, of which no thread may begin a second one: each holds a gradient.
        if chunks_a + chunks_b == chunks {
            grad.accumulate_in_parallel(&other);
        } else {
            grad.accumulate(&other);
        }
        workers.recycle(other);
        (chunks_a + chunks_b, sum + other_sum, grad)
    };
    let of_chunks = || besides.iter().map(|beside| lock(beside).take().expect("each chunk is computed once"));
    if ranks.size() == 1 {
        let (_, sum, grad) = tree::reduce(chunks, &one, &add).expect("a batch has images");
        return (sum, of_chunks().collect(), grad);
    }
    let nodes = ranks::nodes(chunks, ranks.size());
    let at_node = |node: &Node| {
        let (_, sum, grad) = tree::node(node.clone(), &one, &add);
        (sum, grad)
    };
    let (sums, grads): (Vec<f64>, Vec<P>) = nodes[ranks.rank()].par_iter().map(at_node).unzip();
    let words = tell_all(ranks, (sums, of_chunks().collect::<Vec<R>>()));
    let mut sums: HashMap<&Node, f64> = HashMap::new();
    let mut besides = Vec::with_capacity(chunks);
    for (nodes, (of_nodes, of_chunks)) in nodes.iter().zip(words) {
        sums.extend(nodes.iter().zip(of_nodes));
        besides.extend(of_chunks);
    }
    let sum = tree::complete(0..chunks, &mut |node| sums.remove(node), &mut |a, b| a + b);
    (sum, besides, add_all(workers, &nodes, grads))
}

/// Something of each chunk of a batch, in order, without a gradient: features, for a loss that needs the whole batch. The
/// chunks are computed in parallel, each on one of the ranks, and the bits do not depend on the number of either.
pub fn map<F: Real, P: Params<F>, R: Told>(
    chunks: usize,
    workers: &WorkerPool<F, P>,
    chunk: impl Fn(usize, &mut Exec<F>) -> R + Sync,
) -> Vec<R> {
    let own: Vec<R> = own_chunks(chunks, workers, chunk).into_iter().flatten().collect();
    tell_all(workers.ranks(), own).into_iter().flatten().collect()
}

/// Something of each chunk that this rank computes, which stays with it; none of the others. All chunks in order, as in [`map`].
pub fn own_chunks<F: Real, P: Params<F>, R: Send>(
    chunks: usize,
    workers: &WorkerPool<F, P>,
    chunk: impl Fn(usize, &mut Exec<F>) -> R + Sync,
) -> Vec<Option<R>> {
    let ranks = workers.ranks();
    let own = ranks::share(chunks, ranks.rank(), ranks.size());
    let split = own.len() < rayon::current_num_threads();
    let one = |i: usize| own.contains(&i).then(|| workers.run(split, |cx| chunk(i, cx)));
    (0..chunks).into_par_iter().map(one).collect()
}

/// The sum of the gradients at the ranks' nodes, on every rank; `own` are those of this rank's.
///
/// # Panics
/// If the rank has no node, or the numbers are not f32.
fn add_all<F: Real, P: Params<F>>(workers: &WorkerPool<F, P>, nodes: &[Vec<Node>], own: Vec<P>) -> P {
    assert_eq!(F::NAME, "f32", "ranks tell each other single precision");
    let mut own = own.into_iter();
    let mut total = own.next().expect("a rank has at least one chunk");
    let others: Vec<P> = own.collect();
    let read: Vec<Vec<&[F]>> =
        others.iter().map(|grad| grad.tensors().into_iter().map(|t| t.data).collect()).collect();
    let mut written: Vec<&mut [F]> = total.tensors_mut().into_iter().map(|t| t.data.write()).collect();
    let len: usize = written.iter().map(|data| data.len()).sum();
    let mut sum = vec![0.0; len.min(BUCKET)];
    for start in (0..len).step_by(BUCKET) {
        let range = start..len.min(start + BUCKET);
        let first: Vec<&[F]> = written.iter().map(|data| &**data).collect();
        let buckets: Vec<Vec<f32>> =
            std::iter::once(&first).chain(&read).map(|tensors| packed(tensors, &range)).collect();
        let buckets: Vec<&[f32]> = buckets.iter().map(|bucket| &bucket[..]).collect();
        let sum = &mut sum[..range.len()];
        ranks::sum(workers.ranks(), nodes, &buckets, sum);
        let (mut numbers, mut at) = (sum.iter(), 0);
        for tensor in &mut written {
            let part = overlap(at, tensor.len(), &range);
            at += tensor.len();
            tensor[part].iter_mut().zip(&mut numbers).for_each(|(x, &number)| *x = F::of(number.into()));
        }
    }
    drop(written);
    drop(read);
    for grad in others {
        workers.recycle(grad);
    }
    total
}

/// The numbers of tensors, one behind the other, that lie in a range.
#[expect(clippy::cast_possible_truncation, reason = "they are f32")]
fn packed<F: Real>(tensors: &[&[F]], range: &Range<usize>) -> Vec<f32> {
    let (mut packed, mut at) = (Vec::with_capacity(range.len()), 0);
    for tensor in tensors {
        let part = overlap(at, tensor.len(), range);
        at += tensor.len();
        packed.extend(tensor[part].iter().map(|x| x.f64() as f32));
    }
    packed
}

/// Which part of the `len` numbers from `start` on lies in a range.
fn overlap(start: usize, len: usize, range: &Range<usize>) -> Range<usize> {
    let within = |at: usize| at.clamp(start, start + len) - start;
    within(range.start)..within(range.end)
}
