//! Lines on stderr: text for people, or with `--log-format json` one JSON object a line for machines.

use super::stdout::{Lost, is_silent};
use indicatif::ProgressDrawTarget;
use serde::Serialize;
use std::collections::BTreeSet;
use std::fmt::Display;
use std::io::{IsTerminal, Write};
use std::sync::OnceLock;
use vit_mae::Result;

/// The form of what goes to stderr.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum LogFormat {
    /// Lines and bars for people
    #[default]
    Text,
    /// One JSON object a line
    Json,
}

/// The first line that stderr refused.
static LOST: Lost = Lost::nothing();

/// Of the whole process, as stderr is.
static FORMAT: OnceLock<LogFormat> = OnceLock::new();

/// Chooses the form, once, before anything is said.
pub(crate) fn choose(format: LogFormat) {
    FORMAT.get_or_init(|| format);
}

/// Whether JSON is wanted.
pub(crate) fn is_json() -> bool {
    FORMAT.get() == Some(&LogFormat::Json)
}

/// Whether there is somebody to draw bars for.
pub(crate) fn draws_bars() -> bool {
    !is_json() && !is_silent() && std::io::stderr().is_terminal()
}

/// Where bars are drawn: on stderr, or nowhere.
pub(crate) fn bar_target() -> ProgressDrawTarget {
    if draws_bars() { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() }
}

/// Writes a line: `text`, or `object`. Not with `eprintln!`, which panics if nobody listens.
pub(crate) fn line(text: impl Display, object: &impl Serialize) {
    LOST.unless(|| {
        let mut stderr = std::io::stderr();
        if is_json() {
            writeln!(stderr, "{}", serde_json::to_string(object).unwrap_or_default())
        } else {
            writeln!(stderr, "{text}")
        }
    });
}

/// Says whether every line was written.
///
/// # Errors
/// If stderr refused one and its reader is still there.
pub(crate) fn finish() -> Result<()> {
    LOST.report("standard error")
}

/// Something the user should know and need not act on.
pub(crate) fn note(why: impl Display) {
    let why = why.to_string();
    line(format_args!("note: {why}"), &serde_json::json!({ "kind": "note", "message": why }));
}

/// What there is beside the images of data sets that is not read, each once.
pub(crate) fn notes<'a>(notes: impl IntoIterator<Item = &'a String>) {
    for why in notes.into_iter().collect::<BTreeSet<_>>() {
        note(super::visible(why));
    }
}
