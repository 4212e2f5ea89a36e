//! Curves against the step: losses, the learning rate, a score.
//!
//! Text in an SVG is text, so no font is needed here: plotters only guesses widths for the layout.

use crate::base::{Error, Result};
use plotters::chart::MeshStyle;
use plotters::coord::ranged1d::{AsRangedCoord, Ranged, ValueFormatter};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use std::ops::Range;

const SIZE: (u32, u32) = (960, 460);
const SMALL: (u32, u32) = (960, 240);
/// Room for one letter of a reference line's label.
const LETTER: usize = 7;
/// A curve of more points than twice this is drawn by the lowest and highest of each bucket.
const BUCKETS: usize = 600;
/// A loss that spans more than this factor is drawn on a logarithmic scale.
const LOG_SPAN: f64 = 50.0;

pub(crate) const INK: RGBColor = RGBColor(51, 56, 66);
pub(crate) const FAINT: RGBColor = RGBColor(232, 235, 240);
pub(crate) const STEP: RGBColor = RGBColor(168, 196, 226);
pub(crate) const EPOCH: RGBColor = RGBColor(31, 97, 168);
pub(crate) const HELD_OUT: RGBColor = RGBColor(209, 98, 24);
pub(crate) const REFERENCE: RGBColor = RGBColor(120, 128, 140);

/// Step and value.
pub type Point = (f64, f64);
type Curve = Vec<Point>;

/// The loss against the step: single steps thin, means of epochs bold, validation loss where there is one,
/// and a dashed line with a label for each reference, such as `("predicting the mean", 0.98)`.
/// `loss` names the vertical axis.
///
/// # Errors
/// If the drawing library refuses.
pub fn loss_svg(curves: &LossCurves, references: &[(String, f64)], loss: &str) -> Result<String> {
    let curves = curves.drawable();
    let references: Vec<_> = references.iter().filter(|r| r.1.is_finite()).cloned().collect();
    let values = || {
        let curves = [&curves.steps, &curves.epochs, &curves.held_out].into_iter().flatten().map(|p| p.1);
        curves.chain(references.iter().map(|r| r.1))
    };
    let low = values().fold(f64::INFINITY, f64::min);
    let high = values().fold(f64::NEG_INFINITY, f64::max);
    let x = 0.0..curves.last_step();
    let mut svg = String::new();
    let drawn = if low > 0.0 && high / low > LOG_SPAN {
        let margin = (high / low).powf(0.06);
        let y = (low / margin..high * margin).log_scale();
        draw_loss(&mut svg, &curves, &references, x, loss, y, &short)
    } else {
        let margin = if high > low { 0.06 * (high - low) } else { 0.5 };
        let y = if low <= high { low - margin..high + margin } else { 0.0..1.0 };
        draw_loss(&mut svg, &curves, &references, x, loss, y.clone(), &ticks(&y))
    };
    drawn.map_err(refused)?;
    Ok(svg)
}

/// Learning rates, `(step, rate)`.
///
/// # Errors
/// If the drawing library refuses.
pub fn lr_svg(lr: &[Point]) -> Result<String> {
    let top = lr.iter().map(|p| p.1).fold(0.0, f64::max);
    let top = if top > 0.0 { 1.08 * top } else { 1.0 };
    small_svg(&thin_out(lr), 0.0..top, "learning rate")
}

/// A score that is a fraction, in per cent: `(step, fraction)`.
///
/// # Errors
/// If the drawing library refuses.
pub fn score_svg(score: &[Point], name: &str) -> Result<String> {
    let curve: Curve = score.iter().map(|&(step, fraction)| (step, 100.0 * fraction)).collect();
    let low = curve.iter().map(|p| p.1).fold(100.0, f64::min);
    let high = curve.iter().map(|p| p.1).fold(0.0, f64::max);
    let margin = 0.08 * (high - low).max(1.0);
    let y = (low - margin).max(0.0)..(high + margin).min(100.0);
    small_svg(&curve, y, &format!("validation {name} in %"))
}

/// Any value against the step: `(step, value)`.
///
/// # Errors
/// If the drawing library refuses.
pub fn value_svg(values: &[Point], name: &str) -> Result<String> {
    let curve: Curve = values.iter().copied().filter(|p| p.1.is_finite()).collect();
    let low = curve.iter().map(|p| p.1).fold(f64::INFINITY, f64::min);
    let high = curve.iter().map(|p| p.1).fold(f64::NEG_INFINITY, f64::max);
    let (low, high) = if low <= high { (low, high) } else { (0.0, 1.0) };
    let margin = if high > low { 0.08 * (high - low) } else { 0.5 };
    small_svg(&thin_out(&curve), low - margin..high + margin, name)
}

/// Losses against the step.
#[derive(Debug, Default)]
pub struct LossCurves {
    /// Of single steps.
    pub steps: Vec<Point>,
    /// Means of epochs.
    pub epochs: Vec<Point>,
    /// On validation images.
    pub held_out: Vec<Point>,
}

