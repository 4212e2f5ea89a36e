//! Claim: every forward pass is its formula, to 1e-12; every backward pass is the derivative of its forward
//! pass, to 1e-6 by central differences in f64, for every tensor and for the input; and every linear map
//! that only moves numbers has its exact adjoint, to 1e-12.

use ndarray::arr1;
use vit_mae::audit::GradCheck;
use vit_mae::audit::checks::{self, Kind};

/// One test a layer, so that each failure has its name.
macro_rules! tests {
    ($($sentence:ident: $layer:literal;)*) => {
        $(#[test]
        fn $sentence() {
            passes($layer);
        })*

        #[test]
        fn every_layer_is_checked() {
            assert_eq!(checks::layers(), [$($layer),*]);
        }
    };
}

fn passes(layer: &str) {
    for check in checks::ALL.iter().filter(|check| check.layer == layer) {
        for seed in 0..2 {
            let report = (check.run)(&GradCheck { seed, ..GradCheck::default() });
            println!("{}: worst {:.1e}\n{report}", check.name(), report.worst());
            assert!(report.passed(), "{}, seed {seed}\n{report}", check.name());
            let limit = if check.kind == Kind::Gradient { 1e-6 } else { 1e-12 };
            assert!(report.tolerance <= limit, "{}: tolerance {:e}", check.name(), report.tolerance);
        }
    }
}

