//! What a trained encoder is used for: a head, its loss, its gradient.

pub mod classify;
pub mod classify_config;
pub mod cross_entropy;
pub mod features;
pub mod linear_probe;
pub mod pooling;
mod tokens;

pub use classify::{Classifier, Pass};
pub use classify_config::ClassifierConfig;
pub use linear_probe::LinearProbe;
pub use pooling::Pooling;
