//! `vit-mae audit gradcheck`.

use crate::cli::say;
use vit_mae::audit::{CHECKS, GradCheck};
use vit_mae::{Error, Result};

const EXAMPLES: &str = "\
Examples:
  vit-mae audit gradcheck                    every layer and the whole model

Exit codes: 0 every tensor agrees, 1 one does not.";

/// Flags of `vit-mae audit gradcheck`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Decides weights, inputs and the choice of elements
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

/// Checks and prints a table for each layer.
pub(crate) fn run(args: &Args) -> Result<()> {
    let check = GradCheck { seed: args.seed, ..GradCheck::default() };
    let mut wrong = Vec::new();
    for (name, run) in CHECKS {
        let report = run(&check);
        say!("{name}\n{report}");
        if !report.passed() {
            wrong.push(name);
        }
    }
    if wrong.is_empty() {
        return Ok(());
    }
    Err(Error::CheckFailed(format!("not the derivative of its forward pass: {}", wrong.join(", "))))
}
