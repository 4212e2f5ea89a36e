//! The way of the student: the stages of a step, each with its forward and its backward side. What they say
//! and show stands in `stages.toml`; here it is read, and blocks are told apart.

use super::quote::{Quote, quote};
use crate::models::mae::MaeConfig;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One row of the page's outline.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Stage {
    /// In addresses: `block-3`.
    pub id: String,
    /// In the outline.
    pub name: String,
    /// Stands for every block of this stack: `blocks` or `decoder_blocks`.
    #[serde(default, skip_serializing)]
    stack: Option<String>,
    /// The functions that compute it, see [`super::quote::quote`].
    pub computes: Vec<String>,
    /// The functions of its backward pass.
    pub inverts: Vec<String>,
    /// Walked on the way down.
    pub forward: Side,
    /// Walked on the way up.
    pub backward: Side,
}

/// What one stage shows on the way down or up.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Side {
    /// The heading.
    pub title: String,
    /// What happens, in a few sentences.
    pub text: String,
    /// Equations, in Unicode; `_x`, `_{xy}` are subscripts, `^x` superscripts.
    pub equations: Vec<String>,
    /// From which tensor to which.
    #[serde(default)]
    pub shapes: Vec<String>,
    /// The pictures: the name of what draws it (`page/figures.js`), and its arguments.
    pub figures: Vec<String>,
    /// The tensors of the table.
    #[serde(default)]
    pub tensors: Vec<String>,
    /// Weights whose gradients belong here, by the start of their names.
    #[serde(default)]
    pub weights: Vec<String>,
}

#[derive(Deserialize)]
struct Way {
    stage: Vec<Stage>,
}

/// All stages of this architecture, in the order of the forward pass.
///
/// # Panics
/// If `stages.toml` is not what it should be; a test reads it.
#[must_use]
pub fn stages(config: &MaeConfig) -> Vec<Stage> {
    let way: Way = toml::from_str(include_str!("stages.toml")).expect("stages.toml");
    let each_block = |stage: Stage| {
        let depth = match stage.stack.as_deref() {
            None => return vec![stage],
            Some("blocks") => config.depth,
            Some(_) => config.decoder_depth,
        };
        (0..depth).map(|n| stage.of_block(n)).collect()
    };
    way.stage.into_iter().flat_map(each_block).collect()
}

/// The quotations of all stages, by address.
///
/// # Panics
/// If a stage quotes a function that is not there; a test asks for all.
#[must_use]
pub fn quotes(stages: &[Stage]) -> BTreeMap<&str, Quote> {
    let addresses = stages.iter().flat_map(|stage| stage.computes.iter().chain(&stage.inverts));
    let found = |address| quote(address).unwrap_or_else(|e| panic!("stages.toml quotes `{address}`: {e}"));
    addresses.map(|address| (address.as_str(), found(address))).collect()
}

impl Stage {
    fn of_block(&self, n: usize) -> Self {
        let prefix = format!("{}.{n}", self.stack.as_deref().unwrap_or_default());
        let number = n.to_string();
        let mut block = self.clone();
        block.stack = None;
        block.id = self.id.replace('N', &number);
        block.name = self.name.replace('N', &number);
        for side in [&mut block.forward, &mut block.backward] {
            side.title = side.title.replace('N', &number);
            let lists = [&mut side.shapes, &mut side.figures, &mut side.tensors, &mut side.weights];
            for text in lists.into_iter().flatten() {
                *text = text.replace("PREFIX", &prefix);
            }
        }
        block
    }
}
