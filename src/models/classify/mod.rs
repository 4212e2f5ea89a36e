//! Classification: one pooled token of each image goes to a linear head, after fine-tuning or on a frozen encoder.

pub mod classifier;
pub mod config;
pub mod cross_entropy;
pub mod features;
pub mod linear_probe;
pub mod pooling;

pub use classifier::Classifier;
pub use config::ClassifierConfig;
pub use linear_probe::LinearProbe;
pub use pooling::Pooling;
