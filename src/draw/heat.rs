//! Grids of values and colours as pictures: a square of pixels a cell.

use super::lettering::to_u32;
use super::sheet::Picture;

/// From dark through red to light, in even steps of brightness: what is larger is lighter, also in grey.
const HEAT: [[u8; 3]; 5] = [[0, 0, 4], [87, 16, 110], [188, 55, 84], [249, 142, 9], [252, 255, 164]];

/// The colour of a value of 0 to 1.
#[must_use]
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between two bytes")]
pub fn heat(value: f32) -> [u8; 3] {
    let place = value.clamp(0.0, 1.0) * (HEAT.len() - 1) as f32;
    let below = (place as usize).min(HEAT.len() - 2);
    let along = place - below as f32;
    std::array::from_fn(|c| {
        let [from, to] = [HEAT[below][c], HEAT[below + 1][c]].map(f32::from);
        (from + along * (to - from)).round() as u8
    })
}

/// `rows × columns` cells, row by row, each a square of `side` pixels.
///
/// # Panics
/// If there are not as many colours, or no cells.
#[must_use]
pub fn mosaic((rows, columns): (usize, usize), side: usize, colours: &[[u8; 3]]) -> Picture {
    assert_eq!(colours.len(), rows * columns, "colours of {rows} × {columns} cells");
    let (height, width) = (rows * side, columns * side);
    let pixels = (0..height * width).flat_map(|i| colours[i / width / side * columns + i % width / side]);
    Picture::rgb(to_u32(width), to_u32(height), pixels.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heat_goes_through_its_colours_and_stays_within_them() {
        assert_eq!(heat(-1.0), HEAT[0]);
        assert_eq!(heat(0.5), HEAT[2]);
        assert_eq!(heat(0.125), [44, 8, 57]);
        assert_eq!((heat(1.0), heat(7.0)), (HEAT[4], HEAT[4]));
    }
}
