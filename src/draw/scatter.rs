//! Points in the plane, coloured by class, with a legend.

use super::plot::{Drawn, INK, Point, REFERENCE, quiet, refused, short, text};
use crate::base::Result;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use std::ops::Range;

const SIZE: (u32, u32) = (960, 640);
/// Room for the legend.
const LEGEND: u32 = 230;
/// Classes that it names.
const NAMED: usize = 30;
/// Letters of a name, and of the title.
const LONGEST: usize = 26;
const LONGEST_TITLE: usize = 115;
/// Colours of the first classes, told apart by most eyes (Okabe & Ito 2008, and their darker siblings); then around the circle.
const COLOURS: [[u8; 3]; 10] = [
    [0, 114, 178],
    [230, 159, 0],
    [0, 158, 115],
    [213, 94, 0],
    [204, 121, 167],
    [86, 180, 233],
    [120, 94, 20],
    [60, 60, 60],
    [148, 103, 189],
    [188, 189, 34],
];

/// Classes by name with their points.
pub type Groups = Vec<(String, Vec<Point>)>;

/// The points as an SVG; `axes` names both axes.
///
/// # Errors
/// If the drawing library refuses.
pub fn scatter_svg(groups: &Groups, title: &str, axes: [&str; 2]) -> Result<String> {
    let mut svg = String::new();
    draw(&mut svg, groups, title, axes).map_err(refused)?;
    Ok(svg)
}

fn draw(svg: &mut String, groups: &Groups, title: &str, axes: [&str; 2]) -> Drawn {
    let root = SVGBackend::with_string(svg, SIZE).into_drawing_area();
    root.fill(&WHITE)?;
    let all = || groups.iter().flat_map(|group| &group.1);
    let mut chart = ChartBuilder::on(&root)
        .margin_top(44)
        .margin_left(14)
        .margin_right(LEGEND)
        .margin_bottom(10)
        .x_label_area_size(46)
        .y_label_area_size(66)
        .build_cartesian_2d(range(all().map(|p| p.0)), range(all().map(|p| p.1)))?;
    quiet(&mut chart.configure_mesh())
        .x_desc(axes[0])
        .y_desc(axes[1])
        .x_labels(8)
        .y_labels(8)
        .x_label_formatter(&short)
        .y_label_formatter(&short)
        .draw()?;
    // Class by class would bury the first below the last, so one point of each in turn.
    let longest = groups.iter().map(|group| group.1.len()).max().unwrap_or(0);
    for i in 0..longest {
        let points = groups.iter().enumerate().filter_map(|(class, group)| Some((class, *group.1.get(i)?)));
        chart.draw_series(points.map(|(class, at)| Circle::new(at, 3, colour(class).mix(0.7).filled())))?;
    }
    let left = i32::try_from(SIZE.0 - LEGEND + 20)?;
    let title: String = title.chars().take(LONGEST_TITLE).collect();
    root.draw_text(&title, &text(15, INK).pos(Pos::new(HPos::Left, VPos::Center)), (80, 24))?;
    for (class, (name, _)) in groups.iter().enumerate().take(NAMED) {
        let y = 54 + 19 * i32::try_from(class)?;
        root.draw(&Circle::new((left, y), 5, colour(class).filled()))?;
        let name: String = name.chars().take(LONGEST).collect();
        root.draw_text(&name, &text(14, INK).pos(Pos::new(HPos::Left, VPos::Center)), (left + 14, y))?;
    }
    if groups.len() > NAMED {
        let more = format!("and {} more classes", groups.len() - NAMED);
        let y = 54 + 19 * i32::try_from(NAMED)?;
        root.draw_text(&more, &text(14, REFERENCE).pos(Pos::new(HPos::Left, VPos::Center)), (left + 14, y))?;
    }
    root.present()?;
    Ok(())
}

/// All values, with room around them.
fn range(values: impl Iterator<Item = f64>) -> Range<f64> {
    let (low, high) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(v), h.max(v)));
    let margin = if high > low { 0.04 * (high - low) } else { 0.5 };
    if low <= high { low - margin..high + margin } else { 0.0..1.0 }
}

fn colour(class: usize) -> RGBColor {
    let [red, green, blue] = COLOURS.get(class).copied().unwrap_or_else(|| {
        // Darker than the first ones; the golden ratio keeps neighbours in number apart on the circle.
        let turns = 0.9 + 0.618_034 * (class - COLOURS.len()) as f64;
        let (r, g, b) = HSLColor(turns.fract(), 0.7, 0.33).rgb();
        [r, g, b]
    });
    RGBColor(red, green, blue)
}
