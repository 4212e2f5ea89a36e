//! The header of an array that `numpy.save` wrote.
//!
//! ```text
//! 93 4E 55 4D 50 59 ("\x93NUMPY") · version (01 00, 02 00 or 03 00)
//! length of the rest of the header: little-endian u16 in version 1, u32 in 2 and 3
//! {'descr': '<f4', 'fortran_order': False, 'shape': (60000, 28, 28), }   spaces, a line break
//! ```
//!
//! `NumPy`'s `lib/format.py` is the specification. The crates that read it allocate what a header claims, or bring a parser
//! for all of Python's literals; a header has three known keys.

use crate::base::{Error, Result};
use std::io::Read;
use std::path::Path;

/// `NumPy` itself refuses headers longer than 10,000 characters unless told to trust the file.
const MOST_BYTES: usize = 10_000;

/// How a value is stored.
#[derive(Clone, Copy)]
pub(super) struct Scalar {
    /// As in `descr`: `b` (bool), `u`, `i`, `f`, or `U`, a text of 4 bytes a character.
    pub(super) kind: char,
    /// All of them.
    pub(super) bytes: usize,
    big_endian: bool,
}

impl Scalar {
    /// As `descr` has it; none for what is neither a number of at most 64 bits nor a text.
    pub(super) fn new(descr: &str) -> Option<Self> {
        let rest = descr.trim_start_matches(['<', '>', '|', '=']);
        let kind = rest.chars().next()?;
        let size: usize = rest[kind.len_utf8()..].parse().ok()?;
        let bytes = match (kind, size) {
            ('b', 1) | ('u' | 'i', 1 | 2 | 4 | 8) | ('f', 2 | 4 | 8) => size,
            ('U', 1..) => size.checked_mul(4)?,
            _ => return None,
        };
        Some(Self { kind, bytes, big_endian: descr.starts_with('>') })
    }

    /// The number that is stored so; whole numbers beyond 2⁵³ are rounded.
    #[expect(clippy::cast_possible_truncation, reason = "a value of so many bytes has no others")]
    pub(super) fn number(self, bytes: &[u8]) -> f64 {
        let bits = self.bits(bytes);
        match (self.kind, self.bytes) {
            ('f', 8) => f64::from_bits(bits),
            ('f', 4) => f32::from_bits(bits as u32).into(),
            ('f', _) => half(bits as u16),
            ('i', bytes) => {
                let unused = 64 - 8 * bytes;
                ((bits << unused).cast_signed() >> unused) as f64
            }
            _ => bits as f64,
        }
    }

    /// The text that is stored so.
    pub(super) fn text(self, bytes: &[u8]) -> String {
        let of = |bytes| u32::try_from(self.bits(bytes)).ok().and_then(char::from_u32);
        let characters = bytes.chunks_exact(4).map(|bytes| of(bytes).unwrap_or(char::REPLACEMENT_CHARACTER));
        characters.collect::<String>().trim_end_matches('\0').to_owned()
    }

    /// At most 8 bytes as one word.
    fn bits(self, bytes: &[u8]) -> u64 {
        let mut word = [0; 8];
        word[..bytes.len()].copy_from_slice(bytes);
        if self.big_endian {
            word[..bytes.len()].reverse();
        }
        u64::from_le_bytes(word)
    }
}

/// IEEE 754's half precision: a sign, 5 bits of exponent, 10 of fraction.
fn half(bits: u16) -> f64 {
    let (exponent, fraction) = (i32::from(bits >> 10 & 0x1f), f64::from(bits & 0x3ff) / 1024.0);
    let magnitude = match exponent {
        0 => fraction * 2f64.powi(-14),
        31 if fraction == 0.0 => f64::INFINITY,
        31 => f64::NAN,
        _ => (1.0 + fraction) * 2f64.powi(exponent - 15),
    };
    if bits & 0x8000 == 0 { magnitude } else { -magnitude }
}

/// What the values are and how many.
pub(super) struct Header {
    /// The type of the values, as `NumPy` writes it: `|u1`, `<f4`.
    pub(super) descr: String,
    /// Number of elements along each axis.
    pub(super) shape: Vec<usize>,
    /// All bytes before the values.
    pub(super) bytes: Vec<u8>,
}

