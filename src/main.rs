//! The `vit-mae` program: one file a command in `cli`, everything else in the library.

mod cli;

use clap::Parser;
use std::process::ExitCode;

/// The exit code of a command line that cannot be understood.
const BAD_USAGE: u8 = 2;

fn main() -> ExitCode {
    cli::joined::join();
    let exit_code = obey();
    cli::joined::leave();
    ExitCode::from(exit_code)
}

/// Does what the command line says, and says how it ended.
fn obey() -> u8 {
    let result = match cli::Cli::try_parse() {
        Ok(cli::Cli { command, log_format }) => {
            cli::stderr::choose(log_format);
            cli::ranks::run(&command, || run(&command))
        }
        Err(refusal) if refusal.use_stderr() => {
            if !cli::stdout::is_silent() {
                let _ = refusal.print(); // to stderr, and nobody may listen
            }
            cli::ranks::misunderstood();
            return BAD_USAGE;
        }
        Err(asked_for) => {
            cli::stdout::with(|_| asked_for.print()); // --help, --version
            Ok(())
        }
    };
    let mut exit_code = 0;
    for result in [result, cli::stdout::finish(), cli::stderr::finish()] {
        if let Err(error) = result {
            say_error(&error);
            exit_code = if exit_code == 0 { error.exit_code() } else { exit_code };
        }
    }
    exit_code
}

/// Runs a command.
fn run(command: &cli::Command) -> vit_mae::Result<()> {
    match command {
        cli::Command::Pretrain(args) => cli::pretrain::run(args),
        cli::Command::Finetune(args) => cli::finetune::run(args),
        cli::Command::Reconstruct(args) => cli::reconstruct::run(args),
        cli::Command::Eval(args) => cli::eval::run(args),
        cli::Command::Predict(args) => cli::predict::run(args),
        cli::Command::Probe(args) => cli::probe::run(args),
        cli::Command::Features(args) => cli::features::run(args),
        cli::Command::Tokenizer(args) => cli::tokenizer::run(args),
        cli::Command::Ablate(args) => cli::ablate::run(args),
        cli::Command::Convert(args) => cli::convert::run(args),
        cli::Command::Data(command) => cli::data::run(command),
        cli::Command::Export(args) => cli::export::run(args),
        cli::Command::Inspect(args) => cli::inspect::run(args),
        cli::Command::Devices(args) => cli::devices::run(args),
        cli::Command::Bench(args) => cli::bench::run(args),
        cli::Command::Audit(command) => cli::audit::run(command),
        cli::Command::Completions(args) => {
            cli::completions::run(args);
            Ok(())
        }
        cli::Command::Man(args) => cli::man::run(args),
    }
}

/// Says on stderr what went wrong.
fn say_error(error: &vit_mae::Error) {
    let message = error.to_string();
    let object = serde_json::json!({ "kind": "error", "message": message, "exit_code": error.exit_code() });
    cli::stderr::line(format_args!("error: {}", cli::visible(&message)), &object);
}
