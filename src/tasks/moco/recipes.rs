//! The recipes: what MoCo v3 lays over a preset, for the widths of the paper and for narrower trunks.

use crate::base::{Error, Result};
use crate::tasks::Config;
use toml::{Table, Value};

/// The narrowest trunk that the paper trains, ViT-Small's.
const PAPER: usize = 384;
/// Epochs of warm-up of all epochs (Chen et al. 2021, §4.1: 40 of 300).
const WARMUP: f64 = 40.0 / 300.0;

/// A step costs about nine times a masked autoencoder's, so the small recipe makes this fraction of its epochs: a run of some
/// minutes stays one.
const SMALL_EPOCHS: f64 = 0.25;

/// The name of the recipe that fits a preset, and what it says.
pub(super) fn of(preset: &Config) -> Result<(&'static str, Table)> {
    let (model, optim) = (&preset.model, &preset.optim);
    let (name, text, epochs) = if model.embed_dim >= PAPER {
        ("moco-v3, paper", include_str!("recipes/paper.toml"), optim.epochs as f64)
    } else {
        let fewer = (optim.epochs as f64 * SMALL_EPOCHS).round().max(1.0);
        ("moco-v3, small", include_str!("recipes/small.toml"), fewer)
    };
    let wrong = |e: toml::de::Error| Error::setting("--method", "a recipe in TOML", e);
    let mut recipe: Table = text.parse().map_err(wrong)?;
    let mut fill = |section: &str, key: &str, value: Value| {
        let section = recipe.entry(section).or_insert_with(|| Table::new().into()).as_table_mut();
        section.expect("a section of a recipe").entry(key).or_insert(value);
    };
    // The paper's heads are at least 4 and 1/3 times as wide as its trunks.
    fill("moco", "mlp_dim", whole(4 * model.embed_dim));
    fill("moco", "out_dim", whole(model.embed_dim / 2));
    // One batch for what the preset accumulates: the heads see all of it.
    fill("optim", "batch_size", whole(optim.batch_size * optim.accum_iter));
    fill("optim", "accum_iter", whole(1));
    #[expect(clippy::cast_possible_truncation, reason = "a whole number of epochs")]
    fill("optim", "epochs", Value::Integer(epochs as i64));
    fill("optim", "warmup_epochs", (epochs * WARMUP).into());
    Ok((name, recipe))
}

fn whole(number: usize) -> Value {
    Value::Integer(i64::try_from(number).unwrap_or(i64::MAX))
}
