//! Claim: a run never destroys what it did not write, and what it logs reads back exactly.

use std::fs;
use vit_mae::Error;
use vit_mae::base::disk::Os;
use vit_mae::checkpoint::{Change, EpochRecord, LogMark, Named};
use vit_mae::train::RunDir;
use vit_mae::train::metrics::{self, Record, SkippedRecord, StepRecord, Writer};
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
        values: vit_mae::checkpoint::Named::default(),
        weights_digest: step.is_multiple_of(2).then(|| "ab".repeat(32)),
        chain: None,
    })
}

fn epoch(step: u64, held_out_loss: Option<f64>) -> Record {
    Record::Epoch(EpochRecord {
        epoch: 1,
        step,
        train_loss: 0.7,
        scores: held_out_loss.map_or_else(Named::default, |loss| Named::scores([("loss", loss)])),
        skipped_steps: 0,
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
        "checkpoints/step-00000010/state.bin",
    ];
    for name in own.iter().chain(&foreign) {
        let path = run.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "x").unwrap();
    }
    assert_eq!(run.sheets().unwrap(), [run.sheet(10)]);
    let path = run.path().to_path_buf();
    let taken = RunDir::create(Some(path.clone()), true).unwrap_err().to_string();
    assert!(taken.contains("vit-mae.lock") && taken.contains(&std::process::id().to_string()), "{taken}");
    drop(run);
    let run = RunDir::create(Some(path), true).unwrap();
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
    let skipped = Record::Skipped(SkippedRecord { step: 4, tensor: "the loss".into() });
    let change = Change { step: 4, key: "optim.epochs".into(), from: "2".into(), to: "3".into() };
    let loss = Some(0.123_456_789_012_345_68);
    let records =
        [step(1), step(2), epoch(2, None), step(3), epoch(3, loss), skipped, Record::Change(change)];
    let mut writer = Writer::create(&path).unwrap();
    let mut written = Vec::new();
    for record in &records {
        written.push(writer.append(record.clone()).unwrap());
        assert_eq!(metrics::read(&path).unwrap(), written, "each line is there at once");
    }
    let Record::Step(second) = &written[1] else { panic!("a step") };
    assert!(second.chain.is_some(), "a digest comes with the chain");
    assert_eq!(written[0], records[0]);
    metrics::check_chain(&path, &written).unwrap();
    let text = fs::read_to_string(&path).unwrap();
    assert_eq!(text.lines().count(), records.len());
    assert!(text.starts_with(r#"{"kind":"step","step":1,"#), "{text}");
    for kind in ["epoch\",\"epoch\":1,", "skipped\",\"step\":4,", "change\",\"step\":4,"] {
        assert!(text.contains(&format!("{{\"kind\":\"{kind}")), "{text}");
    }
}

#[test]
fn the_chain_breaks_at_any_change_but_of_times() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("metrics.jsonl");
    let mut writer = Writer::create(&path).unwrap();
    for record in [step(1), epoch(1, Some(0.5)), step(2), step(3), step(4)] {
        writer.append(record).unwrap();
    }
    let text = fs::read_to_string(&path).unwrap();
    let check = |text: String| {
        fs::write(&path, text).unwrap();
        metrics::check_chain(&path, &metrics::read(&path).unwrap())
    };
    check(text.clone()).unwrap();
    check(text.replace("333.33", "444.44").replace("\"wall_secs\":2.0", "\"wall_secs\":3.0")).unwrap();
    for (from, to) in [
        ("\"loss\":0.9", "\"loss\":0.8"),
        ("\"train_loss\":0.7", "\"train_loss\":0.6"),
        ("\"held_out_loss\":0.5", "\"held_out_loss\":null"),
        ("\"lr\":0.0000", "\"lr\":0.1000"),
        ("\"weights_digest\":\"ab", "\"weights_digest\":\"ac"),
        ("\"chain\":\"", "\"chain\":\"0"),
    ] {
        assert!(text.contains(from), "{from} in {text}");
        let error = check(text.replacen(from, to, 1)).unwrap_err().to_string();
        assert!(error.contains("metrics.jsonl: chain in line 3"), "{error}");
    }
    for gone in 0..4 {
        let lines = text.split_inclusive('\n').enumerate().filter(|(i, _)| *i != gone);
        let shorter: String = lines.map(|(_, line)| line).collect();
        assert!(check(shorter).is_err(), "without line {}", gone + 1);
    }
}

#[test]
fn a_wrong_line_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("metrics.jsonl");
    let mut writer = Writer::create(&path).unwrap();
    writer.append(step(1)).unwrap();
    let good = fs::read_to_string(&path).unwrap();
    let wrong = [
        "nonsense\n".to_owned(),
        "\n".to_owned(),
        good.replace("step\"", "stop\""),
        good.replace("\"lr\"", "\"rate\""),
        good.replacen(',', ",\"extra\":\"no number\",", 1),
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
    writer.append(step(1)).unwrap();
    writer.append(step(2)).unwrap();
    let text = fs::read(&path).unwrap();
    fs::write(&path, &text[..text.len() - 5]).unwrap();
    assert_eq!(metrics::read(&path).unwrap(), [step(1)]);
}

#[test]
fn resuming_cuts_off_what_came_after_the_checkpoint() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("metrics.jsonl");
    let mut writer = Writer::create(&path).unwrap();
    let mut logged = Vec::new();
    for record in [step(1), step(2), epoch(2, None)] {
        logged.push(writer.append(record).unwrap());
    }
    let mark = writer.mark().unwrap();
    let whole: Vec<Record> = logged.iter().cloned().chain([step(3), step(4)]).collect();
    let whole: Vec<Record> = whole[..3]
        .iter()
        .cloned()
        .chain(whole[3..].iter().map(|record| writer.append(record.clone()).unwrap()))
        .collect();
    let uninterrupted = fs::read(&path).unwrap();
    // A crash in the middle of a line.
    fs::write(&path, &uninterrupted[..uninterrupted.len() - 7]).unwrap();
    let (mut writer, kept) = Writer::resume(&Os, &path, mark).unwrap();
    assert_eq!(kept, logged);
    writer.append(step(3)).unwrap();
    writer.append(step(4)).unwrap();
    assert_eq!(metrics::read(&path).unwrap(), whole);
    assert!(fs::read(&path).unwrap() == uninterrupted, "the chain goes on, too");
}

