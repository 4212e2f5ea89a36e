//! Claim: a checkpoint that opens is, bit for bit, one that was written; anything else is a clear error.

#![expect(clippy::float_cmp, reason = "what is stored comes back unchanged")]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use vit_mae::Error;
use vit_mae::base::disk::Os;
use vit_mae::checkpoint::dir::{MODEL, NAME, OPTIMIZER, PARTIAL, PREVIOUS, STATE, find};
use vit_mae::checkpoint::verify::verify;
use vit_mae::checkpoint::{
    Change, Checkpoint, CheckpointTarget, Checksums, EpochRecord, LogMark, Named, Position, State, tensors,
};

const WEIGHT: [f32; 6] = [0.1, -2.5, 3.0e-38, f32::MAX, -0.0, 7.0];
const BIAS: [f32; 2] = [1.0, -1.0];

fn about() -> BTreeMap<String, String> {
    BTreeMap::from([("format".to_owned(), "pt".to_owned()), ("made by".to_owned(), "test".to_owned())])
}

pub(crate) fn write_model(path: &Path) -> u32 {
    let tensors = [
        ("blocks.0.norm1.weight".to_owned(), vec![2, 3], &WEIGHT[..]),
        ("blocks.0.norm1.bias".to_owned(), vec![2], &BIAS[..]),
    ];
    tensors::write(path, tensors, &about()).unwrap()
}

pub(crate) fn state(step: u64) -> State {
    let epoch = EpochRecord {
        epoch: 1,
        step,
        train_loss: 0.75,
        scores: Named::scores([("loss", 0.8)]),
        skipped_steps: 1,
        wall_secs: 12.5,
        images_per_s: 480.0,
        data_wait_secs: 0.25,
    };
    State {
        step,
        epoch: 1,
        position: Position { steps: 3, skipped: 1, loss_sum: 1.5, wall_secs: 2.0, data_wait_secs: 0.5 },
        seed: 42,
        config_digest: 7,
        data_digest: 8,
        checksums: Checksums::default(),
        log: LogMark { bytes: 99, crc: 1, chain: [7; 32] },
        history: vec![epoch],
        changes: vec![Change { step, key: "optim.epochs".into(), from: "2".into(), to: "3".into() }],
        skipped_images: vec!["bad.png".to_owned()],
        wall_secs: 14.5,
        config_toml: "seed = 42\n".to_owned(),
        program: concat!("vit-mae ", env!("CARGO_PKG_VERSION")).to_owned(),
    }
}

pub(crate) fn target(run: &Path) -> CheckpointTarget<'_> {
    CheckpointTarget { disk: &Os, run, keep: 1, within_epochs: true }
}

fn write_checkpoint(run: &Path, step: u64) {
    write_state(run, state(step), 1);
}

pub(crate) fn write_state(run: &Path, state: State, keep: usize) {
    let target = CheckpointTarget { keep, ..target(run) };
    let sums = |model: &Path, optimizer: &Path| {
        Ok(Checksums { model: write_model(model), optimizer: write_model(optimizer) })
    };
    Checkpoint::write(target, state, 0, sums).unwrap();
}

fn message<T: std::fmt::Debug>(result: Result<T, Error>) -> String {
    let error = result.unwrap_err();
    assert_eq!(error.exit_code(), 2, "{error}");
    error.to_string()
}

#[test]
fn tensors_come_back_bit_for_bit() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(MODEL);
    let crc = write_model(&path);
    let file = tensors::File::open(&path).unwrap();
    assert_eq!(file.names(), ["blocks.0.norm1.bias", "blocks.0.norm1.weight"]);
    assert_eq!(file.shape("blocks.0.norm1.weight").unwrap(), [2, 3]);
    assert_eq!(file.dtype("blocks.0.norm1.weight").unwrap(), safetensors::Dtype::F32);
    assert_eq!(file.metadata(), about());
    let bits = |values: &[f32]| values.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
    assert_eq!(bits(&file.read::<f32>("blocks.0.norm1.weight").unwrap()), bits(&WEIGHT));
    assert_eq!(file.read::<f64>("blocks.0.norm1.weight").unwrap(), WEIGHT.map(f64::from));
    assert_eq!(file.checksum().unwrap(), crc);
    assert_eq!(crc, crc32fast::hash(&fs::read(&path).unwrap()), "the checksum is that of the whole file");
}

