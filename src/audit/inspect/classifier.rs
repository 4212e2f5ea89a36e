//! A fine-tuned classifier's checkpoint.

use super::{Architecture, Inspection, Transformer, provenance, rows};
use crate::base::Result;
use crate::optim::groups;
use crate::params::Params;
use crate::tasks::classify;
use std::path::Path;

pub(super) fn inspect(path: &Path) -> Result<Inspection> {
    let (model, config, checkpoint) = classify::load(path)?;
    let (c, transfer) = (&config.model, &config.finetune);
    let vit = c.vit();
    let groups = groups::finetuning(&model, 1.0, transfer.layer_decay, c.depth, transfer.tune_blocks);
    let architecture = Architecture {
        kind: "classifier",
        img_size: Some(c.img_size),
        in_chans: c.in_chans,
        patch_size: c.patch_size,
        num_patches: vit.num_patches(),
        encoder: Transformer::of(vit.stack()),
        decoder: None,
        norm_pix_loss: None,
        classes: transfer.classes.clone(),
        parameters: model.count(),
        trained: groups.iter().filter(|group| group.trained).map(|group| group.len).sum(),
        encoder_parameters: vit.parameters(),
    };
    let tensors = rows(&model, &groups, c.depth);
    Ok(Inspection { provenance: provenance(&checkpoint)?, path: checkpoint.dir, architecture, tensors })
}
