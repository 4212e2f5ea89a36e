//! The single operations that heads on images and detection are made of: outputs, and gradients for a given upstream gradient.

mod boxes;
mod case;
mod losses;
mod maps;
mod regions;

use super::recording::Recording;
use crate::base::{Real, Result};
use case::Case;

/// An operation's name and how to replay one case of it.
type Replay<F> = fn(&mut Case<F>) -> Result<()>;

/// What is compared. An operation that is not among these makes the recording fail.
fn operations<F: Real>() -> Vec<(&'static str, Replay<F>)> {
    vec![
        ("conv3x3", maps::conv3x3),
        ("convt2x2", maps::conv_transpose2x2),
        ("maxpool", maps::max_pool),
        ("nearest2x", maps::nearest2x),
        ("subsample2", maps::subsample2),
        ("bilinear", maps::bilinear),
        ("avgpool", maps::average),
        ("layernorm2d", maps::layer_norm),
        ("relu", maps::relu),
        ("pixelce", losses::pixel_ce),
        ("classce", losses::class_ce),
        ("bce", losses::bce),
        ("smoothl1", losses::smooth_l1),
        ("encode", boxes::encode),
        ("decode", boxes::decode),
        ("clip", boxes::clip),
        ("iou", boxes::iou),
        ("anchors", boxes::anchors),
        ("levels", boxes::levels),
        ("matcher", boxes::matcher),
        ("nms", boxes::nms),
        ("roialign", regions::roi_align),
        ("masktarget", regions::mask_target),
    ]
}

pub(super) fn replay<F: Real>(recording: &mut Recording<F>) -> Result<()> {
    let config = recording.find("config").and_then(|config| config.as_object()).cloned();
    let config = config.filter(|cases| !cases.is_empty());
    let Some(config) = config else {
        return Err(recording.wrong("config", "an entry for every case", "none"));
    };
    let operations = operations::<F>();
    for (name, options) in config {
        let Some(op) = options.get("op").and_then(|op| op.as_str()) else {
            return Err(recording.wrong(&format!("config {name}"), "an operation, `op`", options));
        };
        match operations.iter().find(|(known, _)| *known == op) {
            Some((_, run)) => run(&mut Case { recording, name, options })?,
            None => recording.claim(&name, false, format!("`{op}` is no operation that is known here")),
        }
    }
    Ok(())
}
