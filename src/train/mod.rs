//! Training: the run directory and everything that is written into it.

pub mod metrics;
pub mod plot;
pub mod report;
pub mod run_dir;
pub mod sheet;

pub use run_dir::RunDir;
