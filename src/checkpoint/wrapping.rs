//! What wrappers put around the names of a model's tensors, found by the class token, which every model has once.
//!
//! | written by | name of `blocks.0.norm1.bias` |
//! | --- | --- |
//! | `DistributedDataParallel`, `DataParallel` | `module.blocks.0.norm1.bias` |
//! | `torch.compile` | `_orig_mod.blocks.0.norm1.bias`, or `blocks.0._orig_mod.norm1.bias` for a block alone |
//! | a module with the model inside, `Lightning` | `model.blocks.0.norm1.bias`, `encoder.…`, `backbone.…` |
//! | dictionaries laid flat | `state_dict.model.blocks.0.norm1.bias` |
//!
//! Hugging Face's `vit.` is a part of its names, and is not taken off there.

use super::names::{Layout, PREFIX};
use super::tensors::listed;
use crate::base::{Error, Result};
use std::path::Path;

/// Modules that stand for the one inside of them, wherever they are: of `torch.compile`, of `FSDP` and of activation
/// checkpointing. No layer has such a name.
const TRANSPARENT: [&str; 3] = ["_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"];

/// What is taken off the names of a file.
#[derive(Clone, Debug)]
pub(super) struct Wrapping {
    /// In front of the names, with the dot; behind what is transparent.
    prefix: String,
    /// Which of [`TRANSPARENT`] there are.
    transparent: Vec<&'static str>,
}

impl Wrapping {
    /// Of a file with these names.
    ///
    /// # Errors
    /// If there are two models in it, under two prefixes.
    pub(super) fn of(path: &Path, names: &[String], layout: Layout) -> Result<Self> {
        let anchor = match layout {
            Layout::Reference => "cls_token",
            Layout::Hf => "embeddings.cls_token",
        };
        let prefix = |name: &String| {
            let bare = plain(name);
            let prefix = bare.strip_suffix(anchor)?;
            let prefix =
                if layout == Layout::Hf { prefix.strip_suffix(PREFIX).unwrap_or(prefix) } else { prefix };
            (prefix.is_empty() || prefix.ends_with('.')).then(|| prefix.to_owned())
        };
        let prefixes: Vec<String> = names.iter().filter_map(prefix).collect();
        let prefix = match &prefixes[..] {
            [] => String::new(),
            [one] => one.clone(),
            several if several.iter().any(String::is_empty) => String::new(),
            several => {
                let found = listed(&several.iter().map(String::as_str).collect::<Vec<_>>());
                let expected = "those of one model; save the one that is meant by itself";
                return Err(Error::input(path, "tensors", expected, format!("several, under {found}")));
            }
        };
        let there = |part: &&str| names.iter().any(|name| name.split('.').any(|found| found == *part));
        Ok(Self { prefix, transparent: TRANSPARENT.into_iter().filter(there).collect() })
    }

    /// A name without it. One that is not wrapped stays as it is.
    pub(super) fn off(&self, name: &str) -> String {
        let bare = plain(name);
        bare.strip_prefix(&self.prefix).map_or(bare.clone(), str::to_owned)
    }

    /// What is taken off, or none.
    pub(super) fn in_words(&self) -> Option<String> {
        let prefix = Some(self.prefix.clone()).filter(|prefix| !prefix.is_empty());
        let parts: Vec<String> =
            self.transparent.iter().map(|part| format!("{part}.")).chain(prefix).collect();
        (!parts.is_empty()).then(|| parts.join(", "))
    }
}

/// A name without what is transparent.
fn plain(name: &str) -> String {
    name.split('.').filter(|part| !TRANSPARENT.contains(part)).collect::<Vec<_>>().join(".")
}
