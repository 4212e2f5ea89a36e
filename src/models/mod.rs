//! The networks and their losses, forward and backward: nothing of training.

pub mod classify;
pub mod mae;
pub mod vit;
