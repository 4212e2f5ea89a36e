//! Weights, features and logs for other programs.

pub mod convert;
pub mod csv;
pub mod export;
