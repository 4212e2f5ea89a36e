//! `vit-mae audit replay`.

use crate::cli::{outln, start_threads};
use serde_json::json;
use std::path::PathBuf;
use vit_mae::audit::replay::{Compared, replay};
use vit_mae::{Error, Result};

const EXAMPLES: &str = "\
Examples:
  vit-mae audit replay runs/0001 --step 100                 from the nearest checkpoint before step 100
  vit-mae audit replay runs/0001 --step 100 --json

The log's chain is checked first. Then the steps from the checkpoint (or the initial weights) on are taken again, and \
loss, learning rate, gradient norm and the digest of the weights must have the bits that the log has. If step K has \
no digest, the replay goes on to the next one. --set run.digest_every_steps=1 logs one for every step of a run.

Exit codes: 0 the same bits, 1 other bits, 2 bad usage, a damaged log or checkpoint.";

/// Flags of `vit-mae audit replay`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The run directory
    #[arg(value_name = "RUN")]
    run: PathBuf,
    /// The step to take again, counted from 1
    #[arg(long, value_name = "K")]
    step: u64,
    /// Where the run's data lies now [default: where it lay]
    #[arg(long, value_name = "PATH")]
    data: Option<PathBuf>,
    /// Threads; does not change a single bit of the result [default: one a core]
    #[arg(long)]
    threads: Option<usize>,
    /// One JSON document on stdout
    #[arg(long)]
    json: bool,
}

/// Takes the step again, and prints both values of each number.
pub(crate) fn run(args: &Args) -> Result<()> {
    start_threads(args.threads)?;
    let ticker = super::ticker::Ticker::new(usize::try_from(args.step).unwrap_or(usize::MAX));
    let found = replay(&args.run, args.step, args.data.as_deref(), &mut |_| ticker.tick())?;
    drop(ticker);
    let agree = found.compared.iter().all(Compared::agrees);
    if args.json {
        let rows = found.compared.iter().map(|c| {
            json!({"name": c.name, "step": c.step, "logged": c.logged, "computed": c.computed, "agrees": c.agrees()})
        });
        let rows: Vec<_> = rows.collect();
        outln!("{}", json!({"step": args.step, "from": found.from, "agree": agree, "compared": rows}));
    } else {
        match found.from {
            0 => outln!("from the initial weights"),
            step => outln!("from the checkpoint of step {step}"),
        }
        for c in &found.compared {
            let verdict = if c.agrees() { "same bits" } else { "OTHER BITS" };
            outln!("step {:>6}  {:<16} {verdict:<10}  {}", c.step, c.name, c.logged);
            if !c.agrees() {
                outln!("{:>39}  {} computed again", "", c.computed);
            }
        }
    }
    if agree {
        return Ok(());
    }
    Err(Error::CheckFailed(format!("step {} computed again has other bits than the log", args.step)))
}
