//! The command line: parses, prints, draws progress; no algorithm lives here.

pub(crate) mod ablate;
mod ablate_dry;
mod ablate_methods;
mod ablate_progress;
pub(crate) mod audit;
pub(crate) mod bench;
mod bench_gpu;
mod bench_ranks;
pub(crate) mod completions;
pub(crate) mod convert;
pub(crate) mod data;
mod device;
pub(crate) mod devices;
pub(crate) mod eval;
pub(crate) mod export;
pub(crate) mod features;
pub(crate) mod finetune;
mod flags;
mod images_bar;
pub(crate) mod inspect;
mod inspect_print;
pub(crate) mod joined;
mod judged;
pub(crate) mod man;
pub(crate) mod predict;
pub(crate) mod pretrain;
pub(crate) mod probe;
pub(crate) mod progress;
pub(crate) mod ranks;
pub(crate) mod reconstruct;
mod settings;
mod signals;
pub(crate) mod stderr;
pub(crate) mod stdout;
pub(crate) mod tokenizer;
mod training;

/// `println!` that does not panic: what cannot be written is reported when the command is done, see [`stdout`].
macro_rules! outln {
    () => { $crate::cli::stdout::line(format_args!("")) };
    ($($arg:tt)+) => { $crate::cli::stdout::line(format_args!($($arg)+)) };
}
pub(crate) use outln;

use clap::{Parser, Subcommand};
use vit_mae::data::Split;
use vit_mae::exec::kernel;
use vit_mae::exec::ranks::launch;
use vit_mae::{Error, Result};

/// Masked autoencoders (ViT-MAE, He et al. 2022), trained from scratch on a CPU, every backward pass by hand.
#[derive(Debug, Parser)]
#[command(version, propagate_version = true, after_help = EXAMPLES)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
    /// What goes to stderr: lines and bars for people, or one JSON object a line for machines
    #[arg(long, global = true, value_name = "FORMAT", default_value = "text")]
    pub(crate) log_format: stderr::LogFormat,
}

const EXAMPLES: &str = "\
Examples:
  vit-mae pretrain                             train on the embedded images, a few minutes
  vit-mae pretrain --preset photo              colour photographs, random crops
  vit-mae reconstruct --checkpoint runs/0001 photo.jpg --out rebuilt.png
  vit-mae probe --checkpoint runs/0001 --knn   what the frozen encoder is worth
  vit-mae finetune --checkpoint runs/0001      train it further to name classes
  vit-mae data info photos                     what a data set holds, before training
  vit-mae audit doctor runs/0001               whether it is healthy, and what to try if not

Exit codes: 0 done, 1 failed, 2 bad usage or input, 130 interrupted after saving, 143 terminated after saving.";

/// What the program can do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Pre-train an encoder: a masked autoencoder, with pictures of what it reconstructs, or by another method
    Pretrain(Box<pretrain::Args>),
    /// Train a pre-trained encoder further: to name classes, to draw maps of them, or to find objects
    Finetune(Box<finetune::Args>),
    /// Hide patches of any images and draw what a trained model makes of the rest
    Reconstruct(reconstruct::Args),
    /// Judge a fine-tuned model on labelled images
    Eval(eval::Args),
    /// Say, and draw, what a fine-tuned model makes of any pictures
    Predict(predict::Args),
    /// Train a linear classifier on a frozen encoder's features: what pre-training was worth
    Probe(Box<probe::Args>),
    /// Write a frozen encoder's features of any images to a file, or draw what it sees in them
    Features(features::Args),
    /// Make a codebook of patches by k-means: the tokens of BEiT-style pre-training
    Tokenizer(tokenizer::Args),
    /// Vary one setting of pre-training, judge every run, draw the figure
    Ablate(Box<ablate::Args>),
    /// Take weights from, or to, PyTorch's reference, Hugging Face and timm
    Convert(convert::Args),
    /// Look at images before training: what is there, whether all can be read, a sheet of them
    #[command(subcommand)]
    Data(data::Command),
    /// Write the log of a run as CSV, or with its pictures for TensorBoard
    Export(export::Args),
    /// Say what a checkpoint holds and where it comes from, or check every byte of it
    Inspect(inspect::Args),
    /// List what products can run on: the CPU, and GPUs
    Devices(devices::Args),
    /// Measure a training step on this machine: speed, memory, where the time goes
    Bench(bench::Args),
    /// Check gradients, single steps and whole runs
    #[command(subcommand)]
    Audit(audit::Command),
    /// Print a script that completes commands and flags in a shell
    Completions(completions::Args),
    /// Print the manual page, or write one for every command
    Man(man::Args),
}

