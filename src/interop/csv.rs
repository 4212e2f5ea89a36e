//! `metrics.jsonl` as a table: one row a record, one column a key, empty where a record does not have it. Lists
//! are numbers with spaces between them.

use crate::base::csv::csv_bytes;
use crate::base::{Error, Result};
use crate::train::metrics::Record;
use serde_json::{Map, Value};

/// The columns that every table has, in their order; scores and other named values follow.
const COLUMNS: [&str; 23] = [
    "kind",
    "step",
    "epoch",
    "loss",
    "lr",
    "grad_norm",
    "images_per_s",
    "train_loss",
    "held_out_loss",
    "held_out_accuracy",
    "skipped_steps",
    "wall_secs",
    "data_wait_secs",
    "weights_digest",
    "chain",
    "images",
    "top1",
    "top5",
    "recall",
    "tensor",
    "key",
    "from",
    "to",
];

/// A table with a head. Numbers are the shortest decimals that read back as the same bits; what is not finite is
/// `NaN`.
///
/// # Errors
/// Never, as long as memory takes what is written to it.
pub fn table(records: &[Record]) -> Result<Vec<u8>> {
    let rows: Vec<Map<String, Value>> = records.iter().map(row).collect::<Result<_>>()?;
    let mut columns: Vec<&str> = COLUMNS.into();
    for key in rows.iter().flat_map(Map::keys) {
        if !columns.contains(&&**key) {
            columns.push(key);
        }
    }
    let fields = |row| columns.iter().map(move |column| cell(column, Map::get(row, *column)));
    csv_bytes(&columns, rows.iter().map(fields))
}

fn wrong(e: impl std::fmt::Display) -> Error {
    Error::setting("CSV", "rows that memory takes", e)
}

/// The fields of a record.
fn row(record: &Record) -> Result<Map<String, Value>> {
    match serde_json::to_value(record).map_err(wrong)? {
        Value::Object(fields) => Ok(fields),
        other => Err(wrong(other)),
    }
}

fn cell(column: &str, value: Option<&Value>) -> String {
    match value {
        None => String::new(),
        // A number that is not finite, for which JSON has no word.
        Some(Value::Null) => "NaN".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(values)) => {
            values.iter().map(|value| cell(column, Some(value))).collect::<Vec<_>>().join(" ")
        }
        // Steps tell the fraction of an epoch: the column is one of fractions.
        Some(Value::Number(number)) if column == "epoch" => {
            number.as_f64().map_or_else(String::new, |epoch| format!("{epoch:?}"))
        }
        Some(other) => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_that_has_logged_nothing_has_a_head() {
        let head = String::from_utf8(table(&[]).unwrap()).unwrap();
        assert!(head.starts_with("kind,step,epoch,loss") && head.lines().count() == 1, "{head}");
    }

    /// Keys of the log, read from its lines and not from the structs of this file.
    #[test]
    fn every_key_of_a_line_is_a_column_with_the_same_value() {
        let lines = [
            r#"{"kind":"step","step":1,"epoch":0.25,"loss":0.1,"lr":3e-5,"grad_norm":1.5,"images_per_s":12.0,"weights_digest":"ab","chain":"cd"}"#,
            r#"{"kind":"skipped","step":2,"tensor":"blocks.0, \"qkv\""}"#,
            r#"{"kind":"validation","step":4,"epoch":1,"images":9,"top1":0.9,"top5":1.0,"recall":[0.1,null,1.0]}"#,
            r#"{"kind":"epoch","epoch":1,"step":4,"train_loss":0.3,"held_out_loss":0.2,"held_out_accuracy":0.9,"skipped_steps":1,"wall_secs":2.5,"images_per_s":7.0,"data_wait_secs":0.5}"#,
            r#"{"kind":"change","step":4,"key":"optim.blr","from":"1e-3","to":"2e-3"}"#,
        ];
        let records: Vec<Record> = lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
        let table = table(&records).unwrap();
        let mut reader = ::csv::Reader::from_reader(table.as_slice());
        let columns = reader.headers().unwrap().clone();
        let rows: Vec<_> = reader.records().map(std::result::Result::unwrap).collect();
        assert_eq!(rows.len(), lines.len());
        for (line, row) in lines.iter().zip(&rows) {
            let object: serde_json::Map<String, Value> = serde_json::from_str(line).unwrap();
            for (key, value) in &object {
                let at = columns.iter().position(|column| column == key).unwrap_or_else(|| panic!("{key}"));
                match value {
                    Value::Number(n) => {
                        assert_eq!(row[at].parse::<f64>().unwrap(), n.as_f64().unwrap(), "{key}");
                    }
                    Value::Array(all) => {
                        let cells = row[at].split(' ').map(|cell| cell.parse::<f64>().unwrap());
                        let cells: Vec<Option<f64>> =
                            cells.map(|x| Some(x).filter(|x| !x.is_nan())).collect();
                        assert_eq!(cells, all.iter().map(Value::as_f64).collect::<Vec<_>>(), "{key}");
                    }
                    _ => assert_eq!(&row[at], value.as_str().unwrap(), "{key}"),
                }
            }
            let filled = row.iter().filter(|cell| !cell.is_empty()).count();
            assert_eq!(filled, object.len(), "{line}");
        }
    }
}
