//! Weights, features, logs and data sets for other programs.

pub mod convert;
pub mod csv;
pub mod dense_out;
pub mod export;
