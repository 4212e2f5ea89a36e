//! Checkpoints: weights and moments as safetensors, everything small in a sealed state, written whole
//! or not at all. Knows tensors by name only; imports no model.

pub mod atomic;
pub mod dir;
pub mod keep;
pub mod named;
pub mod names;
pub mod npy;
mod record;
pub mod renamed;
pub mod state;
mod target;
pub mod tensors;
mod torch;
pub mod values;
pub mod verify;
mod version_4;
mod wrapping;
mod write;

pub use dir::Checkpoint;
pub use named::{Named, OfNull};
pub use names::Layout;
pub use renamed::Renamed;
pub use state::{Change, Checksums, EpochRecord, LogMark, Position, State};
pub use target::CheckpointTarget;
