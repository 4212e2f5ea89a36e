//! Claim: `mpirun -n P vit-mae pretrain` and `finetune` leave the bits of one process, speak once, and end all together however one
//! of the processes ends; a run goes on with any number of them. Needs the feature `mpi` and `mpirun`.
#![cfg(target_os = "linux")]

mod common;
#[path = "common/labelled.rs"]
mod labelled;

use common::Place;
use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

const PROGRAM: &str = env!("CARGO_BIN_EXE_vit-mae");

/// `mpirun -n P …`, also as root and with more ranks than cores. None of it takes more than two minutes.
fn mpirun(place: &Place, size: usize) -> Command {
    let mut command = Command::new("mpirun");
    for (name, value) in [
        ("OMPI_ALLOW_RUN_AS_ROOT", "1"),
        ("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1"),
        ("OMPI_MCA_rmaps_base_oversubscribe", "1"),
    ] {
        command.env(name, value);
    }
    command.args(["--timeout", "120", "--bind-to", "none", "-n", &size.to_string()]);
    command.current_dir(place.path("")).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn on_ranks(place: &Place, size: usize, args: &[&str]) -> Output {
    mpirun(place, size).arg(PROGRAM).args(args).output().expect("mpirun can be started")
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn done(output: Output) -> String {
    assert!(output.status.success(), "{}: {}", output.status, stderr(&output));
    String::from_utf8(output.stdout).unwrap()
}

/// The lines that this program says when it fails.
fn errors(output: &Output) -> Vec<String> {
    stderr(output).lines().filter(|line| line.starts_with("error: ")).map(str::to_owned).collect()
}

/// Weights, moments, and the last link of the log's chain.
fn left(place: &Place, out: &str) -> (Vec<Vec<u8>>, String) {
    let file = |file| place.read(&format!("{out}/checkpoint/{file}.safetensors"));
    let log = place.text(&format!("{out}/metrics.jsonl"));
    let chain = log.rsplit("\"chain\":\"").next().unwrap().split('"').next().unwrap();
    (["model", "optimizer"].map(file).into(), chain.to_owned())
}

/// Seven chunks a batch, three batches a step, crops, validation images.
fn place() -> Place {
    let place = Place::new();
    place.images("set/train", 90, (12, 12), 1);
    place.images("set/validation", 7, (12, 12), 1);
    place
}

const RUN: [&str; 18] = [
    "pretrain",
    "--config",
    "tiny.toml",
    "--data",
    "set",
    "--crop",
    "0.5,1",
    "--batch-size",
    "13",
    "--accum-iter",
    "3",
    "--clip-grad",
    "0.5",
    "--set",
    "run.digest_every_steps=1",
    "--threads",
    "1",
    "--epochs",
];

fn pretrain<'a>(epochs: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&RUN[..], &[epochs], more].concat()
}

#[test]
fn any_number_of_processes_leaves_the_bits_of_one_and_speaks_once() {
    let place = place();
    let alone = place.done(&pretrain("3", &["--out", "alone"]));
    for size in 1..=4 {
        let out = format!("ranks-{size}");
        let said = done(on_ranks(&place, size, &pretrain("3", &["--out", &out])));
        assert_eq!(said.lines().count(), alone.lines().count(), "{said}");
        assert!(left(&place, &out) == left(&place, "alone"), "{size} ranks");
    }
}

#[test]
fn fine_tuning_and_a_loss_of_the_whole_batch_have_the_bits_of_one_process() {
    let place = Place::new();
    labelled::classes(&place, "set/train", &["across", "down", "slanted"], 12);
    labelled::classes(&place, "set/test", &["across", "down", "slanted"], 5);
    let calls: [(&str, &[&str]); 2] = [
        ("moco", &["pretrain", "--method", "moco-v3", "--config", "trunk.toml", "--epochs", "2"]),
        (
            "tuned",
            &[
                "finetune",
                "--checkpoint",
                "moco",
                "--epochs",
                "2",
                "--batch-size",
                "6",
                "--set",
                "optim.micro_batch=2",
            ],
        ),
    ];
    for (name, call) in calls {
        let args =
            |out| [call, &["--data", "set", "--set", "run.digest_every_steps=1", "--out", out]].concat();
        place.done(&args(name));
        let out = format!("{name}-3");
        done(on_ranks(&place, 3, &args(&out)));
        assert!(left(&place, &out) == left(&place, name), "{name}");
    }
}

/// Long enough to be ended on the way.
const EPOCHS: &str = "40";

/// A long run on several ranks, of which some steps are done.
struct Running {
    child: Child,
    begun: Instant,
}

impl Running {
    fn begin(place: &Place, size: usize, more: &[&str]) -> Self {
        let args =
            pretrain(EPOCHS, &[&["--set", "run.checkpoint_every_steps=3", "--out", "run"], more].concat());
        let child = mpirun(place, size).arg(PROGRAM).args(args).spawn().unwrap();
        let steps = || {
            let log = fs::read_to_string(place.path("run/metrics.jsonl")).unwrap_or_default();
            log.matches("\"kind\":\"step\"").count()
        };
        let begun = Instant::now();
        while steps() < 6 {
            assert!(begun.elapsed() < Duration::from_secs(60), "no steps");
            sleep(Duration::from_millis(20));
        }
        Self { child, begun: Instant::now() }
    }

    /// How it ends, and how many seconds after the signal.
    fn end(self) -> (Output, f64) {
        let output = self.child.wait_with_output().unwrap();
        let seconds = self.begun.elapsed().as_secs_f64();
        eprintln!("ended {seconds:.1} s after, {}", output.status);
        (output, seconds)
    }
}

/// The process that is this rank.
fn process(place: &Place, rank: usize) -> u32 {
    let here = fs::canonicalize(place.path("")).unwrap();
    let is_it = |process: &PathBuf| {
        let environment = fs::read(process.join("environ")).unwrap_or_default();
        let wanted = format!("OMPI_COMM_WORLD_RANK={rank}");
        fs::read_link(process.join("cwd")).is_ok_and(|cwd| cwd == here)
            && environment.split(|byte| *byte == 0).any(|variable| variable == wanted.as_bytes())
    };
    let processes = fs::read_dir("/proc").unwrap().map(|entry| entry.unwrap().path());
    let found = processes.filter(|path| path.join("environ").exists()).find(is_it).expect("the rank runs");
    found.file_name().unwrap().to_str().unwrap().parse().unwrap()
}

fn signal(process: u32, signal: &str) {
    let kill = Command::new("kill").args([signal, &process.to_string()]).status().unwrap();
    assert!(kill.success());
}

/// Goes on to the end on so many ranks, with the bits of a run that never stopped.
fn goes_on(place: &Place, size: usize) {
    place.done(&pretrain(EPOCHS, &["--set", "run.checkpoint_every_steps=3", "--out", "whole"]));
    done(on_ranks(place, size, &["pretrain", "--resume", "run", "--threads", "1"]));
    assert!(left(place, "run") == left(place, "whole"));
}

/// What is said of the run after it ended.
fn is_intact(place: &Place) {
    place.done(&["inspect", "--verify", "run"]);
}

#[test]
fn a_signal_to_the_launcher_saves_the_run_which_goes_on_with_fewer_ranks() {
    let place = place();
    let running = Running::begin(&place, 3, &[]);
    signal(running.child.id(), "-USR1");
    let (output, seconds) = running.end();
    assert_eq!(output.status.code(), Some(128 + 10), "{}", stderr(&output));
    assert_eq!(errors(&output).len(), 1, "{}", stderr(&output));
    assert!(errors(&output)[0].contains("interrupted at step") && seconds < 20.0);
    is_intact(&place);
    goes_on(&place, 2);
}

#[test]
fn a_killed_rank_ends_all_and_the_run_goes_on_with_more_ranks() {
    let place = place();
    let running = Running::begin(&place, 2, &[]);
    signal(process(&place, 1), "-KILL");
    let (output, seconds) = running.end();
    assert!(!output.status.success() && seconds < 20.0, "{}", stderr(&output));
    is_intact(&place);
    goes_on(&place, 4);
}

#[test]
fn a_terminated_rank_saves_the_run_for_all() {
    let place = place();
    let running = Running::begin(&place, 3, &[]);
    signal(process(&place, 2), "-TERM");
    let (output, _) = running.end();
    assert_eq!(output.status.code(), Some(128 + 15), "{}", stderr(&output));
    assert_eq!(errors(&output).len(), 1, "{}", stderr(&output));
    goes_on(&place, 1);
}

#[test]
fn a_silent_rank_ends_all_after_the_time_that_is_set() {
    let place = place();
    let running = Running::begin(&place, 2, &["--set", "run.rank_timeout_secs=2"]);
    signal(process(&place, 1), "-STOP");
    let (output, seconds) = running.end();
    assert!(!output.status.success() && seconds < 30.0, "{seconds:.0} s: {}", stderr(&output));
    assert!(stderr(&output).contains("rank 0 has waited 2 s for another rank"), "{}", stderr(&output));
    is_intact(&place);
}

#[test]
fn a_damaged_image_on_one_rank_is_one_message_and_no_directory() {
    let place = place();
    place.write("set/train/41.png", "noise");
    for size in [2, 4] {
        let begun = Instant::now();
        let output = on_ranks(&place, size, &pretrain("3", &["--out", "run"]));
        eprintln!("{size} ranks ended in {:.1} s", begun.elapsed().as_secs_f64());
        assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
        let errors = errors(&output);
        assert!(errors.len() == 1 && errors[0].contains("41.png"), "{}", stderr(&output));
        assert!(!place.path("run").exists());
    }
}

/// One message with these words and exit code 2, and nothing is left.
fn refused(place: &Place, output: &Output, words: &[&str]) {
    let errors = errors(output);
    assert_eq!(output.status.code(), Some(2), "{}", stderr(output));
    assert_eq!(errors.len(), 1, "{}", stderr(output));
    for word in words {
        assert!(errors[0].contains(word), "no {word:?} in {}", errors[0]);
    }
    assert!(!place.path("run").exists());
}

#[test]
fn what_cannot_work_is_refused_once() {
    let place = place();
    let args = pretrain("3", &["--out", "run"]);
    refused(&place, &on_ranks(&place, 8, &args), &["number of ranks", "at most 7", "optim.micro_batch"]);
    refused(
        &place,
        &on_ranks(&place, 2, &["inspect", "set"]),
        &["number of ranks", "pretrain, finetune and bench"],
    );
    refused(&place, &on_ranks(&place, 3, &pretrain("3", &["--out", "run", "--prune"])), &["--prune"]);
    refused(&place, &on_ranks(&place, 2, &pretrain("none", &["--out", "run"])), &["--epochs"]);
    refused(
        &place,
        &on_ranks(&place, 2, &pretrain("3", &["--mask-ratio", "2", "--out", "run"])),
        &["mask_ratio"],
    );
    let printed = done(on_ranks(&place, 2, &pretrain("3", &["--print-config"])));
    assert_eq!(printed.matches("[optim]").count(), 1);
}

#[test]
fn ranks_on_unlike_processors_are_refused_by_name() {
    let place = place();
    let args = pretrain("3", &["--out", "run"]);
    let mut command = mpirun(&place, 1);
    command.arg(PROGRAM).args(&args).args([":", "-n", "1", "-x", "VIT_MAE_SIMD=scalar", PROGRAM]).args(&args);
    refused(&place, &command.output().unwrap(), &["instruction set of rank 1", "as on rank 0", "scalar"]);
}

#[test]
fn tasks_of_srun_that_do_not_know_of_each_other_are_refused() {
    let place = place();
    let mut command = Command::new(PROGRAM);
    command
        .current_dir(place.path(""))
        .env("SLURM_STEP_NUM_TASKS", "2")
        .args(pretrain("3", &["--out", "run"]));
    refused(&place, &command.output().unwrap(), &["srun", "--mpi=pmix"]);
}

#[test]
fn bench_measures_what_ranks_bring() {
    let place = place();
    let args =
        ["bench", "--config", "tiny.toml", "--secs", "0.2", "--batch-size", "8", "--threads", "1", "--json"];
    let said = done(on_ranks(&place, 2, &args));
    let figures: serde_json::Value = serde_json::from_str(said.trim()).expect("one line");
    let figure = |name: &str| figures[name].as_f64().unwrap();
    assert!((figure("ranks"), figure("chunks")) == (2.0, 4.0));
    assert!(figure("efficiency") > 0.0 && figure("exchange_secs") > 0.0);
    // One node each: half of the gradient there, half of the sum back.
    let model = 4.0 * figure("parameters");
    assert!((figure("sent_bytes") - model).abs() <= 8.0, "{said}");
}
