//! The processes that a launcher started with this one.

#[cfg(feature = "mpi")]
use super::stdout;
use std::sync::{Arc, OnceLock};
#[cfg(feature = "mpi")]
use vit_mae::exec::ranks::launch;
use vit_mae::exec::ranks::{One, Ranks};

/// What was joined, if anything was.
static JOINED: OnceLock<Arc<dyn Ranks>> = OnceLock::new();

/// This process among those that run the command.
pub(crate) fn ranks() -> Arc<dyn Ranks> {
    JOINED.get().cloned().unwrap_or_else(|| Arc::new(One))
}

/// Joins the processes that a launcher started with this one, if one did; where it started only one, or none, nothing happens.
pub(crate) fn join() {
    #[cfg(feature = "mpi")]
    if launch::launch().is_some_and(|launch| launch.size != 1) {
        mpi::join();
    }
}

#[cfg(feature = "mpi")]
mod mpi {
    use super::super::stderr;
    use super::{Arc, JOINED, OnceLock, Ranks, stdout};
    use vit_mae::exec::ranks::mpi::Mpi;

    static MPI: OnceLock<Arc<Mpi>> = OnceLock::new();

    pub(super) fn join() {
        let Some(mpi) = Mpi::join(say).map(Arc::new) else { return };
        if mpi.size() == 1 {
            return mpi.leave();
        }
        if mpi.rank() > 0 {
            stdout::fall_silent();
        }
        let _ = JOINED.set(mpi.clone()); // once: nothing was joined before
        let _ = MPI.set(mpi);
    }

    /// Whichever rank has waited too long says so: rank 0 may be the one that is silent.
    fn say(why: &str) {
        stdout::speak_again();
        let object = serde_json::json!({ "kind": "error", "message": why, "exit_code": 1 });
        stderr::line(format_args!("error: {why}"), &object);
    }

    /// Waits for the others. The first process that ends with an error makes a launcher end the others, so that none must end before
    /// rank 0 has spoken and cleaned up.
    pub(super) fn leave() {
        if let Some(mpi) = MPI.get() {
            mpi.limit(None);
            mpi.all_gather(&[0]);
            mpi.leave();
        }
    }
}

/// Ends together with the others, after everything was said.
pub(crate) fn leave() {
    #[cfg(feature = "mpi")]
    mpi::leave();
}
