//! The recipes: each a TOML file in `recipes/`, embedded in the program, and one line here.

use crate::tasks::transfer::Recipes;

/// Name, and every setting but the architecture.
pub const RECIPES: &Recipes =
    &[("small", include_str!("recipes/small.toml")), ("paper", include_str!("recipes/paper.toml"))];
