//! The state as version 4 laid it out: what one loss and one accuracy were are named scores today.

use super::named::Named;
use super::record::{self, Change, Checksums, LogMark, Position};

#[derive(bincode::Decode)]
pub(super) struct State {
    step: u64,
    epoch: u64,
    position: Position,
    seed: u64,
    config_digest: u32,
    data_digest: u32,
    checksums: Checksums,
    log: LogMark,
    history: Vec<EpochRecord>,
    changes: Vec<Change>,
    skipped_images: Vec<String>,
    wall_secs: f64,
    config_toml: String,
    program: String,
}

#[derive(bincode::Decode)]
struct EpochRecord {
    epoch: u64,
    step: u64,
    train_loss: f64,
    held_out_loss: Option<f64>,
    held_out_accuracy: Option<f64>,
    skipped_steps: u64,
    wall_secs: f64,
    images_per_s: f64,
    data_wait_secs: f64,
}

impl From<State> for record::State {
    fn from(s: State) -> Self {
        Self {
            step: s.step,
            epoch: s.epoch,
            position: s.position,
            seed: s.seed,
            config_digest: s.config_digest,
            data_digest: s.data_digest,
            checksums: s.checksums,
            log: s.log,
            history: s.history.into_iter().map(Into::into).collect(),
            changes: s.changes,
            skipped_images: s.skipped_images,
            wall_secs: s.wall_secs,
            config_toml: s.config_toml,
            program: s.program,
        }
    }
}

impl From<EpochRecord> for record::EpochRecord {
    fn from(e: EpochRecord) -> Self {
        let scores = match (e.held_out_accuracy, e.held_out_loss) {
            (Some(accuracy), Some(loss)) => Named::scores([("accuracy", accuracy), ("loss", loss)]),
            (None, Some(loss)) => Named::scores([("loss", loss)]),
            (_, None) => Named::default(),
        };
        Self {
            epoch: e.epoch,
            step: e.step,
            train_loss: e.train_loss,
            scores,
            skipped_steps: e.skipped_steps,
            wall_secs: e.wall_secs,
            images_per_s: e.images_per_s,
            data_wait_secs: e.data_wait_secs,
        }
    }
}
