//! The presets: each a TOML file in `presets/`, embedded in the program, and one line here.

use crate::base::{Error, Result};
use crate::models::mae::MaeConfig;
use toml::Table;

/// Name, and every setting.
pub const PRESETS: &[(&str, &str)] = &[
    ("nano", include_str!("presets/nano.toml")),
    ("cifar", include_str!("presets/cifar.toml")),
    ("photo", include_str!("presets/photo.toml")),
    ("vit-tiny", include_str!("presets/vit-tiny.toml")),
    ("vit-base", include_str!("presets/vit-base.toml")),
    ("vit-large", include_str!("presets/vit-large.toml")),
    ("vit-huge", include_str!("presets/vit-huge.toml")),
];

/// The preset that `vit-mae pretrain` uses when none is named.
pub const DEFAULT: &str = "nano";

/// A preset's TOML text.
pub fn text(name: &str) -> Result<&'static str> {
    PRESETS.iter().find(|(n, _)| *n == name).map(|(_, text)| *text).ok_or_else(|| {
        let names: Vec<_> = PRESETS.iter().map(|(name, _)| *name).collect();
        Error::setting("--preset", format!("one of {}", names.join(", ")), name)
    })
}

/// A preset's settings without what only a masked autoencoder has: the trunk's architecture, data, optimiser, run.
///
/// # Errors
/// If there is no such preset.
pub fn trunk(name: &str) -> Result<Table> {
    let wrong = |e: toml::de::Error| Error::setting("--preset", "TOML", e);
    let mut settings: Table = text(name)?.parse().map_err(wrong)?;
    settings.remove("mask");
    let model = settings.remove("model").unwrap_or_else(|| Table::new().into());
    let model: MaeConfig = model.try_into().map_err(wrong)?;
    let vit = Table::try_from(model.vit()).map_err(|e| Error::setting("--preset", "TOML", e))?;
    settings.insert("model".to_owned(), vit.into());
    Ok(settings)
}
