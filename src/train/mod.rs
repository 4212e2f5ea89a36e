//! Training: the step, the pre-training loop, and everything that is written into a run directory.

pub mod bench;
pub mod chain;
pub mod config;
pub mod finetune;
pub mod gallery;
pub mod held_out;
pub mod journal;
pub mod lock;
pub mod metrics;
pub mod outcome;
pub mod plot;
pub mod presets;
pub mod pretrain;
pub mod report;
mod resolve;
pub mod resume;
pub mod run;
pub mod run_dir;
pub mod save;
pub mod sections;
pub mod settings;
pub mod sheet;
pub mod source;
pub mod step;
pub mod trainer;
pub mod update;
pub mod workers;

pub use config::Config;
pub use finetune::{FinetuneConfig, Finetuning};
pub use outcome::Outcome;
pub use pretrain::Pretraining;
pub use run::{Learner, Run, Watch};
pub use run_dir::RunDir;
pub use settings::Settings;
pub use trainer::Trainer;
pub use workers::Workers;
