//! The `vit-mae` program: one file a command in `cli`, everything else in the library.

mod cli;

use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    let command = cli::Cli::parse().command;
    let result = match command {
        cli::Command::Pretrain(args) => cli::pretrain::run(&args),
        cli::Command::Reconstruct(args) => cli::reconstruct::run(&args),
        cli::Command::Bench(args) => cli::bench::run(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(error.exit_code())
        }
    }
}
