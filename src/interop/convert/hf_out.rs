//! Writing a Hugging Face folder that `transformers` loads strictly: weights, `config.json`, `preprocessor_config.json`.

use super::hf_in::{BICUBIC, CONFIG, FULL, PREPROCESSOR};
use super::source::{About, Architecture, Model};
use crate::base::disk::{Disk, Os};
use crate::base::{Error, Result};
use crate::checkpoint::atomic::{parent, partial_name, sync_dir, write_synced};
use crate::checkpoint::{Layout, dir, renamed, tensors};
use crate::models::classify::{ClassifierConfig, Pooling};
use crate::models::mae::MaeConfig;
use crate::models::vit::VitConfig;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// All that is written, and all that may be replaced.
const FILES: [&str; 3] = [CONFIG, PREPROCESSOR, dir::MODEL];

/// Refuses a folder that must not be written to.
///
/// # Errors
/// If it is a file, lies nowhere, or holds anything but an earlier export that may be replaced.
pub(super) fn check(folder: &Path, overwrite: bool) -> Result<()> {
    let refuse = |expected: &str, found: String| Err(Error::setting("DST", expected, found));
    if folder.file_name().is_none() || !parent(folder).is_dir() || folder.is_file() {
        return refuse("a folder in a folder that exists", folder.display().to_string());
    }
    if folder.is_symlink() {
        // It would be replaced, and what it leads to left as it is.
        return refuse("a folder, no link to one", folder.display().to_string());
    }
    if !folder.exists() {
        return Ok(());
    }
    for entry in fs::read_dir(folder).map_err(Error::read(folder))? {
        let name = entry.map_err(Error::read(folder))?.file_name();
        let ours = FILES.iter().any(|file| name == *file);
        if !ours || !overwrite {
            let expected = if ours {
                "a new folder, or --overwrite"
            } else {
                "a folder with nothing of anybody else in it"
            };
            return refuse(expected, folder.join(name).display().to_string());
        }
    }
    Ok(())
}

/// What goes into the folder, beside the tensors.
pub(super) struct Documents {
    config: Vec<u8>,
    preprocessor: Vec<u8>,
}

impl Documents {
    /// Says everything about a model that `transformers` wants to know.
    ///
    /// # Errors
    /// If it has no such model, or mean and standard deviation are not known.
    pub(super) fn new(architecture: &Architecture, about: &About) -> Result<Self> {
        let (config, size, channels) = match architecture {
            Architecture::Mae(config) => {
                (mae(&config.vit(), Some(config), about)?, config.img_size, config.in_chans)
            }
            Architecture::Encoder(config) => (mae(config, None, about)?, config.img_size, config.in_chans),
            Architecture::Classifier(config) => {
                (classifier(config, about)?, config.img_size, config.in_chans)
            }
        };
        let (mean, std) = about.statistics(channels)?;
        let mut preprocessor = json!({
            "image_processor_type": "ViTImageProcessor",
            "do_resize": true,
            "size": {"height": size[0], "width": size[1]},
            "resample": BICUBIC,
            "do_rescale": true,
            "rescale_factor": 1.0 / FULL,
            "do_normalize": true,
            "image_mean": shortest(&mean),
            "image_std": shortest(&std),
        });
        // As the source has it.
        for (key, value) in &about.resizing {
            preprocessor[key] = value.clone();
        }
        Ok(Self { config: pretty(&Value::Object(config)), preprocessor: pretty(&preprocessor) })
    }
}

/// Writes the folder, whole or not at all.
///
/// # Errors
/// If a tensor has no name there, or something cannot be written; what was there before then still is.
pub(super) fn write(folder: &Path, model: &Model, documents: &Documents) -> Result<Vec<String>> {
    let prefixed = !matches!(model, Model::Encoder(_));
    let entries = renamed::entries(model.tensors(), Layout::Hf, prefixed).map_err(|name| {
        Error::setting("--to", "a layout that has all tensors", format!("hf, which has no {name}"))
    })?;
    let names = entries.iter().map(|(name, ..)| name.clone()).collect();
    let (partial, previous) = (partial_name(folder), folder.with_file_name(previous_name(folder)));
    let absent = |path: &Path| path.symlink_metadata().is_err();
    let put = || -> Result<()> {
        // What a program that was killed left behind; an earlier export that waits is the only copy if there is no other.
        for left in [&partial, &previous] {
            if !absent(left) && (left == &partial || !absent(folder)) {
                Os.remove_dir_all(left).map_err(Error::write(left))?;
            }
        }
        Os.create_dir_all(&partial).map_err(Error::write(&partial))?;
        let about = BTreeMap::from([("format".to_owned(), "pt".to_owned())]);
        tensors::write_mixed(&Os, &partial.join(dir::MODEL), entries, &about)?;
        write_synced(&Os, &partial.join(CONFIG), &documents.config)?;
        write_synced(&Os, &partial.join(PREPROCESSOR), &documents.preprocessor)?;
        sync_dir(&Os, &partial)?;
        if !absent(folder) {
            Os.rename(folder, &previous).map_err(Error::write(folder))?;
        }
        Os.rename(&partial, folder).map_err(Error::write(folder))?;
        sync_dir(&Os, parent(folder))
    };
    let written = put();
    if written.is_err() {
        // Best effort: what matters to the user is the first error, not these.
        let _ = Os.remove_dir_all(&partial);
        if absent(folder) {
            let _ = Os.rename(&previous, folder);
        }
    }
    written?;
    if !absent(&previous) {
        Os.remove_dir_all(&previous).map_err(Error::write(&previous))?;
    }
    Ok(names)
}

