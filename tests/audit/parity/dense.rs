//! What segmentation and detection are made of: the single operations of `denseops_v`, and the steps of a detector's inference.

use super::golden::agrees;

#[test]
fn single_operations_are_the_recorded_ones_in_f64() {
    agrees("denseops_v.f64", 119);
}

#[test]
fn single_operations_are_the_recorded_ones_in_f32() {
    agrees("denseops_v.f32", 119);
}

#[test]
fn proposals_detections_and_pasted_masks_are_the_recorded_ones_in_f64() {
    agrees("detect_post_v.f64", 12);
}

#[test]
fn proposals_detections_and_pasted_masks_are_the_recorded_ones_in_f32() {
    agrees("detect_post_v.f32", 12);
}
