//! Patterns that name several files: `{000..002}`, `{a,b}`, `*`, `?`, `[0-9]`.
//!
//! Braces name files one by one, as in Bash, and each must be there. What is there under its literal name is no pattern:
//! the brackets of `set [v2]/train-*.tar` stay brackets where there is a folder `set [v2]`.

use crate::base::{Error, Result};
use glob::Pattern;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// More names than any data set has shards, and a longer text than any path: a slip must not make millions.
const MOST: usize = 1 << 16;
const LONGEST: usize = 4096;

/// Whether this names several files rather than one that exists.
#[must_use]
pub fn is_pattern(path: &Path) -> bool {
    path.to_string_lossy().contains(['*', '?', '[', '{']) && !path.exists()
}

/// A path itself, or the first name that the braces of a pattern make.
pub(super) fn first(path: &Path) -> PathBuf {
    let names = is_pattern(path).then(|| expanded(&path.to_string_lossy())).flatten();
    names.and_then(|names| names.into_iter().next()).map_or_else(|| path.to_path_buf(), PathBuf::from)
}

/// The files that a pattern fits, in the order of their names.
///
/// # Errors
/// If there are none, also for one of the names that braces make, or a folder cannot be read.
pub(super) fn files(path: &Path, extension: &str) -> Result<Vec<PathBuf>> {
    let expected = format!("a pattern that fits at least one .{extension} file");
    let wrong = |found: String| Error::input(path, "pattern", &*expected, found);
    let (there, rest) = literal_start(path);
    let there = Pattern::escape(&there.to_string_lossy());
    let matches = |name: &str| -> Result<Vec<PathBuf>> {
        let place = Path::new(&there).join(name);
        let mut files = Vec::new();
        for found in glob::glob(&place.to_string_lossy()).map_err(|e| wrong(e.to_string()))? {
            let found = found.map_err(|e| Error::read(e.path().to_path_buf())(e.into()))?;
            files.extend(found.is_file().then_some(found));
        }
        Ok(files)
    };
    let mut all = BTreeSet::new();
    let names = expanded(&rest).ok_or_else(|| wrong(format!("more than {MOST} names in its braces")))?;
    for name in &names {
        let mut found = matches(name)?;
        if found.is_empty() && name.contains('[') {
            // A folder's name behind a `*` may have brackets of its own.
            found = matches(&name.replace('[', "[[]"))?;
        }
        if found.is_empty() {
            return Err(wrong(if names.len() == 1 { "none".to_owned() } else { format!("none for {name}") }));
        }
        all.extend(found);
    }
    Ok(all.into_iter().collect())
}

/// The part of a path that is there under its own name, and the rest.
fn literal_start(path: &Path) -> (PathBuf, String) {
    let (mut there, mut parts) = (PathBuf::new(), path.components());
    loop {
        let rest = parts.as_path().to_string_lossy().into_owned();
        match parts.next().map(|part| there.join(part)) {
            Some(next) if next.exists() => there = next,
            _ => return (there, rest),
        }
    }
}

/// All texts that the braces of a text make; nothing if these are too many. Braces without a comma or a range are
/// letters like others.
fn expanded(text: &str) -> Option<Vec<String>> {
    if text.len() > LONGEST {
        return None;
    }
    let Some((before, inside, after)) = first_braces(text) else { return Some(vec![text.to_owned()]) };
    let choices = match (range(inside)?, alternatives(inside)) {
        (Some(range), _) => range,
        (None, parts) if parts.len() > 1 => {
            let mut all = Vec::new();
            for part in parts {
                all.extend(expanded(part)?);
            }
            all
        }
        _ => expanded(inside)?.into_iter().map(|inside| format!("{{{inside}}}")).collect(),
    };
    let ends = expanded(after)?;
    (choices.len() * ends.len() <= MOST).then(|| {
        let with =
            |choice: &String| ends.iter().map(|end| format!("{before}{choice}{end}")).collect::<Vec<_>>();
        choices.iter().flat_map(with).collect()
    })
}

/// What stands before, in and after the first brace that has a partner.
fn first_braces(text: &str) -> Option<(&str, &str, &str)> {
    for (start, _) in text.match_indices('{') {
        let mut depth = 0;
        for (at, c) in text[start..].char_indices() {
            depth += i32::from(c == '{') - i32::from(c == '}');
            if depth == 0 {
                return Some((&text[..start], &text[start + 1..start + at], &text[start + at + 1..]));
            }
        }
    }
    None
}

/// The parts between commas that are in no inner braces.
fn alternatives(inside: &str) -> Vec<&str> {
    let mut depth = 0;
    let split = |c: char| {
        depth += i32::from(c == '{') - i32::from(c == '}');
        c == ',' && depth == 0
    };
    inside.split(split).collect()
}

/// The numbers of `000..012` or `0..12..2`, as wide as the wider end if one begins with 0; `Some(None)` if it is no range,
/// `None` if it is too long.
#[expect(clippy::option_option, reason = "too many, none, some")]
fn range(inside: &str) -> Option<Option<Vec<String>>> {
    let parts: Vec<&str> = inside.split("..").collect();
    let numbers: Option<Vec<i64>> = parts.iter().map(|part| part.parse().ok()).collect();
    let (first, last, step) = match numbers.as_deref() {
        Some(&[first, last]) => (first, last, 1),
        Some(&[first, last, step]) if step != 0 => (first, last, step.unsigned_abs()),
        _ => return Some(None),
    };
    let distance = first.abs_diff(last);
    if distance / step >= MOST as u64 {
        return None;
    }
    let padded =
        parts[..2].iter().any(|part| part.len() > 1 && part.trim_start_matches('-').starts_with('0'));
    let width = if padded { parts[0].len().max(parts[1].len()) } else { 0 };
    let number = |i: u64| {
        let offset = i64::try_from(i * step).unwrap_or(i64::MAX);
        let number = if first <= last { first + offset } else { first - offset };
        format!("{number:0width$}")
    };
    Some(Some((0..=distance / step).map(number).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The right-hand sides are Bash's.
    #[test]
    fn braces_mean_what_they_mean_in_bash() {
        for (text, names) in [
            ("t-{000..002}.tar", "t-000.tar t-001.tar t-002.tar"),
            ("{8..11}", "8 9 10 11"),
            ("{08..11}", "08 09 10 11"),
            ("{3..1}", "3 2 1"),
            ("{0..9..4}", "0 4 8"),
            ("{-01..2}", "-01 000 001 002"),
            ("{a,b}{1,2}", "a1 a2 b1 b2"),
            ("x{a,{b,c}d}y", "xay xbdy xcdy"),
            ("{a,{00..01}}", "a 00 01"),
            ("{a}", "{a}"),
            ("a{,b}", "a ab"),
            ("{{a,b}", "{a {b"),
            ("}{", "}{"),
            ("{1..}", "{1..}"),
        ] {
            assert_eq!(expanded(text).unwrap().join(" "), names, "{text}");
        }
    }

    #[test]
    fn braces_that_would_make_millions_are_refused() {
        for text in ["{0..99999999}", "{1..300}{1..300}", "{-9223372036854775808..9223372036854775807}"] {
            assert_eq!(expanded(text), None, "{text}");
        }
        assert_eq!(expanded(&"{".repeat(100_000)), None);
    }
}
