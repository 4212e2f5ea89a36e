//! How well a model does a task: accuracy and its confidence interval, recall of each class, nearest neighbours.

pub mod knn;
pub mod metrics;

pub use metrics::Metrics;
