//! `vit-mae man`.

use super::judged::Folder;
use super::{Cli, outln, stdout};
use clap::{Command, CommandFactory};
use clap_mangen::Man;
use roff::{Roff, bold, roman};
use std::io::Write as _;
use std::path::PathBuf;
use vit_mae::Result;

const EXAMPLES: &str = "\
Examples:
  vit-mae man | man -l -                                 read the page of the program
  vit-mae man --out ~/.local/share/man/man1              a page for every command; then: man vit-mae-pretrain";

/// Flags of `vit-mae man`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Write a page for every command to this folder [default: print the program's own page]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Replace pages that are there
    #[arg(long, requires = "out")]
    overwrite: bool,
}

/// Prints or writes the pages.
pub(crate) fn run(args: &Args) -> Result<()> {
    let mut program = Cli::command().disable_help_subcommand(true);
    program.build();
    let pages = pages(&program);
    let names: Vec<&str> = pages.iter().map(|(name, _)| name.as_str()).collect();
    let Some(folder) = Folder::new(args.out.as_deref(), args.overwrite, &names)? else {
        stdout::with(|stdout| stdout.write_all(&page(&program)));
        return Ok(());
    };
    for (name, page) in &pages {
        folder.write(name, page)?;
    }
    outln!("{} pages, the first of them {}", pages.len(), names[0]);
    Ok(())
}

/// File name and content of the pages of a command and all below it.
fn pages(command: &Command) -> Vec<(String, Vec<u8>)> {
    let own = (Man::new(command.clone()).get_filename(), page(command));
    let below = command.get_subcommands().filter(|below| !below.is_hide_set()).flat_map(pages);
    std::iter::once(own).chain(below).collect()
}

/// One page.
fn page(command: &Command) -> Vec<u8> {
    let man = Man::new(command.clone()).manual("vit-mae");
    let mut page = Vec::new();
    let mut sections = vec![
        man.render_title(&mut page),
        man.render_name_section(&mut page),
        man.render_synopsis_section(&mut page),
        man.render_description_section(&mut page),
        man.render_options_section(&mut page),
    ];
    if command.has_subcommands() {
        sections.push(man.render_subcommands_section(&mut page));
    }
    sections.push(rest(command).to_writer(&mut page));
    sections.into_iter().collect::<std::io::Result<()>>().expect("memory takes what is written to it");
    page
}

/// What clap does not know as sections: those of the text below `--help`, and those that all commands share.
fn rest(command: &Command) -> Roff {
    let mut roff = Roff::new();
    let below = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    let mut notes = Vec::new();
    for paragraph in below.split("\n\n") {
        match paragraph.strip_prefix("Examples:\n") {
            Some(examples) => {
                roff.control("SH", ["EXAMPLES"]).control("nf", []);
                for line in examples.lines() {
                    roff.text([roman(line)]);
                }
                roff.control("fi", []);
            }
            // Every page says it below.
            None if paragraph.is_empty() || paragraph.starts_with("Exit codes:") => {}
            None => notes.push(paragraph),
        }
    }
    if !notes.is_empty() {
        roff.control("SH", ["NOTES"]);
    }
    for note in notes {
        roff.control("PP", []).text([roman(note)]);
    }
    for (heading, rows) in [("ENVIRONMENT", &ENVIRONMENT[..]), ("EXIT STATUS", &EXIT_STATUS)] {
        roff.control("SH", [heading]);
        for (name, text) in rows {
            roff.control("TP", []).text([bold(*name)]).text([roman(*text)]);
        }
    }
    roff
}

const ENVIRONMENT: [(&str, &str); 3] = [
    (
        "VIT_MAE_SECTION__KEY",
        "A setting of pretrain, finetune, ablate, bench and, for its data, probe: VIT_MAE_OPTIM__EPOCHS=3 is optim.epochs = 3. \
         It goes over --preset and --config, and flags go over it.",
    ),
    ("VIT_MAE_SIMD", "Limits the instruction set: scalar, avx2, avx512 or neon."),
    ("NO_COLOR", "If it is set and not empty, nothing is coloured."),
];

const EXIT_STATUS: [(&str, &str); 5] = [
    ("0", "Done."),
    ("1", "Failed, or a check found something wrong."),
    ("2", "Bad usage or input."),
    ("130", "Interrupted, after saving."),
    ("143", "Terminated, after saving."),
];
