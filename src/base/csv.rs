//! Tables as CSV.

use super::{Error, Result};

/// A head and the rows below it.
///
/// # Errors
/// Never, as long as memory takes what is written to it, and rows have as many fields as the head.
pub fn csv_bytes(
    head: impl IntoIterator<Item = impl AsRef<[u8]>>,
    rows: impl IntoIterator<Item = impl IntoIterator<Item = impl AsRef<[u8]>>>,
) -> Result<Vec<u8>> {
    let wrong = |e: &dyn std::fmt::Display| Error::setting("CSV", "rows that memory takes", e);
    let mut writer = ::csv::Writer::from_writer(Vec::new());
    writer.write_record(head).map_err(|e| wrong(&e))?;
    for row in rows {
        writer.write_record(row).map_err(|e| wrong(&e))?;
    }
    writer.into_inner().map_err(|e| wrong(&e))
}
