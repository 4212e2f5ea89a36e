//! Claim: a run is a function of its settings and its data. The number of threads changes not a single bit
//! of a checkpoint, neither does running it again; the seed changes the model.

use crate::common::Place;
use serde_json::Value;
use vit_mae::checkpoint::{Checkpoint, EpochRecord};

/// What must be equal: the files of weights and moments, and everything in the state but the times.
#[derive(PartialEq)]
struct Run {
    model: Vec<u8>,
    optimizer: Vec<u8>,
    losses: Vec<(u64, f64, Option<f64>)>,
    checksums: (u32, u32),
    metrics: Vec<[Value; 5]>,
}

/// Trains 2 epochs of 3 steps on pictures of 64 patches, so that the decoder's rows make several row blocks.
fn train(place: &Place, out: &str, args: &[&str]) -> Run {
    let size = ["--img-size", "16", "--data", "pictures", "--clip-grad", "0.5", "--crop", "0.5,1"];
    place.pretrain(&[&size[..], &["--out", out], args].concat());
    let checkpoint = Checkpoint::open(&place.path(out)).unwrap();
    let loss = |e: &EpochRecord| (e.epoch, e.train_loss, e.score("loss"));
    let lines = place.text(&format!("{out}/metrics.jsonl"));
    let keys = ["step", "loss", "lr", "grad_norm", "train_loss"];
    let metrics = lines.lines().map(|line| {
        let record: Value = serde_json::from_str(line).unwrap();
        keys.map(|key| record[key].clone())
    });
    Run {
        model: place.read(&format!("{out}/checkpoint/model.safetensors")),
        optimizer: place.read(&format!("{out}/checkpoint/optimizer.safetensors")),
        losses: checkpoint.state.history.iter().map(loss).collect(),
        checksums: (checkpoint.state.checksums.model, checkpoint.state.checksums.optimizer),
        metrics: metrics.collect(),
    }
}

fn place() -> Place {
    let place = Place::new();
    place.images("pictures/train", 26, (16, 16), 1);
    place.images("pictures/validation", 5, (16, 16), 1);
    place
}

/// Chunks of 1 (8 of them, more than threads), of 3 (an uneven tree) and of 8 (one, fewer than threads:
/// the products themselves are split).
fn threads_do_not_matter(gemm: &str) {
    let place = place();
    for micro_batch in [1, 3, 8] {
        let micro_batch_set = format!("optim.micro_batch={micro_batch}");
        let run = |threads: &str| {
            let out = format!("{micro_batch}-{threads}");
            train(&place, &out, &["--gemm", gemm, "--set", &micro_batch_set, "--threads", threads])
        };
        let one = run("1");
        assert_eq!(one.metrics.len(), 2 * 3 + 2, "3 steps and a summary in each of 2 epochs");
        assert!(one.losses.iter().all(|loss| loss.2.is_some()));
        for threads in ["2", "3", "4"] {
            assert!(run(threads) == one, "{threads} threads, chunks of {micro_batch}: other bits than one");
        }
    }
}

#[test]
fn threads_change_no_bit_with_the_gemm_crate() {
    threads_do_not_matter("gemm");
}

#[test]
fn threads_change_no_bit_with_the_matrixmultiply_crate() {
    threads_do_not_matter("matrixmultiply");
}

#[test]
fn accumulated_steps_have_the_same_bits_for_any_number_of_threads() {
    let place = place();
    let args = ["--accum-iter", "3", "--set", "optim.lr=1e-3", "--threads"];
    let one = train(&place, "one", &[&args[..], &["1"]].concat());
    assert!(train(&place, "three", &[&args[..], &["3"]].concat()) == one);
}

#[test]
fn another_seed_gives_another_model() {
    let place = place();
    let (zero, again, one) = (
        train(&place, "zero", &["--seed", "0"]),
        train(&place, "again", &["--seed", "0"]),
        train(&place, "one", &["--seed", "1"]),
    );
    assert!(zero == again);
    assert!(zero.model != one.model && zero.metrics != one.metrics);
}

#[test]
fn how_often_something_is_logged_or_saved_changes_no_bit_of_the_model() {
    let place = place();
    let often = ["checkpoint_every_epochs=1", "pictures_every_epochs=1", "log_every_steps=2"];
    let often: Vec<String> = often.iter().map(|set| format!("run.{set}")).collect();
    let often: Vec<&str> = often.iter().flat_map(|set| ["--set", set]).collect();
    let (seldom, often) = (train(&place, "seldom", &[]), train(&place, "often", &often));
    assert!(seldom.model == often.model && seldom.losses == often.losses);
    assert!(place.path("often/reconstructions/epoch-0001.png").is_file());
}
