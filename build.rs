//! Makes the copy of the layers, the models and the checks that `src/audit/mutants` runs: every planted bug is
//! in it, behind a switch.
//!
//! A snippet `old` becomes `match planted(&[1]) { 1 => { new } _ => { old } }`: one copy serves all bugs and
//! compiles once. The sources know nothing of it. A snippet that does not stand exactly once in its file
//! is reported when the bugs are run, not here: whoever edits a layer can still compile.

#[path = "src/audit/mutants/bugs/mod.rs"]
#[allow(dead_code, unreachable_pub, reason = "a module of the library, of which a part is used here")]
mod bugs;

use bugs::Bug;
use std::env;
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// What is copied, and the name of the copy in `crate::audit::mutants::house`.
const COPIED: [(&str, &str); 3] = [("layers", "layers"), ("models", "models"), ("audit/checks", "checks")];

fn main() -> io::Result<()> {
    let source = PathBuf::from(env::var("CARGO_MANIFEST_DIR").expect("set by cargo")).join("src");
    let house = PathBuf::from(env::var("OUT_DIR").expect("set by cargo")).join("house");
    let (mut modules, mut stale) = (String::new(), Vec::new());
    for (folder, module) in COPIED {
        println!("cargo::rerun-if-changed=src/{folder}");
        copy(&source, &house, Path::new(folder), &mut stale)?;
        let path = house.join(folder).join("mod.rs").to_string_lossy().into_owned();
        let _ = writeln!(modules, "#[path = {path:?}]\npub mod {module};"); // a String takes everything
    }
    println!("cargo::rerun-if-changed=src/audit/mutants/bugs");
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
    let bugs: Vec<(usize, Bug)> =
        bugs::all().into_iter().enumerate().filter(|(_, bug)| bug.file == name).collect();
    let edits: Vec<_> = bugs.iter().flat_map(|(i, bug)| bug.edits().map(|e| (*i, bug.name, e))).collect();
    let mut planted = text.to_owned();
    for (first, (_, bug, edit)) in edits.iter().enumerate() {
        if edits[..first].iter().any(|(_, _, earlier)| earlier.old == edit.old) {
            continue; // in the switch of the earlier one
        }
        if text.matches(edit.old).count() != 1 || planted.matches(edit.old).count() != 1 {
            stale.push(format!("{name}: {bug}: `{}` does not stand there exactly once", edit.old));
            continue;
        }
        let (mut arms, mut numbers) = (String::new(), Vec::new());
        for (i, _, same) in edits.iter().filter(|(_, _, other)| other.old == edit.old) {
            let _ = write!(arms, "{} => {{ {} }} ", i + 1, same.new.trim_start_matches("if "));
            numbers.push(i + 1);
        }
        let old = edit.old.trim_start_matches("if ");
        let switch = format!("match crate::planted(&{numbers:?}) {{ {arms} _ => {{ {old} }} }}");
        let switch = match edit.old {
            statement if statement.ends_with(';') => switch,
            condition if condition.starts_with("if ") => format!("if ({switch})"),
            _expression => format!("({switch})"),
        };
        planted = planted.replacen(edit.old, &switch, 1);
    }
    planted
}

/// A copied file sees its copied neighbours, and the crate for the rest. Unit tests stay behind.
fn rehoused(text: &str) -> String {
    let mut text = text.split("#[cfg(test)]").next().unwrap_or_default().to_owned();
    for (folder, module) in COPIED {
        let path = folder.replace('/', "::");
        text =
            text.replace(&format!("crate::{path}::"), &format!("crate::audit::mutants::house::{module}::"));
    }
    text.replace("crate::planted(", "crate::audit::mutants::planted(")
}
