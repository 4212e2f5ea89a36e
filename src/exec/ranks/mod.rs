//! Several processes that compute one run: ranks. All that they tell each other is written here, over a few calls that a
//! transport implements; [`One`] is a process by itself.
//!
//! Ranks take the same steps in the same order, each on its own chunks of every batch. Whatever can fail on one of them alone is
//! followed by [`agree`] on all: who failed says [`farewell`] there, so the two meet, and nobody waits for somebody who has left.

pub mod clocked;
pub mod launch;
#[cfg(feature = "mpi")]
pub mod mpi;
mod sum;

pub use sum::{BUCKET, sum};

use super::tree::{Node, nodes_in};
use crate::base::{Error, Result};
use std::fmt::Debug;
use std::ops::Range;
use std::time::Duration;

/// This process among those that compute one run together. Calls are collective: every rank makes the same ones in the same order.
pub trait Ranks: Debug + Send + Sync {
    /// This process's number, from 0. Rank 0 writes and speaks for all.
    fn rank(&self) -> usize;

    /// How many there are.
    fn size(&self) -> usize;

    /// How many of them are on this machine, this one included.
    fn neighbours(&self) -> usize;

    /// What each rank has to say, by rank: small words.
    fn all_gather(&self, own: &[u8]) -> Vec<Vec<u8>>;

    /// Sends numbers to ranks and fills buffers with what ranks send here. What one rank sends to another arrives in the order in
    /// which it was sent.
    fn exchange(&self, send: &[(usize, &[f32])], receive: &mut [(usize, &mut [f32])]);

    /// From now on, whoever waits longer than this for another rank aborts all of them; `None` waits for ever. Gives what held
    /// until now.
    fn limit(&self, wait: Option<Duration>) -> Option<Duration>;

    /// Ends all ranks at once, whatever they do.
    fn abort(&self, exit_code: u8) -> !;
}

/// A process by itself.
#[derive(Clone, Copy, Debug, Default)]
pub struct One;

impl Ranks for One {
    fn rank(&self) -> usize {
        0
    }

    fn size(&self) -> usize {
        1
    }

    fn neighbours(&self) -> usize {
        1
    }

    fn all_gather(&self, own: &[u8]) -> Vec<Vec<u8>> {
        vec![own.to_vec()]
    }

    fn exchange(&self, _: &[(usize, &[f32])], _: &mut [(usize, &mut [f32])]) {}

    fn limit(&self, _: Option<Duration>) -> Option<Duration> {
        None
    }

    fn abort(&self, exit_code: u8) -> ! {
        std::process::exit(exit_code.into())
    }
}

/// The chunks of a batch that a rank computes: neighbours, and no rank has more than one chunk more than another.
#[must_use]
pub fn share(chunks: usize, rank: usize, size: usize) -> Range<usize> {
    rank * chunks / size..(rank + 1) * chunks / size
}

/// The nodes of the tree over `chunks` that each rank computes.
#[must_use]
pub fn nodes(chunks: usize, size: usize) -> Vec<Vec<Node>> {
    (0..size).map(|rank| nodes_in(chunks, &share(chunks, rank, size))).collect()
}

/// The first byte of what is said.
const WORD: u8 = 0;
const FAREWELL: u8 = 1;

/// What each rank has to say, by rank, if none of them has failed.
///
/// # Errors
/// [`Error::Rank`] if one has: the first of them.
pub fn agree(ranks: &dyn Ranks, own: &[u8]) -> Result<Vec<Vec<u8>>> {
    if ranks.size() == 1 {
        return Ok(vec![own.to_vec()]);
    }
    let words = ranks.all_gather(&[&[WORD], own].concat());
    match first_failed(&words) {
        Some((_, error)) => Err(error),
        None => Ok(words.into_iter().map(|mut word| word.split_off(1)).collect()),
    }
}

/// Tells the other ranks that this one has failed; they learn it where they next [`agree`]. Gives the error that all of them end
/// with, which is that of the first rank that failed; an error that came from another rank is already known to all.
pub fn farewell(ranks: &dyn Ranks, error: Error) -> Error {
    if ranks.size() == 1 || came_from_another(&error) {
        return error;
    }
    let said = [&[FAREWELL, error.exit_code()], error.to_string().as_bytes()].concat();
    match first_failed(&ranks.all_gather(&said)) {
        Some((rank, theirs)) if rank < ranks.rank() => theirs,
        _ => error,
    }
}

/// Whether it was another rank that failed.
#[must_use]
pub fn came_from_another(error: &Error) -> bool {
    matches!(error.reason(), Error::Rank { .. })
}

fn first_failed(words: &[Vec<u8>]) -> Option<(usize, Error)> {
    words.iter().enumerate().find_map(|(rank, word)| match &word[..] {
        [FAREWELL, exit_code, message @ ..] => {
            let message = String::from_utf8_lossy(message).into_owned();
            Some((rank, Error::Rank { rank, message, exit_code: *exit_code }))
        }
        _ => None,
    })
}

/// The number of the signal that asks any of the ranks to stop: the same answer on all of them.
///
/// # Errors
/// As [`agree`].
pub fn any_stop(ranks: &dyn Ranks, own: Option<u8>) -> Result<Option<u8>> {
    if ranks.size() == 1 {
        return Ok(own);
    }
    Ok(stop_in(&agree(ranks, &[own.unwrap_or(0)])?))
}

/// The first signal in words that begin with one, or with 0.
#[must_use]
pub fn stop_in(words: &[Vec<u8>]) -> Option<u8> {
    words.iter().filter_map(|word| word.first().copied()).find(|&signal| signal > 0)
}

/// Does something on rank 0 alone, such as writing. The others wait, however long it takes.
///
/// # Errors
/// That of the work, or as [`agree`].
pub fn on_first<R>(ranks: &dyn Ranks, work: impl FnOnce() -> Result<R>) -> Result<Option<R>> {
    if ranks.size() == 1 {
        return work().map(Some);
    }
    let result = if ranks.rank() == 0 { Some(work()?) } else { None };
    meet(ranks)?;
    Ok(result)
}

/// Waits for the others: for rank 0, which may have work of its own, however long it takes; rank 0 no longer than the limit, so that it
/// notices one that fell silent.
///
/// # Errors
/// As [`agree`].
pub fn meet(ranks: &dyn Ranks) -> Result<()> {
    if ranks.rank() == 0 {
        return agree(ranks, &[]).map(|_| ());
    }
    let before = ranks.limit(None);
    let met = agree(ranks, &[]);
    ranks.limit(before);
    met.map(|_| ())
}