/// Where an earlier export waits while the new one takes its place.
fn previous_name(folder: &Path) -> String {
    format!(".{}.previous", folder.file_name().unwrap_or_default().to_string_lossy())
}

/// What encoders of both kinds of model have.
fn shared(kind: &str, class: &str, config: &VitConfig) -> Map<String, Value> {
    let [height, width] = config.img_size;
    let image_size = if height == width { json!(height) } else { json!([height, width]) };
    let document = json!({
        "architectures": [class],
        "model_type": kind,
        "torch_dtype": "float32",
        "hidden_size": config.embed_dim,
        "num_hidden_layers": config.depth,
        "num_attention_heads": config.num_heads,
        "intermediate_size": config.stack().hidden(),
        "hidden_act": "gelu",
        "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0,
        "initializer_range": 0.02,
        "layer_norm_eps": config.layer_norm_eps,
        "image_size": image_size,
        "patch_size": config.patch_size,
        "num_channels": config.in_chans,
        "qkv_bias": true,
    });
    object(document)
}

/// `ViTMAEForPreTraining`, or `ViTMAEModel` for an encoder.
fn mae(vit: &VitConfig, decoder: Option<&MaeConfig>, about: &About) -> Result<Map<String, Value>> {
    let [height, width] = vit.img_size;
    if height != width {
        let found = format!("hf, whose ViTMAE cannot do {height} × {width}");
        return Err(Error::setting(
            "--to",
            "a layout for images that are no squares: reference or timm",
            found,
        ));
    }
    let class = if decoder.is_some() { "ViTMAEForPreTraining" } else { "ViTMAEModel" };
    let mut document = shared("vit_mae", class, vit);
    if let Some(config) = decoder {
        document.extend(object(json!({
            "decoder_hidden_size": config.decoder_embed_dim,
            "decoder_num_hidden_layers": config.decoder_depth,
            "decoder_num_attention_heads": config.decoder_num_heads,
            "decoder_intermediate_size": config.decoder_stack().hidden(),
            "norm_pix_loss": config.norm_pix_loss,
        })));
    }
    document.extend(about.mask_ratio.map(|ratio| ("mask_ratio".to_owned(), json!(ratio))));
    Ok(document)
}

/// `ViTForImageClassification`, which looks at the class token.
fn classifier(config: &ClassifierConfig, about: &About) -> Result<Map<String, Value>> {
    if config.pooling == Pooling::Mean {
        let expected = "a layout for the mean over patches: reference or timm";
        return Err(Error::setting(
            "--to",
            expected,
            "hf, whose ViTForImageClassification looks at the class token",
        ));
    }
    let mut document = shared("vit", "ViTForImageClassification", &config.vit());
    let label = |i: usize| about.classes.get(i).cloned().unwrap_or_else(|| format!("LABEL_{i}"));
    let labels = || (0..config.num_classes).map(|i| (i, label(i)));
    let names: Map<_, _> = labels().map(|(i, name)| (i.to_string(), name.into())).collect();
    let numbers: Map<_, _> = labels().map(|(i, name)| (name, i.into())).collect();
    document.insert("id2label".to_owned(), names.into());
    document.insert("label2id".to_owned(), numbers.into());
    Ok(document)
}

fn object(document: Value) -> Map<String, Value> {
    match document {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

/// The shortest decimals that are these numbers in f32.
fn shortest(numbers: &[f32]) -> Vec<f64> {
    numbers.iter().map(|x| x.to_string().parse().unwrap_or(f64::from(*x))).collect()
}

fn pretty(document: &Value) -> Vec<u8> {
    format!("{document:#}\n").into_bytes()
}
