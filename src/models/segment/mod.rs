//! Semantic segmentation: a class for every pixel, from a pyramid of maps (UperNet) or from the last tokens alone.

mod any_size;
pub mod auxiliary;
pub mod config;
mod cost;
pub mod decode;
mod head;
pub mod linear_head;
pub mod pixel_loss;
pub mod pooling;
mod segmenter;

pub use config::{HeadKind, SegmenterConfig};
pub use head::{Head, HeadCache, LowLogits, UperNet};
pub use pixel_loss::{IGNORED, PixelLoss};
pub use segmenter::{SegmentLosses, Segmenter, SegmenterCache};
