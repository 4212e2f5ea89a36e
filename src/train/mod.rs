//! Training: the step, the loop, the run directory, the log, resuming. Knows no task.

pub mod chain;
pub mod curves;
pub mod eval_images;
pub mod input;
pub mod lock;
pub mod logs;
pub mod memory;
pub mod metrics;
pub mod readable;
pub mod record;
pub mod resume;
pub mod run;
pub mod run_dir;
pub mod run_log;
pub mod save;
pub mod source;
pub mod start;
pub mod step;
pub mod sum;
pub mod task;
pub mod together;
pub mod told;
pub mod workers;

pub use run::{Observer, Run};
pub use run_dir::RunDir;
pub use step::Learner;
pub use task::Task;
pub use workers::WorkerPool;
