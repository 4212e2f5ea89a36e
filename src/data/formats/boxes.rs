//! Boxes in files: which are refused, and what is cut off at the image's border.

/// How far, in pixels, a box may reach out of its image. Tools round, and count the first pixel as 0 or as 1.
const SLACK: f64 = 1.0;

/// A box `[x1, y1, x2, y2]` within an image of `(height, width)`, without what lies up to a pixel outside.
///
/// # Errors
/// In words what was expected, if it has no area or reaches further out.
pub(super) fn within(edges: [f64; 4], (height, width): (usize, usize)) -> Result<[f64; 4], String> {
    let sides = [width, height].map(|side| side as f64);
    let inside = |k: usize| (-SLACK..=sides[k % 2] + SLACK).contains(&edges[k]);
    let cut: [f64; 4] = std::array::from_fn(|k| edges[k].clamp(0.0, sides[k % 2]));
    if !(edges[0] < edges[2] && edges[1] < edges[3]) {
        return Err("a box whose width and height are above 0".to_owned());
    }
    if !(0..4).all(inside) || cut[0] >= cut[2] || cut[1] >= cut[3] {
        return Err(format!("a box in the image's {height}×{width} pixels (height × width)"));
    }
    Ok(cut)
}
