//! Every check that an audit runs on the layers and the model.
//!
//! | kind | question | catches |
//! | --- | --- | --- |
//! | gradient | is the backward pass the derivative of the forward pass? | a mistake on one side |
//! | adjoint | is `⟨Ax, y⟩ = ⟨x, Aᵀy⟩` for maps that only move elements? | a row in the wrong place, to the last bit |
//! | formula | is the forward pass the paper's formula, written as plain loops? | a mistake made on both sides |

pub mod adjoints;
pub mod beit;
pub mod classifier;
mod detect;
mod detect_boxes;
mod detect_inference;
mod detect_regions;
mod detector;
mod detector_cases;
mod detector_formulas;
pub mod formulas;
pub mod formulas_mae;
pub mod gradients;
pub mod heads;
pub mod maps;
mod maps_formulas;
pub mod moco;
mod moco_formulas;
pub mod segment;
mod segment_formulas;
mod shapes;
pub mod tokens;
pub mod vit;

use crate::audit::gradcheck::GradCheck;
use crate::audit::report::Report;
use crate::layers::{Conv3x3, LinearMap, Pointwise};
use crate::models::classify::Pooling;
use crate::models::segment::HeadKind;
use serde::Serialize;

/// What a check asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Backward against difference quotients of forward.
    Gradient,
    /// The dot-product test of a linear map and its adjoint.
    Adjoint,
    /// Forward against its definition.
    Formula,
}

impl Kind {
    /// The kind's name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Gradient => "gradient",
            Self::Adjoint => "adjoint",
            Self::Formula => "formula",
        }
    }
}

/// One check.
#[derive(Clone, Copy, Debug)]
pub struct Check {
    /// The layer that it checks: the name that `--layer` takes.
    pub layer: &'static str,
    /// Which case of that layer; empty if there is only one.
    pub case: &'static str,
    /// What it asks.
    pub kind: Kind,
    /// Runs it with weights and inputs drawn from the seed.
    pub run: fn(&GradCheck) -> Report,
}

impl Check {
    /// `layer_norm, gradient` or `mae, gradient (1 channel, pixels)`.
    #[must_use]
    pub fn name(&self) -> String {
        let case = if self.case.is_empty() { String::new() } else { format!(" ({})", self.case) };
        format!("{}, {}{case}", self.layer, self.kind.name())
    }
}

const fn gradient(layer: &'static str, case: &'static str, run: fn(&GradCheck) -> Report) -> Check {
    Check { layer, case, kind: Kind::Gradient, run }
}

const fn adjoint(layer: &'static str, run: fn(&GradCheck) -> Report) -> Check {
    Check { layer, case: "", kind: Kind::Adjoint, run }
}

const fn formula(layer: &'static str, run: fn(&GradCheck) -> Report) -> Check {
    Check { layer, case: "", kind: Kind::Formula, run }
}

