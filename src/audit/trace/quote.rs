//! Quotations of this program's own source: taken from the files as they were compiled, so they cannot go
//! stale.

use serde::Serialize;

/// A source file as it was compiled.
#[derive(Clone, Copy, Debug)]
pub struct Source {
    /// Its path in the repository.
    pub path: &'static str,
    text: &'static str,
}

macro_rules! source {
    ($path:literal) => {
        Source { path: concat!("src/", $path), text: include_str!(concat!("../../", $path)) }
    };
}

/// The quoted files.
pub const SOURCES: [Source; 19] = [
    source!("data/normalise.rs"),
    source!("layers/attention.rs"),
    source!("layers/block.rs"),
    source!("layers/layer_norm.rs"),
    source!("layers/linear.rs"),
    source!("layers/mlp.rs"),
    source!("layers/patch_embed.rs"),
    source!("layers/pos_embed.rs"),
    source!("models/mae/decoder.rs"),
    source!("models/mae/encoder.rs"),
    source!("models/mae/loss.rs"),
    source!("models/mae/masking.rs"),
    source!("models/mae/model.rs"),
    source!("models/mae/patchify.rs"),
    source!("models/mae/reconstruct.rs"),
    source!("models/vit/tokens.rs"),
    source!("optim/adamw.rs"),
    source!("optim/clip.rs"),
    source!("tasks/mae/step.rs"),
];

/// One function, quoted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Quote {
    /// The file's path in the repository.
    pub file: String,
    /// The function's name, behind its owner's where there are several of that name.
    pub function: String,
    /// The line of the file at which the quotation starts, from 1.
    pub line: usize,
    /// The function with its documentation, indented from the margin.
    pub code: String,
    /// Lines of the quotation, from 0, that carry the equation out: those behind a comment that states a
    /// step of it, up to the end of that statement, with the comment.
    pub key_lines: Vec<usize>,
}

/// Quotes `address`: `layers/linear.rs backward`, or with the owner where a file has several functions of
/// that name, `layers/layer_norm.rs Backward::run` (an `impl … for Backward` or `impl Backward`).
///
/// # Errors
/// Names what was not found. The test `every_quoted_function_exists` sees to it that nothing is missing.
pub fn quote(address: &str) -> Result<Quote, String> {
    let (path, function) = address.split_once(' ').ok_or_else(|| format!("no function in `{address}`"))?;
    let path = format!("src/{path}");
    let source =
        SOURCES.iter().find(|s| s.path == path).ok_or_else(|| format!("{path} is not among SOURCES"))?;
    let lines: Vec<&str> = source.text.lines().collect();
    let (owner, name) = function.split_once("::").map_or((None, function), |(o, n)| (Some(o), n));
    let scope = owner.map_or(Some(0), |owner| lines.iter().position(|line| opens(line, owner)));
    let scope = scope.ok_or_else(|| format!("{path}: no `impl` of {}", owner.unwrap_or_default()))?;
    let signature = lines[scope..].iter().position(|line| declares(line, name));
    let signature = scope + signature.ok_or_else(|| format!("{path}: no function `{name}`"))?;
    let indent = indent_of(lines[signature]);
    let comment = |line: &&&str| ["///", "#["].iter().any(|start| line.trim_start().starts_with(start));
    let first = signature - lines[..signature].iter().rev().take_while(comment).count();
    let close = format!("{}}}", " ".repeat(indent));
    let last = lines[signature..].iter().position(|line| *line == close);
    let last = signature + last.ok_or_else(|| format!("{path}: `{name}` has no end"))?;
    let quoted: Vec<&str> = lines[first..=last].iter().map(|line| line.get(indent..).unwrap_or("")).collect();
    let key_lines = key_lines(&quoted);
    Ok(Quote {
        file: path,
        function: function.to_owned(),
        line: first + 1,
        code: quoted.join("\n"),
        key_lines,
    })
}

/// Whether a line opens an `impl` of or for this type.
fn opens(line: &str, owner: &str) -> bool {
    let name = |rest: &str| rest.chars().take_while(|c| c.is_alphanumeric()).collect::<String>();
    let of = line
        .rsplit_once(" for ")
        .map(|(_, rest)| rest)
        .or_else(|| line.split_once("> ").map(|(_, rest)| rest));
    line.starts_with("impl") && of.is_some_and(|rest| name(rest) == owner)
}

/// Whether a line declares a function of this name.
fn declares(line: &str, name: &str) -> bool {
    let line = line.trim_start();
    let rest = line
        .strip_prefix("pub(super) fn ")
        .or_else(|| line.strip_prefix("pub fn "))
        .or_else(|| line.strip_prefix("fn "));
    rest.and_then(|rest| rest.strip_prefix(name)).is_some_and(|rest| rest.starts_with(['(', '<']))
}

fn indent_of(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

/// Comments in the sources state what the next lines carry out, `y = x Wᵀ  ⇒  dx = dy W`: the comment and
/// its statement are the lines to look at.
fn key_lines(lines: &[&str]) -> Vec<usize> {
    let mut keys = Vec::new();
    let mut i = 0;
    while i < lines.len() {
        let text = lines[i].trim_start();
        let indent = indent_of(lines[i]);
        let states = text.starts_with("// ") && (text.contains(" = ") || text.contains('⇒'));
        if states {
            keys.push(i);
            i += 1;
            while i < lines.len() && !lines[i].is_empty() && indent_of(lines[i]) >= indent {
                keys.push(i);
                let ends = indent_of(lines[i]) == indent && lines[i].ends_with([';', '}']);
                i += 1;
                if ends {
                    break;
                }
            }
        } else {
            i += 1;
        }
    }
    keys
}
