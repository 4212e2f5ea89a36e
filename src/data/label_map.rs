//! From a PNG file to the class of each pixel: the value of an 8-bit grey file, the index of a palette's, whatever its
//! colours are.

use std::io::Cursor;
use std::path::Path;

use image::ImageFormat;
use ndarray::Array2;

use super::decode::{check_size, describe_start, png_size, read_file};
use super::image::MAX_BYTES;
use super::target::IGNORED;
use crate::base::guard::guarded;
use crate::base::{Error, Result};

/// The most classes that label maps can tell apart, beside [`IGNORED`].
pub const MOST_CLASSES: usize = IGNORED as usize;

/// Reads a label map, `[H, W]`.
///
/// # Errors
/// If the file cannot be read, is damaged, or is no PNG file of 8-bit grey or with a palette: the values of other kinds
/// are no classes, or more than a byte holds.
pub fn load_label_map(path: impl AsRef<Path>) -> Result<Array2<u8>> {
    let path = path.as_ref();
    decode(path, &read_file(path, MAX_BYTES)?)
}

/// [`load_label_map`] for bytes that are in memory; `path` is for messages.
fn decode(path: &Path, bytes: &[u8]) -> Result<Array2<u8>> {
    let (size, depth) = header(path, bytes)?;
    let damaged = |error: String| Error::input(path, "image data", "a sound Png", error);
    let rows = guarded(path, "image data", || {
        let limits = png::Limits { bytes: usize::try_from(MAX_BYTES).unwrap_or(usize::MAX) };
        let decoder = png::Decoder::new_with_limits(Cursor::new(bytes), limits);
        let mut reader = decoder.read_info().map_err(|error| damaged(error.to_string()))?;
        let len =
            reader.output_buffer_size().ok_or_else(|| damaged("more than fits into memory".to_owned()))?;
        let mut rows = vec![0; len];
        reader.next_frame(&mut rows).map_err(|error| damaged(error.to_string()))?;
        Ok(rows)
    })?;
    // A row fills whole bytes; indices of fewer bits lie in them from the upper bits down.
    let (row_bytes, in_byte) = ((size.1 * depth).div_ceil(8), 8 / depth);
    Ok(Array2::from_shape_fn(size, |(y, x)| {
        let byte = u32::from(rows[y * row_bytes + x / in_byte]);
        let shift = 8 - depth * (x % in_byte + 1);
        u8::try_from((byte >> shift) & ((1 << depth) - 1)).expect("at most 8 bits")
    }))
}

/// Rows, columns and bits of a value by the file's first chunk, if its values can be classes.
fn header(path: &Path, bytes: &[u8]) -> Result<((usize, usize), usize)> {
    if !bytes.starts_with(b"\x89PNG\r\n\x1a\n") {
        let expected = "PNG, as other formats change values";
        return Err(Error::input(path, "label map", expected, describe_start(bytes)));
    }
    let (height, width) = png_size(path, bytes)?;
    let (depth, colour) = (bytes.get(24).copied().unwrap_or(0), bytes.get(25).copied().unwrap_or(0));
    let found = match (colour, depth) {
        (0, 8) | (3, 1 | 2 | 4 | 8) => None,
        (0, 16) => Some("grey of 16 bits: save the classes as 8 bits (uint8)".to_owned()),
        (0, _) => Some(format!("grey of {depth} bit: save the classes as 8 bits (uint8)")),
        (2 | 6, _) => Some("colours: replace each colour by the number of its class".to_owned()),
        (4, _) => Some("grey with alpha: save the classes without alpha".to_owned()),
        _ => Some(format!("a PNG of colour type {colour}")),
    };
    if let Some(found) = found {
        let expected = "an 8-bit grey or a palette PNG, whose values or indices are classes";
        return Err(Error::input(path, "label map", expected, found));
    }
    let total = u64::from(height) * u64::from(width);
    check_size(path, ImageFormat::Png, bytes, (height, width), total)?;
    Ok(((height as usize, width as usize), depth.into()))
}

/// Refuses a map with a value that is neither one of so many classes nor [`IGNORED`].
pub(super) fn check_classes(path: &Path, map: &Array2<u8>, classes: usize) -> Result<()> {
    let wrong = |&value: &u8| usize::from(value) >= classes && value != IGNORED;
    match map.indexed_iter().find(|(_, value)| wrong(value)) {
        None => Ok(()),
        Some(((y, x), value)) => {
            let expected = format!("less than {classes}, the number of classes, or {IGNORED} (ignored)");
            Err(Error::input(path, format!("label of row {y}, column {x}"), expected, value))
        }
    }
}
