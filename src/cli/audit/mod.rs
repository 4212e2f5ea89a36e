//! `vit-mae audit`: one file a subcommand.

pub(crate) mod gradcheck;

use vit_mae::Result;

/// What can be audited.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Compare every backward pass with difference quotients of its forward pass, in f64
    Gradcheck(gradcheck::Args),
}

/// Runs one audit.
pub(crate) fn run(command: &Command) -> Result<()> {
    match command {
        Command::Gradcheck(args) => gradcheck::run(args),
    }
}