/// All of them, from the smallest layer to the whole model.
pub const ALL: &[Check] = &[
    gradient("linear", "", gradients::linear),
    formula("linear", formulas::linear),
    gradient("layer_norm", "", gradients::layer_norm),
    formula("layer_norm", formulas::layer_norm),
    gradient("mlp", "", gradients::mlp),
    formula("mlp", formulas::mlp),
    gradient("attention", "", gradients::attention),
    formula("attention", formulas::attention),
    gradient("block", "", gradients::block),
    gradient("block", "some rows", classifier::some_rows_gradient),
    formula("block", formulas::block),
    gradient("patch_embed", "", gradients::patch_embed),
    formula("patch_embed", formulas::patch_embed),
    formula("pos_embed", formulas::pos_embed),
    adjoint("patchify", adjoints::patchify_adjoint),
    formula("patchify", formulas_mae::pixel_order),
    formula("masking", formulas_mae::masking),
    gradient("vit", "taps", vit::gradient),
    formula("vit", vit::formula),
    gradient("encoder", "", gradients::encoder),
    adjoint("encoder", adjoints::tokens),
    formula("encoder", formulas_mae::encoder),
    gradient("decoder", "", gradients::decoder),
    adjoint("decoder", adjoints::unshuffle),
    formula("decoder", formulas_mae::decoder),
    gradient("target", "pixels", |c| gradients::target(c, false)),
    gradient("target", "normalised", |c| gradients::target(c, true)),
    formula("target", formulas_mae::target),
    gradient("loss", "", gradients::masked_loss),
    formula("loss", formulas_mae::masked_loss),
    gradient("batch_norm", "training", heads::batch_norm),
    gradient("batch_norm", "evaluation", heads::batch_norm_eval),
    formula("batch_norm", heads::batch_norm_formula),
    gradient("cross_entropy", "", heads::cross_entropy_gradient),
    formula("cross_entropy", heads::cross_entropy_formula),
    gradient("linear_probe", "training", |c| heads::linear_probe(c, true)),
    gradient("linear_probe", "evaluation", |c| heads::linear_probe(c, false)),
    formula("pos_interp", heads::pos_interp),
    gradient("drop_path", "", classifier::drop_path_gradient),
    formula("drop_path", classifier::drop_path_formula),
    gradient("pooling", "class token", |c| classifier::pooling_gradient(c, Pooling::Class)),
    gradient("pooling", "mean", |c| classifier::pooling_gradient(c, Pooling::Mean)),
    formula("pooling", classifier::pooling_formula),
    gradient("classifier", "class token", |c| classifier::gradient(c, Pooling::Class)),
    gradient("classifier", "mean", |c| classifier::gradient(c, Pooling::Mean)),
    gradient("classifier", "drop path", classifier::gradient_dropping),
    gradient("classifier", "head alone", |c| classifier::gradient_tuning(c, Pooling::Class, 0)),
    gradient("classifier", "last block", |c| classifier::gradient_tuning(c, Pooling::Mean, 1)),
    gradient("classifier", "all blocks", |c| classifier::gradient_tuning(c, Pooling::Class, 2)),
    Check { case: "class token", ..formula("classifier", |c| classifier::formula(c, Pooling::Class)) },
    Check { case: "mean", ..formula("classifier", |c| classifier::formula(c, Pooling::Mean)) },
    gradient("mask_token", "", beit::mask_token_gradient),
    adjoint("mask_token", beit::mask_token_adjoint),
    formula("mask_token", beit::mask_token_formula),
    gradient("masked_head", "", beit::head_gradient),
    formula("masked_head", beit::head_formula),
    formula("kmeans", tokens::k_means),
    Check { case: "ties", ..formula("kmeans", tokens::ties) },
    Check { case: "first centroids", ..formula("kmeans", tokens::plus_plus) },
    formula("tokenizer", tokens::tokenizer),
    formula("block_mask", tokens::block_mask),
    gradient("beit", "", beit::gradient),
    formula("beit", beit::formula),
    gradient("mae", "1 channel, pixels", |c| gradients::mae(c, 1, false)),
    gradient("mae", "1 channel, normalised", |c| gradients::mae(c, 1, true)),
    gradient("mae", "3 channels, pixels", |c| gradients::mae(c, 3, false)),
    gradient("mae", "3 channels, normalised", |c| gradients::mae(c, 3, true)),
    gradient("mae", "5 channels, pixels", |c| gradients::mae(c, 5, false)),
    gradient("mae", "5 channels, normalised", |c| gradients::mae(c, 5, true)),
    gradient("mae", "target held constant", gradients::mae_with_constant_target),
    gradient("linear_map", "", moco::linear_map),
    formula("linear_map", moco_formulas::linear_map),
    gradient("relu", "", moco::relu),
    formula("relu", moco_formulas::relu),
    gradient("affine_batch_norm", "training", |c| moco::affine_batch_norm(c, true)),
    gradient("affine_batch_norm", "evaluation", |c| moco::affine_batch_norm(c, false)),
    formula("affine_batch_norm", moco_formulas::affine_batch_norm),
    gradient("moco_heads", "projector", moco::projector),
    gradient("moco_heads", "predictor", moco::predictor),
    formula("moco_heads", moco_formulas::heads),
    gradient("info_nce", "", moco::info_nce),
    formula("info_nce", moco_formulas::info_nce),
    gradient("moco_trunk", "patch projection frozen", |c| moco::trunk(c, true)),
    gradient("moco_trunk", "patch projection trained", |c| moco::trunk(c, false)),
    formula("moco_trunk", moco_formulas::trunk),
    gradient("moco", "patch projection frozen", |c| moco::moco(c, true)),
    gradient("moco", "patch projection trained", |c| moco::moco(c, false)),
    Check { case: "two passes", ..formula("moco", moco_formulas::two_passes) },
    Check { case: "order of a step", ..formula("moco", moco_formulas::order) },
    Check { case: "coefficient", ..formula("moco", moco_formulas::coefficient) },
    gradient("conv3x3", "", maps::conv3x3),
    adjoint("conv3x3", maps::conv3x3_adjoint),
    formula("conv3x3", maps_formulas::conv3x3),
    gradient("biased_conv3x3", "", maps::biased_conv3x3),
    formula("biased_conv3x3", maps_formulas::biased_conv3x3),
    gradient("conv_transpose2x2", "", maps::conv_transpose2x2),
    adjoint("conv_transpose2x2", maps::conv_transpose2x2_adjoint),
    formula("conv_transpose2x2", maps_formulas::conv_transpose2x2),
    gradient("max_pool", "", maps::max_pool),
    formula("max_pool", maps_formulas::max_pool),
    adjoint("resize", maps::resize_adjoint),
    formula("resize", maps_formulas::resize),
    adjoint("concat", maps::concat_adjoint),
    formula("concat", maps_formulas::concat_formula),
    gradient("conv_norm_relu", "1 × 1", maps::conv_norm_relu::<Pointwise<LinearMap<f64>>>),
    gradient("conv_norm_relu", "3 × 3", maps::conv_norm_relu::<Conv3x3<f64>>),
    formula("conv_norm_relu", maps_formulas::conv_norm_relu),
    gradient("pyramid", "patch 4", |c| segment::pyramid_gradient(c, 4)),
    gradient("pyramid", "patch 8", |c| segment::pyramid_gradient(c, 8)),
    gradient("pyramid", "patch 16", |c| segment::pyramid_gradient(c, 16)),
    adjoint("pyramid", maps::tokens_adjoint),
    formula("pyramid", segment_formulas::pyramid_formula),
    Check { case: "class token", ..formula("pyramid", maps_formulas::tokens) },
    gradient("pixel_loss", "", segment::pixel_loss_gradient),
    formula("pixel_loss", segment_formulas::pixel_loss),
    gradient("segment", "UperNet", |c| segment::gradient(c, HeadKind::Upernet)),
    gradient("segment", "linear head", |c| segment::gradient(c, HeadKind::Linear)),
    Check { case: "UperNet", ..formula("segment", |c| segment_formulas::formula(c, HeadKind::Upernet)) },
    Check { case: "linear head", ..formula("segment", |c| segment_formulas::formula(c, HeadKind::Linear)) },
    formula("boxes", detect_boxes::boxes),
    formula("anchors", detect_boxes::anchors),
    formula("levels", detect_boxes::levels),
    formula("matcher", detect_boxes::matcher),
    formula("nms", detect_boxes::nms),
    formula("sampling", detect_boxes::sampling),
    gradient("roi_align", "", detect::roi_align),
    adjoint("roi_align", detect::roi_align_adjoint),
    formula("roi_align", detect_regions::roi_align),
    formula("mask_target", detect_regions::mask_target),
    gradient("bce", "", detect::bce),
    formula("bce", detect_regions::bce),
    gradient("smooth_l1", "", detect::smooth_l1),
    formula("smooth_l1", detect_regions::smooth_l1),
    formula("proposals", detect_inference::proposals),
    formula("detections", detect_inference::detections),
    formula("paste", detect_regions::paste),
    adjoint("flatten", detector::flatten_adjoint),
    gradient("fpn", "", detector::fpn_gradient),
    formula("fpn", detector_formulas::fpn_formula),
    gradient("rpn_head", "", detector::rpn_gradient),
    formula("rpn_head", detector_formulas::rpn_formula),
    gradient("box_head", "", detector::box_gradient),
    formula("box_head", detector_formulas::box_formula),
    gradient("mask_head", "", detector::mask_gradient),
    formula("mask_head", detector_formulas::mask_formula),
    gradient("detector", "with masks", |c| detector::gradient(c, true)),
    gradient("detector", "boxes alone", |c| detector::gradient(c, false)),
    Check { case: "with masks", ..formula("detector", |c| detector_formulas::losses(c, true)) },
    Check { case: "boxes alone", ..formula("detector", |c| detector_formulas::losses(c, false)) },
    Check { case: "inference", ..formula("detector", detector_formulas::inference) },
];

/// The layers' names, each once.
#[must_use]
pub fn layers() -> Vec<&'static str> {
    let mut names: Vec<_> = ALL.iter().map(|check| check.layer).collect();
    names.dedup();
    names
}
