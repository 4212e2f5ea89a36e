//! The networks and their losses, forward and backward: nothing of training.

pub mod beit;
pub mod classify;
pub mod detect;
pub mod mae;
pub mod moco;
pub mod pyramid;
pub mod segment;
pub mod vit;
