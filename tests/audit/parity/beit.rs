//! BEiT-style pre-training: a step of `beit_v`, the iterations of `kmeans_v`.

use super::golden::agrees;

#[test]
fn a_step_of_masked_image_modelling_is_the_recorded_one_in_f64() {
    agrees("beit_v.f64", 119);
}

#[test]
fn a_step_of_masked_image_modelling_is_the_recorded_one_in_f32() {
    agrees("beit_v.f32", 119);
}

#[test]
fn k_means_is_the_recorded_one_in_f64() {
    agrees("kmeans_v.f64", 45);
}

#[test]
fn k_means_is_the_recorded_one_in_f32() {
    agrees("kmeans_v.f32", 45);
}
