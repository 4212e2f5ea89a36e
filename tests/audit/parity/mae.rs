//! A whole pre-training step: every activation, gradient and updated weight of `mae_v1` and `mae_v2`.

use super::golden::agrees;

#[test]
fn a_step_on_raw_pixels_of_one_channel_is_the_references_in_f64() {
    agrees("mae_v1.f64", 195);
}

#[test]
fn a_step_on_raw_pixels_of_one_channel_is_the_references_in_f32() {
    agrees("mae_v1.f32", 195);
}

#[test]
fn a_step_on_normalised_pixels_of_three_channels_is_the_references_in_f64() {
    agrees("mae_v2.f64", 235);
}

#[test]
fn a_step_on_normalised_pixels_of_three_channels_is_the_references_in_f32() {
    agrees("mae_v2.f32", 235);
}