impl LossCurves {
    /// Only finite values: a curve of a run that went wrong shows the part before; and no more points than can be seen.
    fn drawable(&self) -> Self {
        let finite =
            |curve: &[Point]| -> Curve { curve.iter().copied().filter(|p| p.1.is_finite()).collect() };
        let (epochs, held_out) = (finite(&self.epochs), finite(&self.held_out));
        Self { steps: thin_out(&finite(&self.steps)), epochs, held_out }
    }

    fn last_step(&self) -> f64 {
        let ends = [&self.steps, &self.epochs].into_iter().filter_map(|curve| curve.last());
        ends.map(|p| p.0).fold(1.0, f64::max)
    }
}

pub(crate) type Drawn = std::result::Result<(), Box<dyn std::error::Error>>;

fn draw_loss<Y>(
    svg: &mut String,
    curves: &LossCurves,
    references: &[(String, f64)],
    x: Range<f64>,
    loss: &str,
    y: Y,
    label: &dyn Fn(&f64) -> String,
) -> Drawn
where
    Y: AsRangedCoord<Value = f64>,
    Y::CoordDescType: Ranged<ValueType = f64> + ValueFormatter<f64>,
{
    let root = SVGBackend::with_string(svg, SIZE).into_drawing_area();
    root.fill(&WHITE)?;
    let labels = references.iter().map(|(name, value)| (format!("{name} {}", short(value)), *value));
    let labels: Vec<(String, f64)> = labels.collect();
    let widest = labels.iter().map(|(label, _)| label.chars().count()).max().unwrap_or(0);
    let right = u32::try_from(24 + LETTER * widest.min(48))?;
    let mut chart = ChartBuilder::on(&root)
        .margin_top(44)
        .margin_left(14)
        .margin_right(right)
        .margin_bottom(10)
        .x_label_area_size(46)
        .y_label_area_size(66)
        .build_cartesian_2d(x.clone(), y)?;
    quiet(&mut chart.configure_mesh())
        .x_desc("step")
        .y_desc(loss)
        .x_labels(8)
        .y_labels(7)
        .x_label_formatter(&whole)
        .y_label_formatter(&label)
        .draw()?;
    for (_, value) in &labels {
        let ends = [(x.start, *value), (x.end, *value)];
        chart.draw_series(DashedLineSeries::new(ends, 6, 5, REFERENCE.stroke_width(1)))?;
    }
    chart.draw_series(LineSeries::new(curves.steps.iter().copied(), STEP.stroke_width(1)))?;
    for (curve, colour) in [(&curves.epochs, EPOCH), (&curves.held_out, HELD_OUT)] {
        chart.draw_series(LineSeries::new(curve.iter().copied(), colour.stroke_width(3)))?;
        if curve.len() <= 40 {
            chart.draw_series(curve.iter().map(|p| Circle::new(*p, 3, colour.filled())))?;
        }
    }
    let end_of = |value: f64| chart.backend_coord(&(x.end, value));
    let placed = labels.iter().map(|(label, value)| (label.as_str(), end_of(*value))).collect();
    drop(chart);
    label_references(&root, placed)?;
    legend(&root, curves)?;
    root.present()?;
    Ok(())
}

type Area<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;

/// Writes each reference's name beside the end of its line, moved down where two would overlap.
fn label_references(root: &Area<'_>, mut labels: Vec<(&str, (i32, i32))>) -> Drawn {
    const LINE: i32 = 17;
    labels.sort_by_key(|label| label.1.1);
    let mut free = i32::MIN;
    for (label, (x, y)) in labels {
        let y = free.max(y);
        let style = text(14, REFERENCE).pos(Pos::new(HPos::Left, VPos::Center));
        root.draw_text(label, &style, (x + 8, y))?;
        free = y + LINE;
    }
    Ok(())
}

/// One line above the plot: what each colour means.
fn legend(root: &Area<'_>, curves: &LossCurves) -> Drawn {
    let entries = [
        ("each step", STEP, 2, &curves.steps),
        ("mean of the epoch", EPOCH, 3, &curves.epochs),
        ("validation images", HELD_OUT, 3, &curves.held_out),
    ];
    let mut x = 82;
    for (name, colour, width, _) in entries.into_iter().filter(|entry| !entry.3.is_empty()) {
        root.draw(&PathElement::new([(x, 24), (x + 26, 24)], colour.stroke_width(width)))?;
        let style = text(15, INK).pos(Pos::new(HPos::Left, VPos::Center));
        root.draw_text(name, &style, (x + 34, 24))?;
        x += 190;
    }
    Ok(())
}

/// One curve against the step, in a low plot.
fn small_svg(curve: &[(f64, f64)], y: Range<f64>, what: &str) -> Result<String> {
    let last = curve.last().map_or(1.0, |p| p.0.max(1.0));
    let mut svg = String::new();
    draw_small(&mut svg, curve, 0.0..last, y, what).map_err(refused)?;
    Ok(svg)
}

