//! The book's shape: its chapters have the same parts, its links lead somewhere, and the bugs that it names are those
//! that are planted.

use crate::page::{self, Page};
use std::fs;
use vit_mae::audit::mutants::bugs;

/// The parts of a chapter about a layer, in order.
const PARTS: [&str; 7] = [
    "What it does",
    "Forward",
    "Backward, derived",
    "Worked example",
    "In the code",
    "What goes wrong",
    "Exercise",
];

/// Pages that are not about a layer and have parts of their own.
const OTHERS: [&str; 4] = ["01-notation.md", "12-gradient-checks.md", "13-reading.md", "README.md"];

/// The chapter about an update rule: it has no forward and no backward pass, and no check plants bugs in it.
const UPDATES: &str = "11-adamw.md";

fn headings(page: &Page) -> Vec<&str> {
    page.lines.iter().filter_map(|line| line.strip_prefix("## ")).collect()
}

#[test]
fn every_chapter_has_the_same_shape() {
    let pages = page::all();
    let chapters: Vec<&Page> = pages.iter().filter(|page| !OTHERS.contains(&page.name.as_str())).collect();
    assert_eq!(chapters.len(), 14);
    for page in chapters {
        let mut parts = PARTS;
        if page.name == UPDATES {
            (parts[1], parts[2]) = ("The rule", "The rule, derived");
        }
        assert_eq!(headings(page), parts, "docs/book/{}", page.name);
    }
}

#[test]
fn every_example_and_every_measured_table_has_its_test() {
    let tests: String = ["layers", "mae", "maps", "boxes", "optim", "moco", "beit", "measured"]
        .map(|file| fs::read_to_string(page::root().join(format!("tests/book/{file}.rs"))).expect("a test"))
        .concat();
    for page in page::all() {
        for (kind, call) in
            [("example", format!("read(\"{}\", ", page.name)), ("measured", "compare(".to_owned())]
        {
            for block in page.blocks(kind) {
                let call = format!("{call}\"{}\"", block.argument);
                assert!(tests.contains(&call), "docs/book/{}: no test calls `{call}`", page.name);
            }
        }
    }
}

#[test]
fn the_index_lists_every_page() {
    let index = Page::read("README.md").lines.join("\n");
    for page in page::all() {
        assert!(page.name == "README.md" || index.contains(&format!("]({})", page.name)), "{}", page.name);
    }
}

/// Targets of the links in a line, `](target)`.
fn links(line: &str) -> impl Iterator<Item = &str> {
    line.split("](").skip(1).filter_map(|rest| rest.split(')').next())
}

/// The anchor that a code host makes of a heading.
fn anchor(heading: &str) -> String {
    let kept = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = kept.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

#[test]
fn every_link_leads_somewhere() {
    let mut dead = Vec::new();
    for page in page::all() {
        for (i, line) in page.lines.iter().enumerate() {
            for link in links(line).filter(|link| !link.starts_with("https://")) {
                let (file, heading) = link.split_once('#').unwrap_or((link, ""));
                let path = page::folder().join(if file.is_empty() { &page.name } else { file });
                let text = fs::read_to_string(&path).unwrap_or_default();
                let mut anchors = text.lines().filter(|line| line.starts_with('#')).map(anchor);
                if !path.exists() || !heading.is_empty() && !anchors.any(|anchor| anchor == heading) {
                    dead.push(format!("docs/book/{}:{}: {link}", page.name, i + 1));
                }
            }
        }
    }
    assert!(dead.is_empty(), "{dead:#?}");
}

/// Formulas between `$` in a line that is not code.
fn inline_formulas(page: &Page) -> Vec<String> {
    let (mut fenced, mut formulas) = (false, Vec::new());
    for line in &page.lines {
        fenced ^= line.starts_with("```");
        if !fenced {
            formulas.extend(line.split('$').skip(1).step_by(2).map(str::to_owned));
            assert!(
                line.matches('$').count().is_multiple_of(2),
                "docs/book/{}: a `$` too many: {line}",
                page.name
            );
        }
    }
    formulas
}

#[test]
fn inline_formulas_survive_markdown() {
    // Markdown takes a backslash before punctuation for an escape and drops it: `\,` would become a comma.
    for page in page::all() {
        for formula in inline_formulas(&page) {
            let mut behind = formula.split('\\').skip(1);
            assert!(
                behind.all(|rest| rest.starts_with(char::is_alphabetic)),
                "docs/book/{}: ${formula}$",
                page.name
            );
        }
    }
}

#[test]
fn every_bug_that_the_book_names_is_planted() {
    let planted: Vec<&str> = bugs::all().iter().map(|bug| bug.name).collect();
    let mut unknown = Vec::new();
    for page in page::all().iter().filter(|page| !OTHERS.contains(&page.name.as_str())) {
        let start =
            page.lines.iter().position(|line| line == "## What goes wrong").expect("a chapter's part");
        let end = page.lines.iter().position(|line| line == "## Exercise").expect("a chapter's part");
        // Every second part between `**` is bold.
        let text = page.lines[start..end].join(" ");
        let names: Vec<&str> = text.split("**").skip(1).step_by(2).collect();
        assert!(page.name == UPDATES || !names.is_empty(), "docs/book/{} names no bug", page.name);
        let unplanted = names.iter().filter(|name| !planted.contains(name));
        unknown.extend(unplanted.map(|name| format!("docs/book/{}: {name}", page.name)));
    }
    assert!(unknown.is_empty(), "{unknown:#?}");
}
