//! The pages of the book, and the blocks in them that a comment marks.

use std::fs;
use std::path::{Path, PathBuf};

/// One Markdown file.
pub(crate) struct Page {
    /// The file's name.
    pub(crate) name: String,
    /// Its lines.
    pub(crate) lines: Vec<String>,
}

/// A block behind `<!-- KIND: ARGUMENT -->`: either fenced, or a table.
pub(crate) struct Block {
    /// What the comment says behind its kind.
    pub(crate) argument: String,
    /// The lines inside of the fence, or the lines of the table: a range of the page's lines.
    pub(crate) lines: std::ops::Range<usize>,
}

pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

pub(crate) fn folder() -> PathBuf {
    root().join("docs/book")
}

/// Every page, in the order of their names.
pub(crate) fn all() -> Vec<Page> {
    let entries = fs::read_dir(folder()).expect("docs/book");
    let mut names: Vec<String> =
        entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8")).collect();
    names.retain(|name| Path::new(name).extension().is_some_and(|extension| extension == "md"));
    names.sort();
    names.iter().map(|name| Page::read(name)).collect()
}

impl Page {
    pub(crate) fn read(name: &str) -> Self {
        let text =
            fs::read_to_string(folder().join(name)).unwrap_or_else(|e| panic!("docs/book/{name}: {e}"));
        Self { name: name.to_owned(), lines: text.lines().map(str::to_owned).collect() }
    }

    pub(crate) fn write(&self) {
        fs::write(folder().join(&self.name), self.lines.join("\n") + "\n").expect("the page can be written");
    }

    /// The marked blocks of one kind. A mark without a block is an error: it would be a check that checks nothing.
    pub(crate) fn blocks(&self, kind: &str) -> Vec<Block> {
        let start = format!("<!-- {kind}: ");
        let marked = |(i, line): (usize, &String)| {
            let argument = line.trim().strip_prefix(&start)?.strip_suffix(" -->")?.to_owned();
            Some(Block { argument, lines: self.block_behind(i) })
        };
        self.lines.iter().enumerate().filter_map(marked).collect()
    }

    fn block_behind(&self, mark: usize) -> std::ops::Range<usize> {
        let here = format!("docs/book/{}:{}", self.name, mark + 1);
        let line = |i: usize| self.lines.get(i).map_or("", |line| line.trim());
        let mut first = mark + 1;
        while first < self.lines.len() && line(first).is_empty() {
            first += 1;
        }
        let (first, ends): (usize, fn(&str) -> bool) = if line(first).starts_with("```") {
            (first + 1, |line| line == "```")
        } else if line(first).starts_with('|') {
            (first, |line| !line.starts_with('|'))
        } else {
            panic!("{here}: neither a fenced block nor a table follows this mark")
        };
        let end = (first..self.lines.len()).find(|&i| ends(line(i))).unwrap_or(self.lines.len());
        first..end
    }

    /// The block of one kind with this argument.
    pub(crate) fn block(&self, kind: &str, argument: &str) -> Vec<&str> {
        let found: Vec<Block> =
            self.blocks(kind).into_iter().filter(|block| block.argument == argument).collect();
        assert_eq!(found.len(), 1, "docs/book/{}: one block `{kind}: {argument}`", self.name);
        self.lines[found[0].lines.clone()].iter().map(String::as_str).collect()
    }

    /// The cells of a marked table, below its heading.
    pub(crate) fn table(&self, kind: &str, argument: &str) -> Vec<Vec<String>> {
        let cells = |line: &&str| {
            line.trim().trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect()
        };
        self.block(kind, argument).iter().skip(2).map(cells).collect()
    }
}