tests! {
    linear_is_its_formula_and_agrees_with_differences: "linear";
    layer_norm_is_its_formula_and_agrees_with_differences: "layer_norm";
    mlp_and_gelu_are_their_formulas_and_agree_with_differences: "mlp";
    attention_is_its_formula_and_agrees_with_differences: "attention";
    block_is_its_formula_and_agrees_with_differences: "block";
    patch_embed_is_a_convolution_and_agrees_with_differences: "patch_embed";
    pos_embed_is_its_formula: "pos_embed";
    patchify_orders_pixels_and_has_unpatchify_as_its_adjoint: "patchify";
    masking_keeps_the_least_noise: "masking";
    trunk_and_its_taps_are_their_formula_and_agree_with_differences: "vit";
    encoder_is_its_formula_agrees_with_differences_and_has_its_adjoint: "encoder";
    decoder_is_its_formula_agrees_with_differences_and_has_its_adjoint: "decoder";
    target_is_its_formula_and_agrees_with_differences: "target";
    loss_is_its_formula_and_agrees_with_differences: "loss";
    batch_norm_is_its_formula_and_agrees_with_differences: "batch_norm";
    cross_entropy_is_its_formula_and_agrees_with_differences: "cross_entropy";
    linear_probe_agrees_with_differences: "linear_probe";
    interpolated_positions_are_a_cubic_convolution: "pos_interp";
    drop_path_is_its_formula_and_agrees_with_differences: "drop_path";
    pooling_is_its_formula_and_agrees_with_differences: "pooling";
    classifier_is_its_formula_and_agrees_with_differences: "classifier";
    mask_token_is_its_formula_agrees_with_differences_and_has_its_adjoint: "mask_token";
    head_on_masked_patches_is_its_formula_and_agrees_with_differences: "masked_head";
    k_means_is_plain_loops: "kmeans";
    tokens_are_the_nearest_centroids_of_normalised_patches: "tokenizer";
    block_masks_are_the_algorithm_sentence_by_sentence: "block_mask";
    beit_is_its_formula_and_agrees_with_differences: "beit";
    mae_agrees_with_differences: "mae";
    a_linear_map_is_its_formula_and_agrees_with_differences: "linear_map";
    relu_is_its_formula_and_agrees_with_differences: "relu";
    batch_norm_with_scale_and_shift_is_its_formula_and_agrees_with_differences: "affine_batch_norm";
    mocos_heads_are_their_formulas_and_agree_with_differences: "moco_heads";
    info_nce_is_its_formula_and_agrees_with_differences: "info_nce";
    mocos_trunk_is_its_formula_and_agrees_with_differences: "moco_trunk";
    moco_is_its_formula_agrees_with_differences_and_takes_two_passes: "moco";
    convolution_is_its_formula_agrees_with_differences_and_has_its_adjoint: "conv3x3";
    convolution_with_a_bias_is_its_formula_and_agrees_with_differences: "biased_conv3x3";
    transposed_convolution_is_its_formula_agrees_with_differences_and_has_its_adjoint: "conv_transpose2x2";
    max_pool_is_its_formula_and_gives_the_gradient_to_the_first_of_equal_ones: "max_pool";
    resizing_is_its_formula_and_has_its_adjoint: "resize";
    maps_side_by_side_are_taken_apart_again: "concat";
    convolution_norm_and_relu_are_their_formulas_and_agree_with_differences: "conv_norm_relu";
    pyramid_is_its_formula_agrees_with_differences_and_has_its_adjoint: "pyramid";
    loss_of_pixels_is_its_formula_and_agrees_with_differences: "pixel_loss";
    segmentation_is_its_formula_and_agrees_with_differences: "segment";
    boxes_are_moved_clipped_and_overlap_as_defined: "boxes";
    anchors_have_their_levels_area: "anchors";
    twice_the_side_is_one_level_up: "levels";
    matches_are_the_best_objects_and_low_quality_ones_keep_theirs: "matcher";
    suppression_takes_the_best_and_what_overlaps_it_goes: "nms";
    samples_are_drawn_evenly_and_in_order: "sampling";
    roi_align_is_its_formula_agrees_with_differences_and_has_its_adjoint: "roi_align";
    half_covered_cells_are_mask_targets: "mask_target";
    binary_cross_entropy_is_its_formula_and_agrees_with_differences: "bce";
    smooth_l1_is_its_formula_and_agrees_with_differences: "smooth_l1";
    proposals_are_those_of_a_slow_version: "proposals";
    detections_are_those_of_a_slow_version: "detections";
    masks_are_pasted_by_their_formula: "paste";
    flattening_has_its_adjoint: "flatten";
    feature_pyramid_is_its_formula_and_agrees_with_differences: "fpn";
    head_on_anchors_is_its_formula_and_agrees_with_differences: "rpn_head";
    box_head_is_its_formula_and_agrees_with_differences: "box_head";
    mask_head_is_its_formula_and_agrees_with_differences: "mask_head";
    detection_is_its_formula_and_agrees_with_differences: "detector";
}

#[test]
fn the_key_bias_has_a_row_of_its_own_that_is_0() {
    let attention = checks::ALL.iter().find(|c| c.layer == "attention" && c.kind == Kind::Gradient).unwrap();
    let report = (attention.run)(&GradCheck::default());
    let row = |part: &str| report.rows.iter().find(|row| row.tensor.contains(part)).unwrap();
    let key = row("qkv.bias, key");
    assert!(key.largest < 1e-9 && key.error < 1e-6 && key.checked == key.of, "{key:?}");
    assert!(row("qkv.bias, query").largest > 1e-3 && row("qkv.bias, value").largest > 1e-3);
}

#[test]
fn a_gradient_that_is_not_a_number_does_not_pass() {
    let x = arr1(&[1.0, 2.0]);
    let report = GradCheck::default().function(&x, |x, _| x.clone(), |_, dy, _| dy.mapv(|_| f64::NAN));
    assert!(!report.passed() && report.worst().is_nan(), "{report}");
}

#[test]
fn a_report_without_rows_does_not_pass() {
    let check = GradCheck { only: Some(["nothing".to_owned()].into()), ..GradCheck::default() };
    let report = check.function(&arr1(&[1.0, 2.0]), |x, _| x.clone(), |_, dy, _| dy.clone());
    assert!(!report.passed(), "{report}");
}
