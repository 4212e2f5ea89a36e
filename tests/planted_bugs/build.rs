//! Makes the copy of the layers and the model that `tests/planted_bugs.rs` checks: every bug of `bugs.rs`
//! is in it, behind a switch.
//!
//! A snippet `old` becomes `match crate::planted() { 1 => { new } _ => { old } }`: one copy serves all bugs
//! and compiles once. Nothing of this reaches the library, and the sources know nothing of it. A snippet
//! that does not stand exactly once in its file is reported to the test, not to the build: whoever
//! edits a layer can still compile.

mod bugs;

use bugs::BUGS;
use std::env;
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

fn main() -> io::Result<()> {
    let source = PathBuf::from(env::var("CARGO_MANIFEST_DIR").expect("set by cargo")).join("src");
    let house = PathBuf::from(env::var("OUT_DIR").expect("set by cargo")).join("house");
    let (mut modules, mut stale) = (String::new(), Vec::new());
    for module in ["layers", "mae"] {
        println!("cargo::rerun-if-changed=src/{module}");
        copy(&source, &house, Path::new(module), &mut stale)?;
        let path = house.join(module).join("mod.rs").to_string_lossy().into_owned();
        let _ = writeln!(modules, "#[path = {path:?}]\npub mod {module};"); // a String takes everything
    }
    // The checks, too, so that they run on the copy.
    let checks = fs::read_to_string(source.join("audit/checks.rs"))?;
    fs::write(house.join("checks.rs"), rehoused(&checks))?;
    println!("cargo::rerun-if-changed=src/audit/checks.rs");
    let path = house.join("checks.rs").to_string_lossy().into_owned();
    let _ = writeln!(modules, "#[path = {path:?}]\npub mod checks;");
    println!("cargo::rerun-if-changed=tests/planted_bugs");
    fs::write(house.join("house.rs"), format!("{modules}pub const STALE: &[&str] = &{stale:?};\n"))
}

/// Copies a folder of sources, with the bugs planted.
fn copy(source: &Path, house: &Path, folder: &Path, stale: &mut Vec<String>) -> io::Result<()> {
    fs::create_dir_all(house.join(folder))?;
    for entry in fs::read_dir(source.join(folder))? {
        let file = folder.join(entry?.file_name());
        if source.join(&file).is_dir() {
            copy(source, house, &file, stale)?;
        } else {
            let text = planted(&file, &fs::read_to_string(source.join(&file))?, stale);
            fs::write(house.join(&file), rehoused(&text))?;
        }
    }
    Ok(())
}

/// The text of a file with each of its snippets behind a switch.
fn planted(file: &Path, text: &str, stale: &mut Vec<String>) -> String {
    let name = file.to_string_lossy().replace('\\', "/");
    let bugs = || BUGS.iter().enumerate().filter(|(_, bug)| bug.file == name);
    let mut planted = text.to_owned();
    for (first, bug) in bugs() {
        if bugs().any(|(i, other)| i < first && other.old == bug.old) {
            continue; // in the switch of the other one
        }
        if text.matches(bug.old).count() != 1 || planted.matches(bug.old).count() != 1 {
            stale.push(format!("{name}: {}: `{}` does not stand there exactly once", bug.name, bug.old));
            continue;
        }
        let mut arms = String::new();
        for (i, same) in bugs().filter(|(_, other)| other.old == bug.old) {
            let _ = write!(arms, "{} => {{ {} }} ", i + 1, same.new.trim_start_matches("if "));
        }
        let old = bug.old.trim_start_matches("if ");
        let switch = format!("match crate::planted() {{ {arms} _ => {{ {old} }} }}");
        let switch = match bug.old {
            statement if statement.ends_with(';') => switch,
            condition if condition.starts_with("if ") => format!("if ({switch})"),
            _expression => format!("({switch})"),
        };
        planted = planted.replacen(bug.old, &switch, 1);
    }
    planted
}

/// A copied file sees its copied neighbours, and the library for the rest. Unit tests stay behind.
fn rehoused(text: &str) -> String {
    let text = text.split("#[cfg(test)]").next().unwrap_or_default();
    text.replace("$crate", "vit_mae")
        .replace("crate::planted()", "CRATE::planted()")
        .replace("crate::layers", "CRATE::house::layers")
        .replace("crate::mae", "CRATE::house::mae")
        .replace("crate::", "vit_mae::")
        .replace("CRATE::", "crate::")
}
