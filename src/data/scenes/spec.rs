//! The names of scenes: `scenes`, with the kind of target and the side in pixels after colons.
//!
//! ```text
//! scenes                label maps, 64 × 64          scenes:instances     objects
//! scenes:96             96 × 96                      scenes:class:96      one item each, and its class
//! ```

use std::fmt;
use std::path::{Component, Path};

use super::super::TargetKind;
use crate::base::{Error, Result};

/// How they are called.
const NAME: &str = "scenes";
/// The side unless another is named.
pub const SIDE: usize = 64;
/// Less shows no items, more is larger than the photographs.
const SIDES: std::ops::RangeInclusive<usize> = 32..=512;
/// The words for targets; the first one goes without saying.
const TARGETS: [(&str, TargetKind); 3] = [
    ("label-maps", TargetKind::LabelMap),
    ("instances", TargetKind::Instances),
    ("class", TargetKind::Class),
];

/// Which scenes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spec {
    /// Label maps, instances or classes.
    pub target: TargetKind,
    /// Rows and columns of the images.
    pub side: usize,
}

impl Spec {
    /// Whether a path is a name of scenes, good or bad, and the disk has nothing of this name.
    #[must_use]
    pub fn is_named(path: &Path) -> bool {
        let name = bare(path);
        let ours = name.as_deref().is_some_and(|name| name == NAME || name.starts_with("scenes:"));
        ours && path.symlink_metadata().is_err()
    }

    /// What a name means.
    ///
    /// # Errors
    /// If it is none.
    pub fn parse(path: &Path) -> Result<Self> {
        let mut spec = Self { target: TargetKind::LabelMap, side: SIDE };
        let name = bare(path).unwrap_or_default();
        let mut words = name.split(':');
        let mut sound = words.next() == Some(NAME);
        for word in words {
            let target = TARGETS.iter().find(|(known, _)| *known == word);
            match (target, word.parse()) {
                (Some((_, target)), _) => spec.target = *target,
                (None, Ok(side)) if SIDES.contains(&side) => spec.side = side,
                _ => sound = false,
            }
        }
        if sound {
            return Ok(spec);
        }
        let (low, high) = (SIDES.start(), SIDES.end());
        let expected =
            format!("scenes, scenes:instances or scenes:class, perhaps with :SIDE from {low} to {high}");
        Err(Error::setting("--data", expected, path.display()))
    }

    /// The target in words.
    pub(super) fn what(self) -> &'static str {
        TARGETS.iter().find(|(_, target)| *target == self.target).map_or("", |(word, _)| word)
    }
}

/// The text of a path of one part.
fn bare(path: &Path) -> Option<String> {
    let mut parts = path.components().filter(|part| *part != Component::CurDir);
    match (parts.next(), parts.next()) {
        (Some(Component::Normal(name)), None) => name.to_str().map(str::to_owned),
        _ => None,
    }
}

impl fmt::Display for Spec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(NAME)?;
        if self.target != TARGETS[0].1 {
            write!(f, ":{}", self.what())?;
        }
        if self.side == SIDE { Ok(()) } else { write!(f, ":{}", self.side) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_and_written() {
        for (name, target, side) in [
            ("scenes", TargetKind::LabelMap, 64),
            ("scenes:96", TargetKind::LabelMap, 96),
            ("scenes:instances", TargetKind::Instances, 64),
            ("scenes:class:32", TargetKind::Class, 32),
        ] {
            let spec = Spec::parse(Path::new(name)).unwrap();
            assert_eq!((spec, spec.to_string()), (Spec { target, side }, name.to_owned()));
            assert!(Spec::is_named(Path::new(name)) && Spec::is_named(&Path::new(".").join(name)));
        }
        for bad in ["scenes:", "scenes:31", "scenes:513", "scenes:boxes", "scenes:64x64", "scenes:-1"] {
            let message = Spec::parse(Path::new(bad)).unwrap_err().to_string();
            assert!(message.starts_with("--data: expected scenes, ") && message.ends_with(bad), "{message}");
        }
        for other in ["scene", "scenesx", "data/scenes", "src", "", "scenes/train"] {
            assert!(!Spec::is_named(Path::new(other)), "{other}");
        }
    }
}