#[test]
fn the_reference_reader_agrees_with_our_header() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("f64.safetensors");
    let values: Vec<f64> = (0..20_000).map(f64::from).collect();
    tensors::write(&path, [("x".to_owned(), vec![100, 200], &values[..])], &BTreeMap::new()).unwrap();
    let bytes = fs::read(&path).unwrap();
    let reference = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let x = reference.tensor("x").unwrap();
    assert_eq!((x.dtype(), x.shape()), (safetensors::Dtype::F64, &[100, 200][..]));
    assert_eq!(x.data()[8 * 12_345..8 * 12_346], 12_345.0f64.to_le_bytes());
    let ours = tensors::File::open(&path).unwrap();
    assert_eq!(ours.read::<f64>("x").unwrap(), values);
    assert_eq!(ours.read::<f32>("x").unwrap()[19_999], 19_999.0);
}

#[test]
fn indices_are_read_as_i64_and_only_as_that() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ids.safetensors");
    let ids: Vec<u8> = [3i64, -1, 2].iter().flat_map(|i| i.to_le_bytes()).collect();
    let view = safetensors::tensor::TensorView::new(safetensors::Dtype::I64, vec![3], &ids).unwrap();
    fs::write(&path, safetensors::serialize([("ids_keep", view)], None).unwrap()).unwrap();
    let file = tensors::File::open(&path).unwrap();
    assert_eq!(file.read_i64("ids_keep").unwrap(), [3, -1, 2]);
    assert!(message(file.read::<f32>("ids_keep")).contains("F32 or F64, found I64"));
    assert!(message(file.read_i64("ids_shuffle")).contains("ids_shuffle"));
}

#[test]
fn strict_loading_fills_every_slot_or_none() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(MODEL);
    write_model(&path);
    let file = tensors::File::open(&path).unwrap();
    let load = |slots: &[(&str, &[usize])]| {
        let mut values: Vec<Vec<f32>> = slots.iter().map(|s| vec![9.0; s.1.iter().product()]).collect();
        let slots = slots.iter().zip(&mut values);
        let slots =
            slots.map(|((name, shape), v)| ((*name).to_owned(), shape.to_vec(), &mut v[..])).collect();
        let result = tensors::load_into(&file, slots);
        (result, values)
    };
    let (weight, bias) = ("blocks.0.norm1.weight", "blocks.0.norm1.bias");

    let (result, values) = load(&[(weight, &[2, 3]), (bias, &[2])]);
    result.unwrap();
    assert_eq!(values, [&WEIGHT[..], &BIAS[..]]);

    let untouched = |values: Vec<Vec<f32>>| assert!(values.iter().flatten().all(|&x| x == 9.0));
    let (result, values) = load(&[(bias, &[2]), (weight, &[3, 2])]);
    let text = message(result);
    assert!(text.contains(MODEL) && text.contains(weight), "{text}");
    assert!(text.contains("shape [3, 2]") && text.contains("shape [2, 3]"), "{text}");
    untouched(values);

    let (result, values) = load(&[(bias, &[2])]);
    assert!(message(result).contains("missing: none; unexpected: blocks.0.norm1.weight"));
    untouched(values);

    let absent: [&str; 7] = ["a", "b", "c", "d", "e", "f", "g"];
    let slots: Vec<(&str, &[usize])> = absent.iter().map(|name| (*name, &[1][..])).collect();
    let (result, _) = load(&slots);
    assert!(message(result).contains("missing: a, b, c, d, e and 2 more; unexpected: blocks.0"));
}

#[test]
fn hostile_headers_are_refused_without_panic() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("hostile.safetensors");
    let with_header =
        |json: &str, payload: &[u8]| [&(json.len() as u64).to_le_bytes(), json.as_bytes(), payload].concat();
    let tensor = |shape: &str, offsets: &str| {
        format!(r#"{{"x":{{"dtype":"F32","shape":{shape},"data_offsets":{offsets}}}}}"#)
    };
    let hostile: Vec<Vec<u8>> = vec![
        vec![],
        b"GIF".to_vec(),
        u64::MAX.to_le_bytes().to_vec(),
        [&1000u64.to_le_bytes()[..], b"{}"].concat(),
        with_header("", b""),
        with_header("[1, 2]", b""),
        with_header(&"[".repeat(100_000), b""),
        with_header(&tensor("[2]", "[0,4]"), &[0; 4]),
        with_header(&tensor("[1]", "[0,4]"), &[0; 3]),
        with_header(&tensor("[1]", "[0,4]"), &[0; 5]),
        with_header(&tensor("[1]", "[4,0]"), &[0; 4]),
        with_header(&tensor("[1]", "[4,8]"), &[0; 8]),
        with_header(&tensor("[-1]", "[0,4]"), &[0; 4]),
        with_header(&tensor("[18446744073709551615,2]", "[0,4]"), &[0; 4]),
        with_header(&tensor("[4611686018427387904]", "[0,18446744073709551615]"), &[0; 4]),
    ];
    for (i, bytes) in hostile.iter().enumerate() {
        fs::write(&path, bytes).unwrap();
        let text = message(tensors::File::open(&path));
        assert!(text.contains("hostile.safetensors"), "case {i}: {text}");
    }
}

