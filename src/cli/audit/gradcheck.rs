//! `vit-mae audit gradcheck`.

use super::gradcheck_print::{Section, kill_matrix, print_directions, print_sections};
use super::junit::{Case, JUnit, Suite, Verdict};
use super::ticker::Ticker;
use crate::cli::settings::assignments;
use crate::cli::{outln, start_threads};
use serde_json::json;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use vit_mae::audit::budget;
use vit_mae::audit::checks::{self, Kind};
use vit_mae::audit::directions::{Direction, Directions};
use vit_mae::audit::model::{self, Subject};
use vit_mae::audit::mutants::{self, KillMatrix};
use vit_mae::audit::{GradCheck, Report};
use vit_mae::exec::Backend;
use vit_mae::exec::device::Device;
use vit_mae::exec::engine::{Engine, Offloading};
use vit_mae::mae::masking::len_keep;
use vit_mae::tasks::Config;
use vit_mae::tasks::mae::{load, presets};
use vit_mae::{Error, Result};

const EXAMPLES: &str = "\
Examples:
  vit-mae audit gradcheck                              every layer and the whole model at small, awkward sizes
  vit-mae audit gradcheck --layer attention            one layer
  vit-mae audit gradcheck --preset nano                a whole model, 40 elements of each tensor
  vit-mae audit gradcheck --config my.toml --layer blocks.0.attn
  vit-mae audit gradcheck --checkpoint runs/0001       at trained weights, converted to f64
  vit-mae audit gradcheck --preset vit-base --directions 3
  vit-mae audit gradcheck --mutants                    plant bugs and see which check catches which
  vit-mae audit gradcheck --mutants --layer attention  those that the checks of a layer come across

Without a model, every check asks one of three questions: is backward the derivative of forward (gradient), is \
⟨Ax, y⟩ = ⟨x, Aᵀy⟩ (adjoint), is forward its formula (formula). The error of a gradient is \
max |a − n| / (max |n| + 0.001) over a tensor, analytic against difference quotient with h = 1e-5; it may be 1e-6.

Exit codes: 0 everything agrees, 1 something does not or a bug survives, 2 bad usage, or too large a model.";

/// The name of a JUnit report.
const AUDIT: &str = "vit-mae audit gradcheck";

/// Flags of `vit-mae audit gradcheck`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Check this layer only; repeatable. An unknown name lists the known ones
    #[arg(long, value_name = "NAME")]
    layer: Vec<String>,
    /// Check a whole untrained model: nano, cifar, photo, vit-tiny, vit-base, vit-large, vit-huge
    #[arg(long)]
    preset: Option<String>,
    /// A TOML file with settings to change; checks the model that it describes
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Change any setting of that model, for example `model.depth=2`; repeatable
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Check a trained model: a run directory, or the checkpoint in it
    #[arg(long, value_name = "DIR", conflicts_with_all = ["preset", "config", "set"])]
    checkpoint: Option<PathBuf>,
    /// Move all weights of a layer in K random directions, with a Taylor test, instead of single elements
    #[arg(long, value_name = "K")]
    directions: Option<usize>,
    /// With --directions: where large products run, in f64: cpu, cuda[:N] or auto [default: cpu]
    #[arg(long, value_name = "DEVICE", requires = "directions")]
    device: Option<Device>,
    /// Elements of each tensor that are differenced, chosen at random
    #[arg(long, value_name = "N", default_value_t = 40, conflicts_with = "directions")]
    elements: usize,
    /// Images that a whole model is checked on
    #[arg(long, value_name = "N", default_value_t = 2)]
    images: usize,
    /// Plant bugs one at a time and print which check catches which; with --layer those that its checks come across
    #[arg(long, conflicts_with_all = ["preset", "config", "set", "checkpoint", "directions", "seed"])]
    mutants: bool,
    /// Decides weights, inputs, elements and directions
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Threads; does not change a single bit of the result [default: one a core]
    #[arg(long)]
    threads: Option<usize>,
    /// One JSON document
    #[arg(long)]
    json: bool,
    /// Also write a JUnit report, for CI systems; an earlier one is replaced
    #[arg(long, value_name = "FILE.xml")]
    junit: Option<PathBuf>,
}