impl Header {
    /// Reads the header of a file, and leaves `source` at its first value.
    ///
    /// # Errors
    /// If it is no such header, or that of an array in Fortran order.
    pub(super) fn read(path: &Path, source: &mut impl Read) -> Result<Self> {
        let mut bytes = Vec::new();
        let mut take = |len: usize, bytes: &mut Vec<u8>| {
            let before = bytes.len();
            source.take(len as u64).read_to_end(bytes).map_err(Error::read(path))?;
            let found = format!("{}: the file is cut short", bytes.len());
            let expected = format!("at least {} bytes", before + len);
            if bytes.len() == before + len {
                Ok(())
            } else {
                Err(Error::input(path, "header", expected, found))
            }
        };
        take(8, &mut bytes)?;
        if !bytes.starts_with(b"\x93NUMPY") {
            let start: Vec<String> = bytes[..6].iter().map(|byte| format!("{byte:02X}")).collect();
            let expected = "93 4E 55 4D 50 59, as numpy.save writes";
            return Err(Error::input(path, "magic number", expected, start.join(" ")));
        }
        let width = match bytes[6..8] {
            [1, 0] => 2,
            [2 | 3, 0] => 4,
            [major, minor] => {
                return Err(Error::input(path, "version", "1.0, 2.0 or 3.0", format!("{major}.{minor}")));
            }
            _ => unreachable!("two bytes"),
        };
        take(width, &mut bytes)?;
        let len = bytes[8..].iter().rev().fold(0, |len, &byte| len << 8 | usize::from(byte));
        if len > MOST_BYTES {
            return Err(Error::input(path, "header length", format!("at most {MOST_BYTES} bytes"), len));
        }
        take(len, &mut bytes)?;
        let text = String::from_utf8_lossy(&bytes[8 + width..]).into_owned();
        let missing = |key: &str, expected: &str| {
            let shown: String = text.trim().chars().take(200).collect();
            Error::input(path, key, expected, format!("the header {shown:?}"))
        };
        let descr = value(&text, "descr").and_then(quoted);
        let descr =
            descr.ok_or_else(|| missing("descr", "one type for all values, such as '|u1' or '<f4'"))?;
        match value(&text, "fortran_order") {
            Some(rest) if rest.starts_with("False") => {}
            Some(rest) if rest.starts_with("True") => {
                let expected = "C order (save numpy.ascontiguousarray(x) instead)";
                return Err(Error::input(path, "fortran_order", expected, "Fortran order"));
            }
            _ => return Err(missing("fortran_order", "True or False")),
        }
        let shape = value(&text, "shape").and_then(tuple);
        let shape = shape.ok_or_else(|| missing("shape", "whole numbers, such as (60000, 28, 28)"))?;
        Ok(Self { descr: descr.to_owned(), shape, bytes })
    }

    /// The number of values, if that many of `item` bytes are all that a file of `file_len` bytes holds.
    ///
    /// # Errors
    /// If the file is longer or shorter.
    pub(super) fn values(&self, path: &Path, file_len: u64, item: usize) -> Result<usize> {
        let product = self.shape.iter().try_fold(1usize, |product, &dim| product.checked_mul(dim));
        let claimed = product.and_then(|values| values.checked_mul(item));
        let held = file_len.saturating_sub(self.bytes.len() as u64);
        match (product, claimed) {
            (Some(values), Some(claimed)) if claimed as u64 == held => Ok(values),
            _ => {
                let (shape, descr) = (&self.shape, &self.descr);
                let claimed =
                    claimed.map_or("more than any file holds".to_owned(), |bytes| bytes.to_string());
                let expected = format!("{claimed} bytes after the header, for {shape:?} of '{descr}'");
                let cut = if product.is_some_and(|n| n as u64 * item as u64 > held) {
                    ": the file is cut short"
                } else {
                    ""
                };
                Err(Error::input(path, "content", expected, format!("{held}{cut}")))
            }
        }
    }
}

/// What stands behind a key of the dictionary.
fn value<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    ['\'', '"'].iter().find_map(|quote| {
        let (_, rest) = text.split_once(&format!("{quote}{key}{quote}"))?;
        Some(rest.trim_start().strip_prefix(':')?.trim_start())
    })
}

/// A text in single or double quotes.
fn quoted(text: &str) -> Option<&str> {
    let quote = text.chars().next().filter(|c| matches!(c, '\'' | '"'))?;
    text[1..].split_once(quote).map(|(inner, _)| inner)
}

/// Whole numbers in parentheses; Python 2 wrote `3L`.
fn tuple(text: &str) -> Option<Vec<usize>> {
    let (inner, _) = text.strip_prefix('(')?.split_once(')')?;
    let parts =
        inner.split(',').map(|part| part.trim().trim_end_matches('L')).filter(|part| !part.is_empty());
    parts.map(|part| part.parse().ok()).collect()
}
