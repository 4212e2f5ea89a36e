//! Parity: recorded tensors of the PyTorch reference, computed again and compared one by one.
//!
//! A recording is a safetensors file whose metadata says what it is (`docs/audit.md` has the format, and a
//! script that records one). Everything that the file's configuration promises must be in it and must agree,
//! and everything that is in it must be known: nothing is ever skipped.

mod adamw_steps;
mod beit;
mod comparison;
mod dense;
mod detect;
mod detect_post;
mod intermediates;
mod kmeans;
mod linprobe;
mod mae;
mod metadata;
mod moco;
mod optim;
mod recording;
mod segment;
mod tables;
mod tolerance;
mod twocrop;
mod vit;

pub use comparison::{Comparison, Row, Verdict};

use crate::base::{Real, Result};
use recording::Recording;
use std::path::Path;

/// Replays a recording in the precision in which it was made, and compares.
///
/// # Errors
/// If the file is not a whole and well-formed recording: not safetensors, cut short, metadata missing or
/// contradictory, an input missing, a shape that is not the configuration's, a value that is not finite. What
/// differs, is missing among the results or is unknown is not an error but a row of the comparison.
pub fn compare(path: &Path) -> Result<Comparison> {
    let recording = Recording::open(path)?;
    let bytes = recording.find("kind").is_some_and(|kind| kind == "twocrop");
    match recording.text("dtype")?.as_str() {
        "f32" if !bytes => replay::<f32>(recording),
        "f64" if !bytes => replay::<f64>(recording),
        "u8" if bytes => replay::<f64>(recording), // which holds bytes exactly
        other => {
            let expected = if bytes { "`u8`" } else { "`f32` or `f64`" };
            Err(recording.wrong("dtype", expected, format!("`{other}`")))
        }
    }
}

/// A kind's name and how to replay it.
type Replay<F> = fn(&mut Recording<F>) -> Result<()>;

fn replay<F: Real>(recording: Recording) -> Result<Comparison> {
    let kinds: &[(&str, Replay<F>)] = &[
        ("mae", mae::replay),
        ("vit", vit::replay),
        ("beit", beit::replay),
        ("kmeans", kmeans::replay),
        ("moco", moco::replay),
        ("segment", segment::upernet),
        ("segment_linear", segment::linear),
        ("denseops", dense::replay),
        ("detect", detect::replay),
        ("detect_post", detect_post::replay),
        ("optim_adamw", optim::adamw),
        ("optim_lars", optim::lars),
        ("linprobe", linprobe::replay),
        ("posembed", tables::position_tables),
        ("posinterp", tables::interpolation),
        ("twocrop", twocrop::replay),
    ];
    let kind = recording.text("kind")?;
    let Some((_, run)) = kinds.iter().find(|(name, _)| *name == kind) else {
        let names: Vec<_> = kinds.iter().map(|(name, _)| *name).collect();
        return Err(recording.wrong("kind", format!("one of {}", names.join(", ")), format!("`{kind}`")));
    };
    let mut recording = recording.typed::<F>();
    run(&mut recording)?;
    Ok(recording.finish())
}
