//! The tasks: one folder each, with its settings, its loss, how it is judged, its pictures and presets; and one line
//! each in [`with_task_of`].

pub mod beit;
pub mod classify;
pub mod confusion;
pub mod detect;
pub mod features;
pub mod finetuning;
pub mod knn;
pub mod mae;
pub mod metrics;
pub mod moco;
pub mod pca;
pub mod per_picture;
pub mod pretrained;
pub mod pretraining;
pub mod probe;
pub mod segment;
pub mod transfer;
pub mod visualise;

pub use beit::{BeitSettings, BeitStyle};
pub use classify::{Classify, FinetuneConfig};
pub use detect::{Detect, DetectConfig};
pub use mae::{Config, Pretrain};
pub use metrics::Metrics;
pub use moco::{MocoV3, MocoV3Config};
pub use segment::{Segment, SegmentConfig};

use crate::base::{Error, Result};
use crate::config::keys;
use crate::config::settings::{Settings, task_of};
use crate::train::task::Task;
use std::path::Path;

/// Something that can be done with any task.
pub trait WithTask {
    /// What comes out.
    type Output;

    /// Does it.
    ///
    /// # Errors
    /// Its own.
    fn run<T: Task>(self) -> Result<Self::Output>;
}

/// Does something with the task whose settings these are, which stand in `path`. Every task has its line here.
///
/// # Errors
/// If there is no such task, or what is done fails.
pub fn with_task_of<W: WithTask>(config_toml: &str, path: &Path, with: W) -> Result<W::Output> {
    match task_of(config_toml).as_deref() {
        Config::TASK => with.run::<Pretrain>(),
        FinetuneConfig::TASK => with.run::<Classify>(),
        BeitSettings::TASK => with.run::<BeitStyle>(),
        MocoV3Config::TASK => with.run::<MocoV3>(),
        SegmentConfig::TASK => with.run::<Segment>(),
        DetectConfig::TASK => with.run::<Detect>(),
        other => Err(Error::input(
            path,
            "task",
            "none, classify, beit, moco-v3, segment or detect",
            other.unwrap_or_default(),
        )),
    }
}

/// Every key of every task's settings.
#[must_use]
pub fn all_keys() -> Vec<String> {
    [
        keys::<Config>(),
        keys::<FinetuneConfig>(),
        keys::<BeitSettings>(),
        keys::<MocoV3Config>(),
        keys::<SegmentConfig>(),
    ]
    .concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Presets leave some optional keys out, and name every other one.
    #[test]
    fn every_key_is_found_with_or_without_a_value() {
        let (pretrain, finetune) = (keys::<Config>(), keys::<FinetuneConfig>());
        for key in ["model.depth", "mask.mask_ratio", "data.crop", "optim.lr", "optim.clip_grad", "run.seed"]
        {
            assert!(pretrain.iter().any(|known| known == key), "{key}");
        }
        for key in ["model.pooling", "finetune.ema_decay", "augment.rand_augment", "optim.lr"] {
            assert!(finetune.iter().any(|known| known == key), "{key}");
        }
        let nano = Config::resolve("nano", None, Vec::new()).unwrap().to_table().unwrap();
        for (section, table) in nano {
            for key in table.as_table().unwrap().keys() {
                assert!(pretrain.contains(&format!("{section}.{key}")), "{section}.{key}");
            }
        }
    }
}