#[test]
fn a_checkpoint_opens_from_the_run_and_from_itself() {
    let run = tempfile::tempdir().unwrap();
    write_checkpoint(run.path(), 10);
    write_checkpoint(run.path(), 20);
    for dir in [run.path().to_path_buf(), run.path().join(NAME)] {
        let opened = Checkpoint::open(&dir).unwrap();
        let checksums = opened.state.checksums;
        assert_eq!(opened.state, State { checksums, ..state(20) });
        assert_eq!(opened.model.read::<f32>("blocks.0.norm1.bias").unwrap(), BIAS);
    }
    assert!(!run.path().join(PREVIOUS).exists() && !run.path().join(PARTIAL).exists());
    let other = tempfile::tempdir().unwrap();
    let text = message(find(other.path()));
    assert!(text.contains("a run directory or a checkpoint folder"), "{text}");
}

#[test]
fn every_flipped_bit_and_every_truncation_is_refused() {
    let run = crate::common::memory_dir();
    let small = |path: &Path| tensors::write(path, [("w".to_owned(), vec![2], &BIAS[..])], &BTreeMap::new());
    Checkpoint::write(target(run.path()), state(10), 0, |model, optimizer| {
        Ok(Checksums { model: small(model)?, optimizer: small(optimizer)? })
    })
    .unwrap();
    let (mut flips, mut cuts) = (0, 0);
    for name in [MODEL, OPTIMIZER, STATE] {
        let path = run.path().join(NAME).join(name);
        let good = fs::read(&path).unwrap();
        let refuse = |bytes: &[u8], what: String| {
            fs::write(&path, bytes).unwrap();
            let text = message(Checkpoint::open(run.path()).map_err(|e| {
                assert!(matches!(e, Error::Input { .. }), "{what}: {e}");
                e
            }));
            assert!(text.contains(name), "{what}: {text}");
            let verified = verify(run.path()).unwrap();
            assert!(!verified[0].is_sound(), "{what}: accepted by verify");
        };
        (flips, cuts) = (flips + 8 * good.len(), cuts + good.len());
        for bit in 0..8 * good.len() {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            refuse(&bad, format!("bit {bit} of {name}"));
        }
        for length in 0..good.len() {
            refuse(&good[..length], format!("{name} cut to {length} bytes"));
        }
        refuse(&[&good[..], b"\0"].concat(), format!("{name} with a byte too many"));
        fs::write(&path, &good).unwrap();
    }
    Checkpoint::open(run.path()).unwrap();
    println!("{flips} flips and {cuts} cuts: 0 accepted");
}

#[test]
fn verifying_judges_every_checkpoint_of_a_run_and_every_file() {
    let run = tempfile::tempdir().unwrap();
    for step in [10, 20, 30] {
        let write = |path: &Path, names: &[&str]| {
            let tensors = names.iter().map(|name| ((*name).to_owned(), vec![2], &BIAS[..]));
            tensors::write(path, tensors, &about())
        };
        let config_digest = crc32fast::hash(b"seed = 42\n");
        let target = CheckpointTarget { keep: 3, ..target(run.path()) };
        Checkpoint::write(target, State { config_digest, ..state(step) }, 0, |model, optimizer| {
            Ok(Checksums { model: write(model, &["w"])?, optimizer: write(optimizer, &["m.w", "v.w"])? })
        })
        .unwrap();
    }
    let checked = verify(run.path()).unwrap();
    let steps: Vec<u64> = checked.iter().map(|c| c.state.as_ref().unwrap().step).collect();
    assert_eq!(steps, [10, 20, 30]);
    assert!(checked.iter().all(vit_mae::checkpoint::verify::Verified::is_sound), "{checked:?}");
    let damaged = run.path().join("checkpoints/step-00000020");
    fs::write(damaged.join(STATE), "nonsense").unwrap();
    let checked = verify(run.path()).unwrap();
    assert!(checked[0].is_sound() && !checked[1].is_sound() && checked[2].is_sound());
    assert!(!verify(&damaged).unwrap()[0].is_sound());
    assert!(message(verify(&run.path().join("nowhere"))).contains("no such folder"));
}

