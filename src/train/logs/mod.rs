//! The log of a run in other programs' forms: CSV, and event files for TensorBoard.

pub mod board;
pub mod csv;
mod event_file;
pub mod tensorboard;
