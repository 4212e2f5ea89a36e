//! Which members of a tar shard belong together: keys and kinds.
//!
//! ```text
//! 0001.jpg · 0001.cls            the key 0001
//! v1.2-7.png · v1.2-7.cls        the key v1.2-7: a name is split at its last dot
//! 17.png · 17.seg.png · 17.cls   the key 17, and another kind of it that is left out
//! 17.left.png · 17.right.png · 17.cls    two images, both of the class of 17
//! ```
//!
//! `WebDataset` itself splits at the first dot of the file name, which loses images whose names have more dots than the
//! kinds need. So an image's key ends at its last dot; a label may also stand under the key up to the first. An image is
//! another kind of its neighbour, and left out, if that has the key up to the first dot, what lies between is letters, and
//! it has no label of its own.

/// What a member is, by the ending of its name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    Image,
    Cls,
    Json,
}

/// `a/17.PNG` → `a/17` and an image; nothing for members that are left out.
pub(super) fn key_and_kind(name: &str) -> Option<(&str, Kind)> {
    if is_hidden(name) {
        return None;
    }
    let (key, ending) = name.rsplit_once('.')?;
    let kind = match &*ending.to_ascii_lowercase() {
        "png" | "jpg" | "jpeg" => Kind::Image,
        "cls" => Kind::Cls,
        "json" => Kind::Json,
        _ => return None,
    };
    Some((key, kind))
}

/// The key up to the first dot of its file name, and what follows: `a/17.seg` → `a/17` and `seg`.
pub(super) fn first_dot(key: &str) -> Option<(&str, &str)> {
    let file = file_of(key);
    let (stem, rest) = file.split_once('.')?;
    Some((&key[..key.len() - file.len() + stem.len()], rest))
}

/// Whether what stands between the dots may be a kind, as `seg` and `left_mask`, and no part of a number or version.
pub(super) fn may_be_a_kind(between: &str) -> bool {
    between.chars().all(|c| c.is_alphabetic() || "_-".contains(c))
}

/// Whether the file name begins with a dot.
pub(super) fn is_hidden(name: &str) -> bool {
    file_of(name).starts_with('.')
}

fn file_of(name: &str) -> &str {
    name.rsplit_once('/').map_or(name, |(_, file)| file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_ends_at_the_last_dot_of_the_file_name() {
        let of = |name| key_and_kind(name).map(|(key, _)| key);
        assert_eq!(of("a.b/17.PNG"), Some("a.b/17"));
        assert_eq!(of("17.cls"), Some("17"));
        assert_eq!(of("./x/17.json"), Some("./x/17"));
        assert_eq!(of("v1.2-7.png"), Some("v1.2-7"));
        for other in ["17.txt", "17", "a/._17.png", ".png", "", "a.png/"] {
            assert_eq!(of(other), None, "{other}");
        }
    }

    #[test]
    fn the_part_between_the_dots_tells_a_kind_from_a_number() {
        assert_eq!(first_dot("a.b/17.seg"), Some(("a.b/17", "seg")));
        assert_eq!(first_dot("a.b/17"), None);
        for (between, kind) in
            [("seg", true), ("left_mask", true), ("2-7", false), ("v2", false), ("seg.1", false)]
        {
            assert_eq!(may_be_a_kind(between), kind, "{between}");
        }
    }
}
