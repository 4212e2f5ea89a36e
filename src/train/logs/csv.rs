//! `metrics.jsonl` as a table: one row a record, one column a key, empty where a record does not have it. Lists
//! are numbers with spaces between them.

use crate::base::{Error, Result};
use crate::train::metrics::{EpochRecord, Record, StepRecord, ValidationRecord};
use serde::Serialize;

/// A row; the names of its fields are the columns.
#[derive(Default, Serialize)]
struct Row<'a> {
    kind: &'static str,
    step: u64,
    epoch: Option<f64>,
    loss: Option<f64>,
    lr: Option<f64>,
    grad_norm: Option<f64>,
    images_per_s: Option<f64>,
    train_loss: Option<f64>,
    held_out_loss: Option<f64>,
    held_out_accuracy: Option<f64>,
    skipped_steps: Option<u64>,
    wall_secs: Option<f64>,
    data_wait_secs: Option<f64>,
    weights_digest: Option<&'a str>,
    chain: Option<&'a str>,
    images: Option<u64>,
    top1: Option<f64>,
    top5: Option<f64>,
    recall: Option<String>,
    tensor: Option<&'a str>,
    key: Option<&'a str>,
    from: Option<&'a str>,
    to: Option<&'a str>,
}

/// A table with a head. Numbers are the shortest decimals that read back as the same bits; what is not finite is
/// `NaN`.
///
/// # Errors
/// Never, as long as memory takes what is written to it.
pub fn table(records: &[Record]) -> Result<Vec<u8>> {
    let mut writer = ::csv::Writer::from_writer(Vec::new());
    for record in records {
        writer.serialize(row(record)).map_err(wrong)?;
    }
    if records.is_empty() {
        return head();
    }
    writer.into_inner().map_err(wrong)
}

/// A table without rows.
fn head() -> Result<Vec<u8>> {
    let mut writer = ::csv::Writer::from_writer(Vec::new());
    writer.serialize(Row::default()).map_err(wrong)?;
    let mut table = writer.into_inner().map_err(wrong)?;
    table.truncate(table.iter().position(|&byte| byte == b'\n').map_or(0, |end| end + 1));
    Ok(table)
}

fn wrong(e: impl std::fmt::Display) -> Error {
    Error::setting("CSV", "rows that memory takes", e)
}

fn row(record: &Record) -> Row<'_> {
    match record {
        Record::Step(step) => step_row(step),
        Record::Epoch(epoch) => epoch_row(epoch),
        Record::Validation(validation) => validation_row(validation),
        Record::Skipped(skipped) => {
            Row { kind: "skipped", step: skipped.step, tensor: Some(&skipped.tensor), ..Row::default() }
        }
        Record::Change(change) => Row {
            kind: "change",
            step: change.step,
            key: Some(&change.key),
            from: Some(&change.from),
            to: Some(&change.to),
            ..Row::default()
        },
    }
}

fn step_row(record: &StepRecord) -> Row<'_> {
    Row {
        kind: "step",
        step: record.step,
        epoch: Some(record.epoch),
        loss: Some(record.loss),
        lr: Some(record.lr),
        grad_norm: Some(record.grad_norm),
        images_per_s: Some(record.images_per_s),
        weights_digest: record.weights_digest.as_deref(),
        chain: record.chain.as_deref(),
        ..Row::default()
    }
}

fn epoch_row(record: &EpochRecord) -> Row<'_> {
    Row {
        kind: "epoch",
        step: record.step,
        epoch: Some(record.epoch as f64),
        images_per_s: Some(record.images_per_s),
        train_loss: Some(record.train_loss),
        held_out_loss: record.held_out_loss,
        held_out_accuracy: record.held_out_accuracy,
        skipped_steps: Some(record.skipped_steps),
        wall_secs: Some(record.wall_secs),
        data_wait_secs: Some(record.data_wait_secs),
        ..Row::default()
    }
}

fn validation_row(record: &ValidationRecord) -> Row<'_> {
    let number = |recall: &Option<f64>| recall.unwrap_or(f64::NAN).to_string();
    Row {
        kind: "validation",
        step: record.step,
        epoch: Some(record.epoch as f64),
        images: Some(record.images),
        top1: Some(record.top1),
        top5: Some(record.top5),
        recall: Some(record.recall.iter().map(number).collect::<Vec<_>>().join(" ")),
        ..Row::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

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
