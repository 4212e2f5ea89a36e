//! Ranks that know how long they waited and what they sent: for measurements.

use super::Ranks;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Ranks with a clock.
#[derive(Debug)]
pub struct Clocked {
    ranks: Arc<dyn Ranks>,
    waited_nanos: AtomicU64,
    exchanged_nanos: AtomicU64,
    sent_bytes: AtomicU64,
}

/// What a rank spent on the others.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Spent {
    /// Seconds in words, which every rank has to say before anybody goes on: mostly waiting for the slowest.
    pub waiting_secs: f64,
    /// Seconds in sending and receiving numbers.
    pub exchange_secs: f64,
    /// Bytes of numbers sent.
    pub sent_bytes: u64,
}

impl Clocked {
    /// These ranks, with nothing spent yet.
    #[must_use]
    pub fn new(ranks: Arc<dyn Ranks>) -> Self {
        let (waited_nanos, exchanged_nanos, sent_bytes) = Default::default();
        Self { ranks, waited_nanos, exchanged_nanos, sent_bytes }
    }

    /// What was spent since this was last asked.
    pub fn take(&self) -> Spent {
        let seconds =
            |nanos: &AtomicU64| Duration::from_nanos(nanos.swap(0, Ordering::Relaxed)).as_secs_f64();
        Spent {
            waiting_secs: seconds(&self.waited_nanos),
            exchange_secs: seconds(&self.exchanged_nanos),
            sent_bytes: self.sent_bytes.swap(0, Ordering::Relaxed),
        }
    }
}

fn clocked<R>(clock: &AtomicU64, work: impl FnOnce() -> R) -> R {
    let begun = Instant::now();
    let result = work();
    clock.fetch_add(u64::try_from(begun.elapsed().as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    result
}

impl Ranks for Clocked {
    fn rank(&self) -> usize {
        self.ranks.rank()
    }

    fn size(&self) -> usize {
        self.ranks.size()
    }

    fn neighbours(&self) -> usize {
        self.ranks.neighbours()
    }

    fn all_gather(&self, own: &[u8]) -> Vec<Vec<u8>> {
        clocked(&self.waited_nanos, || self.ranks.all_gather(own))
    }

    fn exchange(&self, send: &[(usize, &[f32])], receive: &mut [(usize, &mut [f32])]) {
        let bytes: usize = send.iter().map(|(_, numbers)| size_of_val(*numbers)).sum();
        self.sent_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        clocked(&self.exchanged_nanos, || self.ranks.exchange(send, receive));
    }

    fn limit(&self, wait: Option<Duration>) -> Option<Duration> {
        self.ranks.limit(wait)
    }

    fn abort(&self, exit_code: u8) -> ! {
        self.ranks.abort(exit_code)
    }
}
