//! One command on several ranks, as `mpirun` starts them: rank 0 does what a single process does, the others follow it and say
//! nothing.

use super::joined::ranks;
use super::signals::Signals;
use super::{Command, stdout};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use vit_mae::exec::ranks::launch::{self, Launch};
use vit_mae::exec::ranks::{self, Ranks};
use vit_mae::tasks::{WithTask, with_task_of};
use vit_mae::train::metrics::{EpochRecord, StepRecord};
use vit_mae::train::start::{Announcement, dismiss};
use vit_mae::train::{Observer, Run, Task};
use vit_mae::{Error, Result};

/// Does what rank 0 does with `work`, and on another rank what rank 0 says; then all know how it ended.
pub(crate) fn run(command: &Command, work: impl FnOnce() -> Result<()>) -> Result<()> {
    let ranks = ranks();
    let ready = super::choose_instruction_set().and_then(|()| check(command, &*ranks));
    let result = ready.and_then(|()| match (ranks.size(), ranks.rank()) {
        (1, _) => work(),
        _ if matches!(command, Command::Bench(_)) => work(),
        (_, 0) => work().and_then(|()| {
            ranks.limit(None);
            dismiss(&*ranks)
        }),
        _ => follow(command, &ranks),
    });
    result.map_err(|error| ranks::farewell(&*ranks, error))
}

/// Tells the others that this process was given a command line which cannot be understood.
pub(crate) fn misunderstood() {
    ranks::farewell(&*ranks(), Error::setting("command line", "one that --help describes", "another"));
}

/// Refuses what several processes would do over each other.
fn check(command: &Command, ranks: &dyn Ranks) -> Result<()> {
    let shared = matches!(command, Command::Pretrain(_) | Command::Finetune(_) | Command::Bench(_));
    let size = ranks.size();
    if !shared && size > 1 {
        let expected = "1 for this command; pretrain, finetune and bench run on several";
        return Err(Error::setting("number of ranks", expected, size));
    }
    if !shared || size > 1 {
        return Ok(());
    }
    if let Some(Launch { rank, size }) = launch::launch().filter(|launch| launch.size > 1) {
        let expected = if cfg!(feature = "mpi") {
            "1, or a launcher of the MPI that the program was built with"
        } else {
            "1, or a program that was built with --features mpi"
        };
        return Err(strangers(rank, "number of ranks", expected, size.to_string()));
    }
    if let Some(tasks) = launch::slurm_tasks().filter(|tasks| *tasks > 1 && cfg!(feature = "mpi")) {
        let rank = std::env::var("SLURM_PROCID").ok().and_then(|task| task.parse().ok()).unwrap_or(0);
        let expected =
            "one run by all of them, which takes srun --mpi=pmix (srun --mpi=list shows what there is)";
        let found = format!("{tasks} that do not know of each other");
        return Err(strangers(rank, "tasks of srun", expected, found));
    }
    Ok(())
}

/// The refusal of processes that were started together and cannot talk: one of them speaks, and before the others end, since a
/// launcher ends all with the first that fails.
fn strangers(rank: usize, key: &str, expected: &str, found: String) -> Error {
    if rank > 0 {
        stdout::fall_silent();
        std::thread::sleep(Duration::from_secs(1));
    }
    Error::setting(key, expected, found)
}

/// Takes part in whatever rank 0 announces.
fn follow(command: &Command, ranks: &Arc<dyn Ranks>) -> Result<()> {
    let threads = match command {
        Command::Pretrain(args) => args.training.threads,
        Command::Finetune(args) => args.training.threads,
        _ => None,
    };
    super::start_threads(threads)?;
    let signals = Signals::listen();
    while let Some(announcement) = Announcement::hear(&**ranks)? {
        let (toml, from) = (announcement.config_toml.clone(), Path::new("rank 0"));
        let following = Following { ranks: Arc::clone(ranks), announcement, signals: signals.clone() };
        with_task_of(&toml, from, following)?;
    }
    Ok(())
}

/// A run of rank 0's, whatever its task.
struct Following {
    ranks: Arc<dyn Ranks>,
    announcement: Announcement,
    signals: Signals,
}

impl WithTask for Following {
    type Output = ();

    fn run<T: Task>(self) -> Result<()> {
        let Self { ranks, announcement, signals } = self;
        let result = Run::<T>::follow(Arc::clone(&ranks), announcement)?.train_along(&mut Quiet(signals));
        ranks.limit(None);
        result
    }
}

/// Draws nothing; a signal to this rank is one to all.
struct Quiet(Signals);

impl Observer for Quiet {
    fn step(&mut self, _: &StepRecord, _: u64) {}

    fn epoch(&mut self, _: &EpochRecord) {}

    fn should_stop(&self) -> Option<u8> {
        self.0.asked()
    }
}