/// Checks, prints, and fails if anything is wrong.
pub(crate) fn run(args: &Args) -> Result<()> {
    start_threads(args.threads)?;
    for (flag, count) in [
        ("--elements", args.elements),
        ("--images", args.images),
        ("--directions", args.directions.unwrap_or(1)),
    ] {
        if count == 0 || count > 1 << 20 {
            return Err(Error::setting(flag, "1 to 1048576", count));
        }
    }
    let junit = JUnit::new(args.junit.as_deref())?;
    if args.mutants {
        known_layers(&args.layer)?;
        return plant(args, junit.as_ref());
    }
    let whole_model = args.preset.is_some() || args.config.is_some() || !args.set.is_empty();
    if whole_model || args.checkpoint.is_some() || args.directions.is_some() {
        return check_model(args, junit.as_ref());
    }
    check_layers(args, junit.as_ref())
}

/// Refuses a layer that no check knows.
fn known_layers(layers: &[String]) -> Result<()> {
    let known = checks::layers();
    match layers.iter().find(|layer| !known.contains(&layer.as_str())) {
        Some(unknown) => Err(Error::setting("--layer", format!("one of {}", known.join(", ")), unknown)),
        None => Ok(()),
    }
}

/// The built-in checks.
fn check_layers(args: &Args, junit: Option<&JUnit>) -> Result<()> {
    known_layers(&args.layer)?;
    let wanted = |layer: &str| args.layer.is_empty() || args.layer.iter().any(|wanted| wanted == layer);
    let check = GradCheck { seed: args.seed, elements: args.elements, ..GradCheck::default() };
    let section = |c: &checks::Check| {
        let started = Instant::now();
        let report = (c.run)(&check);
        Section { name: c.name(), layer: c.layer.to_owned(), kind: c.kind, took: started.elapsed(), report }
    };
    let sections: Vec<Section> = checks::ALL.iter().filter(|c| wanted(c.layer)).map(section).collect();
    if let Some(junit) = junit {
        let suite =
            |s: &Section| Suite::new(s.name.clone(), s.took, cases(String::new(), &s.report).collect());
        junit.write(AUDIT, &sections.iter().map(suite).collect::<Vec<_>>())?;
    }
    conclude(args, None, &sections)
}

/// A whole model.
fn check_model(args: &Args, junit: Option<&JUnit>) -> Result<()> {
    let (trained, config, what) = if let Some(dir) = &args.checkpoint {
        let (model, config, _) = load::load(dir)?;
        (Some(model), config, format!("{}, trained weights", dir.display()))
    } else {
        let preset = args.preset.as_deref().unwrap_or(presets::DEFAULT);
        let config = Config::resolve(preset, args.config.as_deref(), assignments(&args.set)?)?;
        let name = args.config.as_ref().map_or_else(|| preset.to_owned(), |path| path.display().to_string());
        (None, config, format!("{name}, initial weights with noise"))
    };
    // What it would take is known before anything is made.
    let layers = model::select(&config.model, &args.layer)?;
    if args.directions.is_none() {
        budget::differences(&config, &layers, args.elements, args.images)?;
    }
    let keep = len_keep(config.model.num_patches(), config.mask.mask_ratio);
    budget::memory(&config.model, keep, args.images)?;
    let subject = match trained {
        Some(model) => Subject::trained(&model, &config, args.images, args.seed),
        None => Subject::untrained(&config, args.images, args.seed),
    };
    let (ticker, started) = (Ticker::new(layers.len()), Instant::now());
    let write = |cases: Vec<Case>| match junit {
        Some(junit) => junit.write(AUDIT, &[Suite::new(what.clone(), started.elapsed(), cases)]),
        None => Ok(()),
    };
    if let Some(count) = args.directions {
        let device = args.device.unwrap_or_default();
        let engine = Engine::open(Backend::default(), Offloading { device, ..Offloading::default() })?;
        let settings = Directions { count, seed: args.seed, engine, ..Directions::default() };
        let found = subject.directions(&settings, &layers, &|| ticker.tick());
        drop(ticker);
        settings.engine.check()?;
        if found.is_empty() {
            return Err(Error::setting("--layer", "a layer that is trained", args.layer.join(", ")));
        }
        write(found.iter().flat_map(|(layer, all)| along(layer, all)).collect())?;
        return print_directions(args.json, &what, &found);
    }
    let check = GradCheck { seed: args.seed, elements: args.elements, ..GradCheck::default() };
    let found = subject.elements(&check, &layers, &|| ticker.tick());
    drop(ticker);
    write(found.iter().flat_map(|(layer, report)| cases(format!("{layer}: "), report)).collect())?;
    let section = |(layer, report): (String, _)| Section {
        name: layer.clone(),
        layer,
        kind: Kind::Gradient,
        took: Duration::ZERO,
        report,
    };
    let sections: Vec<Section> = found.into_iter().map(section).collect();
    conclude(args, Some(&what), &sections)
}

