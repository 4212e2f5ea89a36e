//! What flags say, as settings: each value as TOML has it.

use super::choice_name;
use std::path::Path;
use toml::Value;
use vit_mae::config::Overrides;
use vit_mae::tasks::all_keys;
use vit_mae::{Error, Result};

/// A setting's key and value.
pub(crate) type Override = (String, Value);

/// Flags over the settings in the environment.
pub(crate) fn over_environment(flags: Vec<Override>) -> Result<Overrides> {
    Overrides::new(std::env::vars_os(), flags, &all_keys())
}

/// A flag's whole number as TOML has it: at most 2⁶³ − 1.
pub(crate) fn whole(flag: &str, n: impl TryInto<i64> + ToString + Copy) -> Result<Value> {
    let expected = format!("at most {}", i64::MAX);
    n.try_into().map(Value::Integer).map_err(|_| Error::setting(flag, expected, n))
}

/// The name of a choice, as both the command line and TOML spell it.
pub(crate) fn choice(choice: &impl clap::ValueEnum) -> Value {
    Value::from(choice_name(choice))
}

/// A path as TOML has it: in UTF-8.
pub(crate) fn path(path: &Path) -> Result<Value> {
    let text = path.to_str().ok_or_else(|| Error::setting("--data", "a path in UTF-8", path.display()));
    text.map(Value::from)
}

/// Two numbers, or nothing.
pub(crate) fn pair(flag: &str, values: &[f64]) -> Result<Option<Value>> {
    match *values {
        [] => Ok(None),
        [low, high] => Ok(Some(vec![low, high].into())),
        _ => Err(Error::setting(flag, "two numbers, for example 0.2,1", format!("{values:?}"))),
    }
}

/// Height and width, from one or two numbers, or nothing.
pub(crate) fn sides(flag: &str, values: &[usize]) -> Result<Option<Value>> {
    let (height, width) = match *values {
        [] => return Ok(None),
        [side] => (side, side),
        [height, width] => (height, width),
        _ => return Err(Error::setting(flag, "one or two numbers", format!("{values:?}"))),
    };
    Ok(Some(vec![whole(flag, height)?, whole(flag, width)?].into()))
}

/// What `--set` says: `section.key=value` each, the value in TOML.
pub(crate) fn assignments(texts: &[String]) -> Result<Vec<(String, Value)>> {
    texts.iter().map(|text| parse_assignment(text)).collect()
}

fn parse_assignment(text: &str) -> Result<(String, Value)> {
    let expected = "section.key=value, the value in TOML (text in quotes, for example data.format='\"idx\"')";
    let wrong = || Error::setting("--set", expected, text);
    let (key, value) = text.split_once('=').ok_or_else(wrong)?;
    Ok((key.trim().to_owned(), value.trim().parse().map_err(|_| wrong())?))
}
