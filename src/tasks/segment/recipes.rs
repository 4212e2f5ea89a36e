//! The recipes of segmentation: each a TOML file in `recipes/`, embedded in the program, and one line here.

use crate::base::{Error, Result};

const RECIPES: &[(&str, &str)] =
    &[("small", include_str!("recipes/small.toml")), ("paper", include_str!("recipes/paper.toml"))];

/// A recipe's TOML text.
pub(super) fn text(name: &str) -> Result<&'static str> {
    RECIPES.iter().find(|(n, _)| *n == name).map(|(_, text)| *text).ok_or_else(|| {
        let names: Vec<_> = RECIPES.iter().map(|(name, _)| *name).collect();
        Error::setting("--recipe", format!("one of {}", names.join(", ")), name)
    })
}
