//! `vit-mae data`: one file a subcommand, and the flags that they share.

pub(crate) mod export;
pub(crate) mod info;
pub(crate) mod preview;
pub(crate) mod verify;

use std::path::PathBuf;
use std::sync::Arc;
use vit_mae::data::{Contents, Format, OfSplit, ReduceZeroLabel, Split};
use vit_mae::{Error, Result};

/// What can be asked about a data set.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Say what a data set holds: format, splits, sizes, classes, mean and standard deviation
    Info(info::Args),
    /// Decode every image and list those that cannot be read
    Verify(verify::Args),
    /// Draw a contact sheet: a few images of each class, label maps and objects in colours over their images
    Preview(preview::Args),
    /// Write scenes into a folder for other programs, as COCO and ADE20K have their files
    Export(export::Args),
}

/// Runs one of them.
pub(crate) fn run(command: &Command) -> Result<()> {
    match command {
        Command::Info(args) => info::run(args),
        Command::Verify(args) => verify::run(args),
        Command::Preview(args) => preview::run(args),
        Command::Export(args) => export::run(args),
    }
}

/// Which data.
#[derive(Debug, clap::Args)]
pub(crate) struct Place {
    /// A data set: a folder, a file, or a quoted pattern for several shards
    #[arg(value_name = "PATH")]
    path: PathBuf,
    /// Its format if the path does not tell: idx, cifar, npy, webdataset, parquet, scenes, label-maps, coco, voc, folder
    #[arg(long)]
    format: Option<String>,
    /// In label maps take 0 for ignored, and k for class k - 1, as ADE20K is used
    #[arg(long)]
    reduce_zero_label: bool,
    /// Threads [default: one a core]
    #[arg(long)]
    threads: Option<usize>,
}

impl Place {
    /// Starts the threads, opens the splits and says what is not read.
    fn open(&self) -> Result<Contents> {
        super::start_threads(self.threads)?;
        let format = self.format.as_deref().map(str::parse::<Format>).transpose()?;
        let mut contents = Contents::open(&self.path, format)?;
        if self.reduce_zero_label {
            for (_, set) in &mut contents.splits {
                *set = Arc::new(ReduceZeroLabel::new(set.clone())?);
            }
        }
        super::stderr::notes(&contents.notes);
        Ok(contents)
    }

    /// As [`Place::open`], only the split that is asked for.
    fn open_only(&self, split: Option<super::SplitName>) -> Result<Vec<OfSplit>> {
        let Contents { mut splits, .. } = self.open()?;
        if let Some(split) = split {
            splits.retain(|(found, _)| *found == Split::from(split));
            if splits.is_empty() {
                let found = format!("{}, which has no split of this name", self.path.display());
                return Err(Error::setting("--split", "a split that the data has", found));
            }
        }
        Ok(splits)
    }
}
