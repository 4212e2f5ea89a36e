//! `vit-mae audit`: one file a subcommand.

pub(crate) mod doctor;
pub(crate) mod gradcheck;
mod gradcheck_print;
mod junit;
pub(crate) mod parity;
pub(crate) mod replay;
mod ticker;
pub(crate) mod trace;

use vit_mae::Result;

/// What can be audited.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Check every backward pass against difference quotients, every forward pass against its formula
    Gradcheck(gradcheck::Args),
    /// Compute recorded tensors of the PyTorch reference again, and compare every one
    Parity(parity::Args),
    /// Say whether a run is healthy, and what to try if it is not
    Doctor(doctor::Args),
    /// Take a step of a run again and compare it with the log, bit for bit
    Replay(replay::Args),
    /// Write down one training step, every intermediate, gradient and update, and show it on a page
    Trace(trace::Args),
}

/// Runs one audit.
pub(crate) fn run(command: &Command) -> Result<()> {
    match command {
        Command::Gradcheck(args) => gradcheck::run(args),
        Command::Parity(args) => parity::run(args),
        Command::Doctor(args) => doctor::run(args),
        Command::Replay(args) => replay::run(args),
        Command::Trace(args) => trace::run(args),
    }
}
