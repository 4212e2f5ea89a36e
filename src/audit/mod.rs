//! Audits: what shows that a backward pass is the derivative of its forward pass, and that every number is
//! the reference's.

pub mod budget;
pub mod checks;
pub mod directions;
pub mod gradcheck;
pub mod model;
pub mod mutants;
pub mod parity;
pub mod replay;
pub mod report;

pub use gradcheck::GradCheck;
pub use report::Report;
