//! Settings: sections, layers of precedence, where each value came from, what the environment says.

mod keys;
pub mod moved;
pub mod origins;
pub mod overrides;
pub mod resolve;
pub mod sections;
pub mod settings;

pub use keys::keys;
pub use origins::Resolved;
pub use overrides::Overrides;
pub use settings::Settings;
