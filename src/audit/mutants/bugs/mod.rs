//! The planted bugs: what a tired author could have written instead.
//!
//! Each is one replacement of a snippet that stands exactly once in a source file, or two where a mistake is
//! made in forward and backward alike. `build.rs` makes the copy of the sources that has them all behind a
//! switch, from this same list.

mod beit;
mod classifier;
mod detect;
mod detector;
mod heads;
mod layers;
mod mae;
mod moco;
mod segment;
mod vit;

/// One bug.
#[derive(Clone, Copy, Debug)]
pub struct Bug {
    /// The source file, relative to `src`.
    pub file: &'static str,
    /// What is wrong.
    pub name: &'static str,
    /// What is replaced by what.
    pub edit: Edit,
    /// The same mistake in a second place of the file, so that forward and backward agree about it.
    pub also: Option<Edit>,
}

/// A replacement.
#[derive(Clone, Copy, Debug)]
pub struct Edit {
    /// The snippet as it stands in the file: an expression, a statement with its `;`, or `if condition`.
    pub old: &'static str,
    /// What stands there instead.
    pub new: &'static str,
}

impl Bug {
    /// Its one or two edits.
    pub fn edits(&self) -> impl Iterator<Item = Edit> {
        std::iter::once(self.edit).chain(self.also)
    }
}

const fn bug(file: &'static str, name: &'static str, old: &'static str, new: &'static str) -> Bug {
    Bug { file, name, edit: Edit { old, new }, also: None }
}

/// A bug in two places: `[(old, new), (old, new)]`.
const fn twice(file: &'static str, name: &'static str, edits: [(&'static str, &'static str); 2]) -> Bug {
    let [(old, new), (old2, new2)] = edits;
    Bug { file, name, edit: Edit { old, new }, also: Some(Edit { old: old2, new: new2 }) }
}

/// All of them, by file.
#[must_use]
pub fn all() -> Vec<Bug> {
    [
        layers::BUGS,
        vit::BUGS,
        mae::BUGS,
        heads::BUGS,
        classifier::BUGS,
        beit::BUGS,
        moco::BUGS,
        segment::BUGS,
        detect::BUGS,
        detector::BUGS,
    ]
    .concat()
}
