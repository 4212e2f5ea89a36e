//! Audits: what shows that a backward pass is the derivative of its forward pass.

pub mod checks;
pub mod gradcheck;

pub use checks::{ALL as CHECKS, Check};
pub use gradcheck::{GradCheck, Report};
