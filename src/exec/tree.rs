//! The fixed binary tree along which chunks are computed and their results added.

use std::ops::Range;

/// A node of the tree: the leaves below it. Those of a tree of `n` leaves are `[k·2ʲ, min((k + 1)·2ʲ, n))`.
pub type Node = Range<usize>;

/// Computes `leaf(0), …, leaf(n − 1)` in parallel and combines them pairwise along a binary tree that
/// depends on `n` alone: the left subtree of a node is the largest complete one.
///
/// So a sum has the same bits for any number of threads. Depth first, each thread holds at most one
/// unfinished result per level. `None` for `n = 0`.
pub fn reduce<T: Send>(
    n: usize,
    leaf: &(impl Fn(usize) -> T + Sync),
    combine: &(impl Fn(T, T) -> T + Sync),
) -> Option<T> {
    (n > 0).then(|| node(0..n, leaf, combine))
}

/// The same for what is below one node.
///
/// # Panics
/// If nothing is.
pub fn node<T: Send>(
    node: Node,
    leaf: &(impl Fn(usize) -> T + Sync),
    combine: &(impl Fn(T, T) -> T + Sync),
) -> T {
    let Some((left, right)) = children(&node) else { return leaf(node.start) };
    let (a, b) = rayon::join(|| self::node(left, leaf, combine), || self::node(right, leaf, combine));
    combine(a, b)
}

/// The largest nodes of the tree of `n` leaves that lie in a range, in order: its leaves, each once.
#[must_use]
pub fn nodes_in(n: usize, range: &Range<usize>) -> Vec<Node> {
    fn collect(node: Node, range: &Range<usize>, out: &mut Vec<Node>) {
        if range.start <= node.start && node.end <= range.end {
            out.push(node);
        } else if node.start < range.end && range.start < node.end {
            let (left, right) = children(&node).expect("a leaf lies in a range or outside of it");
            collect(left, range, out);
            collect(right, range, out);
        }
    }
    let mut out = Vec::new();
    if !range.is_empty() {
        collect(0..n, range, &mut out);
    }
    out
}

/// What is at a node of which parts are known: `value` gives what is known of nodes at or below it, once each, and the rest is
/// combined as [`reduce`] does, so that it has the same bits.
///
/// # Panics
/// If a leaf is in no node that is known.
pub fn complete<T>(
    node: Node,
    value: &mut impl FnMut(&Node) -> Option<T>,
    combine: &mut impl FnMut(T, T) -> T,
) -> T {
    if let Some(known) = value(&node) {
        return known;
    }
    let (left, right) = children(&node).unwrap_or_else(|| panic!("nobody knows leaf {}", node.start));
    let a = complete(left, value, combine);
    let b = complete(right, value, combine);
    combine(a, b)
}

/// None of a leaf.
fn children(node: &Node) -> Option<(Node, Node)> {
    let middle = node.start + node.len().next_power_of_two() / 2;
    (node.len() > 1).then_some((node.start..middle, middle..node.end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tree_is_fixed_and_complete_from_the_left() {
        assert_eq!(shape(0), "");
        assert_eq!(shape(1), "0");
        assert_eq!(shape(3), "((0 1) 2)");
        assert_eq!(shape(6), "(((0 1) (2 3)) (4 5))");
    }

    fn both(a: String, b: String) -> String {
        format!("({a} {b})")
    }

    fn shape(n: usize) -> String {
        reduce(n, &|i| i.to_string(), &both).unwrap_or_default()
    }

    #[test]
    fn nodes_of_any_division_complete_the_same_tree() {
        for n in 1..=99 {
            for parts in 1..=n.min(20) {
                let ranges = (0..parts).map(|part| part * n / parts..(part + 1) * n / parts);
                let nodes: Vec<Node> = ranges.flat_map(|range| nodes_in(n, &range)).collect();
                assert!(nodes.windows(2).all(|two| two[0].end == two[1].start), "{n} in {parts}: {nodes:?}");
                let known = |of: &Node| {
                    let known = nodes.contains(of).then(|| of.clone());
                    known.map(|known| node(known, &|i| i.to_string(), &both))
                };
                assert_eq!(complete(0..n, &mut { known }, &mut { both }), shape(n), "{n} in {parts}");
            }
        }
    }

    #[test]
    fn a_range_is_few_nodes_and_a_whole_block_is_one() {
        let block = nodes_in(12, &(4..8));
        assert!(block.len() == 1 && block[0] == (4..8), "{block:?}");
        assert_eq!(nodes_in(13, &(3..10)), [3..4, 4..8, 8..10]);
        assert_eq!(nodes_in(13, &(9..13)), [9..10, 10..12, 12..13]);
        assert!(nodes_in(13, &(3..3)).is_empty());
    }
}
