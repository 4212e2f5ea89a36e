//! Ranks that are processes of MPI, on one machine or on several. The only file that knows MPI.
//!
//! Everything is sent without blocking and waited for by asking again and again, with short sleeps: a rank that waits leaves its
//! core to others, and notices when it has waited too long.

use super::Ranks;
use crate::base::sync::lock;
use mpi::datatype::PartitionMut;
use mpi::environment::Universe;
use mpi::request::{multiple_scope, scope};
use mpi::topology::SimpleCommunicator;
use mpi::traits::{Communicator, CommunicatorCollectives, Destination, Source};
use mpi::{Count, Threading};
use std::mem::ManuallyDrop;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// What a rank says first: the length of its word, and the word if it is short.
const HEADER: usize = 64;
const INLINE: usize = HEADER - size_of::<u64>();

/// For so long a rank asks without a pause.
const EAGER: Duration = Duration::from_micros(50);
const PAUSE: Duration = Duration::from_micros(50);

/// A process of MPI.
pub struct Mpi {
    rank: usize,
    size: usize,
    neighbours: usize,
    /// Milliseconds; 0 waits for ever.
    limit: AtomicU64,
    /// Called before this rank aborts all.
    say: fn(&str),
    /// Dropping it waits for all ranks, and would do so for ever if one of them panicked. So it is dropped by [`Mpi::leave`] alone.
    universe: Mutex<Option<ManuallyDrop<Universe>>>,
}

impl Mpi {
    /// Joins the processes that a launcher has started, once in a process. `say` is called with the reason if this rank aborts all
    /// because another one is silent.
    ///
    /// None if MPI was joined before.
    #[must_use]
    pub fn join(say: fn(&str)) -> Option<Self> {
        let (universe, _) = mpi::initialize_with_threading(Threading::Serialized)?;
        let world = universe.world();
        let number = |n: Count| usize::try_from(n).expect("a number of processes");
        Some(Self {
            rank: number(world.rank()),
            size: number(world.size()),
            neighbours: number(world.split_shared(0).size()),
            limit: AtomicU64::new(0),
            say,
            universe: Mutex::new(Some(ManuallyDrop::new(universe))),
        })
    }

    /// Waits for all ranks, and ends MPI. Nothing can be said after it.
    pub fn leave(&self) {
        if let Some(universe) = lock(&self.universe).take() {
            drop(ManuallyDrop::into_inner(universe));
        }
    }

    /// Asks until it is done.
    fn wait(&self, mut done: impl FnMut() -> bool) {
        let begun = Instant::now();
        while !done() {
            let waited = begun.elapsed();
            let limit = self.limit.load(Ordering::Relaxed);
            if limit > 0 && waited >= Duration::from_millis(limit) {
                let (rank, secs) = (self.rank, waited.as_secs());
                (self.say)(&format!(
                    "rank {rank} has waited {secs} s for another rank, longer than run.rank_timeout_secs: all ranks end"
                ));
                self.abort(1);
            }
            if waited > EAGER {
                thread::sleep(PAUSE);
            }
        }
    }
}

impl Ranks for Mpi {
    fn rank(&self) -> usize {
        self.rank
    }

    fn size(&self) -> usize {
        self.size
    }

    fn neighbours(&self) -> usize {
        self.neighbours
    }

    /// Lengths first, with the words themselves if all of them are short.
    fn all_gather(&self, own: &[u8]) -> Vec<Vec<u8>> {
        let world = SimpleCommunicator::world();
        let mut header = [0; HEADER];
        let (length, inline) = header.split_at_mut(size_of::<u64>());
        length.copy_from_slice(&(own.len() as u64).to_le_bytes());
        let short = own.len().min(INLINE);
        inline[..short].copy_from_slice(&own[..short]);
        let mut headers = vec![0; HEADER * self.size];
        scope(|scope| {
            let mut request = Some(world.immediate_all_gather_into(scope, &header[..], &mut headers[..]));
            self.wait(|| {
                request = request.take().and_then(|request| request.test().err());
                request.is_none()
            });
        });

        let said: Vec<(usize, &[u8])> = headers
            .chunks(HEADER)
            .map(|header| {
                let (length, inline) = header.split_first_chunk().expect("a header is longer");
                let length = usize::try_from(u64::from_le_bytes(*length)).expect("a word fits into memory");
                (length, inline)
            })
            .collect();
        if said.iter().all(|(length, _)| *length <= INLINE) {
            return said.iter().map(|(length, inline)| inline[..*length].to_vec()).collect();
        }
        let lengths: Vec<usize> = said.iter().map(|(length, _)| *length).collect();
        let mut words = vec![0; lengths.iter().sum()];
        let number = |length: usize| Count::try_from(length).expect("words are small");
        let counts: Vec<Count> = lengths.iter().map(|&length| number(length)).collect();
        let starts = lengths.iter().scan(0, |next, length| {
            let start = *next;
            *next += length;
            Some(number(start))
        });
        let mut parts = PartitionMut::new(&mut words[..], counts, starts.collect::<Vec<Count>>());
        scope(|scope| {
            let mut request = Some(world.immediate_all_gather_varcount_into(scope, own, &mut parts));
            self.wait(|| {
                request = request.take().and_then(|request| request.test().err());
                request.is_none()
            });
        });
        let mut rest = &words[..];
        lengths
            .into_iter()
            .map(|length| {
                let (word, more) = rest.split_at(length);
                rest = more;
                word.to_vec()
            })
            .collect()
    }

    /// Empty messages are not sent: both ends know of them.
    fn exchange(&self, send: &[(usize, &[f32])], receive: &mut [(usize, &mut [f32])]) {
        let world = SimpleCommunicator::world();
        let process = |rank: usize| world.process_at_rank(Count::try_from(rank).expect("a rank"));
        multiple_scope(send.len() + receive.len(), |scope, requests| {
            for (rank, numbers) in receive.iter_mut().filter(|(_, numbers)| !numbers.is_empty()) {
                requests.add(process(*rank).immediate_receive_into(scope, &mut **numbers));
            }
            for (rank, numbers) in send.iter().filter(|(_, numbers)| !numbers.is_empty()) {
                requests.add(process(*rank).immediate_send(scope, *numbers));
            }
            let mut done = Vec::new();
            self.wait(|| requests.incomplete() == 0 || requests.test_all(&mut done));
        });
    }

    fn limit(&self, wait: Option<Duration>) -> Option<Duration> {
        let millis = wait.map_or(0, |wait| u64::try_from(wait.as_millis()).unwrap_or(0).max(1));
        let before = self.limit.swap(millis, Ordering::Relaxed);
        (before > 0).then(|| Duration::from_millis(before))
    }

    fn abort(&self, exit_code: u8) -> ! {
        SimpleCommunicator::world().abort(exit_code.into())
    }
}

impl std::fmt::Debug for Mpi {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "rank {} of {} of MPI", self.rank, self.size)
    }
}
