//! The ways to pre-train one trunk: each a task that starts from random weights, and one line in [`with_method`].

use super::transfer::{DEFAULT_RECIPE, Start, Transfer};
use super::{BeitSettings, BeitStyle, Classify, Config, FinetuneConfig, MocoV3, MocoV3Config, Pretrain};
use crate::base::{Error, Result};
use crate::config::origins::Resolved;
use crate::config::overrides::Overrides;
use crate::config::settings::Settings;
use crate::train::task::Task;
use std::path::Path;

/// A task whose trunk goes on to others.
pub trait Method: Task {
    /// Its name.
    const METHOD: &'static str;

    /// The settings of a new run: a preset's architecture, data and recipe, then what the method has of its own, a file, the
    /// environment and flags, in this order.
    ///
    /// # Errors
    /// An unknown preset or key, a value of the wrong type, a file that is not TOML, or settings that cannot work together.
    fn layered(preset: &str, file: Option<&Path>, overrides: &Overrides) -> Result<Resolved<Self::Config>>;
}

/// Something that can be done with any method.
pub trait WithMethod {
    /// What comes out.
    type Output;

    /// Does it.
    ///
    /// # Errors
    /// Its own.
    fn run<M: Method>(self) -> Result<Self::Output>;
}

/// The methods' names, and what each is, in the order in which they are listed.
pub const METHODS: &[(&str, &str)] = &[
    (Pretrain::METHOD, "Rebuild the patches that were removed (He et al. 2022)"),
    (MocoV3::METHOD, "Tell two crops of an image from those of the batch's others (Chen, Xie & He 2021)"),
    (
        BeitStyle::METHOD,
        "Say which token each masked patch is: BEiT-style (k-means tokens) (Bao et al. 2022)",
    ),
    (Classify::METHOD, "Name the classes of labelled images, from scratch with the recipe of fine-tuning"),
];

/// What `--method` calls the task of these settings; nothing if it has no trunk of its own to pre-train.
#[must_use]
pub fn method_of(task: Option<&str>) -> Option<&'static str> {
    match task {
        Config::TASK => Some(Pretrain::METHOD),
        FinetuneConfig::TASK => Some(Classify::METHOD),
        BeitSettings::TASK => Some(BeitStyle::METHOD),
        MocoV3Config::TASK => Some(MocoV3::METHOD),
        _ => None,
    }
}

/// Does something with the method of this name. Every method has its line here.
///
/// # Errors
/// If there is no such method, or what is done fails.
pub fn with_method<W: WithMethod>(name: &str, with: W) -> Result<W::Output> {
    match name {
        Pretrain::METHOD => with.run::<Pretrain>(),
        MocoV3::METHOD => with.run::<MocoV3>(),
        BeitStyle::METHOD => with.run::<BeitStyle>(),
        Classify::METHOD => with.run::<Classify>(),
        _ => {
            let names: Vec<_> = METHODS.iter().map(|(name, _)| *name).collect();
            Err(Error::setting("--method", format!("one of {}", names.join(", ")), name))
        }
    }
}

impl Method for Pretrain {
    const METHOD: &'static str = "mae";

    fn layered(preset: &str, file: Option<&Path>, overrides: &Overrides) -> Result<Resolved<Config>> {
        Config::layered(preset, file, overrides)
    }
}

impl Method for MocoV3 {
    const METHOD: &'static str = "moco-v3";

    fn layered(preset: &str, file: Option<&Path>, overrides: &Overrides) -> Result<Resolved<MocoV3Config>> {
        MocoV3Config::layered(preset, file, overrides)
    }
}

/// Always named "BEiT-style (k-means tokens)".
impl Method for BeitStyle {
    const METHOD: &'static str = "beit";

    fn layered(preset: &str, file: Option<&Path>, overrides: &Overrides) -> Result<Resolved<BeitSettings>> {
        BeitSettings::layered(preset, file, overrides)
    }
}

/// Supervised pre-training: the class of each image, learnt from scratch with the recipe of fine-tuning. The class token is
/// pooled, so that the trunk has the norm behind its blocks that other tasks take over.
impl Method for Classify {
    const METHOD: &'static str = "supervised";

    fn layered(preset: &str, file: Option<&Path>, overrides: &Overrides) -> Result<Resolved<FinetuneConfig>> {
        let mut given = Start::preset(preset)?.given()?;
        if let Some(model) = given.get_mut("model").and_then(toml::Value::as_table_mut) {
            model.insert("pooling".to_owned(), "class".into());
        }
        <Self as Transfer>::layered(DEFAULT_RECIPE, (given, &format!("preset {preset}")), file, overrides)
    }
}
