//! Claim: every number of a training step is the reference's, tensor by tensor (`golden/README.md`):
//! f64 to 1e-10, f32 to the tolerances that were measured on the reference itself.

#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "small whole numbers stored as JSON"
)]

mod beit;
mod blockmask;
mod classify;
mod dense;
mod detect;
mod golden;
mod mae;
mod moco;
mod optim;
mod segment;
mod tables;
