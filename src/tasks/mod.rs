//! What a trained encoder is used for: a head, its loss, its gradient.

pub mod classify;
pub mod cross_entropy;
pub mod linear_probe;

pub use classify::{Classifier, ClassifierConfig};
pub use linear_probe::LinearProbe;
