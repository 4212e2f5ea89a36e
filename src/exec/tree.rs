//! The fixed binary tree along which chunks are computed and their results added.

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
    (n > 0).then(|| node(0, n, leaf, combine))
}

fn node<T: Send>(
    first: usize,
    n: usize,
    leaf: &(impl Fn(usize) -> T + Sync),
    combine: &(impl Fn(T, T) -> T + Sync),
) -> T {
    if n == 1 {
        return leaf(first);
    }
    let left = n.next_power_of_two() / 2;
    let (a, b) =
        rayon::join(|| node(first, left, leaf, combine), || node(first + left, n - left, leaf, combine));
    combine(a, b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tree_is_fixed_and_complete_from_the_left() {
        let shape = |n| {
            reduce(n, &|i| i.to_string(), &|a: String, b: String| format!("({a} {b})")).unwrap_or_default()
        };
        assert_eq!(shape(0), "");
        assert_eq!(shape(1), "0");
        assert_eq!(shape(3), "((0 1) 2)");
        assert_eq!(shape(6), "(((0 1) (2 3)) (4 5))");
    }
}
