//! `vit-mae probe`.

use super::device::DeviceFlags;
use super::flags::LabelledData;
use super::images_bar::ImagesBar;
use super::judged::{Folder, print_table};
use super::{choice_name, outln, print_skipped};
use std::path::PathBuf;
use vit_mae::Result;
use vit_mae::base::out_file::check_out_file;
use vit_mae::checkpoint::atomic::write_atomic;
use vit_mae::models::classify::Pooling;
use vit_mae::tasks::classify::summary::Summary;
use vit_mae::tasks::confusion;
use vit_mae::tasks::knn::Knn;
use vit_mae::tasks::probe::head::{Optimizer, Reached, Trial};
use vit_mae::tasks::probe::{ProbeReport, Probing, probe, scatter};

const EXAMPLES: &str = "\
Examples:
  vit-mae probe --checkpoint runs/0001                        a linear classifier on frozen features
  vit-mae probe --checkpoint runs/0001 --random-encoder       the baseline: initial weights instead of trained ones
  vit-mae probe --checkpoint runs/0001 --labels 0.1 --knn     a tenth of the labels; the neighbours' vote, too
  vit-mae probe --checkpoint runs/0001 --sweep                choose the learning rate on validation images
  vit-mae probe --checkpoint runs/0001 --optimizer lars --sweep   the reference's update rule
  vit-mae probe --checkpoint runs/0001 --data my-photos --json --out probed
  vit-mae probe --checkpoint runs/0001 --scatter features.svg     the judged images in the plane, coloured by class

As the reference's linear probe, but features of whole images are computed once, where the reference draws new crops \
in every epoch. Part of the labelled training images is held out (--val-fraction) for whatever is chosen; the test split \
is judged once, at the end. Where there is none, the validation images judge, and the output says so.

Of the environment's settings a probe takes VIT_MAE_DATA__PATH and VIT_MAE_DATA__FORMAT, below --data and --format.";

/// Flags of `vit-mae probe`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES, allow_negative_numbers = true)]
#[command(group(clap::ArgGroup::new("files").multiple(true)))]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub(crate) struct Args {
    /// A run whose encoder is probed, or the checkpoint in it
    #[arg(long, value_name = "RUN")]
    checkpoint: PathBuf,
    /// Probe an encoder with the run's initial weights instead
    #[arg(long)]
    random_encoder: bool,
    /// The class token, or the mean of the patches' tokens, behind the encoder's last norm
    #[arg(long, alias = "pooling", default_value = "class")]
    pool: Pooling,

    #[command(flatten)]
    labelled: LabelledData,
    /// Use this fraction of the labels, class by class
    #[arg(long, value_name = "FRACTION", default_value_t = 1.0)]
    labels: f64,
    /// Hold out this fraction of the labelled images for validation, if the data has no validation split
    #[arg(long, visible_alias = "val-share", value_name = "FRACTION", default_value_t = 0.1)]
    val_fraction: f64,

    /// The update rule
    #[arg(long, default_value = "sgd")]
    optimizer: Optimizer,
    /// Passes over the features
    #[arg(long, default_value_t = 90)]
    epochs: u64,
    /// Epochs of linear warm-up [default: a ninth of all]
    #[arg(long)]
    warmup_epochs: Option<f64>,
    /// Images in a step [default: 256, or all if there are fewer]
    #[arg(long)]
    batch_size: Option<usize>,
    /// Learning rate per 256 images [default: 0.1 for sgd, 10 for lars]
    #[arg(long)]
    blr: Option<f64>,
    /// Try 0.03 to 30 times the learning rate and choose by the accuracy on the validation images
    #[arg(long)]
    sweep: bool,
    /// Decides which labels are kept, which images validate, initial weights and order
    #[arg(long, default_value_t = 0)]
    seed: u64,

    /// Also let the nearest neighbours vote
    #[arg(long)]
    knn: bool,
    /// How many neighbours
    #[arg(long, value_name = "K", default_value_t = 20, requires = "knn")]
    k: usize,
    /// Temperature of their votes, e^(cosine / T)
    #[arg(long, value_name = "T", default_value_t = 0.07, requires = "knn")]
    temperature: f64,

    /// One JSON document instead of text, with per-class figures and the confusion matrix
    #[arg(long)]
    json: bool,
    /// Write probe.json and confusion.png to this folder
    #[arg(long, value_name = "DIR", group = "files")]
    out: Option<PathBuf>,
    /// Draw the judged images' features in the plane of their first two principal components, coloured by class
    #[arg(long, value_name = "FILE.svg", group = "files")]
    scatter: Option<PathBuf>,
    /// Replace these files if they are there
    #[arg(long, requires = "files")]
    overwrite: bool,
    /// Threads; does not change a single bit of the result [default: one a core]
    #[arg(long)]
    threads: Option<usize>,
    #[command(flatten)]
    device: DeviceFlags,
}

