//! Activations and their gradients as a probe saw them, compared with the recorded ones.

use super::recording::Recording;
use super::tolerance::Tolerance;
use crate::base::{Real, Result};
use crate::exec::probe::Recorder;

/// Compares all that was recorded of these, and notes what is missing. `first_block` says whether a recording
/// must have the activations inside of the first block of each stack. What else it has is compared, too.
pub(super) fn compare<F: Real>(
    recording: &mut Recording<F>,
    recorder: &Recorder<F>,
    images: usize,
    tolerance: impl Fn(&str) -> Tolerance,
    first_block: bool,
) -> Result<()> {
    for (name, value) in recorder.tensors() {
        let needed = must_be_recorded(&name, first_block) && !is_row_of_norm(recording, &name);
        if !needed && !recording.has(&name) {
            continue;
        }
        let [rows, width] = [value.shape()[0], value.shape()[1]];
        // Token rows `[B·N, D]` are `[B, N, D]` in a recording.
        let shape = match name.split_once('.') {
            Some((_, "pooled" | "features" | "logits")) => vec![rows, width],
            _ => vec![images, rows / images, width],
        };
        recording.compare(&name, &shape, value.iter().map(|x| x.f64()), tolerance(&name))?;
    }
    Ok(())
}

/// All but attention's probabilities, the outputs, which are recorded under names of their own, the gradient of
/// the decoder's input before positions, which is that after positions, and what is inside of blocks.
fn must_be_recorded(name: &str, first_block: bool) -> bool {
    if name.ends_with("probabilities") || matches!(name, "act.pred" | "act.logits" | "gact.decoder_input") {
        return false;
    }
    match name.split_once("blocks.") {
        Some((stack, rest)) if rest.contains('.') => {
            first_block && stack.starts_with("act.") && rest.starts_with("0.")
        }
        _ => true,
    }
}

/// Whether this is a part of what was recorded of all tokens: a class token's row of the last block and of `norm`.
fn is_row_of_norm<F: Real>(recording: &Recording<F>, name: &str) -> bool {
    let of = name.split_once('.').filter(|(_, name)| matches!(*name, "pooled" | "features"));
    of.is_some_and(|(kind, _)| recording.has(&format!("{kind}.norm")))
}

/// The largest recorded gradient: the scale of what rounding leaves where a gradient is 0.
pub(super) fn largest_gradient<F: Real>(recording: &Recording<F>) -> f64 {
    let mut largest = 0.0;
    for prefix in ["grad.", "gact."] {
        for name in recording.below(prefix) {
            let tensor = recording.tensor(&format!("{prefix}{name}"));
            largest = tensor.into_iter().flatten().fold(largest, |max: f64, x| max.max(x.abs()));
        }
    }
    largest
}
