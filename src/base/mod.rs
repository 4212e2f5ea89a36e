//! What every other room stands on: the number type, errors, addressed randomness, the disk.

pub mod csv;
pub mod disk;
pub mod error;
pub mod files;
pub mod guard;
pub mod lanes;
pub mod math;
pub mod out_file;
pub mod real;
pub mod rng;
pub mod sync;

pub use error::{Error, Mismatch, Result};
pub use real::Real;
