//! Reading a list of removed patches from a file.

use super::Mask;
use crate::base::files::read_text;
use crate::base::{Error, Result};
use std::path::Path;

/// The mask that removes the listed patches: a JSON list, or numbers separated by spaces, commas or lines.
///
/// # Errors
/// If the file cannot be read, an index is none of the `patches` or comes twice, or all or none are removed.
pub fn mask_from_file(path: &Path, patches: usize) -> Result<Mask> {
    let text = read_text(path)?;
    let expected = format!("patch indices below {patches}, as a JSON list or separated by spaces or commas");
    let words: Vec<String> = if text.trim_start().starts_with('[') {
        let list: Vec<serde_json::Value> =
            serde_json::from_str(&text).map_err(|e| Error::input(path, "JSON", &expected, e))?;
        list.iter().map(ToString::to_string).collect()
    } else {
        let separator = |c: char| c == ',' || c.is_whitespace();
        text.split(separator).filter(|word| !word.is_empty()).map(str::to_owned).collect()
    };
    let mut removed = vec![false; patches];
    for word in words {
        let index: usize =
            word.parse().map_err(|_| Error::input(path, "patch", &expected, format!("`{word}`")))?;
        let patch = removed.get_mut(index).ok_or_else(|| Error::input(path, "patch", &expected, index))?;
        if std::mem::replace(patch, true) {
            return Err(Error::input(path, "patch", "each index once", format!("{index} twice")));
        }
    }
    let count = removed.iter().filter(|&&r| r).count();
    if count == 0 || count == patches {
        let expected = format!("at least one of the {patches} patches removed and one kept");
        return Err(Error::input(path, "patches", expected, format!("{count} removed")));
    }
    Ok(Mask::from_removed(&removed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_from_an_editor_on_windows_is_the_same_list() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("mask");
        let removed = |text: &str| {
            std::fs::write(&path, text).unwrap();
            mask_from_file(&path, 6).map(|mask| mask.removed()).map_err(|error| error.to_string())
        };
        for list in ["[0,\r\n 4, 5]\r\n", "0 4\r\n5\r\n", "0,4,5"] {
            assert_eq!(removed(list), Ok(3));
            assert_eq!(removed(&format!("\u{feff}{list}")), Ok(3));
        }
        assert!(removed("7\u{feff}").unwrap_err().contains("patch: expected"));
    }
}
