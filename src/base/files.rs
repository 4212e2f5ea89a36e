//! Small text files from outside, read with a limit: a wrong path must not fill the memory.

use super::{Error, Result};
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// Far more than settings or a list of patches need.
const MOST_BYTES: u64 = 1 << 20;

/// A text file of at most one mebibyte. A pipe will do, too.
///
/// # Errors
/// If it cannot be read, is longer, or is not UTF-8.
pub fn read_text(path: &Path) -> Result<String> {
    let file = File::open(path).map_err(Error::read(path))?;
    let mut bytes = Vec::new();
    file.take(MOST_BYTES + 1).read_to_end(&mut bytes).map_err(Error::read(path))?;
    if bytes.len() as u64 > MOST_BYTES {
        return Err(Error::input(path, "file length", format!("at most {MOST_BYTES} bytes of text"), "more"));
    }
    String::from_utf8(bytes).map_err(|e| {
        let at = e.utf8_error().valid_up_to();
        Error::input(path, "text", "UTF-8", format!("something else at byte {at}"))
    })
}
