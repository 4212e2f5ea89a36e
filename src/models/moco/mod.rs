//! MoCo v3 (Chen, Xie & He 2021): two crops of an image must be told from the batch's other images, by a trunk with two
//! heads and a momentum encoder that is their moving average.

pub mod config;
pub mod heads;
pub mod loss;
pub mod model;
pub mod momentum;
pub mod step;
pub mod trunk;

pub use config::MocoConfig;
pub use heads::{Predictor, Projector};
pub use model::{BaseEncoder, Contrast, Moco};
pub use trunk::Trunk;
