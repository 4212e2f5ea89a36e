//! `resamples.csv`: the scores of all samples of the test pictures, of one row in its folder, and of all rows beside the table.

use super::resample::{Resampled, SAMPLES};
use super::table::{self, COLUMNS, Column, Place, Row};
use crate::base::{Error, Result};
use std::path::Path;

/// The columns behind a row's place.
fn heads() -> Vec<String> {
    let samples = (0..SAMPLES).map(|sample| format!("sample_{sample}"));
    ["measure", "pictures", "groups"].map(str::to_owned).into_iter().chain(samples).collect()
}

/// A line for each score of each row.
///
/// # Errors
/// Never, as long as memory takes what is written to it.
pub(super) fn csv(vary: &str, rows: &[Row]) -> Result<Vec<u8>> {
    let line = |Resampled { column, pictures, groups, scores }: &Resampled| {
        let what = [column.clone(), pictures.to_string(), groups.to_string()];
        what.into_iter().chain(scores.iter().map(f64::to_string)).collect()
    };
    table::lines(vary, &heads(), rows, |row| row.resampled.iter().map(line).collect())
}

/// Reads them into the rows that they belong to; where there is no such file, there are none.
///
/// # Errors
/// If it has other columns, a line has something else than numbers, or a score has no line where others of its kind have one.
pub(super) fn read_csv(path: &Path, rows: &mut [Row]) -> Result<()> {
    let resampled = |place: &Place, fields: &[String]| {
        let wrong = || {
            let expected = "numbers of pictures and of groups, and a score of 0 to 1 for each sample";
            Error::input(path, format!("line of {}", place.join(", ")), expected, fields.join(","))
        };
        let count = |text: &str| text.parse::<usize>().map_err(|_| wrong());
        let (pictures, groups) = (count(&fields[1])?, count(&fields[2])?);
        // Nothing can be judged in some samples.
        let score = |text: &String| table::score(text).or((text == "NaN").then_some(f64::NAN));
        let scores: Option<_> = fields[3..].iter().map(score).collect();
        Ok(Resampled { column: fields[0].clone(), pictures, groups, scores: scores.ok_or_else(wrong)? })
    };
    table::read_into(path, &heads(), 1, rows, resampled, |row, resampled| row.resampled.push(resampled))?;
    for row in rows.iter() {
        let has = |of: &Row, column: &Column| of.resampled.iter().any(|line| line.column == column.name);
        let of_others =
            |column: &Column| rows.iter().any(|other| other.task == row.task && has(other, column));
        let lacks = |column: &&Column| (column.of)(row).is_some() && !has(row, column) && of_others(column);
        if let Some(column) = COLUMNS.iter().find(lacks) {
            let place = format!("line of {}, {}", row.place().join(", "), column.name);
            return Err(Error::input(path, place, "one for each score of results.csv", "none"));
        }
    }
    Ok(())
}
