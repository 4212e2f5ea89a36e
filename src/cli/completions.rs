//! `vit-mae completions`.

use super::{Cli, stdout};
use clap::CommandFactory;
use clap_complete::{Shell, generate};
use std::io::Write as _;

const EXAMPLES: &str = "\
Examples:
  source <(vit-mae completions bash)                                                this session of bash
  vit-mae completions bash > ~/.local/share/bash-completion/completions/vit-mae     every later one
  vit-mae completions zsh > ~/.zfunc/_vit-mae                                       a folder of zsh's $fpath
  vit-mae completions fish > ~/.config/fish/completions/vit-mae.fish";

/// Flags of `vit-mae completions`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Which shell
    shell: Shell,
}

/// Prints the script.
pub(crate) fn run(args: &Args) {
    let mut script = Vec::new();
    generate(args.shell, &mut Cli::command(), "vit-mae", &mut script);
    if args.shell == Shell::Bash {
        script = one_spelling(&String::from_utf8_lossy(&script)).into_bytes();
    }
    stdout::with(|stdout| stdout.write_all(&script));
}

/// The script's loop notes the command as `vit__mae__…`, its cases look for `vit__subcmd__mae__…`, because there is a
/// hyphen in the program's name: <https://github.com/clap-rs/clap/issues/6421>. Without this nothing is completed behind a
/// command. `bash_completes_commands_flags_and_choices` will say if a later `clap_complete` wants it otherwise.
fn one_spelling(script: &str) -> String {
    script.replace("vit__subcmd__mae", "vit__mae")
}
