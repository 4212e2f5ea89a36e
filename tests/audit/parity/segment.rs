//! Semantic segmentation: a step of `segment_v` and of `segment_linear_v`.

use super::golden::agrees;

#[test]
fn a_step_of_upernet_is_the_recorded_one_in_f64() {
    agrees("segment_v.f64", 360);
}

#[test]
fn a_step_of_upernet_is_the_recorded_one_in_f32() {
    agrees("segment_v.f32", 360);
}

#[test]
fn a_step_of_the_linear_head_is_the_recorded_one_in_f64() {
    agrees("segment_linear_v.f64", 100);
}

#[test]
fn a_step_of_the_linear_head_is_the_recorded_one_in_f32() {
    agrees("segment_linear_v.f32", 100);
}
