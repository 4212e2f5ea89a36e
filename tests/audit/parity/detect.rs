//! Detection: a step of `detect_v` with given samples, and its inference from the pixels to the masks.

use super::golden::agrees;

#[test]
fn a_step_of_detection_and_its_inference_are_the_recorded_ones_in_f64() {
    agrees("detect_v.f64", 459);
}

#[test]
fn a_step_of_detection_and_its_inference_are_the_recorded_ones_in_f32() {
    agrees("detect_v.f32", 459);
}
