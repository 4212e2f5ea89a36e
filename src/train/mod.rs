//! Training: the step, the pre-training loop, and everything that is written into a run directory.

pub mod bench;
pub mod config;
pub mod gallery;
pub mod held_out;
pub mod metrics;
pub mod plot;
pub mod presets;
pub mod pretrain;
pub mod report;
mod resolve;
pub mod run_dir;
pub mod save;
pub mod sheet;
pub mod source;
pub mod step;
pub mod workers;

pub use config::Config;
pub use pretrain::{Outcome, Pretraining, Watch};
pub use run_dir::RunDir;
pub use workers::Workers;
