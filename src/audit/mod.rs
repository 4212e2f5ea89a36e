//! Audits: what shows that a backward pass is the derivative of its forward pass.

pub mod gradcheck;

pub use gradcheck::{GradCheck, Report};
