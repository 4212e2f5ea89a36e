//! What flags say, as settings: each value as TOML has it.

use super::choice_name;
use std::path::{Path, PathBuf};
use toml::Value;
use vit_mae::config::Overrides;
use vit_mae::exec::Backend;
use vit_mae::tasks::all_keys;
use vit_mae::{Error, Result};

/// A setting's key and value.
pub(crate) type Override = (String, Value);

/// Flags over the settings in the environment.
pub(crate) fn over_environment(flags: Vec<Override>) -> Result<Overrides> {
    Overrides::new(std::env::vars_os(), flags, &all_keys())
}

/// The flags that were given, of a table of keys and values.
pub(crate) fn given<const N: usize>(flags: [(&str, Option<Value>); N]) -> impl Iterator<Item = Override> {
    flags.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?)))
}

/// A flag's whole number as TOML has it: at most 2⁶³ − 1.
pub(crate) fn whole(flag: &str, n: Option<impl TryInto<i64> + ToString + Copy>) -> Result<Option<Value>> {
    let wrong = |n| Error::setting(flag, format!("at most {}", i64::MAX), n);
    n.map(|n| n.try_into().map(Value::Integer).map_err(|_| wrong(n))).transpose()
}

/// A number.
pub(crate) fn number(x: Option<f64>) -> Option<Value> {
    x.map(Value::from)
}

/// The name of a choice, as both the command line and TOML spell it.
pub(crate) fn choice(choice: Option<impl clap::ValueEnum>) -> Option<Value> {
    choice.map(|choice| choice_name(&choice).into())
}

/// A product backend, which this machine must have.
pub(crate) fn backend(chosen: Option<Backend>) -> Result<Option<Value>> {
    match chosen.filter(|backend| !backend.is_available()) {
        Some(missing) => {
            let expected = "what this machine has: amx wants Linux and an Intel processor with a matrix unit";
            Err(Error::setting("--gemm", expected, super::choice_name(&missing)))
        }
        None => Ok(choice(chosen)),
    }
}

/// A path as TOML has it: in UTF-8.
pub(crate) fn path(path: Option<&PathBuf>) -> Result<Option<Value>> {
    let wrong = |path: &Path| Error::setting("--data", "a path in UTF-8", path.display());
    path.map(|path| path.to_str().map(Value::from).ok_or_else(|| wrong(path))).transpose()
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
    let sides = match *values {
        [] => return Ok(None),
        [side] => [side, side],
        [height, width] => [height, width],
        _ => return Err(Error::setting(flag, "one or two numbers", format!("{values:?}"))),
    };
    let sides = sides.into_iter().map(|side| whole(flag, Some(side))).collect::<Result<Option<Vec<_>>>>();
    Ok(sides?.map(Value::from))
}

/// What `--set` says: `section.key=value` each, the value in TOML.
pub(crate) fn assignments(texts: &[String]) -> Result<Vec<Override>> {
    texts.iter().map(|text| parse_assignment(text)).collect()
}

fn parse_assignment(text: &str) -> Result<Override> {
    let expected = "section.key=value, the value in TOML (text in quotes, for example data.format='\"idx\"')";
    let wrong = || Error::setting("--set", expected, text);
    let (key, value) = text.split_once('=').ok_or_else(wrong)?;
    let no_value =
        |e: toml::de::Error| Error::setting("--set", expected, format!("{text} ({})", e.message()));
    Ok((key.trim().to_owned(), value.trim().parse().map_err(no_value)?))
}
