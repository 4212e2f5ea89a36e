//! Runs that are stopped on purpose, and what is left of them but for measured times.

use super::Place;
use serde_json::Value;
use vit_mae::train::Observer;
use vit_mae::train::metrics::{EpochRecord, StepRecord};

/// Settings under which eight images are learnt by heart: all of them in every batch, and nothing that varies them.
pub(crate) const BY_HEART: [(&str, &str); 13] = [
    ("model.embed_dim", "32"),
    ("model.channels", "24"),
    ("finetune.drop_path", "0.0"),
    ("finetune.label_share", "0.67"),
    ("augment.scale", "[1.0, 1.0]"),
    ("augment.jitter", "false"),
    ("data.flip", "false"),
    ("run.held_out_images", "0"),
    ("optim.batch_size", "8"),
    ("optim.epochs", "300"),
    ("optim.warmup_epochs", "20"),
    ("run.pictures_every_epochs", "1000"),
    ("run.checkpoint_every_epochs", "1000"),
];

/// Asks to stop after a number of steps, as a signal would.
pub(crate) struct StopAfter(pub(crate) u64);

impl Observer for StopAfter {
    fn step(&mut self, _: &StepRecord, _: u64) {
        self.0 = self.0.saturating_sub(1);
    }
    fn epoch(&mut self, _: &EpochRecord) {}
    fn should_stop(&self) -> Option<u8> {
        (self.0 == 0).then_some(15)
    }
}

/// The records of a run's log without the times that were measured.
pub(crate) fn log(place: &Place, out: &str) -> Vec<Value> {
    let log = place.text(&format!("{out}/metrics.jsonl"));
    let records = log.lines().map(|line| {
        let mut record: Value = serde_json::from_str(line).unwrap();
        for measured in ["images_per_s", "wall_secs", "data_wait_secs"] {
            record.as_object_mut().unwrap().remove(measured);
        }
        record
    });
    records.collect()
}
