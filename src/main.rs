//! The `vit-mae` program: one file a command in `cli`, everything else in the library.

mod cli;

use clap::Parser;
use std::io::Write;
use std::process::ExitCode;

fn main() -> ExitCode {
    let command = cli::Cli::parse().command;
    let result = cli::choose_instruction_set().and_then(|()| match command {
        cli::Command::Pretrain(args) => cli::pretrain::run(&args),
        cli::Command::Finetune(args) => cli::finetune::run(&args),
        cli::Command::Reconstruct(args) => cli::reconstruct::run(&args),
        cli::Command::Eval(args) => cli::eval::run(&args),
        cli::Command::Predict(args) => cli::predict::run(&args),
        cli::Command::Probe(args) => cli::probe::run(&args),
        cli::Command::Features(args) => cli::features::run(&args),
        cli::Command::Ablate(args) => cli::ablate::run(&args),
        cli::Command::Convert(args) => cli::convert::run(&args),
        cli::Command::Export(args) => cli::export::run(&args),
        cli::Command::Inspect(args) => cli::inspect::run(&args),
        cli::Command::Bench(args) => cli::bench::run(&args),
        cli::Command::Audit(command) => cli::audit::run(&command),
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Not `eprintln!`, which panics if nobody listens.
            let _ = writeln!(std::io::stderr(), "error: {}", visible(&error.to_string()));
            ExitCode::from(error.exit_code())
        }
    }
}

/// Text with control characters spelt out: what comes from a file must not steer the terminal.
fn visible(text: &str) -> String {
    let letters =
        text.chars().map(|c| if c.is_control() { c.escape_default().to_string() } else { c.into() });
    letters.collect()
}
