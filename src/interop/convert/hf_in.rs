//! Reading a Hugging Face folder: the architecture from `config.json`, mean and standard deviation from `preprocessor_config.json`.

use super::keys::{Keys, shown};
use super::shapes::mlp_ratio;
use super::source::{About, Architecture, Source};
use crate::base::{Error, Result};
use crate::checkpoint::tensors::File;
use crate::checkpoint::{Layout, Renamed, dir};
use crate::models::classify::{ClassifierConfig, Pooling};
use crate::models::mae::MaeConfig;
use crate::models::vit::VitConfig;
use serde_json::{Map, Value, json};
use std::path::Path;

/// The settings of a model.
pub(super) const CONFIG: &str = "config.json";
/// The settings of what its images go through.
pub(super) const PREPROCESSOR: &str = "preprocessor_config.json";
/// Pixels are divided by this before the mean is taken off.
pub(super) const FULL: f64 = 255.0;
/// Pillow's number for a bicubic filter.
pub(super) const BICUBIC: u64 = 3;

/// Opens a folder that holds a `ViTMAEForPreTraining`, `ViTMAEModel`, `ViTForImageClassification` or `ViTModel`.
pub(super) fn open(folder: &Path) -> Result<Source> {
    let keys = Keys::read(&folder.join(CONFIG))?;
    check_kind(&keys)?;
    let weights = Renamed::new(weights(folder)?, Layout::Hf)?;
    let mut about = About::default();
    let architecture = if weights.contains("mask_token") {
        about.mask_ratio = keys.maybe("mask_ratio", "a number", Value::as_f64)?;
        Architecture::Mae(mae(&keys)?)
    } else if weights.contains("head.weight") {
        let vit = vit(&keys)?;
        let classes = weights.shape("head.weight")?.first().copied().unwrap_or_default();
        about.classes = classes_of(&keys, classes)?;
        Architecture::Classifier(ClassifierConfig::new(&vit, classes, Pooling::Class))
    } else {
        Architecture::Encoder(vit(&keys)?)
    };
    architecture.validate().map_err(|error| about_key(&keys, error))?;
    preprocessor(folder, &mut about, architecture.img_size())?;
    let left_out = Vec::new();
    Ok(Source { from: "Hugging Face folder", weights, architecture, complete: true, about, left_out })
}

/// The file of weights, which must be one file, and not a pickle.
fn weights(folder: &Path) -> Result<File> {
    let path = folder.join(dir::MODEL);
    if path.is_file() {
        return File::open(path);
    }
    if folder.join("model.safetensors.index.json").is_file() {
        let found = "model.safetensors.index.json: several files; save_pretrained(…, max_shard_size=\"100GB\") writes one";
        return Err(Error::input(folder, dir::MODEL, "all weights in one file", found));
    }
    let pickle = folder.join("pytorch_model.bin");
    if pickle.is_file() {
        return File::open(pickle);
    }
    Err(Error::input(folder, dir::MODEL, "the weights", "no such file"))
}

/// Refuses what computes something else than this program's layers.
fn check_kind(keys: &Keys) -> Result<()> {
    if keys.get("model_type").is_none() && keys.get("architecture").is_some() {
        let expected = "a folder of `transformers`; of timm's, give the file model.safetensors itself";
        return Err(keys.wrong("model_type", expected, "a folder of timm"));
    }
    for (key, needed, right) in
        [("model_type", true, &["vit_mae", "vit"][..]), ("hidden_act", false, &["gelu"])]
    {
        let expected = right.join(" or ");
        match keys.get(key) {
            Some(value) if value.as_str().is_some_and(|text| right.contains(&text)) => {}
            Some(value) => return Err(keys.wrong(key, expected, shown(value))),
            None if needed => return Err(keys.wrong(key, expected, "no such key")),
            None => {}
        }
    }
    match keys.maybe("qkv_bias", "true or false", Value::as_bool)? {
        Some(false) => Err(keys.wrong("qkv_bias", "true: query, key and value have biases here", false)),
        _ => Ok(()),
    }
}

/// The trunk.
fn vit(keys: &Keys) -> Result<VitConfig> {
    let patch = keys.sides("patch_size")?;
    if patch[0] != patch[1] {
        return Err(keys.wrong("patch_size", "a square", format!("{patch:?}")));
    }
    let embed_dim = keys.whole("hidden_size")?;
    let config = VitConfig {
        img_size: keys.sides("image_size")?,
        in_chans: keys.whole("num_channels")?,
        patch_size: patch[0],
        embed_dim,
        depth: keys.whole("num_hidden_layers")?,
        num_heads: keys.whole("num_attention_heads")?,
        mlp_ratio: mlp_ratio(&[(embed_dim, keys.whole("intermediate_size")?)]).unwrap_or_default(),
        layer_norm_eps: keys.needed("layer_norm_eps", "a number", Value::as_f64)?,
    };
    config.validate().map_err(|error| about_key(keys, error))?;
    Ok(config)
}

