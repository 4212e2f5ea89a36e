//! The confusion matrix as a picture: rows are true classes, columns what they were taken for.
//!
//! On white paper, whatever page it stands on; right in blue and wrong in orange, so that the diagonal is not needed to
//! tell them apart; shades by the square root of the fraction, so that a few per cent can still be seen.

use crate::base::Result;
use crate::draw::lettering::{
    INK, LINE, PAPER, QUIET, mixed, shortened, to_u32, width, wrapped, write, write_upwards,
};
use crate::draw::sheet::png_bytes;
use image::{Rgb, RgbImage, imageops};
use ndarray::Array2;
use std::collections::BTreeSet;

/// Up to so many classes the cells hold numbers.
const WITH_NUMBERS: usize = 24;
/// Of more classes than this only those with the most mistakes are shown.
const MOST_CLASSES: usize = 100;
/// Sides of a cell with and without numbers; a line of text fits beside the smaller one.
const LARGE: u32 = 40;
const SMALL: u32 = 18;
/// Room for a class's name: longer ones are cut.
const LONGEST_NAME: u32 = 224;
/// The narrowest picture: the lines above and below the matrix need room.
const NARROWEST: u32 = 480;
const MARGIN: u32 = 24;
const GAP: u32 = 8;
/// How many confusions are listed in words.
const LISTED: usize = 10;

const RIGHT: [u8; 3] = [24, 92, 168];
const WRONG: [u8; 3] = [206, 92, 18];
const GRID: Rgb<u8> = Rgb([236, 238, 242]);

/// Draws a matrix `[K, K]` of true (row) and predicted (column) `things`, images or pixels, as a PNG. `title` says on what it was
/// measured.
///
/// # Errors
/// Only if the picture cannot be encoded.
///
/// # Panics
/// If there are not as many names as classes.
pub fn draw(counts: &Array2<u64>, names: &[String], title: &str, things: &str) -> Result<Vec<u8>> {
    assert_eq!(counts.dim(), (names.len(), names.len()), "classes and their names");
    png_bytes(&picture(Counts(counts), names, title, things))
}

/// The matrix.
#[derive(Clone, Copy)]
struct Counts<'a>(&'a Array2<u64>);

impl Counts<'_> {
    /// Things of a class.
    fn of_class(self, class: usize) -> u64 {
        self.0.row(class).sum()
    }

    /// Of a class, or taken for it.
    fn seen_as(self, class: usize) -> u64 {
        self.of_class(class) + self.0.column(class).sum()
    }
}

/// The most frequent mistakes, `(true class, predicted class, things)`, most frequent first; of equally frequent ones the first in
/// the matrix.
#[must_use]
pub fn mistakes(counts: &Array2<u64>, most: usize) -> Vec<(usize, usize, u64)> {
    let cells = counts.indexed_iter().filter(|((t, p), n)| t != p && **n > 0);
    let mut cells: Vec<_> = cells.map(|((t, p), &n)| (t, p, n)).collect();
    cells.sort_by_key(|&(_, _, n)| std::cmp::Reverse(n));
    cells.truncate(most);
    cells
}

fn picture(counts: Counts<'_>, names: &[String], title: &str, things: &str) -> RgbImage {
    let shown = shown(counts);
    let side = if shown.len() <= WITH_NUMBERS { LARGE } else { SMALL };
    let names = &labels(names);
    let labels: Vec<&str> = shown.iter().map(|&class| names[class].as_str()).collect();
    let label = labels.iter().map(|label| width(label)).max().unwrap_or(0) + GAP;
    let matrix = side * to_u32(shown.len());
    let inner = (label + matrix).max(NARROWEST);
    let above = wrapped(title, inner);
    let below = explanation(counts, (names, things), shown.len(), inner);
    let top = MARGIN + LINE * to_u32(above.len()) + GAP + label;
    let under = top + matrix + 2 * GAP;
    let size = (inner + 2 * MARGIN, under + LINE * to_u32(below.len()) + MARGIN);
    let mut sheet = RgbImage::from_pixel(size.0, size.1, PAPER);

    for (line, y) in above.iter().zip((MARGIN..).step_by(LINE as usize)) {
        write(&mut sheet, line, (MARGIN, y), INK);
    }
    let left = MARGIN + label;
    let at = |i: usize| side * to_u32(i);
    for (i, name) in labels.iter().enumerate() {
        let middle = at(i) + (side - LINE) / 2;
        write(&mut sheet, name, (left - GAP - width(name), top + middle), INK);
        write_upwards(&mut sheet, name, (left + middle, top - GAP), INK);
    }
    for (i, &class) in shown.iter().enumerate() {
        for (j, &predicted) in shown.iter().enumerate() {
            let share = counts.0[[class, predicted]] as f64 / counts.of_class(class).max(1) as f64;
            cell(&mut sheet, (left + at(j), top + at(i)), side, share, i == j);
        }
    }
    for (line, y) in below.iter().zip((under..).step_by(LINE as usize)) {
        write(&mut sheet, line, (MARGIN, y), QUIET);
    }
    sheet
}

