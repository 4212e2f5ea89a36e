//! `vit-mae audit`: one file a subcommand.

pub(crate) mod gradcheck;
mod gradcheck_print;
pub(crate) mod parity;
pub(crate) mod replay;
mod ticker;

use vit_mae::Result;

/// What can be audited.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Check every backward pass against difference quotients, every forward pass against its formula
    Gradcheck(gradcheck::Args),
    /// Compute recorded tensors of the PyTorch reference again, and compare every one
    Parity(parity::Args),
    /// Take a step of a run again and compare it with the log, bit for bit
    Replay(replay::Args),
}

/// Runs one audit.
pub(crate) fn run(command: &Command) -> Result<()> {
    match command {
        Command::Gradcheck(args) => gradcheck::run(args),
        Command::Parity(args) => parity::run(args),
        Command::Replay(args) => replay::run(args),
    }
}
