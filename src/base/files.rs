//! Text from outside: UTF-8, with or without the byte order mark that Windows' editors put in front.

use super::{Error, Result};
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// Far more than settings or a list of patches need: a wrong path must not fill the memory.
const MOST_BYTES: u64 = 1 << 20;

/// A text file of at most one mebibyte. A pipe will do, too.
///
/// # Errors
/// If it cannot be read, is longer, or is not UTF-8.
pub fn read_text(path: &Path) -> Result<String> {
    read_text_of(path, MOST_BYTES)
}

/// A text file of at most so many bytes.
///
/// # Errors
/// As [`read_text`].
pub fn read_text_of(path: &Path, most: u64) -> Result<String> {
    let file = File::open(path).map_err(Error::read(path))?;
    let mut bytes = Vec::new();
    file.take(most + 1).read_to_end(&mut bytes).map_err(Error::read(path))?;
    if bytes.len() as u64 > most {
        return Err(Error::input(path, "file length", format!("at most {most} bytes of text"), "more"));
    }
    text(path, "text", &bytes).map(str::to_owned)
}

/// The text that stands in `field` of the file at `path`, without a byte order mark. Every text that is not this
/// program's own comes through here.
///
/// # Errors
/// If it is not UTF-8; UTF-16, Windows' other encoding, is called by its name.
pub fn text<'a>(path: &Path, field: &str, bytes: &'a [u8]) -> Result<&'a str> {
    // With its mark, or without: a character of ASCII, with which all of our formats begin, has a byte that is zero.
    if matches!(bytes, [0xff, 0xfe, ..] | [0xfe, 0xff, ..] | [0, _, ..] | [_, 0, ..]) {
        return Err(Error::input(path, field, "UTF-8", "UTF-16: save the text again as UTF-8"));
    }
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let found = format!("something else at byte {}", error.valid_up_to());
        Error::input(path, field, "UTF-8", found)
    })?;
    Ok(text.strip_prefix('\u{feff}').unwrap_or(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> std::result::Result<&str, String> {
        text(Path::new("names.txt"), "line 3", bytes).map_err(|error| error.to_string())
    }

    #[test]
    fn a_byte_order_mark_in_front_is_no_content() {
        for content in ["", "7", "[0, 1]", "caf\u{e9}", "a\u{feff}b"] {
            assert_eq!(read(content.as_bytes()), Ok(content));
            assert_eq!(read(format!("\u{feff}{content}").as_bytes()), Ok(content));
        }
    }

    #[test]
    fn other_encodings_are_refused_and_utf_16_is_called_by_its_name() {
        let name = "names.txt: line 3: expected UTF-8, found UTF-16: save the text again as UTF-8";
        let words: Vec<u16> = "[0, 1]".encode_utf16().collect();
        let (little, big): (Vec<u8>, Vec<u8>) = (
            words.iter().flat_map(|word| word.to_le_bytes()).collect(),
            words.iter().flat_map(|word| word.to_be_bytes()).collect(),
        );
        for bytes in [[b"\xff\xfe", &little[..]].concat(), [b"\xfe\xff", &big[..]].concat(), little, big] {
            assert_eq!(read(&bytes), Err(name.to_owned()));
        }
        let latin = "names.txt: line 3: expected UTF-8, found something else at byte 3";
        assert_eq!(read(b"caf\xe9"), Err(latin.to_owned()));
    }
}
