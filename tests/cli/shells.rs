//! Claim: the program fits into a shell: completions and manual pages that the shell's own tools read, a line an epoch where
//! nobody watches, and no colours where none are wanted.

use crate::common::Place;
use std::io::Write;
use std::process::{Command, Output, Stdio};

/// What a program says of a text on its stdin; none if there is no such program.
fn fed(program: &str, args: &[&str], text: &str) -> Option<Output> {
    let mut command = Command::new(program);
    let child =
        command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let Ok(mut child) = child else {
        eprintln!("skipped: no {program} found");
        return None;
    };
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    Some(child.wait_with_output().unwrap())
}

#[test]
fn shells_read_their_completions() {
    let place = Place::new();
    for (shell, check) in [("bash", "-n"), ("zsh", "-n"), ("fish", "--no-execute")] {
        let script = place.done(&["completions", shell]);
        for word in ["pretrain", "finetune", "mask-ratio", "gradcheck", "tensorboard"] {
            assert!(script.contains(word), "{shell}: no {word}");
        }
        if let Some(output) = fed(shell, &[check], &script) {
            assert!(output.status.success(), "{shell}: {}", String::from_utf8_lossy(&output.stderr));
        }
    }
}

#[test]
fn bash_completes_commands_flags_and_choices() {
    let place = Place::new();
    let script = place.done(&["completions", "bash"]);
    for (words, expected) in [
        (&["vit-mae", "pre"][..], "pretrain"),
        (&["vit-mae", "audit", "gr"], "gradcheck"),
        (&["vit-mae", "pretrain", "--mask-str"], "--mask-strategy"),
        (&["vit-mae", "export", "--to", ""], "tensorboard"),
    ] {
        let list: Vec<_> = words.iter().map(|word| format!("'{word}'")).collect();
        // As bash does it: the function that the script registers gets the command, the word and the one before it.
        let ask = format!(
            "{script}\nregistered=($(complete -p vit-mae)); COMP_WORDS=({}); COMP_CWORD={}\n\
             \"${{registered[-2]}}\" vit-mae '{}' '{}'; printf '%s\\n' \"${{COMPREPLY[@]}}\"",
            list.join(" "),
            words.len() - 1,
            words[words.len() - 1],
            words[words.len() - 2],
        );
        let Some(output) = fed("bash", &["-s"], &ask) else { return };
        let replies = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(replies.lines().any(|reply| reply == expected), "{words:?}: {replies}");
    }
}

#[test]
fn every_command_has_a_manual_page_with_its_sections() {
    let place = Place::new();
    place.done(&["man", "--out", "man1"]);
    let pages: Vec<_> =
        place.listing().into_keys().filter(|path| path.extension().is_some_and(|e| e == "1")).collect();
    for name in ["vit-mae", "vit-mae-pretrain", "vit-mae-export", "vit-mae-audit", "vit-mae-audit-doctor"] {
        assert!(pages.contains(&place.path(&format!("man1/{name}.1"))), "{name}: {pages:?}");
    }
    for path in &pages {
        let page = std::fs::read_to_string(path).unwrap();
        for section in ["NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "ENVIRONMENT", "EXIT STATUS"] {
            let heading = [format!(".SH {section}\n"), format!(".SH \"{section}\"\n")];
            assert!(heading.iter().any(|h| page.contains(h)), "{}: no {section}", path.display());
        }
        if let Some(output) = fed("groff", &["-Kutf8", "-man", "-Tutf8", "-ww", "-z"], &page) {
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success() && said.is_empty(), "{}: {said}", path.display());
        }
    }
    let page = place.text("man1/vit-mae-pretrain.1");
    assert!(page.contains(".SH EXAMPLES\n.nf\n  vit\\-mae pretrain"), "{page}");
    assert_eq!(place.done(&["man"]), place.text("man1/vit-mae.1"));
    place.refused(&["man", "--out", "man1"], &["--out", "--overwrite"]);
    place.done(&["man", "--out", "man1", "--overwrite"]);
}

#[test]
fn where_nobody_watches_progress_is_a_line_an_epoch() {
    let place = Place::new();
    let output = place.run(&["pretrain", "--config", "tiny.toml", "--data", "images", "--out", "run"]);
    let stderr = String::from_utf8(output.stderr).unwrap();
    let lines: Vec<&str> = stderr.lines().collect();
    assert_eq!(lines.len(), 2, "{stderr}");
    for (line, start) in lines.iter().zip(["epoch   1/2: loss ", "epoch   2/2: loss "]) {
        assert!(line.starts_with(start) && !line.contains('\u{1b}'), "{stderr}");
    }
}

/// What a terminal is sent: util-linux's `script` makes one. None without it.
fn on_terminal(place: &Place, environment: &[(&str, &str)], command: &str) -> Option<String> {
    let mut script = Command::new("script");
    script.current_dir(place.path("")).env_remove("NO_COLOR").env("TERM", "xterm-256color");
    script.envs(environment.iter().copied()).stdin(Stdio::null());
    let line = format!("{} {command}", assert_cmd::cargo::cargo_bin!("vit-mae").display());
    let Ok(output) = script.args(["-qec", &line, "/dev/null"]).output() else {
        eprintln!("skipped: no `script` found");
        return None;
    };
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Whether a text chooses a colour or an emphasis: `ESC [ … m`. Moving the cursor is no colour.
fn is_styled(text: &str) -> bool {
    text.split("\u{1b}[").skip(1).any(|rest| {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != ';');
        end.is_some_and(|end| rest[end..].starts_with('m'))
    })
}

#[test]
fn no_color_is_obeyed_by_bars_help_and_errors() {
    let place = Place::new();
    let train = |out: &str| format!("pretrain --config tiny.toml --data images --out {out}");
    let wrong = "pretrain --no-such-flag".to_owned();
    for (command, plain) in
        [(train("a"), train("b")), ("--help".to_owned(), "--help".to_owned()), (wrong.clone(), wrong)]
    {
        let Some(coloured) = on_terminal(&place, &[], &command) else { return };
        assert!(is_styled(&coloured), "{command} has colours on a terminal: {coloured:?}");
        let Some(plain) = on_terminal(&place, &[("NO_COLOR", "1")], &plain) else { return };
        assert!(!plain.is_empty() && !is_styled(&plain), "{command}: {plain:?}");
    }
}
