//! Audits: what shows that a backward pass is the derivative of its forward pass, that every number is the
//! reference's, what a checkpoint holds, and whether a run is healthy.

pub mod budget;
pub mod checks;
pub mod directions;
pub mod doctor;
pub mod gradcheck;
pub mod inspect;
pub mod model;
pub mod mutants;
pub mod parity;
pub mod replay;
pub mod report;
pub mod trace;

pub use gradcheck::GradCheck;
pub use report::Report;
