//! The `vit-mae` program: one file a command in `cli`, everything else in the library.

mod cli;

use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli::Cli { command, log_format } = cli::Cli::parse();
    cli::stderr::choose(log_format);
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
        cli::Command::Data(command) => cli::data::run(&command),
        cli::Command::Export(args) => cli::export::run(&args),
        cli::Command::Inspect(args) => cli::inspect::run(&args),
        cli::Command::Devices(args) => cli::devices::run(&args),
        cli::Command::Bench(args) => cli::bench::run(&args),
        cli::Command::Audit(command) => cli::audit::run(&command),
        cli::Command::Completions(args) => {
            cli::completions::run(&args);
            Ok(())
        }
        cli::Command::Man(args) => cli::man::run(&args),
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let (message, exit_code) = (error.to_string(), error.exit_code());
            let object = serde_json::json!({ "kind": "error", "message": message, "exit_code": exit_code });
            cli::stderr::line(format_args!("error: {}", cli::visible(&message)), &object);
            ExitCode::from(exit_code)
        }
    }
}
