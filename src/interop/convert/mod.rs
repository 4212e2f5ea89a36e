//! Weights from one program's layout into another's, every tensor accounted for.

mod hf_in;
mod hf_out;
mod keys;
mod open;
mod run_out;
pub mod shapes;
pub mod source;

use crate::base::disk::Os;
use crate::base::out_file::{check_out_file, check_spared};
use crate::base::{Error, Result};
use crate::checkpoint::atomic::replace_on;
use crate::checkpoint::{Layout, dir, renamed, tensors};
use crate::tasks::mae::Config;
use run_out::Imported;
use serde::Serialize;
use source::{About, Architecture, Model, Source};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use toml::Value;

/// What weights are written as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Target {
    /// A .safetensors file with the names of facebookresearch/mae
    Reference,
    /// A folder for Hugging Face's transformers
    Hf,
    /// A .safetensors file with timm's names
    Timm,
    /// A run directory before its first step
    Run,
}

impl Target {
    /// As a flag has it.
    fn name(self) -> &'static str {
        match self {
            Self::Reference => "reference",
            Self::Hf => "hf",
            Self::Timm => "timm",
            Self::Run => "run",
        }
    }
}

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Conversion {
    /// A run directory, a Hugging Face folder or a file.
    pub source: PathBuf,
    /// A folder or a file.
    pub destination: PathBuf,
    /// What it becomes.
    pub to: Target,
    /// Whether decoder, head and pooler are left out.
    pub encoder_only: bool,
    /// Whether an encoder gets a new decoder, which a run needs.
    pub fresh_decoder: bool,
    /// Whether what was written before may be replaced.
    pub overwrite: bool,
    /// What the source does not say.
    pub given: Given,
}

/// What a source may leave open.
#[derive(Clone, Debug, Default)]
pub struct Given {
    /// The preset that has a file's architecture.
    pub preset: Option<String>,
    /// A file of settings that has it.
    pub config: Option<PathBuf>,
    /// Single settings, `section.key` and value.
    pub set: Vec<(String, Value)>,
    /// Mean of the channels of pixels in [0, 1].
    pub mean: Option<Vec<f32>>,
    /// Their standard deviation.
    pub std: Option<Vec<f32>>,
}

/// What was done.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// What was read.
    pub source: PathBuf,
    /// What kind of thing that was.
    pub from: &'static str,
    /// What kind of model it holds.
    pub kind: &'static str,
    /// What was written.
    pub destination: PathBuf,
    /// As what.
    pub to: Target,
    /// Tensors written, as the destination divides them.
    pub tensors: usize,
    /// Numbers written.
    pub parameters: usize,
    /// What was taken off the names of the source: what a wrapper of the model, such as `DistributedDataParallel`, put there.
    pub wrapping: Option<String>,
    /// Tensors of the source that were left out because that was asked for.
    pub left_out: Vec<String>,
    /// What the user should know.
    pub notes: Vec<String>,
}

/// Converts.
///
/// # Errors
/// If the source is not what it should be, the target has no place for all of it, or the destination cannot be written;
/// nothing is written then.
pub fn convert(ask: &Conversion) -> Result<Report> {
    check_destination(ask)?;
    let settings = ask.given.settings()?;
    let mut source = Source::open(&ask.source, settings.as_ref())?;
    let mut left_out = std::mem::take(&mut source.left_out);
    if ask.encoder_only {
        left_out.extend(source.keep_encoder()?);
    }
    ask.given.complete(&mut source.about)?;
    ask.check(&source)?;
    let documents = match ask.to {
        Target::Hf => Some(hf_out::Documents::new(&source.architecture, &source.about)?),
        _ => None,
    };
    let model = source.model()?;
    let kind = source.architecture.kind();
    let mut parameters = model.tensors().iter().map(|tensor| tensor.data.len()).sum();
    let tensors = match (ask.to, &documents) {
        (Target::Hf, Some(documents)) => hf_out::write(&ask.destination, &model, documents)?.len(),
        (Target::Run, _) => {
            let (tensors, numbers) = Imported::new(ask, &source, model, settings)?.write(ask)?;
            parameters = numbers;
            tensors
        }
        _ => write_file(&ask.destination, &model)?,
    };
    let (from, to, destination) = (source.from, ask.to, ask.destination.clone());
    let notes = source.about.note().filter(|_| to == Target::Run).into_iter().collect();
    let wrapping = source.weights.wrapping();
    let source = ask.source.clone();
    Ok(Report { source, from, kind, destination, to, tensors, parameters, wrapping, left_out, notes })
}

