//! Claim: a run never destroys what it did not write, and what it logs reads back exactly.

use std::fs;
use vit_mae::Error;
use vit_mae::checkpoint::EpochRecord;
use vit_mae::train::RunDir;
use vit_mae::train::metrics::{self, Record, StepRecord, Writer};
use vit_mae::train::run_dir::write_atomic;

fn step(step: u64) -> Record {
    let n = f64::from(u32::try_from(step).unwrap());
    Record::Step(StepRecord {
        step,
        epoch: n / 3.0,
        loss: 1.0 / (n + 0.1),
        lr: 1.5e-4 * n / 7.0,
        grad_norm: 0.1 + 0.2,
        images_per_s: 1e3 / 3.0,
    })
}

fn epoch(step: u64, held_out_loss: Option<f64>) -> Record {
    Record::Epoch(EpochRecord {
        epoch: 1,
        step,
        train_loss: 0.7,
        held_out_loss,
        wall_secs: 2.0,
        images_per_s: 100.0,
        data_wait_secs: 0.5,
    })
}

#[test]
fn runs_are_numbered_after_the_last() {
    let dir = tempfile::tempdir().unwrap();
    let runs = dir.path().join("runs");
    let name = |run: &RunDir| run.path().file_name().unwrap().to_str().unwrap().to_owned();
    assert_eq!(name(&RunDir::create_numbered(&runs).unwrap()), "0001");
    assert_eq!(name(&RunDir::create_numbered(&runs).unwrap()), "0002");
    fs::create_dir(runs.join("0041")).unwrap();
    fs::create_dir(runs.join("baseline")).unwrap();
    assert_eq!(name(&RunDir::create_numbered(&runs).unwrap()), "0042");
}

#[test]
fn a_folder_with_files_is_refused_and_untouched() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("thesis.txt"), "years of work").unwrap();
    let error = RunDir::create(Some(dir.path().into()), false).unwrap_err();
    assert!(error.to_string().contains("use --overwrite or another --out"), "{error}");
    assert_eq!(error.exit_code(), 2);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn overwriting_removes_only_what_a_run_writes() {
    let dir = tempfile::tempdir().unwrap();
    let run = RunDir::create(Some(dir.path().join("new/run")), false).unwrap();
    let foreign = ["thesis.txt", "reconstructions/mine.png", "checkpoint/notes.md", "checkpoints.txt"];
    let own = [
        "config.toml",
        "metrics.jsonl",
        "loss.svg",
        "report.html",
        ".report.html.partial",
        "reconstructions/epoch-0010.png",
        "checkpoint/model.safetensors",
        "checkpoint/state.bin",
        "checkpoint.previous/optimizer.safetensors",
        "checkpoint.partial/model.safetensors",
    ];
    for name in own.iter().chain(&foreign) {
        let path = run.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "x").unwrap();
    }
    assert_eq!(run.sheets().unwrap(), [run.sheet(10)]);
    let run = RunDir::create(Some(run.path().into()), true).unwrap();
    for name in own {
        assert!(!run.path().join(name).exists(), "{name} is still there");
    }
    for name in foreign {
        assert!(run.path().join(name).exists(), "{name} was removed");
    }
    assert!(!run.path().join("checkpoint.previous").exists());
    assert!(run.reconstructions().is_dir());
}

#[test]
fn only_a_folder_with_a_config_opens_as_a_run() {
    let dir = tempfile::tempdir().unwrap();
    assert!(RunDir::open(dir.path()).unwrap_err().to_string().contains("config.toml"));
    fs::write(dir.path().join("config.toml"), "").unwrap();
    assert_eq!(RunDir::open(dir.path()).unwrap().path(), dir.path());
}

#[test]
fn an_atomic_write_replaces_all_or_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("report.html");
    write_atomic(&path, b"old").unwrap();
    write_atomic(&path, b"new").unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"new");
    // The temporary name is taken by a folder, so that writing fails before the rename.
    fs::create_dir(dir.path().join(".report.html.partial")).unwrap();
    let error = write_atomic(&path, b"newer").unwrap_err();
    assert!(matches!(error, Error::Write { .. }));
    assert_eq!(fs::read(&path).unwrap(), b"new");
}

#[test]
fn records_come_back_bit_for_bit_one_object_per_line() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("metrics.jsonl");
    let records = vec![step(1), step(2), epoch(2, None), step(3), epoch(3, Some(0.123_456_789_012_345_68))];
    let mut writer = Writer::create(&path).unwrap();
    for (i, record) in records.iter().enumerate() {
        writer.append(record).unwrap();
        assert_eq!(metrics::read(&path).unwrap().len(), i + 1, "each line is there at once");
    }
    assert_eq!(metrics::read(&path).unwrap(), records);
    let text = fs::read_to_string(&path).unwrap();
    assert_eq!(text.lines().count(), records.len());
    assert!(text.starts_with(r#"{"kind":"step","step":1,"#), "{text}");
    assert!(text.contains(r#"{"kind":"epoch","epoch":1,"#), "{text}");
}

#[test]
fn a_wrong_line_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("metrics.jsonl");
    let mut writer = Writer::create(&path).unwrap();
    writer.append(&step(1)).unwrap();
    let good = fs::read_to_string(&path).unwrap();
    let wrong = [
        "nonsense\n".to_owned(),
        "\n".to_owned(),
        good.replace("step\"", "stop\""),
        good.replace("\"lr\"", "\"rate\""),
        good.replacen(',', ",\"extra\":1,", 1),
        good.replace("\"step\":1", "\"step\":-1"),
    ];
    for line in wrong {
        fs::write(&path, format!("{good}{good}{line}{good}")).unwrap();
        let error = metrics::read(&path).unwrap_err().to_string();
        assert!(error.contains("line 3"), "{line}: {error}");
    }
}

#[test]
fn a_line_cut_short_by_a_crash_is_left_out() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("metrics.jsonl");
    let mut writer = Writer::create(&path).unwrap();
    writer.append(&step(1)).unwrap();
    writer.append(&step(2)).unwrap();
    let text = fs::read(&path).unwrap();
    fs::write(&path, &text[..text.len() - 5]).unwrap();
    assert_eq!(metrics::read(&path).unwrap(), [step(1)]);
}

#[test]
fn resuming_drops_what_came_after_the_checkpoint() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("metrics.jsonl");
    let mut writer = Writer::create(&path).unwrap();
    for record in [step(1), step(2), epoch(2, None), step(3), step(4)] {
        writer.append(&record).unwrap();
    }
    let mut writer = Writer::resume(&path, 2).unwrap();
    writer.append(&step(3)).unwrap();
    assert_eq!(metrics::read(&path).unwrap(), [step(1), step(2), epoch(2, None), step(3)]);
    let absent = dir.path().join("absent.jsonl");
    Writer::resume(&absent, 2).unwrap();
    assert_eq!(metrics::read(&absent).unwrap(), []);
}

#[test]
fn a_rate_that_is_not_finite_survives_as_not_finite() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("metrics.jsonl");
    let Record::Step(mut record) = step(1) else { unreachable!() };
    record.images_per_s = f64::INFINITY;
    Writer::create(&path).unwrap().append(&Record::Step(record)).unwrap();
    let [Record::Step(read)] = &metrics::read(&path).unwrap()[..] else { panic!("one step") };
    assert!(read.images_per_s.is_nan());
}
