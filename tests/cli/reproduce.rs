//! Claim: the command in a resumed run's report trains such a run again, whatever the method or the task.

use crate::common::Place;
use crate::labelled::classes;

/// What a report says under *Reproduce*.
fn command(place: &Place, run: &str) -> Vec<String> {
    let page = place.text(&format!("{run}/report.html"));
    let (_, from) = page.split_once("Reproduce").expect("a section of this name");
    let code =
        from.split_once("<code>").and_then(|(_, code)| code.split_once("</code>")).expect("code in it").0;
    code.split(' ').map(str::to_owned).collect()
}

#[test]
fn the_command_in_a_resumed_runs_report_trains_such_a_run() {
    let place = Place::new();
    classes(&place, "set", &["a", "b"], 16);
    let trunk = ["pretrain", "--config", "trunk.toml", "--data", "set", "--epochs", "1"];
    let tuned = ["finetune", "--data", "set", "--epochs", "1", "--batch-size", "8", "--val-fraction", "0.25"];
    let runs: [(&str, Vec<&str>); 5] = [
        ("mae", vec!["pretrain", "--config", "tiny.toml", "--data", "set", "--epochs", "1"]),
        ("moco-v3", [&trunk[..], &["--method", "moco-v3"]].concat()),
        ("supervised", [&trunk[..], &["--method", "supervised"]].concat()),
        ("tuned", [&tuned[..], &["--checkpoint", "mae"]].concat()),
        ("scratch", [&tuned[..], &["--from-scratch", "--preset", "nano", "--config", "trunk.toml"]].concat()),
    ];
    for (run, args) in &runs {
        place.done(&[&args[..], &["--out", run]].concat());
        place.done(&[args[0], "--resume", run, "--epochs", "2"]);
        let command = command(&place, run);
        let (program, args) = command.split_first().expect("a command");
        assert_eq!(program, "vit-mae");
        let again = format!("{run}-again");
        let args: Vec<&str> = args.iter().map(String::as_str).chain(["--out", &again]).collect();
        place.done(&args);
        let settings = |run: &str| place.text(&format!("{run}/config.toml"));
        assert_eq!(settings(&again), settings(run), "{command:?}");
    }
    // Whichever command went on with it.
    place.done(&["pretrain", "--resume", "tuned", "--epochs", "3"]);
    assert_eq!(command(&place, "tuned")[1..6], ["finetune", "--task", "classify", "--checkpoint", "mae"]);
}