#[test]
fn files_of_two_checkpoints_do_not_mix() {
    let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    write_checkpoint(a.path(), 10);
    Checkpoint::write(target(b.path()), state(10), 0, |model, optimizer| {
        let other = [("x".to_owned(), vec![2], &BIAS[..])];
        Ok(Checksums { model: tensors::write(model, other, &about())?, optimizer: write_model(optimizer) })
    })
    .unwrap();
    fs::copy(b.path().join(NAME).join(MODEL), a.path().join(NAME).join(MODEL)).unwrap();
    let text = message(Checkpoint::open(a.path()));
    assert!(text.contains(MODEL) && text.contains("from another checkpoint"), "{text}");
}

#[test]
fn a_newer_state_and_a_foreign_file_say_so() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(STATE);
    let mut bytes = state(1).seal(&path).unwrap();
    bytes[8] += 1;
    fs::write(&path, &bytes).unwrap();
    assert!(message(State::read(&path)).contains("written by a newer vit-mae"));
    fs::write(&path, b"PK\x03\x04 some archive").unwrap();
    assert!(message(State::read(&path)).contains("expected a vit-mae state"));
    fs::write(&path, &bytes[..15]).unwrap();
    assert!(message(State::read(&path)).contains("cut short"));
}

#[test]
fn a_resealed_hostile_state_does_not_allocate_what_it_claims() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(STATE);
    let good = State { config_toml: String::new(), ..state(1) }.seal(&path).unwrap();
    // The last byte is the length of the text; in its place stands a claim of 2^60 bytes.
    let mut content = good[24..good.len() - 1].to_vec();
    content.push(253);
    content.extend((1u64 << 60).to_le_bytes());
    let mut bytes = good[..12].to_vec();
    bytes.extend((content.len() as u64).to_le_bytes());
    bytes.extend(crc32fast::hash(&content).to_le_bytes());
    bytes.extend(content);
    fs::write(&path, bytes).unwrap();
    assert!(message(State::read(&path)).contains("expected a state"));
}

#[test]
fn a_failed_write_leaves_the_previous_checkpoint() {
    let run = tempfile::tempdir().unwrap();
    write_checkpoint(run.path(), 10);
    let failed = Checkpoint::write(target(run.path()), state(20), 0, |model, _| {
        write_model(model);
        Err(Error::write(model)(std::io::Error::other("disk full")))
    });
    assert!(failed.unwrap_err().to_string().contains("disk full"));
    assert_eq!(Checkpoint::open(run.path()).unwrap().state.step, 10);
    write_checkpoint(run.path(), 30);
    assert_eq!(Checkpoint::open(run.path()).unwrap().state.step, 30);
    assert!(!run.path().join(PARTIAL).exists(), "leftovers are cleaned up");
}

#[test]
fn a_crash_between_the_renames_loses_nothing() {
    let run = tempfile::tempdir().unwrap();
    let at = |name: &str| run.path().join(name);
    write_checkpoint(run.path(), 10);
    // As after a crash: the old one is moved away, the new one is not yet in its place.
    fs::rename(at(NAME), at(PREVIOUS)).unwrap();
    fs::create_dir(at(PARTIAL)).unwrap();
    assert_eq!(Checkpoint::open(run.path()).unwrap().state.step, 10);
    assert_eq!(Checkpoint::open(&at(NAME)).unwrap().state.step, 10);
    let failed = Checkpoint::write(target(run.path()), state(20), 0, |model, _| {
        Err(Error::write(model)(std::io::Error::other("disk full")))
    });
    assert!(failed.is_err());
    assert_eq!(Checkpoint::open(run.path()).unwrap().state.step, 10, "the only one is not removed early");
    write_checkpoint(run.path(), 30);
    assert_eq!(Checkpoint::open(run.path()).unwrap().state.step, 30);
    assert!(!at(PREVIOUS).exists() && !at(PARTIAL).exists());
}

/// `tests/golden/own/state-v4.bin` was written by the program before epochs had named scores.
#[test]
fn a_state_of_version_4_is_read_with_its_scores() {
    let state = State::read(Path::new("tests/golden/own/state-v4.bin")).unwrap();
    let last = state.history.last().unwrap();
    let names: Vec<&str> = last.scores.validation().map(|(name, _)| name).collect();
    assert_eq!(names, ["accuracy", "loss"]);
    assert_eq!(state.selection_metric(), last.score("accuracy").map(|accuracy| -accuracy));
    assert!((0.8..0.9).contains(&last.score("accuracy").unwrap()), "{last:?}");
}
