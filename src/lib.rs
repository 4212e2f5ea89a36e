//! Masked autoencoders (ViT-MAE, He et al. 2022) trained from scratch on a CPU.
//!
//! Every layer's forward and backward pass is written by hand over [`ndarray`]. The modules form a
//! house whose imports only point down: see `docs/architecture.md`.

pub mod audit;
pub mod base;
pub mod checkpoint;
pub mod data;
pub mod exec;
pub mod layers;
pub mod models;
pub mod optim;
pub mod params;
pub mod tasks;
pub mod train;

pub use base::{Error, Real, Result};
pub use models::mae;
