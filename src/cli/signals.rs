//! What Ctrl-C and a request to terminate do: a run saves and stops, and where nothing would be lost the program ends at once.

use super::joined::ranks;
use super::stderr;
use serde_json::json;
use signal_hook::consts::{SIGINT, SIGTERM, SIGUSR1};
use signal_hook::flag;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// The signals that ask a run to stop.
#[derive(Clone, Default)]
pub(crate) struct Signals {
    /// The number of one that came, or 0.
    number: Arc<AtomicUsize>,
    /// Whether one ends the program at once.
    at_once: Arc<AtomicBool>,
}

impl Signals {
    /// From now on Ctrl-C (SIGINT) and SIGTERM, and on several ranks SIGUSR1, ask the run to save and stop. A Ctrl-C after that ends the
    /// program at once.
    pub(crate) fn listen() -> Self {
        let signals = Self::default();
        if let Err(error) = signals.register() {
            let why = format!("Ctrl-C will not save the run: {error}");
            stderr::line(&why, &json!({ "kind": "note", "message": why }));
        }
        signals
    }

    fn register(&self) -> std::io::Result<()> {
        let asked = Arc::new(AtomicBool::new(false));
        // In this order: the first Ctrl-C finds the flag unset, then sets it.
        flag::register_conditional_shutdown(SIGINT, 128 + SIGINT, Arc::clone(&asked))?;
        // Launchers forward SIGUSR1 to all ranks at once, and give them time.
        let more = if ranks().size() > 1 { &[SIGUSR1][..] } else { &[] };
        for number in [SIGINT, SIGTERM].iter().chain(more).copied() {
            flag::register_conditional_shutdown(number, 128 + number, Arc::clone(&self.at_once))?;
            flag::register(number, Arc::clone(&asked))?;
            flag::register_usize(number, Arc::clone(&self.number), number.unsigned_abs() as usize)?;
        }
        Ok(())
    }

    /// The number of the signal that asks to stop, if one does.
    pub(crate) fn asked(&self) -> Option<u8> {
        u8::try_from(self.number.load(Ordering::Relaxed)).ok().filter(|&number| number > 0)
    }

    /// Whether from now on a signal ends the program at once: where all is saved, or nothing begun.
    pub(crate) fn end_at_once(&self, whether: bool) {
        self.at_once.store(whether, Ordering::Relaxed);
    }
}