/// Probes and prints.
pub(crate) fn run(args: &Args) -> Result<()> {
    super::start_threads(args.threads)?;
    let folder = Folder::new(args.out.as_deref(), args.overwrite, &["probe.json", "confusion.png"])?;
    if let Some(path) = &args.scatter {
        check_out_file("--scatter", path, &["svg"], args.overwrite)?;
    }
    let bar = ImagesBar::new();
    let (report, judged) = probe(&args.ask()?, &bar)?;
    drop(bar);
    super::stderr::notes(&report.notes);
    let json = super::json(&report)?;
    let reached = report.judged();
    let names: Vec<String> = reached.per_class.iter().map(|class| class.class.clone()).collect();
    let on =
        format!("{} {} images", reached.images, if report.test.is_some() { "test" } else { "validation" });
    let of = format!("{} ({} encoder)", report.checkpoint.display(), report.encoder);
    if let Some(folder) = folder {
        let title = format!("Linear probe of {of} on {on}: {:.1} % right", 100.0 * reached.top1);
        folder.write("probe.json", json.as_bytes())?;
        folder
            .write("confusion.png", &confusion::draw(&judged.metrics.confusion, &names, &title, "images")?)?;
    }
    if let Some(path) = &args.scatter {
        let title = format!("Features of {on} by {of}, pooling {}", choice_name(&report.pool));
        write_atomic(path, scatter::draw(&judged.set, &names, &title)?.as_bytes())?;
    }
    if args.json {
        outln!("{json}");
    } else {
        print(&report);
    }
    Ok(())
}

impl Args {
    fn ask(&self) -> Result<Probing> {
        let labelled = self.labelled.over_environment()?;
        Ok(Probing {
            checkpoint: self.checkpoint.clone(),
            data: labelled.data,
            format: labelled.format,
            skip_bad_images: labelled.skip_bad_images,
            label_share: self.labels,
            val_fraction: self.val_fraction,
            pooling: self.pool,
            random_encoder: self.random_encoder,
            optimizer: self.optimizer,
            epochs: self.epochs,
            warmup_epochs: self.warmup_epochs,
            batch_size: self.batch_size,
            blr: self.blr,
            sweep: self.sweep,
            seed: self.seed,
            knn: self.knn.then_some(Knn { k: self.k, temperature: self.temperature }),
            offloading: self.device.offloading()?,
        })
    }
}

fn print(report: &ProbeReport) {
    let probe = &report.probe;
    outln!("checkpoint  {}, step {}", report.checkpoint.display(), report.step);
    outln!(
        "encoder     {}; {} features an image, pooling {}",
        report.encoder,
        report.width,
        choice_name(&report.pool)
    );
    outln!("data        {}", report.data);
    outln!(
        "training    {} images, {}, {} epochs, batch {}, blr {} (lr {:.3})",
        report.train_images,
        choice_name(&probe.optimizer),
        probe.epochs,
        probe.batch_size,
        probe.blr,
        probe.schedule().lr
    );
    for Trial { blr, reached } in &report.sweep {
        let chosen = if *blr == probe.blr { "  chosen" } else { "" };
        let reached = reached.map(|Reached { top1, cross_entropy }| {
            format!("validation top-1 {:>6.2} %, cross-entropy {cross_entropy:.4}{chosen}", 100.0 * top1)
        });
        outln!("  blr {blr:<8} {}", reached.as_deref().unwrap_or("the weights did not stay finite"));
    }
    outln!();
    let sets = [("linear probe, validation", &report.validation), ("linear probe, test", &report.test)];
    let mut sets: Vec<(String, &Summary)> =
        sets.into_iter().filter_map(|(name, summary)| Some((name.to_owned(), summary.as_ref()?))).collect();
    if let Some(knn) = &report.knn {
        let on = if report.test.is_some() { "test" } else { "validation" };
        sets.push((format!("{}-NN, {on}", knn.k), &knn.summary));
    }
    print_table(&Summary::table(sets.iter().map(|(name, summary)| (name.as_str(), *summary))));
    outln!("\nJudged on {}.", report.judged_on);
    print_skipped(&report.skipped);
}
