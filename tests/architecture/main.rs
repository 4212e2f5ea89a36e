//! Claim: the rooms lie as `docs/architecture.md` draws them. Imports point down its list, never up, and files inside a
//! room form no circle; every source file says in its first line what it is and stays short; `unsafe` lives in `exec`
//! alone.

mod circles;

use std::fs;
use std::path::{Path, PathBuf};

/// The rooms, from the ground up. Those on one line do not see each other.
const ROOMS: &[&[&str]] = &[
    &["base"],
    &["exec"],
    &["params"],
    &["checkpoint", "data", "optim", "layers"],
    &["draw"],
    &["models"],
    &["config"],
    &["train"],
    &["tasks"],
    &["interop", "sweep", "bench"],
    &["audit"],
    &["cli"],
];

/// Folders whose files are short and say what they are.
const SOURCES: [&str; 5] = ["src", "tests", "benches", "examples", "docs/exercises"];

const MAX_LINES: usize = 400;

fn floor(module: &str) -> Option<usize> {
    ROOMS.iter().position(|modules| modules.contains(&module))
}

/// A source text without its comments.
fn code(text: &str) -> String {
    text.lines().map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n")
}

/// The modules of this crate that a source text names: `x` of each `crate::x`, also in
/// `use crate::{x, y::z}`. Comments do not count.
fn imports(text: &str) -> Vec<String> {
    let code = code(text);
    let mut found = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        let rest = &code[at + "crate::".len()..];
        if code[..at].ends_with(|c: char| c == '$' || c == '_' || c.is_alphanumeric()) {
            continue; // `$crate::` belongs to a macro's user
        }
        match rest.strip_prefix('{') {
            Some(group) => found.extend(group_parts(group).into_iter().map(head)),
            None => found.push(head(rest)),
        }
    }
    found
}

/// The identifier at the start of a path.
fn head(path: &str) -> String {
    path.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

/// `a`, `b::{c, d}` and `e` of `a, b::{c, d}, e}…`.
fn group_parts(group: &str) -> Vec<&str> {
    let (mut depth, mut start, mut parts) = (1, 0, Vec::new());
    for (i, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if (c == ',' && depth == 1) || depth == 0 {
            parts.push(group[start..i].trim());
            start = i + 1;
        }
        if depth == 0 {
            break;
        }
    }
    parts.retain(|part| !part.is_empty());
    parts
}

/// What a file of `module` may not import.
fn climbs(module: &str, text: &str) -> Vec<String> {
    let below = |other: &str| match (floor(module), floor(other)) {
        (Some(mine), Some(theirs)) => theirs < mine || other == module,
        _ => !is_module(other), // `crate::Real`, `crate::params!`: re-exports from `base`
    };
    imports(text).into_iter().filter(|other| !below(other)).collect()
}

fn is_module(name: &str) -> bool {
    name.starts_with(char::is_lowercase)
}

/// Every `.rs` file in this folder of the repository, with its text.
fn sources(folder: &str) -> Vec<(PathBuf, String)> {
    fn collect(folder: &Path, out: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).expect("a folder of sources") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                collect(&path, out);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                out.push(path);
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut paths = Vec::new();
    if root.is_dir() {
        collect(&root, &mut paths);
    }
    paths.sort();
    let read = |path: &PathBuf| fs::read_to_string(path).expect("a source in UTF-8");
    paths.iter().map(|path| (path.strip_prefix(&root).expect("inside").to_owned(), read(path))).collect()
}

/// The module that a file belongs to; none for `lib.rs` and `main.rs`, which see all.
fn module(file: &Path) -> Option<String> {
    let first = Path::new(file.iter().next()?).with_extension("");
    let name = first.to_str()?;
    (!["lib", "main", "bin"].contains(&name)).then(|| name.to_owned())
}

#[test]
fn imports_point_down() {
    for (file, text) in sources("src") {
        let Some(module) = module(&file) else { continue };
        assert!(floor(&module).is_some(), "src/{}: give `{module}` a place in ROOMS", file.display());
        let climbs = climbs(&module, &text);
        assert!(climbs.is_empty(), "src/{} imports upwards: {climbs:?}", file.display());
    }
}

#[test]
fn the_scanner_sees_an_import_that_points_up() {
    assert_eq!(climbs("layers", "use crate::models::mae::Mask;"), ["models"]);
    assert_eq!(climbs("data", "fn f() { crate::layers::init::init(); }"), ["layers"]);
    assert_eq!(climbs("optim", "use crate::{base::Real, models::{Mae, Mask}, train};"), ["models", "train"]);
    assert_eq!(climbs("params", "use crate::{\n    cli,\n};"), ["cli"]);
    assert_eq!(climbs("base", "pub(crate) use crate::exec;"), ["exec"]);
    assert_eq!(climbs("exec", "use crate::unheard_of;"), ["unheard_of"]);
    assert!(
        climbs("models", "use crate::layers::Linear; use crate::{Real, params}; // crate::cli").is_empty()
    );
    assert!(climbs("params", "/// See [`crate::optim::groups`].\n$crate::cli!()").is_empty());
}

#[test]
fn data_optim_and_checkpoint_never_see_a_model() {
    for module in ["data", "optim", "checkpoint"] {
        for model in ["layers", "models", "tasks"] {
            assert_eq!(climbs(module, &format!("use crate::{model}::x;")), [model]);
        }
    }
}

#[test]
fn every_source_file_says_what_it_is() {
    for folder in SOURCES {
        for (file, text) in sources(folder) {
            assert!(text.starts_with("//! "), "{folder}/{} opens without `//!`", file.display());
        }
    }
}

#[test]
fn every_source_file_is_short() {
    for folder in SOURCES {
        for (file, text) in sources(folder) {
            let lines = text.lines().count();
            assert!(lines <= MAX_LINES, "{folder}/{} has {lines} lines", file.display());
        }
    }
}

/// Lines that hold the keyword or allow it; the words are put together here so that this file has none.
fn unsafe_lines(text: &str) -> Vec<&str> {
    let keyword = ["uns", "afe"].concat();
    let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
    code.filter(|line| {
        line.split(|c: char| !c.is_alphanumeric() && c != '_').any(|word| word == keyword)
            || line.contains(&format!("{keyword}_code"))
    })
    .collect()
}

#[test]
fn unsafe_code_lives_in_exec_alone() {
    assert_eq!(unsafe_lines("let x = 1;\nunsafe { f() }\n#![allow(unsafe_code)]").len(), 2);
    for (file, text) in sources("src") {
        if module(&file).as_deref() != Some("exec") {
            assert_eq!(unsafe_lines(&text), [""; 0], "src/{}", file.display());
        }
    }
}
