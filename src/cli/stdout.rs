//! What goes to stdout. A result that cannot be written must not look like success; that nobody reads on is no failure.

use std::fmt;
use std::io::{self, ErrorKind, Stdout, Write};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use vit_mae::base::sync::lock;
use vit_mae::{Error, Result};

/// The first failure of a stream that is written to until then, and not any more after it.
pub(crate) struct Lost(Mutex<Option<io::Error>>);

/// Whether this process says nothing, since another one speaks for it.
static SILENT: AtomicBool = AtomicBool::new(false);

/// From now on nothing is said, on neither stream.
pub(crate) fn fall_silent() {
    SILENT.store(true, Ordering::Relaxed);
}

/// Until something must be.
#[cfg(feature = "mpi")]
pub(crate) fn speak_again() {
    SILENT.store(false, Ordering::Relaxed);
}

/// Whether nothing is said.
pub(crate) fn is_silent() -> bool {
    SILENT.load(Ordering::Relaxed)
}

/// Of stdout.
static LOST: Lost = Lost::nothing();

impl Lost {
    pub(crate) const fn nothing() -> Self {
        Self(Mutex::new(None))
    }

    /// Writes, unless something was lost before. A command goes on without its stream: what it does beside, such as
    /// training a run, is worth having.
    pub(crate) fn unless(&self, write: impl FnOnce() -> io::Result<()>) {
        let mut lost = lock(&self.0);
        if lost.is_none() && !is_silent() {
            *lost = write().err();
        }
    }

    /// What was lost, once. Nothing if the reader went away, as in `vit-mae … | head -1`.
    ///
    /// # Errors
    /// The first failure, about the stream of this name.
    pub(crate) fn report(&self, stream: &str) -> Result<()> {
        match lock(&self.0).take() {
            Some(error) if error.kind() != ErrorKind::BrokenPipe => Err(Error::write(stream)(error)),
            _ => Ok(()),
        }
    }
}

/// Writes to stdout with `write`.
pub(crate) fn with(write: impl FnOnce(&mut Stdout) -> io::Result<()>) {
    LOST.unless(|| write(&mut io::stdout()));
}

/// Writes a line to stdout: what `outln!` calls.
pub(crate) fn line(text: fmt::Arguments) {
    with(|stdout| writeln!(stdout, "{text}"));
}

/// Waits for the last byte.
///
/// # Errors
/// If stdout took less than all and its reader is still there.
pub(crate) fn finish() -> Result<()> {
    with(Stdout::flush);
    LOST.report("standard output")
}
