//! Runs a decoder on a user's file so that its panic is an error about the file, and prints nothing.
//!
//! Crates that decode pictures, archives and tables panic on some damaged files. That is no bug that a user could do
//! anything about but replace the file, so it is told like any other damage, and can be skipped like any other.

use super::{Error, Result};
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::path::Path;
use std::sync::Once;

/// What [`guarded`] says that it found.
pub const GAVE_UP: &str = "damage at which its decoder gives up";

thread_local! {
    /// Whether a panic of this thread is caught and told as an error.
    static GUARDED: Cell<bool> = const { Cell::new(false) };
}

/// What `decode` returns, or that `field` of the file at `path` is damaged if it panics.
///
/// The panic's own message is not printed; those of other threads, and of this one before and after, are. `decode`
/// must stay on its thread: what it hands to others is not guarded.
///
/// # Errors
/// Those of `decode`, or [`Error::Input`] for a panic.
pub fn guarded<T>(path: &Path, field: &str, decode: impl FnOnce() -> Result<T>) -> Result<T> {
    static QUIET: Once = Once::new();
    QUIET.call_once(|| {
        let print = take_hook();
        set_hook(Box::new(move |panic| {
            if !GUARDED.get() {
                print(panic);
            }
        }));
    });
    let outer = GUARDED.replace(true);
    // Nothing that a panic leaves half-done is used again: what `decode` has made is dropped with it.
    let outcome = catch_unwind(AssertUnwindSafe(decode));
    GUARDED.set(outer);
    outcome.unwrap_or_else(|_| Err(Error::input(path, field, "a sound file", GAVE_UP)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_an_error_about_the_file_and_the_next_call_is_guarded_again() {
        for _ in 0..2 {
            let error =
                guarded::<()>(Path::new("a.jpg"), "image data", || panic!("out of bounds")).unwrap_err();
            assert_eq!(
                error.to_string(),
                format!("a.jpg: image data: expected a sound file, found {GAVE_UP}")
            );
        }
        assert_eq!(guarded(Path::new("a.jpg"), "image data", || Ok(7)).unwrap(), 7);
    }

    #[test]
    fn a_guard_within_a_guard_ends_with_its_own() {
        let path = Path::new("a.tar");
        let outer: Result<()> = guarded(path, "tar", || {
            guarded::<()>(path, "image data", || panic!("first")).unwrap_err();
            assert!(GUARDED.get(), "the outer one goes on");
            panic!("second")
        });
        assert!(outer.unwrap_err().to_string().starts_with("a.tar: tar:"));
        assert!(!GUARDED.get());
    }
}
