//! What `loss.svg` and the report draw of the records of `metrics.jsonl`.

use super::metrics::{EpochRecord, Record, StepRecord};
use crate::base::Result;
use crate::draw::plot::{self, LossCurves, Point};

/// The loss against the step: single steps thin, means of epochs bold, validation loss where there is one,
/// and a dashed line with a label for each reference, such as `("predicting the mean", 0.98)`.
/// `loss` names the vertical axis.
///
/// # Errors
/// If the drawing library refuses.
pub fn loss_svg(records: &[Record], references: &[(String, f64)], loss: &str) -> Result<String> {
    let curves = LossCurves {
        steps: steps(records).map(|r| (to_f64(r.step), r.loss)).collect(),
        epochs: epochs(records).map(|r| (to_f64(r.step), r.train_loss)).collect(),
        held_out: epochs(records).filter_map(|r| point(r, "loss")).collect(),
    };
    plot::loss_svg(&curves, references, loss)
}

/// The learning rate against the step.
///
/// # Errors
/// If the drawing library refuses.
pub fn lr_svg(records: &[Record]) -> Result<String> {
    plot::lr_svg(&steps(records).map(|r| (to_f64(r.step), r.lr)).collect::<Vec<_>>())
}

/// A score on validation images that is a fraction, in per cent, epoch by epoch.
///
/// # Errors
/// If the drawing library refuses.
pub fn score_svg(records: &[Record], name: &str) -> Result<String> {
    plot::score_svg(&epochs(records).filter_map(|r| point(r, name)).collect::<Vec<_>>(), name)
}

/// A curve for each value that the task's steps measure beside the loss, with its name.
///
/// # Errors
/// If the drawing library refuses.
pub fn value_svgs(records: &[Record]) -> Result<Vec<(String, String)>> {
    let names = steps(records).next().map_or_else(Vec::new, |r| r.values.0.clone());
    let curve = |name: &str| -> Vec<Point> {
        let value = |r: &StepRecord| r.values.0.iter().find(|(found, _)| found == name).map(|(_, v)| *v);
        steps(records).filter_map(|r| Some((to_f64(r.step), value(r)?))).collect()
    };
    let svg = |(name, _): (String, f64)| {
        let words = name.replace('_', " ");
        let svg = plot::value_svg(&curve(&name), &words)?;
        Ok((words, svg))
    };
    names.into_iter().map(svg).collect()
}

fn point(record: &EpochRecord, score: &str) -> Option<Point> {
    Some((to_f64(record.step), record.score(score)?))
}

fn steps(records: &[Record]) -> impl Iterator<Item = &StepRecord> {
    records.iter().filter_map(|record| if let Record::Step(r) = record { Some(r) } else { None })
}

fn epochs(records: &[Record]) -> impl Iterator<Item = &EpochRecord> {
    records.iter().filter_map(|record| if let Record::Epoch(r) = record { Some(r) } else { None })
}

#[expect(clippy::cast_precision_loss, reason = "a position on a screen")]
fn to_f64(step: u64) -> f64 {
    step as f64
}
