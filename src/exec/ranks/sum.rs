//! The sum along the tree, over several ranks: the bits of one process.
//!
//! Each rank has some nodes of the tree, whole vectors. The vector is cut into as many segments as there are ranks; segment `s` of
//! every node goes to rank `s`, which completes the tree there, and sends what comes out to all. With one node a rank that is
//! `2 (P − 1)/P` vectors sent by each, the least possible. `MPI_Allreduce` would pair the numbers as it likes.

use super::Ranks;
use crate::exec::kernel::{self, Add};
use crate::exec::tree::{Node, complete};
use rayon::prelude::*;
use std::collections::HashMap;
use std::ops::Range;

/// Numbers that are best exchanged at once: 16 MiB. Vectors that are longer are cut by the caller.
pub const BUCKET: usize = 4 << 20;

/// Numbers that one thread adds at a time.
const PART: usize = 1 << 16;

/// The sum of the vectors at all nodes, added along the tree, in `out` on every rank. `nodes` says which nodes each rank has, `own`
/// are the vectors at this rank's.
///
/// # Panics
/// If `own` are not as many vectors as the rank has nodes, all as long as `out`, or the nodes do not cover the tree.
pub fn sum(ranks: &dyn Ranks, nodes: &[Vec<Node>], own: &[&[f32]], out: &mut [f32]) {
    let (me, size) = (ranks.rank(), ranks.size());
    assert!(own.len() == nodes[me].len() && own.iter().all(|vector| vector.len() == out.len()));
    let len = out.len();
    let segment = |rank: usize| rank * len / size..(rank + 1) * len / size;
    let mine = segment(me);

    let others = || (0..size).filter(|&rank| rank != me);
    let send: Vec<(usize, &[f32])> =
        others().flat_map(|rank| own.iter().map(move |vector| (rank, &vector[segment(rank)]))).collect();
    let mut received: Vec<(usize, &Node, Vec<f32>)> = others()
        .flat_map(|rank| nodes[rank].iter().map(move |node| (rank, node)))
        .map(|(rank, node)| (rank, node, vec![0.0; mine.len()]))
        .collect();
    let mut receive: Vec<_> = received.iter_mut().map(|(rank, _, buffer)| (*rank, &mut buffer[..])).collect();
    ranks.exchange(&send, &mut receive);

    let mut known: HashMap<Node, Vec<f32>> =
        received.into_iter().map(|(_, node, buffer)| (node.clone(), buffer)).collect();
    known.extend(nodes[me].iter().cloned().zip(own.iter().map(|vector| vector[mine.clone()].to_vec())));
    let leaves = nodes.iter().flatten().map(|node| node.end).max().unwrap_or(0);
    let total = complete(0..leaves, &mut |node| known.remove(node), &mut add);

    let mut segments = cut(out, (0..size).map(segment));
    segments[me].1.copy_from_slice(&total);
    let send: Vec<(usize, &[f32])> = others().map(|rank| (rank, &total[..])).collect();
    segments.remove(me);
    ranks.exchange(&send, &mut segments);
}

/// `a + b` as a gradient is added to another.
fn add(mut a: Vec<f32>, b: Vec<f32>) -> Vec<f32> {
    let parts = a.par_chunks_mut(PART).zip(b.par_chunks(PART));
    parts.for_each(|pair| kernel::widest(&Add, pair));
    a
}

/// A vector in consecutive segments, each with its number.
fn cut(mut rest: &mut [f32], segments: impl Iterator<Item = Range<usize>>) -> Vec<(usize, &mut [f32])> {
    let mut cut = Vec::new();
    for (number, segment) in segments.enumerate() {
        let (head, tail) = rest.split_at_mut(segment.len());
        cut.push((number, head));
        rest = tail;
    }
    cut
}