fn draw_small(svg: &mut String, curve: &[(f64, f64)], x: Range<f64>, y: Range<f64>, what: &str) -> Drawn {
    let label = ticks(&y);
    let root = SVGBackend::with_string(svg, SMALL).into_drawing_area();
    root.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&root)
        .margin_top(20)
        .margin_left(14)
        .margin_right(24)
        .margin_bottom(10)
        .x_label_area_size(46)
        .y_label_area_size(66)
        .build_cartesian_2d(x, y)?;
    quiet(&mut chart.configure_mesh())
        .x_desc("step")
        .y_desc(what)
        .x_labels(8)
        .y_labels(4)
        .x_label_formatter(&whole)
        .y_label_formatter(&label)
        .draw()?;
    chart.draw_series(LineSeries::new(curve.iter().copied(), EPOCH.stroke_width(2)))?;
    root.present()?;
    Ok(())
}

/// The style of every mesh here: faint lines, and letters that can be read.
pub(crate) fn quiet<'mesh, 'a, 'b, 'svg, X, Y>(
    mesh: &'mesh mut MeshStyle<'a, 'b, X, Y, SVGBackend<'svg>>,
) -> &'mesh mut MeshStyle<'a, 'b, X, Y, SVGBackend<'svg>>
where
    X: Ranged,
    Y: Ranged,
{
    mesh.light_line_style(TRANSPARENT)
        .bold_line_style(FAINT)
        .axis_style(REFERENCE)
        .label_style(text(15, INK))
        .axis_desc_style(text(16, INK))
}

pub(crate) fn text(size: u32, colour: RGBColor) -> TextStyle<'static> {
    ("sans-serif", size).into_font().color(&colour)
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "what plotters calls it with")]
fn whole(v: &f64) -> String {
    format!("{v:.0}")
}

/// What the ticks of an axis are called: with as many digits as tell a tenth of it from the next.
fn ticks(axis: &Range<f64>) -> impl Fn(&f64) -> String + use<> {
    let (tenth, largest) = ((axis.end - axis.start) / 10.0, axis.start.abs().max(axis.end.abs()));
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 0 to 15")]
    let digits = |ratio: f64| (ratio.log10() - 1e-9).ceil().clamp(0.0, 15.0) as usize;
    let (decimals, significant) = (digits(1.0 / tenth), digits(largest / tenth));
    move |v: &f64| match v.abs() {
        a if a < 1e-6 * tenth => "0".to_owned(),
        _ if decimals > 4 => format!("{v:.significant$e}"),
        _ => format!("{v:.decimals$}"),
    }
}

/// About three significant digits.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "what plotters calls it with")]
pub(crate) fn short(v: &f64) -> String {
    match v.abs() {
        0.0 => "0".to_owned(),
        a if a < 0.001 => format!("{v:.1e}"),
        a if a < 0.1 => format!("{v:.3}"),
        a if a < 100.0 => format!("{v:.2}"),
        _ => format!("{v:.0}"),
    }
}

/// At most two points per bucket, the lowest and the highest, in their order: no spike is lost.
fn thin_out(curve: &[(f64, f64)]) -> Curve {
    if curve.len() <= 2 * BUCKETS {
        return curve.to_vec();
    }
    let mut thin = Vec::with_capacity(2 * BUCKETS);
    for bucket in curve.chunks(curve.len().div_ceil(BUCKETS)) {
        let by_value = |a: &&(f64, f64), b: &&(f64, f64)| a.1.total_cmp(&b.1);
        let ends = bucket.iter().min_by(by_value).into_iter().chain(bucket.iter().max_by(by_value));
        let mut ends: Curve = ends.copied().collect();
        ends.sort_by(|a, b| a.0.total_cmp(&b.0));
        thin.extend(ends);
    }
    thin
}

#[expect(clippy::needless_pass_by_value, reason = "the shape that map_err wants")]
pub(crate) fn refused(e: Box<dyn std::error::Error>) -> Error {
    Error::write("loss.svg")(std::io::Error::other(e.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_told_apart_and_no_longer_than_that_takes() {
        let called = |axis: Range<f64>, values: [f64; 2]| values.each_ref().map(ticks(&axis));
        assert_eq!(called(0.0..1.08, [0.2, 0.4]), ["0.2", "0.4"]);
        assert_eq!(called(1.098..1.106, [1.100, 1.102]), ["1.1000", "1.1020"], "a plateau");
        assert_eq!(called(9.0..91.0, [20.0, 40.0]), ["20", "40"]);
        assert_eq!(called(0.0..1.6e-4, [5e-5, 1.5e-4]), ["5.0e-5", "1.5e-4"]);
        assert_eq!(called(-1.0..1.0, [-1e-17, 0.5]), ["0", "0.5"]);
        assert_eq!(called(31_000.0..32_000.0, [31_200.0, 31_400.0]), ["31200", "31400"]);
    }

    #[test]
    fn thinning_keeps_every_spike() {
        let mut curve: Curve = (0..50_000).map(|i| (f64::from(i), 1.0)).collect();
        curve[31_234].1 = 9.0;
        curve[40_001].1 = -9.0;
        let thin = thin_out(&curve);
        assert!(thin.len() <= 2 * BUCKETS);
        assert!(thin.contains(&(31_234.0, 9.0)) && thin.contains(&(40_001.0, -9.0)));
        assert!(thin.is_sorted_by(|a, b| a.0 <= b.0));
    }
}
