//! Recipes of fine-tuning: TOML texts with every setting but the architecture, embedded in the program.

use crate::base::{Error, Result};
use crate::config::origins::Resolved;
use crate::config::overrides::Overrides;
use crate::config::resolve::{Layers, varied};
use crate::config::settings::Settings;
use std::path::Path;
use toml::{Table, Value};

/// Names and texts.
pub type Recipes = [(&'static str, &'static str)];

/// The recipe that every task has and that is used when none is named.
pub const DEFAULT_RECIPE: &str = "small";

/// The section of what is taken over.
const SECTION: &str = "finetune";
/// What of it no file and no flag says, but the start.
const OF_THE_START: [&str; 2] = ["checkpoint", "checkpoint_crc"];

/// The settings of a new run: `usual`, which follows from the size of the images; a recipe, what its start gives and where that comes from, a file, the environment and flags, in
/// this order.
///
/// # Errors
/// An unknown recipe or key, a value of the wrong type, a file that is not TOML, or settings that cannot work together; the
/// error names the file, the variable or the flag.
pub fn layered<S: Settings>(
    usual: Table,
    recipes: &Recipes,
    recipe: &str,
    (given, origin): (Table, &str),
    file: Option<&Path>,
    overrides: &Overrides,
) -> Result<Resolved<S>> {
    let named = recipes.iter().find(|(name, _)| *name == recipe);
    let (_, text) = named.ok_or_else(|| {
        let names: Vec<_> = recipes.iter().map(|(name, _)| *name).collect();
        Error::setting("--recipe", format!("one of {}", names.join(", ")), recipe)
    })?;
    let table: Table = text.parse().map_err(|e| Error::setting("--recipe", "TOML", e))?;
    let layers = Layers::new(usual, "the images' size").lay(table, &format!("recipe {recipe}"));
    let taken = given.get(SECTION).and_then(Value::as_table).cloned().unwrap_or_default();
    let layers = layers.lay(given, origin);
    let mut resolved: Resolved<S> = layers.resolve(file, overrides)?;
    // Whatever a file says that was another run's: what is taken over says where it comes from.
    let mut table = resolved.config.to_table()?;
    if let Some(section) = table.get_mut(SECTION).and_then(Value::as_table_mut) {
        section.retain(|key, _| !OF_THE_START.contains(&key));
        section.extend(taken);
    }
    resolved.config = varied(table, Vec::new())?;
    for key in OF_THE_START {
        resolved.origins.set(&format!("{SECTION}.{key}"), origin);
    }
    resolved.origins.set("model.num_classes", "a placeholder until the data is opened");
    Ok(resolved)
}
