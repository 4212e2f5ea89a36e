//! Polygons to runs, to the pixel as `pycocotools` rasterises them (`rleFrPoly`): which pixels an outline takes decides some
//! percent of a small object's area.

use super::{Rle, Runs, pixels};
use crate::base::Mismatch;

/// Points are rounded to so many parts of a pixel.
const PARTS: f64 = 5.0;
/// A point may lie so many times the image's longer side away from its corner.
const FAR: f64 = 4.0;

impl Rle {
    /// The mask of `[H, W]` pixels that lie in any of the polygons, each `x1, y1, x2, y2, …` in pixels. Pixel k reaches from k to
    /// k + 1. What lies outside of the image is left out.
    ///
    /// # Errors
    /// If a polygon is no list of at least three points, or a point lies far outside.
    pub fn of_polygons(polygons: &[Vec<f64>], size: [usize; 2]) -> Result<Self, Mismatch> {
        let mut all = Self::new(&[pixels(size)?], size)?;
        for polygon in polygons {
            all = all.union(&of_polygon(polygon, size)?);
        }
        Ok(all)
    }
}

fn of_polygon(polygon: &[f64], size: [usize; 2]) -> Result<Rle, Mismatch> {
    if polygon.len() < 6 || !polygon.len().is_multiple_of(2) {
        return Err(Mismatch::new(
            "polygons of at least three points: x1, y1, …",
            format!("{} values", polygon.len()),
        ));
    }
    let [height, width] = size;
    let far = FAR * height.max(width) as f64;
    // Far points cost time, not pixels; this also refuses what is not a number.
    if let Some(value) = polygon.iter().find(|value| !(-far..=far).contains(*value)) {
        let expected = format!("points in or near the image's {height}×{width} pixels (height × width)");
        return Err(Mismatch::new(expected, value));
    }
    let crossings = crossings(polygon, size);
    // Between two crossings in a row is a run; crossings at one place cancel.
    let (mut runs, mut before, mut inside) = (Runs::new(), 0, false);
    for at in crossings.into_iter().chain([pixels(size)?]) {
        runs.push(at - before, inside);
        (before, inside) = (at, !inside);
    }
    Ok(Rle { counts: runs.counts, size })
}

/// Where a polygon's outline passes from one column to another: the first pixel below it, counted down the columns, in order.
fn crossings(polygon: &[f64], [height, width]: [usize; 2]) -> Vec<u32> {
    let points =
        polygon.chunks_exact(2).map(|point| [point[0], point[1]].map(|x| truncated(PARTS * x + 0.5)));
    let points: Vec<[i64; 2]> = points.collect();
    let (mut found, mut before) = (Vec::new(), None::<[i64; 2]>);
    for (&start, &end) in points.iter().zip(points.iter().skip(1).chain(points.first())) {
        edge(start, end, |point| {
            let Some(last) = before.replace(point).filter(|last| last[0] != point[0]) else { return };
            let pixel = |fine: i64| (fine as f64 + 0.5) / PARTS - 0.5;
            let x = pixel(if point[0] < last[0] { point[0] } else { point[0] - 1 });
            if x.fract() == 0.0 && (0.0..width as f64).contains(&x) {
                let y = pixel(point[1].min(last[1])).clamp(0.0, height as f64).ceil();
                let at = truncated(x * height as f64 + y);
                found.push(u32::try_from(at).expect("a pixel of the image, or one past a column"));
            }
        });
    }
    found.sort_unstable();
    found
}

/// Visits the points of an edge, one a step along its longer axis, from start to end.
fn edge(start: [i64; 2], end: [i64; 2], mut visit: impl FnMut([i64; 2])) {
    let length = [0, 1].map(|k| (end[k] - start[k]).abs());
    let (long, across) = if length[0] >= length[1] { (0, 1) } else { (1, 0) };
    // Points are worked out from the lower end, whichever way the edge runs, so that two polygons that share it agree.
    let flip = start[long] > end[long];
    let (low, high) = if flip { (end, start) } else { (start, end) };
    let slope =
        if length[long] == 0 { 0.0 } else { (high[across] - low[across]) as f64 / length[long] as f64 };
    for step in 0..=length[long] {
        let t = if flip { length[long] - step } else { step };
        let mut point = [low[long] + t; 2];
        point[across] = truncated(low[across] as f64 + slope * t as f64 + 0.5);
        visit(point);
    }
}

/// Towards zero, as C has it. Also of negative numbers, for which `x + ½` then is not the nearest.
#[expect(clippy::cast_possible_truncation, reason = "points are within a few times the image's size")]
fn truncated(x: f64) -> i64 {
    x as i64
}
