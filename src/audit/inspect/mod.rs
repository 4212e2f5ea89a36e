//! What a checkpoint is: architecture, every tensor with its role and statistics, and where it comes from.

mod bare;
pub mod stats;

use crate::base::Result;
use crate::checkpoint::{Checkpoint, State, dir, keep};
use crate::config::Settings;
use crate::models::vit::Stack;
use crate::optim::groups::{self, Group};
use crate::params::{Params, Role, Tensor};
use crate::tasks::{self, WithTask};
use crate::train::task::{self, Task};
use serde::Serialize;
use stats::Stats;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// All that is known of a checkpoint.
#[derive(Clone, Debug, Serialize)]
pub struct Inspection {
    /// The folder or file.
    pub path: PathBuf,
    /// The architecture; a bare file does not tell all of it.
    pub architecture: Architecture,
    /// Where it comes from; nothing is known of a bare file but what its own metadata say.
    pub provenance: Provenance,
    /// Every tensor, in the order of the model.
    pub tensors: Vec<Row>,
}

/// The architecture, as far as it is known.
#[derive(Clone, Debug, Serialize)]
pub struct Architecture {
    /// What kind of model it is.
    pub kind: &'static str,
    /// Height and width; unknown where a bare file's patches make no square.
    pub img_size: Option<[usize; 2]>,
    /// Channels.
    pub in_chans: usize,
    /// Side of a patch.
    pub patch_size: usize,
    /// Patches of an image.
    pub num_patches: usize,
    /// The encoder.
    pub encoder: Transformer,
    /// The decoder; an encoder may come alone.
    pub decoder: Option<Transformer>,
    /// Whether the target is normalised patch by patch; unknown for a bare file.
    pub norm_pix_loss: Option<bool>,
    /// The names of the classes that a classifier tells apart.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub classes: Vec<String>,
    /// All parameters.
    pub parameters: usize,
    /// Those that are trained: all but position tables.
    pub trained: usize,
    /// Those of the encoder, its position table included.
    pub encoder_parameters: usize,
}

/// One stack of blocks.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Transformer {
    /// Width.
    pub width: usize,
    /// Blocks.
    pub depth: usize,
    /// Heads; not visible in the shapes of a bare file.
    pub heads: Option<usize>,
    /// Hidden width of the MLPs.
    pub hidden: usize,
}

impl Transformer {
    fn of(stack: Stack) -> Self {
        Self { width: stack.width, depth: stack.depth, heads: Some(stack.heads), hidden: stack.hidden() }
    }
}

/// Where a checkpoint comes from.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Provenance {
    /// The program that wrote it, with its version.
    pub program: Option<String>,
    /// Optimiser steps done.
    pub step: Option<u64>,
    /// Whole epochs done.
    pub epoch: Option<u64>,
    /// The seed.
    pub seed: Option<u64>,
    /// CRC-32 of the settings.
    pub config_digest: Option<String>,
    /// CRC-32 of the data set.
    pub data_digest: Option<String>,
    /// CRC-32 of the file of weights.
    pub weights_checksum: String,
    /// The last losses: training, validation.
    pub losses: Vec<(&'static str, f64)>,
    /// What was taken off the names in the file of weights: what a wrapper of the model put there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wrapping: Option<String>,
    /// What the file of weights says of itself.
    pub metadata: BTreeMap<String, String>,
    /// The checkpoints of the same run, oldest first, this one included.
    pub chain: Vec<Link>,
}

/// A checkpoint of a run.
#[derive(Clone, Debug, Serialize)]
pub struct Link {
    /// Its folder.
    pub path: PathBuf,
    /// Steps done, or none if its state cannot be read.
    pub step: Option<u64>,
    /// CRC-32 of its weights.
    pub weights_checksum: Option<String>,
}

/// One tensor.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// The reference's name.
    pub name: String,
    /// What it is for.
    pub role: &'static str,
    /// The checkpoint's shape.
    pub shape: Vec<usize>,
    /// Whether training changes it.
    pub trained: bool,
    /// Whether weight decay falls on it.
    pub decayed: bool,
    /// The factor on its learning rate.
    pub lr_scale: f64,
    /// Its layer for layer-wise learning rates, `decay^(depth + 1 − layer)`; none outside the encoder.
    pub layer: Option<usize>,
    /// Its values.
    pub stats: Stats,
}

/// Inspects a run directory, a checkpoint folder or a bare file of weights.
///
/// # Errors
/// If there is none, it is damaged, or its tensors are not those of a masked autoencoder, its encoder or a
/// classifier.
pub fn inspect(path: &Path) -> Result<Inspection> {
    if path.is_file() { bare::inspect(path) } else { checkpoint(path) }
}

