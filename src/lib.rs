//! Masked autoencoders (ViT-MAE, He et al. 2022) trained from scratch on a CPU.
//!
//! Every layer's forward and backward pass is written by hand over [`ndarray`]. The modules are
//! rooms whose imports only point down: see `docs/architecture.md`.

pub mod audit;
pub mod base;
pub mod bench;
pub mod checkpoint;
pub mod config;
pub mod data;
pub mod draw;
pub mod exec;
pub mod interop;
pub mod layers;
pub mod models;
pub mod optim;
pub mod params;
pub mod sweep;
pub mod tasks;
pub mod train;

pub use base::{Error, Real, Result};
pub use models::mae;
