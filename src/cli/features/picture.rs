//! `vit-mae features --picture`: what encoders make of a few images, side by side.

use super::Args;
use crate::cli::outln;
use crate::cli::reconstruct::check_picture;
use serde_json::json;
use std::path::{Path, PathBuf};
use vit_mae::Result;
use vit_mae::checkpoint::atomic::write_atomic;
use vit_mae::data::{Image, load_image};
use vit_mae::tasks::pretrained::Pretrained;
use vit_mae::tasks::visualise::sheet::{EncoderMaps, READING, draw};

/// Draws the sheet `out`.
pub(super) fn run(args: &Args, out: &Path) -> Result<()> {
    check_picture("--picture", out, &args.images, args.overwrite)?;
    let load = |path: &PathBuf| Ok((path.display().to_string(), load_image(path)?));
    let images = args.images.iter().map(load).collect::<Result<Vec<(String, Image)>>>()?;
    let (mut all, mut about, mut note) = (Vec::new(), Vec::new(), Vec::new());
    for (path, name) in args.checkpoint.iter().zip(names(&args.checkpoint)) {
        let pretrained = Pretrained::open(path)?;
        let engine = args.device.engine(pretrained.run.gemm)?;
        let maps =
            EncoderMaps::new(name.clone(), &pretrained.encoder, &pretrained.input(), &images, &engine)?;
        let (vit, task, step) = (pretrained.vit(), pretrained.task, pretrained.checkpoint.state.step);
        let dir = &pretrained.checkpoint.dir;
        note.push(format!("{name}: {task}, {}, step {step}.", dir.display()));
        about.push(json!({
            "name": name, "task": task, "checkpoint": dir, "step": step, "heads": vit.num_heads, "grid": [maps.grid.0, maps.grid.1],
        }));
        all.push(maps);
    }
    note.push(READING.to_owned());
    let titles: Vec<String> = args.images.iter().map(last_part).collect();
    write_atomic(out, &draw(&all, &titles, &note.join(" "))?)?;
    if args.json {
        outln!("{}", json!({ "picture": out, "images": args.images, "checkpoints": about }));
    } else {
        outln!("{}", out.display());
    }
    Ok(())
}

/// What checkpoints are called below their pictures: their folders' names, with numbers if two are the same.
fn names(checkpoints: &[PathBuf]) -> Vec<String> {
    let run = |path: &PathBuf| match path.file_name() {
        Some(name) if name == "checkpoint" => path.parent().map_or(String::new(), last_part),
        _ => last_part(path),
    };
    let names: Vec<String> = checkpoints.iter().map(run).collect();
    let twice = names.iter().enumerate().any(|(i, name)| names[..i].contains(name));
    let numbered = |(i, name): (usize, String)| if twice { format!("{} {name}", i + 1) } else { name };
    names.into_iter().enumerate().map(numbered).collect()
}

/// The file's or folder's own name.
fn last_part(path: impl AsRef<Path>) -> String {
    let path = path.as_ref();
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}
