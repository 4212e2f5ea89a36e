//! Claim: settings are layered preset < file < environment < flags, a mistake names the layer it stands in, and
//! `--print-config` says of every value where it came from.

use crate::common::Place;
use std::process::Output;
use vit_mae::tasks::Config;

/// Runs the program with variables in its environment, and with none of those that the tests themselves have.
fn run(place: &Place, environment: &[(&str, &str)], args: &[&str]) -> Output {
    let mut command = assert_cmd::Command::new(assert_cmd::cargo::cargo_bin!("vit-mae"));
    command.current_dir(place.path("")).args(args).envs(environment.iter().copied());
    command.output().unwrap()
}

fn done(place: &Place, environment: &[(&str, &str)], args: &[&str]) -> String {
    let output = run(place, environment, args);
    assert_eq!(output.status.code(), Some(0), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn refused(place: &Place, environment: &[(&str, &str)], args: &[&str], words: &[&str]) {
    let before = place.listing();
    let output = run(place, environment, args);
    let message = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{environment:?}: {message}");
    assert!(output.stdout.is_empty() && message.lines().count() == 1, "{environment:?}: {message}");
    for word in words {
        assert!(message.contains(word), "{environment:?}: no {word:?} in: {message}");
    }
    assert!(place.listing() == before, "{environment:?} left something behind");
}

/// The value and the comment of a key in what `--print-config` printed.
fn value<'a>(printed: &'a str, section: &str, key: &str) -> (&'a str, &'a str) {
    let (_, rest) =
        printed.split_once(&format!("[{section}]\n")).unwrap_or_else(|| panic!("[{section}]: {printed}"));
    let start = format!("{key} = ");
    let line = rest.lines().take_while(|line| !line.starts_with('['));
    let line = line.into_iter().find_map(|line| line.strip_prefix(&start));
    let (value, comment) = line.unwrap_or_else(|| panic!("{key}: {printed}")).split_once('#').unwrap();
    (value.trim(), comment.trim())
}

const FILE: &str = "[optim]\nbatch_size = 16\nblr = 1e-3\nweight_decay = 0.2\n";

#[test]
fn every_layer_goes_over_the_one_below_and_is_named() {
    let place = Place::new();
    place.write("my.toml", FILE);
    let environment = [
        ("VIT_MAE_OPTIM__BLR", "2e-3"),
        ("VIT_MAE_OPTIM__WEIGHT_DECAY", "0.3"),
        ("VIT_MAE_DATA__PATH", "images"),
    ];
    for command in [&["pretrain"][..], &["bench"], &["ablate", "--vary", "mask-ratio=0.5,0.75"]] {
        let flags = ["--config", "my.toml", "--set", "optim.weight_decay=0.4", "--print-config"];
        let printed = done(&place, &environment, &[command, &flags].concat());
        let optim = |key| value(&printed, "optim", key);
        assert_eq!(optim("min_lr"), ("0.0", "preset nano"));
        assert_eq!(optim("batch_size"), ("16", "file my.toml"));
        assert_eq!(optim("blr"), ("0.002", "environment VIT_MAE_OPTIM__BLR"));
        assert_eq!(optim("weight_decay"), ("0.4", "flag"));
        assert_eq!(value(&printed, "data", "path"), ("\"images\"", "environment VIT_MAE_DATA__PATH"));
    }
    assert!(!place.path("runs").exists(), "nothing is begun");
}

#[test]
fn what_is_printed_is_the_whole_configuration() {
    let place = Place::new();
    let printed = done(&place, &[], &["pretrain", "--config", "tiny.toml", "--print-config"]);
    let values = printed.lines().filter(|line| line.contains(" = "));
    assert!(values.clone().count() > 30 && values.clone().all(|line| line.contains("  # ")), "{printed}");
    let printed: Config = toml::from_str(&printed).unwrap();
    let resolved = Config::resolve("nano", Some(&place.path("tiny.toml")), Vec::new()).unwrap();
    assert_eq!(printed, resolved);
}

#[test]
fn the_environment_is_trained_with_and_warm_up_keeps_its_share() {
    let place = Place::new();
    let args = ["pretrain", "--data", "images", "--config", "tiny.toml", "--out", "run"];
    done(&place, &[("VIT_MAE_OPTIM__EPOCHS", "1"), ("VIT_MAE_SIMD", "scalar")], &args);
    let config: Config = toml::from_str(&place.text("run/config.toml")).unwrap();
    assert_eq!((config.optim.epochs, config.optim.warmup_epochs), (1, 0.1));
    let printed = done(&place, &[("VIT_MAE_OPTIM__EPOCHS", "10")], &["pretrain", "--print-config"]);
    let expected = ("1.0", "environment VIT_MAE_OPTIM__EPOCHS, with optim.epochs");
    assert_eq!(value(&printed, "optim", "warmup_epochs"), expected);
}

#[test]
fn text_needs_no_quotes_even_if_it_looks_like_a_number() {
    let place = Place::new();
    for (text, expected) in
        [("2024", "\"2024\""), ("a b/c", "\"a b/c\""), ("\"q\"", "\"q\""), ("true", "\"true\"")]
    {
        let printed = done(&place, &[("VIT_MAE_DATA__PATH", text)], &["pretrain", "--print-config"]);
        assert_eq!(value(&printed, "data", "path").0, expected);
    }
    let lists = [("VIT_MAE_OPTIM__BETAS", "[0.9, 0.98]"), ("VIT_MAE_DATA__CROP", "[0.5, 1.0]")];
    let printed = done(&place, &lists, &["pretrain", "--print-config"]);
    assert_eq!(value(&printed, "optim", "betas").0, "[0.9, 0.98]");
    assert_eq!(value(&printed, "data", "crop").0, "[0.5, 1.0]");
}

#[test]
fn mistakes_name_their_variable() {
    let place = Place::new();
    for (variable, text, words) in [
        ("VIT_MAE_OPTIM__EPOCH", "3", &["nearest is VIT_MAE_OPTIM__EPOCHS"][..]),
        ("VIT_MAE_EPOCHS", "3", &["VIT_MAE_SECTION__KEY"]),
        ("VIT_MAE_OPTIM__EPOCHS", "ten", &["optim.epochs", "ten"]),
        ("VIT_MAE_OPTIM__EPOCHS", "0", &["optim.epochs", "1 to"]),
        ("VIT_MAE_OPTIM__BATCH_SIZE", "-8", &["optim.batch_size", "-8"]),
        ("VIT_MAE_MASK__STRATEGY", "stripes", &["mask.strategy", "stripes", "random"]),
    ] {
        let words = [&[variable], words].concat();
        for command in [&["pretrain", "--data", "images"][..], &["bench", "--secs", "1"]] {
            refused(&place, &[(variable, text)], command, &words);
        }
    }
    let probe = ["probe", "--checkpoint", "run"];
    refused(&place, &[("VIT_MAE_OPTIM__EPOCH", "3")], &probe, &["nearest is VIT_MAE_OPTIM__EPOCHS"]);
    let ablate = ["ablate", "--vary", "mask-ratio=0.5,0.75", "--out", "ratio"];
    refused(&place, &[("VIT_MAE_OPTIM__EPOCH", "3")], &ablate, &["nearest is VIT_MAE_OPTIM__EPOCHS"]);
    refused(&place, &[("VIT_MAE_RUN__SEED", "3")], &ablate, &["VIT_MAE_RUN__SEED", "--seeds", "found 3"]);
}

#[test]
fn a_setting_of_another_command_is_no_mistake() {
    let place = Place::new();
    let printed = done(&place, &[("VIT_MAE_FINETUNE__LAYER_DECAY", "0.5")], &["pretrain", "--print-config"]);
    assert!(!printed.contains("layer_decay"), "{printed}");
}

#[test]
fn fine_tuning_says_what_came_from_recipe_and_checkpoint() {
    let place = Place::trained(&[]);
    let args = ["finetune", "--checkpoint", "run", "--recipe", "small", "--ema", "0.99", "--print-config"];
    let environment = [("VIT_MAE_AUGMENT__SMOOTHING", "0.2"), ("VIT_MAE_MASK__MASK_RATIO", "0.5")];
    let printed = done(&place, &environment, &args);
    assert_eq!(value(&printed, "model", "depth"), ("1", "checkpoint run"));
    // A file of another run's settings does not say where this one starts.
    place.write("other.toml", "[finetune]\ncheckpoint = \"elsewhere\"\ncheckpoint_crc = 7\n");
    let other = done(&place, &environment, &[&args[..], &["--config", "other.toml"]].concat());
    let start = |printed: &str| {
        ["checkpoint", "checkpoint_crc"].map(|key| value(printed, "finetune", key).0.to_owned())
    };
    assert!(start(&other) == start(&printed) && start(&other)[0] == "\"run\"", "{other}");
    let scratch =
        ["finetune", "--from-scratch", "--preset", "nano", "--config", "other.toml", "--print-config"];
    assert!(!done(&place, &[], &scratch).contains("elsewhere"));
    assert_eq!(value(&printed, "optim", "blr"), ("0.004", "recipe small"));
    assert_eq!(value(&printed, "augment", "smoothing"), ("0.2", "environment VIT_MAE_AUGMENT__SMOOTHING"));
    assert_eq!(value(&printed, "augment", "mix_prob"), ("1.0", "default"));
    assert_eq!(value(&printed, "finetune", "ema_decay"), ("0.99", "flag"));
    assert!(value(&printed, "model", "num_classes").1.contains("placeholder"));
}

#[test]
fn a_run_that_goes_on_lets_the_environment_change_what_flags_may() {
    let place = Place::trained(&[]);
    let resume = ["pretrain", "--resume", "run"];
    let printed =
        done(&place, &[("VIT_MAE_OPTIM__EPOCHS", "3")], &[&resume[..], &["--print-config"]].concat());
    assert_eq!(value(&printed, "optim", "epochs"), ("3", "environment VIT_MAE_OPTIM__EPOCHS"));
    assert_eq!(value(&printed, "optim", "batch_size"), ("8", "the run until here"));
    let words = ["VIT_MAE_OPTIM__BATCH_SIZE (optim.batch_size)", "8, as the run began", "16"];
    refused(&place, &[("VIT_MAE_OPTIM__BATCH_SIZE", "16")], &resume, &words);
    refused(
        &place,
        &[("VIT_MAE_OPTIM__BATCH_SIZE", "16")],
        &[&resume[..], &["--print-config"]].concat(),
        &words,
    );
    let changed = done(&place, &[("VIT_MAE_OPTIM__EPOCHS", "3")], &resume);
    assert!(changed.contains("optim.epochs from 2 to 3"), "{changed}");
}

#[test]
fn a_probe_takes_its_data_from_the_environment_below_its_flags() {
    let place = Place::trained(&[]);
    let probe = ["probe", "--checkpoint", "run"];
    refused(&place, &[("VIT_MAE_DATA__PATH", "nowhere")], &probe, &["nowhere"]);
    let flag = [&probe[..], &["--data", "elsewhere"]].concat();
    refused(&place, &[("VIT_MAE_DATA__PATH", "nowhere")], &flag, &["elsewhere"]);
}