#[test]
fn a_log_that_is_not_the_checkpoints_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("metrics.jsonl");
    let mut writer = Writer::create(&path).unwrap();
    writer.append(step(1)).unwrap();
    let mark = writer.mark().unwrap();
    let text = fs::read_to_string(&path).unwrap();
    let refused = |text: &str, words: &str| {
        fs::write(&path, text).unwrap();
        let error = Writer::resume(&Os, &path, mark).unwrap_err();
        assert_eq!(error.exit_code(), 2);
        assert!(error.to_string().contains(words), "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), text, "untouched");
    };
    refused(&text[1..], "metrics.jsonl: log: expected the");
    refused(&text.replace("0.9", "0.8"), "changed or damaged");
    fs::remove_file(&path).unwrap();
    assert!(Writer::resume(&Os, &path, mark).unwrap_err().to_string().contains("cannot read"));
    Writer::resume(&Os, &path, LogMark::default()).unwrap();
    assert_eq!(metrics::read(&path).unwrap(), []);
}

#[test]
fn a_rate_that_is_not_finite_survives_as_not_finite() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("metrics.jsonl");
    let Record::Step(mut record) = step(1) else { unreachable!() };
    record.images_per_s = f64::INFINITY;
    Writer::create(&path).unwrap().append(Record::Step(record)).unwrap();
    let [Record::Step(read)] = &metrics::read(&path).unwrap()[..] else { panic!("one step") };
    assert!(read.images_per_s.is_nan());
}
