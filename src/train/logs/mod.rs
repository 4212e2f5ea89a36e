//! The log of a run as event files for TensorBoard.

pub mod board;
mod event_file;
pub mod tensorboard;