/// The names as they fit; if that makes two the same, with the numbers of the classes in front.
fn labels(names: &[String]) -> Vec<String> {
    let short: Vec<String> = names.iter().map(|name| shortened(name, LONGEST_NAME)).collect();
    if short.iter().collect::<BTreeSet<_>>().len() == names.len() {
        return short;
    }
    let numbered = names.iter().enumerate().map(|(class, name)| format!("{class} {name}"));
    numbered.map(|name| shortened(&name, LONGEST_NAME)).collect()
}

/// Classes that occur, or that something was taken for.
fn seen(counts: Counts<'_>) -> Vec<usize> {
    (0..counts.0.nrows()).filter(|&class| counts.seen_as(class) > 0).collect()
}

/// The classes that are drawn, in their order: all that were seen, or those that are most often mistaken or taken for.
fn shown(counts: Counts<'_>) -> Vec<usize> {
    let mut classes = seen(counts);
    if classes.len() > MOST_CLASSES {
        let mistakes = |class: usize| counts.seen_as(class) - 2 * counts.0[[class, class]];
        classes.sort_by_cached_key(|&class| std::cmp::Reverse(mistakes(class)));
        classes.truncate(MOST_CLASSES);
        classes.sort_unstable();
    }
    classes
}

/// One cell, with its fraction in per cent where there is room.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a fraction is between 0 and 1")]
fn cell(sheet: &mut RgbImage, (x, y): (u32, u32), side: u32, share: f64, right: bool) {
    let strength = (255.0 * share.sqrt()).round() as u8;
    let colour = if right { RIGHT } else { WRONG };
    let fill: Vec<u8> = PAPER.0.iter().zip(colour).map(|(&paper, ink)| mixed(paper, ink, strength)).collect();
    let fill = RgbImage::from_pixel(side - 1, side - 1, Rgb([fill[0], fill[1], fill[2]]));
    imageops::replace(sheet, &RgbImage::from_pixel(side, side, GRID), x.into(), y.into());
    imageops::replace(sheet, &fill, x.into(), y.into());
    if side == LARGE && share > 0.0 {
        let percent = (100.0 * share).round();
        let text = if percent < 1.0 { "<1".to_owned() } else { format!("{percent}") };
        let ink = if strength > 140 { PAPER.0 } else { INK };
        let place = (x + (side - width(&text)) / 2, y + (side - LINE) / 2);
        write(sheet, &text, place, ink);
    }
}

/// How to read it, and the most frequent confusions in words.
fn explanation(
    counts: Counts<'_>,
    (names, things): (&[String], &str),
    shown: usize,
    limit: u32,
) -> Vec<String> {
    let percent = if shown <= WITH_NUMBERS { ", in %" } else { "" };
    let mut text = format!(
        "Rows: true class. Columns: predicted class. Shade: fraction of the row's {things}{percent}; blue right, orange wrong."
    );
    let (all, seen) = (names.len(), seen(counts).len());
    if shown < seen {
        text = format!("{text} Shown: the {shown} of {all} classes with the most mistakes.");
    } else if seen < all {
        text = format!(
            "{text} Shown: {seen} of {all} classes; the others have no {things} here, and none was taken for one."
        );
    }
    let mut lines = wrapped(&text, limit);
    let mistakes = mistakes(counts.0, LISTED);
    if !mistakes.is_empty() {
        lines.push(String::new());
        lines.push("Most frequent mistakes".to_owned());
    }
    for (class, predicted, mistaken) in mistakes {
        let all = counts.of_class(class);
        let line = format!("{mistaken:>5} of {all:>5} {} taken for {}", names[class], names[predicted]);
        lines.push(shortened(&line, limit));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_cut_to_the_same_get_their_numbers() {
        let long = |end: &str| format!("a name that is far too long for its place, {end}");
        assert_eq!(labels(&[long("one"), "two".to_owned()])[1], "two");
        let labels = labels(&[long("one"), long("two")]);
        assert!(labels[0].starts_with("0 a name") && labels[1].starts_with("1 a name"), "{labels:?}");
    }
}