fn conclude(args: &Args, what: Option<&str>, sections: &[Section]) -> Result<()> {
    let passed = sections.iter().all(|section| section.report.passed());
    if args.json {
        let document = json!({ "passed": passed, "model": what, "seed": args.seed, "checks": sections });
        outln!("{document}");
    } else {
        print_sections(what, sections);
    }
    if passed {
        return Ok(());
    }
    let wrong = sections.iter().filter(|section| !section.report.passed());
    let names: Vec<&str> = wrong.map(|section| section.name.as_str()).collect();
    Err(Error::CheckFailed(format!("the check failed for {}", names.join("; "))))
}

/// A case for each tensor.
fn cases(prefix: String, report: &Report) -> impl Iterator<Item = Case> {
    report.rows.iter().map(move |row| {
        let wrong = || format!("error {:.1e}, at most {:.0e} is allowed", row.error, report.tolerance);
        let verdict = Verdict::of(report.agrees(row), wrong);
        Case { name: format!("{prefix}{}", row.tensor), verdict }
    })
}

/// A case for each direction of a layer.
fn along<'a>(layer: &'a str, all: &'a [Direction]) -> impl Iterator<Item = Case> + 'a {
    all.iter().enumerate().map(move |(i, direction)| {
        let Direction { error, slope, passed, .. } = direction;
        let slope = slope.map_or("-".to_owned(), |slope| format!("{slope:.2}"));
        let verdict = Verdict::of(*passed, || format!("error {error:.1e}, slope of the remainder {slope}"));
        Case { name: format!("{layer}: direction {}", i + 1), verdict }
    })
}

/// A case for each bug, and one for each reason why the others mean nothing.
fn fates(matrix: &KillMatrix) -> Vec<Case> {
    let invalid =
        |name: &String, why: &str| Case { name: name.clone(), verdict: Verdict::Error(why.to_owned()) };
    let stale = matrix.stale.iter().map(|bug| invalid(bug, "could not be planted"));
    let alarms = matrix.false_alarms.iter().map(|check| invalid(check, "fails without a bug"));
    let fate = |fate: &mutants::Fate| Case {
        name: format!("{}: {}", fate.file, fate.bug),
        verdict: Verdict::of(fate.died(), || "no check caught it".to_owned()),
    };
    stale.chain(alarms).chain(matrix.bugs.iter().map(fate)).collect()
}

/// Bugs, one at a time.
fn plant(args: &Args, junit: Option<&JUnit>) -> Result<()> {
    let (ticker, started) = (Ticker::new(mutants::bugs::all().len()), Instant::now());
    let some = !args.layer.is_empty();
    let matrix = mutants::run(&args.layer, &|| ticker.tick());
    drop(ticker);
    if let Some(junit) = junit {
        let suite = Suite::new("planted bugs".to_owned(), started.elapsed(), fates(&matrix));
        junit.write(AUDIT, &[suite])?;
    }
    let sound = matrix.stale.is_empty() && matrix.false_alarms.is_empty();
    let passed = matrix.passed() || (some && sound);
    if args.json {
        outln!("{}", json!({ "passed": passed, "matrix": matrix }));
    } else {
        kill_matrix(&matrix, some);
    }
    if passed {
        return Ok(());
    }
    let count = matrix.survivors().count();
    let problem = match (matrix.stale.len(), matrix.false_alarms.len()) {
        (0, 0) => format!("no check caught {count} of the planted bugs"),
        (0, _) => format!("without a bug these checks fail: {}", matrix.false_alarms.join("; ")),
        (_, _) => format!("could not plant: {}", matrix.stale.join("; ")),
    };
    Err(Error::CheckFailed(problem))
}
