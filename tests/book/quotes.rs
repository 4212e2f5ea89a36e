//! Quoted code: `<!-- source: FILE SELECTOR -->` stands above a block that holds an item of that file, verbatim but
//! for its indentation.
//!
//! The item begins on the one line that contains the selector as whole words, outside of comments: `fn backward`,
//! `struct Mask`, `for Backward` for an `impl`. Formatted code makes its end easy to find: the next line that closes
//! a brace at the same indentation.

use crate::page;
use std::fs;

/// The item that the selector names.
fn item(text: &str, selector: &str) -> Result<String, String> {
    let lines: Vec<&str> = text.lines().collect();
    let starts: Vec<usize> =
        (0..lines.len()).filter(|&i| !is_comment(lines[i]) && has_words(lines[i], selector)).collect();
    let [start] = starts[..] else {
        let at: Vec<usize> = starts.iter().map(|i| i + 1).collect();
        return Err(format!("`{selector}` must stand on exactly one line, found on {at:?}"));
    };
    let indent = lines[start].len() - lines[start].trim_start().len();
    let closes = |line: &str| {
        line.len() > indent && line[..indent].trim().is_empty() && line[indent..].starts_with('}')
    };
    let end = if lines[start].ends_with(';') || lines[start].ends_with('}') {
        start
    } else {
        (start + 1..lines.len()).find(|&i| closes(lines[i])).ok_or(format!("`{selector}` never ends"))?
    };
    let strip = |line: &&str| line.get(indent..).unwrap_or("").to_owned();
    Ok(lines[start..=end].iter().map(strip).collect::<Vec<_>>().join("\n"))
}

fn is_comment(line: &str) -> bool {
    line.trim_start().starts_with("//")
}

/// Whether `words` stands in the line and is not a part of longer words.
fn has_words(line: &str, words: &str) -> bool {
    let inside = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    line.match_indices(words).any(|(at, _)| {
        !inside(line[..at].chars().next_back()) && !inside(line[at + words.len()..].chars().next())
    })
}

/// What the comment's argument names: a file, then a selector.
fn quoted(argument: &str) -> Result<String, String> {
    let (file, selector) = argument.split_once(' ').ok_or("needs a file and a selector")?;
    let text = fs::read_to_string(page::root().join(file)).map_err(|e| format!("{file}: {e}"))?;
    item(&text, selector).map_err(|e| format!("{file}: {e}"))
}

#[test]
fn quoted_code_is_the_sources_code() {
    let update = std::env::var_os("UPDATE_BOOK").is_some();
    let (mut wrong, mut quotes) = (Vec::new(), 0);
    for mut page in page::all() {
        // From the last to the first: a new text may have another number of lines.
        for block in page.blocks("source").into_iter().rev() {
            quotes += 1;
            let at = format!("docs/book/{}:{}: {}", page.name, block.lines.start, block.argument);
            match quoted(&block.argument) {
                Err(error) => wrong.push(format!("{at}: {error}")),
                Ok(code) if page.lines[block.lines.clone()].join("\n") == code => {}
                Ok(code) if update => {
                    page.lines.splice(block.lines, code.lines().map(str::to_owned));
                    page.write();
                    println!("{at}: written anew");
                }
                Ok(_) => wrong.push(format!("{at}: is not what the source says")),
            }
        }
    }
    let advice = "`UPDATE_BOOK=1 cargo test --test book` writes quotes anew; then read the text around them";
    assert!(wrong.is_empty(), "{}\n{advice}", wrong.join("\n"));
    assert!(quotes >= 20, "the book quotes the sources, but only {quotes} times");
}

#[test]
fn an_item_ends_with_its_own_brace() {
    let text = "// fn f is good\nimpl A {\n    pub fn f_all() {}\n    pub fn f(\n        x: u8,\n    ) -> u8 {\n        if x {\n        }\n\n        0\n    }\n}\n";
    assert_eq!(
        item(text, "fn f").unwrap(),
        "pub fn f(\n    x: u8,\n) -> u8 {\n    if x {\n    }\n\n    0\n}"
    );
    assert_eq!(item(text, "impl A").unwrap(), text.split_once('\n').unwrap().1.trim_end());
    assert_eq!(item(text, "fn f_all").unwrap(), "pub fn f_all() {}");
    assert!(item(text, "fn g").is_err());
    assert!(item("fn f() {\n}\nfn f() {\n}\n", "fn f").is_err(), "two of the name");
}
