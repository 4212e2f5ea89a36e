//! A bare file of weights under the reference's names: the architecture follows from the shapes.

use super::{Architecture, Inspection, Provenance, Row, Transformer, digest, rows};
use crate::base::{Error, Result};
use crate::checkpoint::tensors::{self, File};
use crate::mae::{Encoder, Mae, MaeConfig};
use crate::optim::groups;
use crate::params::Params;
use std::collections::BTreeSet;
use std::path::Path;

/// How many names an error lists.
const LISTED: usize = 3;

pub(super) fn inspect(path: &Path) -> Result<Inspection> {
    let file = File::open(path)?;
    let names: BTreeSet<String> = file.names().into_iter().collect();
    let whole = names.contains("mask_token");
    let config = config(&file, &names, whole)?;
    // Before anything is made: shapes that promise more than the file holds must not fill the memory.
    let mut stored: usize = 0;
    for name in &names {
        stored = stored.saturating_add(file.shape(name)?.iter().product());
    }
    let counts = config.parameters();
    let expected = if whole { counts.all } else { counts.encoder };
    if stored != expected {
        let expected = format!("{expected} numbers, as the shapes of its first block make it");
        return Err(Error::input(path, "tensors", expected, stored));
    }
    let tensors = if whole {
        loaded_rows(&file, Mae::new(config.clone()), &config)?
    } else {
        loaded_rows(&file, Encoder::new(&config), &config)?
    };
    let side = config.num_patches().isqrt();
    let square = side * side == config.num_patches();
    let part = |width, depth| Transformer { width, depth, heads: None, hidden: config.hidden(width) };
    Ok(Inspection {
        path: path.to_path_buf(),
        architecture: Architecture {
            kind: if whole { "masked autoencoder" } else { "encoder of a masked autoencoder" },
            img_size: square.then(|| [side * config.patch_size; 2]),
            in_chans: config.in_chans,
            patch_size: config.patch_size,
            num_patches: config.num_patches(),
            encoder: part(config.embed_dim, config.depth),
            decoder: whole.then(|| part(config.decoder_embed_dim, config.decoder_depth)),
            norm_pix_loss: None,
            classes: Vec::new(),
            parameters: stored,
            encoder_parameters: counts.encoder,
            trained: tensors.iter().filter(|row| row.trained).map(|row| row.stats.count).sum(),
        },
        provenance: Provenance {
            weights_checksum: digest(file.checksum()?),
            metadata: file.metadata(),
            ..Provenance::default()
        },
        tensors,
    })
}

fn loaded_rows(file: &File, mut model: impl Params<f32>, config: &MaeConfig) -> Result<Vec<Row>> {
    let slots = model.tensors_mut().into_iter().map(|t| (t.name, t.shape, t.data)).collect();
    tensors::load_into(file, slots)?;
    Ok(rows(&model, &groups::pretraining(&model, 1.0), config.depth))
}

/// The architecture that the shapes tell. Heads leave no trace in them; one is put in their place.
fn config(file: &File, names: &BTreeSet<String>, whole: bool) -> Result<MaeConfig> {
    let telling = ["cls_token", "pos_embed", "patch_embed.proj.weight", "blocks.0.mlp.fc1.weight"];
    if let Some(missing) = telling.iter().find(|name| !names.contains(**name)) {
        let mut some: Vec<&str> = names.iter().map(String::as_str).take(LISTED).collect();
        if names.len() > LISTED {
            some.push("…");
        }
        let expected = format!("the reference's names, among them {missing}");
        return Err(Error::input(file.path(), "tensors", expected, some.join(", ")));
    }
    let sides = |name: &str, count: usize| -> Result<Vec<usize>> {
        let shape = file.shape(name)?;
        let right = shape.len() == count && !shape.contains(&0);
        let expected = format!("{count} dimensions, none of them 0");
        if right {
            Ok(shape.to_vec())
        } else {
            Err(Error::input(file.path(), name, expected, format!("{shape:?}")))
        }
    };
    let kernel = sides("patch_embed.proj.weight", 4)?;
    let places = sides("pos_embed", 3)?[1] - 1;
    let (embed_dim, patch_size) = (kernel[0], kernel[2]);
    let hidden = sides("blocks.0.mlp.fc1.weight", 2)?[0];
    let decoder_embed_dim = if whole { sides("mask_token", 3)?[2] } else { embed_dim };
    let depth = |prefix: &str| {
        let block = |name: &String| name.strip_prefix(prefix)?.split('.').next()?.parse::<usize>().ok();
        names.iter().filter_map(block).max().map_or(0, |last| last.saturating_add(1))
    };
    let side = places.isqrt();
    let grid = if side * side == places { [side, side] } else { [1, places] };
    let config = MaeConfig {
        img_size: grid.map(|patches| patches.saturating_mul(patch_size)),
        in_chans: kernel[1],
        patch_size,
        embed_dim,
        depth: depth("blocks."),
        num_heads: 1,
        decoder_embed_dim,
        decoder_depth: if whole { depth("decoder_blocks.") } else { 1 },
        decoder_num_heads: 1,
        mlp_ratio: hidden as f64 / embed_dim as f64,
        layer_norm_eps: 1e-6,
        norm_pix_loss: false,
    };
    config.validate().map_err(|error| match error {
        Error::Setting { key, expected, found } => Error::input(file.path(), key, expected, found),
        other => other,
    })?;
    Ok(config)
}
