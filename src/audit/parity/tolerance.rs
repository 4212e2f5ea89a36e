//! How far a computed tensor may be from the recorded one, by kind of tensor.
//!
//! The figures for f32 were measured on the reference itself, f32 against f64, with room to spare; those for
//! f64 are what two correct programs that sum in different orders reach (`tests/golden/README.md`).

use crate::base::Real;

/// `max |a − b| ≤ max(rel · max |b|, floor)`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Tolerance {
    /// Relative to the recorded tensor's largest magnitude.
    pub(super) rel: f64,
    /// For tensors that are 0 up to rounding.
    pub(super) floor: f64,
}

impl Tolerance {
    /// At least this much, absolute.
    pub(super) fn or(self, floor: f64) -> Self {
        Self { floor: self.floor.max(floor), ..self }
    }
}

/// Whole numbers and masks.
pub(super) const EXACT: Tolerance = Tolerance { rel: 0.0, floor: 0.0 };

/// `rel` in f64 and in f32.
pub(super) fn relative<F: Real>(in_f64: f64, in_f32: f64) -> Tolerance {
    Tolerance { rel: if F::NAME == "f64" { in_f64 } else { in_f32 }, floor: 0.0 }
}

/// For a tensor of a masked-image-modelling step, as the README of these recordings has it.
pub(super) fn of_beit_step<F: Real>(key: &str, largest_gradient: f64) -> Tolerance {
    let gradient = ["grad.", "gact.", "grad_input"].iter().any(|prefix| key.starts_with(prefix));
    if F::NAME == "f64" {
        return relative::<F>(1e-10, 0.0).or(if gradient { 1e-14 * largest_gradient } else { 0.0 }).or(1e-14);
    }
    match key {
        "loss" | "grad_norm" => relative::<F>(0.0, 5e-6),
        _ if gradient => relative::<F>(0.0, 5e-5).or(1e-7 * largest_gradient),
        _ => relative::<F>(0.0, 1e-5),
    }
}

/// For a tensor of a step of segmentation, as the README of these recordings has it.
pub(super) fn of_segment_step<F: Real>(key: &str, largest_gradient: f64) -> Tolerance {
    let gradient = ["grad.", "gact.", "grad_input"].iter().any(|prefix| key.starts_with(prefix));
    if F::NAME == "f64" {
        return relative::<F>(1e-10, 0.0).or(1e-14);
    }
    match key {
        _ if gradient => relative::<F>(0.0, 5e-5).or(1e-7 * largest_gradient),
        _ if key.starts_with("act.") || key == "logits" => relative::<F>(0.0, 2e-5),
        _ => relative::<F>(0.0, 5e-6), // losses, grad_norm
    }
}

/// For a tensor of a step of detection and of its inference, as the README of these recordings has it.
pub(super) fn of_detect_step<F: Real>(key: &str, largest_gradient: f64) -> Tolerance {
    let in_f32 = match key {
        "infer.class_logits" | "infer.box_deltas" | "infer.mask_probs" => 1e-4,
        "anchors" | "rpn_targets" | "box_targets" => 1.5e-5,
        _ if key.starts_with("infer.") => 1.5e-5,
        _ => return of_segment_step::<F>(key, largest_gradient),
    };
    relative::<F>(1e-10, in_f32).or(if F::NAME == "f64" { 1e-14 } else { 0.0 })
}

/// For a tensor of a model's step. Gradients may be 0 up to rounding where others are not, so theirs has a
/// floor in proportion to the `largest_gradient` of the recording.
pub(super) fn of_step<F: Real>(key: &str, largest_gradient: f64) -> Tolerance {
    let gradient = key.starts_with("grad.") || key.starts_with("gact.") || key.starts_with("grad_logits");
    let input = key.starts_with("grad_input");
    if F::NAME == "f64" {
        let floor = if gradient || input { (1e-15 * largest_gradient).max(1e-14) } else { 1e-14 };
        return Tolerance { rel: 1e-10, floor };
    }
    let rel = match key {
        "target" | "grad_input_encoder" => 5e-5,
        "loss" | "loss_ce" | "loss_soft" | "grad_norm" | "adamw_losses" => 5e-6,
        "loss_per_patch" => 2e-5,
        "grad_input" => 1e-4,
        _ if gradient => 5e-5,
        _ => 1e-5,
    };
    Tolerance { rel, floor: if gradient || input { 1e-7 * largest_gradient } else { 0.0 } }
}

/// For a tensor of a MoCo step: its batch norms over a few rows and the small temperature magnify rounding.
pub(super) fn of_moco<F: Real>(key: &str, largest_gradient: f64) -> Tolerance {
    let gradient = key.starts_with("grad.") || key.starts_with("gact.");
    if F::NAME == "f64" {
        let floor = if gradient { (1e-14 * largest_gradient).max(1e-14) } else { 1e-14 };
        return Tolerance { rel: 1e-10, floor };
    }
    let (rel, floor) = match key {
        _ if gradient => (3e-4, 1e-6 * largest_gradient),
        _ if key.starts_with("act.") => (1e-4, 0.0),
        _ if key.starts_with("accuracy") => (0.0, 1e-6),
        _ if key.contains("buffer_after.") => (1e-5, 1e-6),
        _ if key.starts_with("momentum_after.") => (1e-6, 0.0),
        "grad_norm" => (5e-5, 0.0),
        _ => (2e-5, 0.0), // losses
    };
    Tolerance { rel, floor }
}