/// The trunk and the decoder.
fn mae(keys: &Keys) -> Result<MaeConfig> {
    let vit = vit(keys)?;
    let width = keys.whole("decoder_hidden_size")?;
    let (depth, heads) =
        (keys.whole("decoder_num_hidden_layers")?, keys.whole("decoder_num_attention_heads")?);
    let hidden = keys.whole("decoder_intermediate_size")?;
    let mut config = MaeConfig {
        norm_pix_loss: keys.needed("norm_pix_loss", "true or false", Value::as_bool)?,
        ..MaeConfig::with_decoder(&vit, [width, depth, heads])
    };
    // Single sizes first, so that an absurd one is named itself and not its ratio to another.
    config.validate().map_err(|error| about_key(keys, error))?;
    let mlps = [(vit.embed_dim, keys.whole("intermediate_size")?), (width, hidden)];
    let expected = "the same ratio of hidden width to width in encoder and decoder";
    let uneven = || keys.wrong("decoder_intermediate_size", expected, format!("{mlps:?}"));
    config.mlp_ratio = mlp_ratio(&mlps).ok_or_else(uneven)?;
    Ok(config)
}

/// An error about a setting, as one about the key that it comes from.
fn about_key(keys: &Keys, error: Error) -> Error {
    match error {
        Error::Setting { key, expected, found } => keys.wrong(&theirs(&key), expected, found),
        other => other,
    }
}

/// The key of `config.json` that a setting comes from.
fn theirs(key: &str) -> String {
    let known = [
        ("model.img_size", "image_size"),
        ("model.in_chans", "num_channels"),
        ("model.patch_size", "patch_size"),
        ("model.embed_dim", "hidden_size"),
        ("model.depth", "num_hidden_layers"),
        ("model.num_heads", "num_attention_heads"),
        ("model.mlp_ratio", "intermediate_size"),
        ("model.layer_norm_eps", "layer_norm_eps"),
        ("model.decoder_embed_dim", "decoder_hidden_size"),
        ("model.decoder_depth", "decoder_num_hidden_layers"),
        ("model.decoder_num_heads", "decoder_num_attention_heads"),
    ];
    known.iter().find(|(mine, _)| *mine == key).map_or(key, |(_, theirs)| theirs).to_owned()
}

/// The names of the classes, `id2label`, or none if they are not given.
fn classes_of(keys: &Keys, count: usize) -> Result<Vec<String>> {
    let expected = format!("an object with the name of each of the {count} classes, from \"0\" on");
    let names = keys.maybe("id2label", &expected, |value| {
        let map = value.as_object().filter(|map| map.len() == count)?;
        (0..count).map(|i| Some(map.get(&i.to_string())?.as_str()?.to_owned())).collect::<Option<Vec<_>>>()
    })?;
    let names = names.unwrap_or_default();
    let repeated = |(i, name): (usize, &String)| name.is_empty() || names[..i].contains(name);
    match names.iter().enumerate().find(|class| repeated(*class)) {
        Some((i, name)) => {
            Err(keys.wrong("id2label", "a name of its own for each class", format!("\"{i}\": {name:?}")))
        }
        None => Ok(names),
    }
}

/// Mean and standard deviation, where the folder says them, and how it resizes pictures to the model's `[height, width]`.
fn preprocessor(folder: &Path, about: &mut About, size: [usize; 2]) -> Result<()> {
    let path = folder.join(PREPROCESSOR);
    if !path.exists() {
        return Ok(());
    }
    let keys = Keys::read(&path)?;
    if let Some(factor) = keys.maybe("rescale_factor", "a number", Value::as_f64)?
        && (factor * FULL - 1.0).abs() > 1e-6
    {
        return Err(keys.wrong("rescale_factor", "1/255: pixels become numbers from 0 to 1", factor));
    }
    for key in ["do_rescale", "do_normalize"] {
        if keys.maybe(key, "true or false", Value::as_bool)? == Some(false) {
            return Err(keys.wrong(key, "true: pixels are scaled to 0 to 1 and normalised", false));
        }
    }
    (about.mean, about.std) = (keys.floats("image_mean")?, keys.floats("image_std")?);
    if let Some(std) = about.std.as_ref().filter(|std| std.iter().any(|&x| x <= 0.0)) {
        return Err(keys.wrong("image_std", "numbers above 0", format!("{std:?}")));
    }
    about.resizing = resizing(&keys, size);
    Ok(())
}

/// How pictures are brought to the model's size, where that is not as this program does it: keys and values of the file.
fn resizing(keys: &Keys, [height, width]: [usize; 2]) -> Map<String, Value> {
    let same = |key: &str, value: &Value| match key {
        "do_resize" => *value == json!(true),
        "do_center_crop" => *value == json!(false),
        "resample" => *value == json!(BICUBIC),
        _ => {
            *value == json!({ "height": height, "width": width })
                || height == width && *value == json!(height)
        }
    };
    let mut theirs = Map::new();
    for key in ["do_resize", "size", "resample", "do_center_crop"] {
        let other = keys.get(key).filter(|value| !same(key, value));
        theirs.extend(other.map(|value| (key.to_owned(), value.clone())));
    }
    // What a crop is like counts only where there is one.
    let crop = keys.get("crop_size").filter(|_| theirs.contains_key("do_center_crop"));
    theirs.extend(crop.map(|value| ("crop_size".to_owned(), value.clone())));
    theirs
}
