//! What of a picture of an item is the item: what is not black, and the holes in it, without specks.

use ndarray::Array2;

/// Fewer connected pixels than these are no part of an item: the pictures, which were scaled down with a sharpening filter, have
/// a faint ring of such specks around the item, where its levels fell below black and rose again.
const FEWEST: usize = 16;

/// The mask of grey levels `[H, W]` on black. Zeros from which a way of zeros, up, down, left and right, leads to the border are
/// background; of all else, connected parts of [`FEWEST`] pixels or more are the item.
pub(super) fn mask(levels: &Array2<u8>) -> Array2<bool> {
    let (height, width) = levels.dim();
    let on_border = |(y, x): (usize, usize)| y == 0 || x == 0 || y + 1 == height || x + 1 == width;
    let mut mask = Array2::from_elem((height, width), true);
    for border in ndarray::indices((height, width)).into_iter().filter(|&at| on_border(at)) {
        for at in part(&mask, border, |at| levels[at] == 0) {
            mask[at] = false;
        }
    }
    let mut item = Array2::from_elem((height, width), false);
    while let Some((start, _)) = mask.indexed_iter().find(|(_, set)| **set) {
        let part = part(&mask, start, |_| true);
        for &at in &part {
            mask[at] = false;
            item[at] = part.len() >= FEWEST;
        }
    }
    item
}

/// The pixels of `among` that fit and are connected with one, if that is among them itself.
fn part(
    among: &Array2<bool>,
    start: (usize, usize),
    fits: impl Fn((usize, usize)) -> bool,
) -> Vec<(usize, usize)> {
    let (mut left, mut to_visit, mut found) = (among.clone(), vec![start], Vec::new());
    while let Some((y, x)) = to_visit.pop() {
        if left.get((y, x)).is_some_and(|&set| set) && fits((y, x)) {
            left[(y, x)] = false;
            found.push((y, x));
            to_visit.extend([(y + 1, x), (y.wrapping_sub(1), x), (y, x + 1), (y, x.wrapping_sub(1))]);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::arr2;

    #[test]
    fn holes_are_filled_bays_are_not_and_specks_are_left_out() {
        let levels = arr2(&[
            [0, 0, 0, 0, 0, 0, 0, 3],
            [0, 9, 9, 9, 9, 9, 0, 3],
            [0, 9, 0, 9, 0, 9, 0, 0],
            [0, 9, 9, 0, 0, 9, 0, 1],
            [0, 9, 9, 9, 0, 9, 0, 0],
        ]);
        // The hole at (2, 2) touches the bay at (3, 3) by a corner only.
        let expected = arr2(&[
            [0, 0, 0, 0, 0, 0, 0, 0],
            [0, 1, 1, 1, 1, 1, 0, 0],
            [0, 1, 1, 1, 0, 1, 0, 0],
            [0, 1, 1, 0, 0, 1, 0, 0],
            [0, 1, 1, 1, 0, 1, 0, 0],
        ]);
        assert_eq!(mask(&levels), expected.mapv(|x: u8| x == 1));
        assert!(!mask(&arr2(&[[7; 5]; 3])).iter().any(|&set| set), "15 pixels are a speck");
        assert!(mask(&arr2(&[[7; 4]; 4])).iter().all(|&set| set));
    }
}