impl Conversion {
    /// Refuses what the target has no place for, before anything large is read.
    fn check(&self, source: &Source) -> Result<()> {
        if self.to == Target::Timm && matches!(source.architecture, Architecture::Mae(_)) {
            let expected = "given: timm's models have no decoder";
            return Err(Error::setting("--encoder-only", expected, "absent"));
        }
        if matches!(self.to, Target::Hf | Target::Run) && !source.complete {
            let expected = "the file's architecture: its shapes do not tell the number of heads";
            return Err(Error::setting("--preset or --config", expected, "neither"));
        }
        if self.fresh_decoder
            && !(self.to == Target::Run && matches!(source.architecture, Architecture::Encoder(_)))
        {
            let found = format!("{}, --to {}", source.architecture.kind(), self.to.name());
            return Err(Error::setting("--fresh-decoder", "an encoder alone, --to run", found));
        }
        let architecture_given = self.given.preset.is_some() || self.given.config.is_some();
        if !self.given.set.is_empty() && !architecture_given && self.to != Target::Run {
            let expected = "--to run, or a file whose architecture --preset or --config gives";
            return Err(Error::setting("--set", expected, format!("--to {}", self.to.name())));
        }
        let statistics = self.given.mean.is_some() || self.given.std.is_some();
        if statistics && matches!(self.to, Target::Reference | Target::Timm) {
            let expected = "--to hf or --to run: a file of tensors alone has no place for them";
            return Err(Error::setting("--mean, --std", expected, format!("--to {}", self.to.name())));
        }
        if self.to == Target::Run && source.from == "run" {
            let expected = "reference, hf or timm";
            return Err(Error::setting(
                "--to",
                expected,
                format!("run, which {} is already", self.source.display()),
            ));
        }
        Ok(())
    }
}

impl Given {
    /// The settings that have a file's architecture, if any are given.
    fn settings(&self) -> Result<Option<Config>> {
        if self.preset.is_none() && self.config.is_none() {
            return Ok(None);
        }
        let preset = self.preset.as_deref().unwrap_or(run_out::PRESET);
        let resolved = Config::layered(preset, self.config.as_deref(), &self.set.clone().into())?;
        let mut config = resolved.config;
        // A preset that nobody named says nothing of the pixels that the weights were trained on.
        for (key, numbers) in [("data.mean", &mut config.data.mean), ("data.std", &mut config.data.std)] {
            if self.preset.is_none() && resolved.origins.of(key).starts_with("preset") {
                *numbers = None;
            }
        }
        Ok(Some(config))
    }

    /// Lets flags say mean and standard deviation.
    fn complete(&self, about: &mut About) -> Result<()> {
        for (flag, given, known) in
            [("--mean", &self.mean, &mut about.mean), ("--std", &self.std, &mut about.std)]
        {
            if let Some(numbers) = given {
                if numbers.iter().any(|x| !x.is_finite() || (flag == "--std" && *x <= 0.0)) {
                    return Err(Error::setting(
                        flag,
                        "finite numbers, a standard deviation more than 0",
                        format!("{numbers:?}"),
                    ));
                }
                *known = Some(numbers.clone());
            }
        }
        Ok(())
    }
}

/// Refuses a destination that cannot be meant, before the work: what is converted is not replaced, nor is anything that no
/// conversion wrote.
fn check_destination(ask: &Conversion) -> Result<()> {
    let path = &ask.destination;
    let mut read = vec![dir::find(&ask.source).unwrap_or_else(|_| ask.source.clone())];
    read.extend(ask.given.config.clone());
    check_spared("DST", path, &read, "those that are read")?;
    match ask.to {
        Target::Hf => hf_out::check(path, ask.overwrite),
        Target::Run => run_out::check(path, ask.overwrite),
        Target::Reference | Target::Timm => check_out_file("DST", path, &["safetensors"], ask.overwrite),
    }
}

/// Writes the reference's names, which are timm's. Returns how many tensors there are.
fn write_file(path: &Path, model: &Model) -> Result<usize> {
    let entries = renamed::entries(model.tensors(), Layout::Reference, false);
    let entries = entries.expect("the reference's names are the model's own");
    let (count, about) = (entries.len(), BTreeMap::from([("format".to_owned(), "pt".to_owned())]));
    replace_on(&Os, path, |partial| tensors::write_mixed(&Os, partial, entries, &about))?;
    Ok(count)
}