fn checkpoint(path: &Path) -> Result<Inspection> {
    let checkpoint = Checkpoint::open(path)?;
    let (settings, state) = (checkpoint.state.config_toml.clone(), checkpoint.dir.join(dir::STATE));
    tasks::with_task_of(&settings, &state, Inspecting(checkpoint))
}

/// An inspection of a checkpoint whose task is known.
struct Inspecting(Checkpoint);

impl WithTask for Inspecting {
    type Output = Inspection;

    fn run<T: Task>(self) -> Result<Inspection> {
        let Self(checkpoint) = self;
        let mut config = T::Config::from_toml(&checkpoint.state.config_toml, &checkpoint.dir)?;
        let model = T::load(&checkpoint.model, &config)?;
        // Decay falls on a tensor or not, whether or not this run has any.
        config.optim_mut().weight_decay = 1.0;
        let groups = T::groups(&config, &model);
        let task::Architecture { kind, encoder, decoder, norm_pix_loss, classes } = T::architecture(&config);
        let architecture = Architecture {
            kind,
            img_size: Some(encoder.img_size),
            in_chans: encoder.in_chans,
            patch_size: encoder.patch_size,
            num_patches: encoder.num_patches(),
            encoder: Transformer::of(encoder.stack()),
            decoder: decoder.map(Transformer::of),
            norm_pix_loss,
            classes,
            parameters: model.count(),
            trained: groups.iter().filter(|group| group.trained).map(|group| group.len).sum(),
            encoder_parameters: encoder.parameters(),
        };
        let tensors = rows(&model, &groups, encoder.depth);
        Ok(Inspection { provenance: provenance(&checkpoint)?, path: checkpoint.dir, architecture, tensors })
    }
}

/// Where a checkpoint comes from.
fn provenance(checkpoint: &Checkpoint) -> Result<Provenance> {
    let State { step, epoch, seed, config_digest, data_digest, checksums, history, program, .. } =
        &checkpoint.state;
    let last = history.last();
    let losses = last.map(|r| ("training", r.train_loss)).into_iter();
    let losses = losses.chain(last.and_then(|r| r.score("loss")).map(|loss| ("validation", loss)));
    Ok(Provenance {
        program: Some(program.clone()),
        step: Some(*step),
        epoch: Some(*epoch),
        seed: Some(*seed),
        config_digest: Some(digest(*config_digest)),
        data_digest: Some(digest(*data_digest)),
        weights_checksum: digest(checksums.model),
        losses: losses.collect(),
        wrapping: None,
        metadata: checkpoint.model.metadata(),
        chain: chain(&checkpoint.dir)?,
    })
}

/// A row for each tensor.
fn rows(model: &impl Params<f32>, groups: &[Group], depth: usize) -> Vec<Row> {
    let row = |(tensor, group): (Tensor<f32>, &Group)| Row {
        role: role(tensor.role),
        trained: group.trained,
        decayed: group.trained && group.weight_decay > 0.0,
        lr_scale: group.lr_scale,
        layer: groups::layer_id(&tensor.name, depth),
        stats: Stats::of(tensor.data),
        name: tensor.name,
        shape: tensor.shape,
    };
    model.tensors().into_iter().zip(groups).map(row).collect()
}

fn role(role: Role) -> &'static str {
    match role {
        Role::Weight => "weight",
        Role::Bias => "bias",
        Role::Norm => "norm",
        Role::Token => "token",
        Role::Position => "position",
        Role::Buffer => "buffer",
    }
}

/// A CRC-32 as it is written everywhere.
fn digest(crc: u32) -> String {
    format!("{crc:08x}")
}

/// The checkpoints of the run that `dir` belongs to.
fn chain(dir: &Path) -> Result<Vec<Link>> {
    let around = dir.parent().filter(|around| !around.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let run = if around.ends_with(keep::OLDER) { around.parent().unwrap_or(around) } else { around };
    let mut folders: Vec<PathBuf> = keep::older(run)?.into_iter().map(|(_, folder)| folder).collect();
    folders.extend([dir::PREVIOUS, dir::NAME].map(|name| run.join(name)));
    if !folders.iter().any(|folder| folder == dir) {
        folders = vec![dir.to_path_buf()]; // a checkpoint under another name stands alone
    }
    let link = |path: PathBuf| {
        let state = State::read(&path.join(dir::STATE)).ok();
        let weights_checksum = state.as_ref().map(|state| digest(state.checksums.model));
        Link { step: state.map(|state| state.step), weights_checksum, path }
    };
    Ok(folders.into_iter().filter(|folder| folder.join(dir::STATE).exists()).map(link).collect())
}
