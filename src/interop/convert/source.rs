//! What is converted: weights from a run, a Hugging Face folder or a bare file, with all that is known about them.

use crate::base::{Error, Result};
use crate::checkpoint::Renamed;
use crate::models::classify::{Classifier, ClassifierConfig, Pooling};
use crate::models::mae::{Encoder, Mae, MaeConfig};
use crate::models::vit::VitConfig;
use crate::params::{Params, Tensor};
use crate::train::save::check_promise;
use serde_json::{Map, Value};

/// A kind of model with its sizes.
#[derive(Clone, Debug, PartialEq)]
pub enum Architecture {
    /// A masked autoencoder.
    Mae(MaeConfig),
    /// An encoder alone.
    Encoder(VitConfig),
    /// An encoder with a head.
    Classifier(ClassifierConfig),
}

/// The weights themselves.
#[expect(clippy::large_enum_variant, reason = "there is one of it")]
pub enum Model {
    /// A masked autoencoder.
    Mae(Mae<f32>),
    /// An encoder alone.
    Encoder(Encoder<f32>),
    /// An encoder with a head.
    Classifier(Classifier<f32>),
}

/// What is known beside weights and architecture.
#[derive(Clone, Debug, Default)]
pub struct About {
    /// Mean of the channels of pixels in [0, 1].
    pub mean: Option<Vec<f32>>,
    /// Their standard deviation.
    pub std: Option<Vec<f32>>,
    /// Share of patches that were removed in training.
    pub mask_ratio: Option<f64>,
    /// The names of the classes.
    pub classes: Vec<String>,
    /// How pictures of other sizes are brought to the model's, where not as this program does it: keys of Hugging Face's
    /// `preprocessor_config.json`.
    pub resizing: Map<String, Value>,
}

impl About {
    /// What a run does not do as the source says it.
    #[must_use]
    pub fn note(&self) -> Option<String> {
        let keys = self.resizing.iter().map(|(key, value)| format!("{key} {value}")).collect::<Vec<_>>();
        (!keys.is_empty()).then(|| {
            format!(
                "the source resizes pictures with {}; a run scales the shorter side bicubically and cuts out the centre, so \
                 that pictures of other sizes than the model's give somewhat other figures",
                keys.join(", ")
            )
        })
    }

    /// Mean and standard deviation, one number a channel each.
    ///
    /// # Errors
    /// If they are not known, or are those of another number of channels.
    pub fn statistics(&self, channels: usize) -> Result<(Vec<f32>, Vec<f32>)> {
        let known = |flag: &str, numbers: &Option<Vec<f32>>| {
            let found = numbers.as_ref().map_or("none".to_owned(), |numbers| format!("{numbers:?}"));
            let fits = numbers.clone().filter(|numbers| numbers.len() == channels);
            let expected = format!("{channels} numbers, one a channel, of pixels from 0 to 1");
            fits.ok_or_else(|| Error::setting(flag, expected, found))
        };
        Ok((known("--mean", &self.mean)?, known("--std", &self.std)?))
    }
}

/// Opened weights whose names and architecture are known.
pub struct Source {
    /// What it is, in words.
    pub from: &'static str,
    /// The tensors.
    pub weights: Renamed,
    /// What they are of.
    pub architecture: Architecture,
    /// Whether the architecture is all known; shapes alone do not tell the number of heads.
    pub complete: bool,
    /// What else is known.
    pub about: About,
    /// Tensors of the source that have no place in the architecture.
    pub left_out: Vec<String>,
}

impl Source {
    /// Makes a plain encoder of it. Returns the names of the tensors that are left out.
    ///
    /// # Errors
    /// For a classifier of the patches' mean: its encoder has no norm of its own any more.
    pub fn keep_encoder(&mut self) -> Result<Vec<String>> {
        let encoder = match &self.architecture {
            Architecture::Mae(config) => config.vit(),
            Architecture::Encoder(config) => config.clone(),
            Architecture::Classifier(config) if config.pooling == Pooling::Class => config.vit(),
            Architecture::Classifier(_) => {
                let expected =
                    "an encoder with its norm; a classifier of the patches' mean has `fc_norm` in its place";
                return Err(Error::setting("--encoder-only", expected, self.weights.path().display()));
            }
        };
        self.architecture = Architecture::Encoder(encoder);
        Ok(self.weights.leave_encoder())
    }

    /// The model with the weights, every tensor accounted for.
    ///
    /// # Errors
    /// If a tensor is missing, unexpected or of another shape.
    pub fn model(&self) -> Result<Model> {
        let mut model = self.architecture.empty(&self.weights)?;
        let slots = model.slots();
        self.weights.load_into(slots).map_err(hinted)?;
        Ok(model)
    }
}

/// Says what could be done about tensors that are too many.
fn hinted(error: Error) -> Error {
    match error {
        Error::Input { path, field, expected, found } if found.contains("pooler.") => {
            let found = format!("{found}; --encoder-only leaves out the pooler");
            Error::Input { path, field, expected, found }
        }
        other => other,
    }
}

impl Architecture {
    /// `[height, width]` of its images.
    #[must_use]
    pub fn img_size(&self) -> [usize; 2] {
        match self {
            Self::Mae(config) => config.img_size,
            Self::Encoder(config) => config.img_size,
            Self::Classifier(config) => config.img_size,
        }
    }

    /// In words.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Mae(_) => "masked autoencoder",
            Self::Encoder(_) => "encoder",
            Self::Classifier(_) => "classifier",
        }
    }

    /// Checks everything that would make the model impossible.
    ///
    /// # Errors
    /// The setting that cannot be.
    pub fn validate(&self) -> Result<()> {
        match self {
            Self::Mae(config) => config.validate(),
            Self::Encoder(config) => config.validate(),
            Self::Classifier(config) => config.validate(),
        }
    }

    /// A model to be filled from a file; refused before it is made if the file holds far less than that.
    fn empty(&self, weights: &Renamed) -> Result<Model> {
        let numbers = match self {
            Self::Mae(config) => config.parameters().all,
            Self::Encoder(config) => config.parameters(),
            Self::Classifier(config) => config.parameters(),
        };
        check_promise(weights.path(), numbers, weights.numbers()?)?;
        Ok(match self {
            Self::Mae(config) => Model::Mae(Mae::new(config.clone())),
            Self::Encoder(config) => Model::Encoder(Encoder::new(config)),
            Self::Classifier(config) => Model::Classifier(Classifier::new(config)),
        })
    }
}

impl Model {
    /// Its tensors.
    #[must_use]
    pub fn tensors(&self) -> Vec<Tensor<'_, f32>> {
        match self {
            Self::Mae(model) => model.tensors(),
            Self::Encoder(model) => model.tensors(),
            Self::Classifier(model) => model.tensors(),
        }
    }

    fn slots(&mut self) -> Vec<(String, Vec<usize>, &mut [f32])> {
        let tensors = match self {
            Self::Mae(model) => model.tensors_mut(),
            Self::Encoder(model) => model.tensors_mut(),
            Self::Classifier(model) => model.tensors_mut(),
        };
        tensors.into_iter().map(|t| (t.name, t.shape, t.data.write())).collect()
    }
}
