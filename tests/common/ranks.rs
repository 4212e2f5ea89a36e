//! Ranks that are threads of one process, over channels: what several processes tell each other, without a cluster library.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};
use vit_mae::exec::ranks::Ranks;

/// What is on its way from one rank to another.
enum Message {
    Word(Vec<u8>),
    Numbers(Vec<f32>),
}

/// One of them.
#[derive(Debug)]
pub(crate) struct Thread {
    rank: usize,
    /// To each rank.
    to: Vec<Sender<Message>>,
    /// From each rank.
    from: Mutex<Vec<Receiver<Message>>>,
    /// Milliseconds; 0 waits for ever.
    limit: AtomicU64,
    aborted: Arc<AtomicBool>,
}

impl Thread {
    fn receive(&self, rank: usize) -> Message {
        let begun = Instant::now();
        let from = self.from.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let limit = self.limit.load(Ordering::Relaxed);
            assert!(!self.aborted.load(Ordering::Relaxed), "aborted");
            assert!(limit == 0 || begun.elapsed() < Duration::from_millis(limit), "rank {rank} is silent");
            match from[rank].recv_timeout(Duration::from_millis(20)) {
                Ok(message) => return message,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => panic!("rank {rank} has left"),
            }
        }
    }
}

impl Ranks for Thread {
    fn rank(&self) -> usize {
        self.rank
    }

    fn size(&self) -> usize {
        self.to.len()
    }

    fn neighbours(&self) -> usize {
        self.to.len()
    }

    fn all_gather(&self, own: &[u8]) -> Vec<Vec<u8>> {
        for to in &self.to {
            let _ = to.send(Message::Word(own.to_vec())); // a rank that has left is noticed when it is waited for
        }
        let word = |rank| match self.receive(rank) {
            Message::Word(word) => word,
            Message::Numbers(_) => panic!("numbers in the place of a word"),
        };
        (0..self.size()).map(word).collect()
    }

    fn exchange(&self, send: &[(usize, &[f32])], receive: &mut [(usize, &mut [f32])]) {
        for (rank, numbers) in send {
            let _ = self.to[*rank].send(Message::Numbers(numbers.to_vec()));
        }
        for (rank, numbers) in receive {
            match self.receive(*rank) {
                Message::Numbers(received) => numbers.copy_from_slice(&received),
                Message::Word(_) => panic!("a word in the place of numbers"),
            }
        }
    }

    fn limit(&self, wait: Option<Duration>) -> Option<Duration> {
        let millis = wait.map_or(0, |wait| u64::try_from(wait.as_millis()).unwrap_or(0).max(1));
        let before = self.limit.swap(millis, Ordering::Relaxed);
        (before > 0).then(|| Duration::from_millis(before))
    }

    fn abort(&self, exit_code: u8) -> ! {
        self.aborted.store(true, Ordering::Relaxed);
        panic!("rank {} aborts with {exit_code}", self.rank)
    }
}

/// So many of them.
pub(crate) fn threads(size: usize) -> Vec<Arc<Thread>> {
    let channels: Vec<Vec<_>> = (0..size).map(|_| (0..size).map(|_| channel()).collect()).collect();
    let (mut to, mut from): (Vec<Vec<_>>, Vec<Vec<_>>) =
        ((0..size).map(|_| Vec::new()).collect(), (0..size).map(|_| Vec::new()).collect());
    for (sender, row) in channels.into_iter().enumerate() {
        for (receiver, (send, receive)) in row.into_iter().enumerate() {
            to[sender].push(send);
            from[receiver].push(receive);
        }
    }
    let aborted = Arc::new(AtomicBool::new(false));
    let one = |(rank, (to, from))| {
        let (from, limit) = (Mutex::new(from), AtomicU64::new(0));
        Arc::new(Thread { rank, to, from, limit, aborted: Arc::clone(&aborted) })
    };
    to.into_iter().zip(from).enumerate().map(one).collect()
}

/// What each of so many ranks makes of `work`, with one thread for computing each; by rank, a panic as its text.
pub(crate) fn together<R: Send>(
    size: usize,
    work: impl Fn(Arc<Thread>) -> R + Sync,
) -> Vec<std::result::Result<R, String>> {
    let text = |panic: Box<dyn std::any::Any + Send>| {
        let text = panic.downcast_ref::<String>().cloned();
        text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default()
    };
    let work = &work;
    let one = |rank: Arc<Thread>| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().expect("a thread");
        pool.install(|| work(rank))
    };
    thread::scope(|scope| {
        let running: Vec<_> = threads(size).into_iter().map(|rank| scope.spawn(move || one(rank))).collect();
        running.into_iter().map(|thread| thread.join().map_err(text)).collect()
    })
}
