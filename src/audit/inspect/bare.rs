//! A bare file of weights under the reference's names: the architecture follows from the shapes.

use super::{Architecture, Inspection, Provenance, Row, Transformer, digest, rows};
use crate::base::{Error, Result};
use crate::checkpoint::tensors::File;
use crate::checkpoint::{Layout, Renamed};
use crate::interop::convert::shapes;
use crate::models::mae::{Encoder, Mae};
use crate::models::vit::Stack;
use crate::optim::groups;
use crate::params::Params;
use std::path::Path;

pub(super) fn inspect(path: &Path) -> Result<Inspection> {
    let file = File::open(path)?;
    let (checksum, metadata) = (file.checksum()?, file.metadata());
    let weights = Renamed::new(file, Layout::Reference)?;
    let mae = weights.contains("mask_token").then(|| shapes::mae(&weights)).transpose()?;
    let config = mae.as_ref().map_or_else(|| shapes::vit(&weights), |mae| Ok(mae.vit()))?;
    // Before anything is made: shapes that promise far more than the file holds must not fill the memory. Less is named by tensor.
    let stored = weights.numbers()?;
    let expected = mae.as_ref().map_or(config.parameters(), |mae| mae.parameters().all);
    if expected / 2 > stored {
        let expected = format!("{expected} numbers, as the shapes of its first block make it");
        return Err(Error::input(path, "tensors", expected, stored));
    }
    let tensors = match &mae {
        Some(mae) => loaded_rows(&weights, Mae::new(mae.clone()), config.depth)?,
        None => loaded_rows(&weights, Encoder::new(&config), config.depth)?,
    };
    let side = config.num_patches().isqrt();
    let square = side * side == config.num_patches();
    let part = |stack: Stack| Transformer { heads: None, ..Transformer::of(stack) };
    Ok(Inspection {
        path: path.to_path_buf(),
        architecture: Architecture {
            kind: if mae.is_some() { "masked autoencoder" } else { "encoder of a masked autoencoder" },
            img_size: square.then(|| [side * config.patch_size; 2]),
            in_chans: config.in_chans,
            patch_size: config.patch_size,
            num_patches: config.num_patches(),
            encoder: part(config.stack()),
            decoder: mae.map(|mae| part(mae.decoder_stack())),
            norm_pix_loss: None,
            classes: Vec::new(),
            parameters: stored,
            encoder_parameters: config.parameters(),
            trained: tensors.iter().filter(|row| row.trained).map(|row| row.stats.count).sum(),
        },
        provenance: Provenance {
            weights_checksum: digest(checksum),
            wrapping: weights.wrapping(),
            metadata,
            ..Provenance::default()
        },
        tensors,
    })
}

fn loaded_rows(weights: &Renamed, mut model: impl Params<f32>, depth: usize) -> Result<Vec<Row>> {
    let slots = model.tensors_mut().into_iter().map(|t| (t.name, t.shape, t.data.write())).collect();
    weights.load_into(slots)?;
    Ok(rows(&model, &groups::pretraining(&model, 1.0), depth))
}
