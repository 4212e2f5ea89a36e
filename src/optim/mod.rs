//! Optimisation: which tensors decay, the update rule, the learning-rate schedule, gradient clipping.
//!
//! Nothing here knows a model: only tensors with names, roles and shapes.

pub mod adamw;
pub mod clip;
pub mod groups;
pub mod lars;
pub mod schedule;
pub mod sgd;

pub use adamw::AdamW;
pub use groups::Group;
pub use lars::Lars;
pub use schedule::Schedule;
pub use sgd::Sgd;