/// Obeys the environment variable that lets audits run on a narrower instruction set.
pub(crate) fn choose_instruction_set() -> Result<()> {
    let name = std::env::var_os(kernel::VARIABLE);
    name.map_or(Ok(()), |name| kernel::choose(&name.to_string_lossy()))
}

/// Starts rayon's threads; `None` takes one a core.
pub(crate) fn start_threads(threads: Option<usize>) -> Result<usize> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let neighbours = joined::ranks().neighbours();
    let threads = threads.unwrap_or_else(|| {
        let (threads, why) = if neighbours > 1 { launch::threads(neighbours) } else { (cores, None) };
        if let Some(why) = why {
            stderr::note(why);
        }
        threads
    });
    if threads == 0 || threads > MOST_THREADS {
        return Err(Error::setting("--threads", format!("1 to {MOST_THREADS}"), threads));
    }
    if threads > cores {
        let why =
            format!("--threads {threads} on a machine with {cores} cores gives the same numbers, not sooner");
        stderr::note(why);
    }
    rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .build_global()
        .map_err(|e| Error::setting("--threads", "as many threads as the system gives", e))?;
    Ok(threads)
}

const MOST_THREADS: usize = 1024;

/// A split of a data set, as a flag.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(crate) enum SplitName {
    /// What models learn from
    Train,
    /// What they are chosen by
    #[value(alias = "val")]
    Validation,
    /// What is only reported
    Test,
}

impl From<SplitName> for Split {
    fn from(name: SplitName) -> Self {
        match name {
            SplitName::Train => Self::Train,
            SplitName::Validation => Self::Validation,
            SplitName::Test => Self::Test,
        }
    }
}

/// A result as one JSON document, indented.
pub(crate) fn json(result: &impl serde::Serialize) -> Result<String> {
    let expected = "paths and names in UTF-8, and numbers that JSON can hold";
    serde_json::to_string_pretty(result).map_err(|e| Error::setting("--json", expected, e))
}

/// A result as one line of JSON.
pub(crate) fn json_line(result: &impl serde::Serialize) -> Result<String> {
    let expected = "paths in UTF-8, and finite numbers";
    serde_json::to_string(result).map_err(|e| Error::setting("--json", expected, e))
}

/// The name of a choice, as text.
pub(crate) fn choice_name(choice: &impl clap::ValueEnum) -> String {
    choice.to_possible_value().map(|v| v.get_name().to_owned()).unwrap_or_default()
}

/// `1 step`, `2 steps`.
pub(crate) fn count(n: u64, word: &str) -> String {
    format!("{n} {word}{}", if n == 1 { "" } else { "s" })
}

/// Lists the images that were skipped, each with the reason.
pub(crate) fn print_skipped(skipped: &[String]) {
    if !skipped.is_empty() {
        outln!("\nskipped: {}", count(skipped.len() as u64, "image"));
        for image in skipped {
            outln!("  {}", visible(image));
        }
    }
}

/// What the user typed, quoted for a shell.
pub(crate) fn command_line() -> String {
    let words: Vec<_> = std::env::args_os().map(|word| quoted(&word.to_string_lossy())).collect();
    words.join(" ")
}

/// A word as a shell takes it.
pub(crate) fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=,:+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// Text with control characters spelt out: what comes from a file must not steer the terminal.
pub(crate) fn visible(text: &str) -> String {
    let letters =
        text.chars().map(|c| if c.is_control() { c.escape_default().to_string() } else { c.into() });
    letters.collect()
}
