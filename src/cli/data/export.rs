//! `vit-mae data export`.

use super::super::images_bar::ImagesBar;
use super::super::{json, outln};
use serde::Serialize;
use std::path::PathBuf;
use std::sync::Arc;
use vit_mae::data::scenes::spec::Spec;
use vit_mae::data::scenes::{LICENSE, Scenes};
use vit_mae::data::{Split, TargetKind};
use vit_mae::interop::dense_out::{self, DenseSplit};
use vit_mae::tasks::features::Listener;
use vit_mae::{Error, Result};

const EXAMPLES: &str = "\
Examples:
  vit-mae data export scenes --out scenes-64
  vit-mae data export scenes:96 --out scenes-96 --split test

Writes images/SPLIT, annotations/SPLIT (label maps as palette PNGs), annotations/instances_SPLIT.json (COCO) and classes.txt. \
The folder can be used in the place of the name: --data ./scenes-64 --format label-maps.";

/// Flags of `vit-mae data export`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// `scenes`, or `scenes:SIDE` for another size than 64
    #[arg(value_name = "SCENES")]
    name: PathBuf,
    /// The folder to make
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Only this part of the data
    #[arg(long)]
    split: Option<crate::cli::SplitName>,
    /// Threads; they change no byte [default: one a core]
    #[arg(long)]
    threads: Option<usize>,
    /// One JSON document instead of text
    #[arg(long)]
    json: bool,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Report {
    written: PathBuf,
    splits: Vec<Written>,
}

/// A split.
#[derive(Serialize)]
struct Written {
    split: Split,
    images: usize,
}

/// Writes everything, and says where.
pub(crate) fn run(args: &Args) -> Result<()> {
    let spec = Spec::parse(&args.name)?;
    if spec.target != TargetKind::LabelMap {
        let expected = "scenes or scenes:SIDE, of which label maps and objects are written";
        return Err(Error::setting("SCENES", expected, args.name.display()));
    }
    dense_out::check(&args.out)?;
    crate::cli::start_threads(args.threads)?;
    let asked = |split: &Split| args.split.is_none_or(|only| Split::from(only) == *split);
    let of_split = |split| DenseSplit {
        split,
        maps: Arc::new(Scenes::new(spec, split)),
        objects: Arc::new(Scenes::new(Spec { target: TargetKind::Instances, ..spec }, split)),
    };
    let splits: Vec<DenseSplit> = Split::ALL.into_iter().filter(asked).map(of_split).collect();
    let bar = ImagesBar::new();
    bar.begins(splits.iter().map(|split| split.maps.len()).sum());
    dense_out::write(&args.out, &splits, &[("LICENSE", LICENSE)], &|| bar.finished(1))?;
    drop(bar);
    let written = splits.iter().map(|of| Written { split: of.split, images: of.maps.len() }).collect();
    let report = Report { written: args.out.clone(), splits: written };
    if args.json {
        outln!("{}", json(&report)?);
        return Ok(());
    }
    for Written { split, images } in &report.splits {
        outln!("{split:<11} {}", crate::cli::count(*images as u64, "image"));
    }
    outln!("written     {}", report.written.display());
    Ok(())
}
