//! The figure of an ablation: scores, one panel a measure of each task, with error bars: against the setting that was varied, or a line for each of
//! its values against the fraction of the labels where there are several.

use super::plan::{Axis, Plan, number};
use super::table::{COLUMNS, Column, Row, Spread, at, of_task, with_labels};
use super::tune;
use crate::base::Result;
use crate::draw::plot::{Drawn, EPOCH, HELD_OUT, INK, REFERENCE, quiet, refused, text};
use plotters::prelude::*;

const WIDTH: u32 = 960;
const PANEL: u32 = 340;
/// Half the width of an error bar's ends, as a fraction of the axis.
const CAP: f64 = 0.008;
/// How far bars of two lines stand apart, as a fraction of the axis.
const APART: f64 = 0.006;
/// Height of a row of text above a panel.
const LEGEND: u32 = 20;
/// Room for one letter of a line's name.
const LETTER: usize = 9;
/// The colours of the lines, again from the first after the last.
pub(super) const COLOURS: [RGBColor; 6] =
    [EPOCH, HELD_OUT, RGBColor(44, 133, 92), RGBColor(126, 87, 176), REFERENCE, RGBColor(176, 54, 92)];

/// Panels one below the other: the mean over the seeds as a dot, its standard deviation as bars, single runs as faint
/// dots. Values that are numbers stand where they belong, others and fractions of the labels side by side; a line joins what has an order.
///
/// # Errors
/// If the drawing library refuses.
pub fn svg(plan: &Plan, rows: &[Row]) -> Result<String> {
    let (rows, tasks) = (&*tune::kept(plan, rows), &plan.judge.tasks);
    let mut panels = Vec::new();
    for task in tasks {
        let rows = of_task(rows, task);
        for column in COLUMNS.iter().filter(|c| rows.iter().any(|row| (c.of)(row).is_some())) {
            let horizontal = Horizontal::of(plan);
            let name =
                if tasks.len() > 1 { format!("{task}: {}", column.name) } else { column.name.to_owned() };
            let what = format!("{name}, {} in %", column.measure(task));
            let lines = lines(plan, &rows, column, &horizontal);
            panels.push(Panel { title: None, horizontal, what, lines });
        }
    }
    draw(&panels)
}

/// Panels one below the other.
pub(super) fn draw(panels: &[Panel]) -> Result<String> {
    let mut svg = String::new();
    let height = PANEL * u32::try_from(panels.len().max(1)).unwrap_or(1);
    let draw = |svg: &mut String| -> Drawn {
        let root = SVGBackend::with_string(svg, (WIDTH, height)).into_drawing_area();
        root.fill(&WHITE)?;
        for (panel, area) in panels.iter().zip(root.split_evenly((panels.len().max(1), 1))) {
            panel.draw(&area)?;
        }
        root.present()?;
        Ok(())
    };
    draw(&mut svg).map_err(refused)?;
    Ok(svg)
}

/// A plot of lines.
pub(super) struct Panel {
    /// Above all else, where there is one.
    pub(super) title: Option<String>,
    pub(super) horizontal: Horizontal,
    /// The name of the vertical axis.
    pub(super) what: String,
    pub(super) lines: Vec<Line>,
}

/// The horizontal axis of a panel.
pub(super) struct Horizontal {
    pub(super) name: String,
    pub(super) labels: Vec<String>,
    /// Where each stands.
    pub(super) places: Vec<f64>,
    pub(super) numeric: bool,
    /// Whether one place is before the other; names have no order, and no line between them.
    pub(super) ordered: bool,
}

impl Horizontal {
    fn of(plan: &Plan) -> Self {
        let fractions = &plan.judge.labels;
        if fractions.len() > 1 {
            let labels: Vec<String> = fractions.iter().map(f64::to_string).collect();
            let name = "fraction of the labels".to_owned();
            return Self { name, places: side_by_side(labels.len()), labels, numeric: false, ordered: true };
        }
        let values = &plan.vary.values;
        let labels: Vec<String> = values.iter().map(Axis::label).collect();
        let numbers: Option<Vec<f64>> = values.iter().map(number).collect();
        let (name, numeric) = (plan.vary.name.clone(), numbers.is_some());
        let places = numbers.unwrap_or_else(|| side_by_side(labels.len()));
        Self { name, places, labels, numeric, ordered: numeric }
    }

    fn length(&self) -> f64 {
        self.places[self.places.len() - 1] - self.places[0]
    }

    /// What is written below a place.
    fn text_at(&self, x: f64) -> String {
        match self.places.iter().position(|place| (place - x).abs() < 1e-9) {
            Some(i) => self.labels[i].clone(),
            None if self.numeric => short(x),
            None => String::new(),
        }
    }
}

/// A number to four digits.
fn short(x: f64) -> String {
    if x == 0.0 {
        return "0".to_owned();
    }
    let unit = 10.0_f64.powf(3.0 - x.abs().log10().floor());
    format!("{}", (x * unit).round() / unit)
}

fn side_by_side(n: usize) -> Vec<f64> {
    (0..n).map(|i| i as f64).collect()
}

/// A line through the means of runs, all in per cent.
pub(super) struct Line {
    /// None where there is but one.
    pub(super) name: Option<String>,
    pub(super) colour: RGBColor,
    /// Place, mean and standard deviation, single runs.
    pub(super) points: Vec<(f64, Spread, Vec<f64>)>,
}

fn lines(plan: &Plan, rows: &[Row], column: &Column, horizontal: &Horizontal) -> Vec<Line> {
    let (values, fractions) = (&plan.vary.values, &plan.judge.labels);
    let runs = |value, labels| {
        let runs = at(&with_labels(rows, labels), &Axis::label(value), column);
        runs.into_iter().map(|x| 100.0 * x).collect::<Vec<f64>>()
    };
    let point = |x: f64, runs: Vec<f64>| Some((x, Spread::of(&runs)?, runs));
    let places = &horizontal.places;
    if fractions.len() == 1 {
        let points = places.iter().zip(values).filter_map(|(&x, value)| point(x, runs(value, fractions[0])));
        return vec![Line { name: None, colour: EPOCH, points: points.collect() }];
    }
    let line = |(i, value): (usize, _)| {
        let aside = (i as f64 - (values.len() - 1) as f64 / 2.0) * APART * horizontal.length();
        let at = places.iter().zip(fractions);
        let points = at.filter_map(|(&x, &labels)| point(x + aside, runs(value, labels))).collect();
        Line { name: Some(Axis::label(value)), colour: COLOURS[i % COLOURS.len()], points }
    };
    values.iter().enumerate().map(line).collect()
}

type Area<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;

impl Panel {
    fn draw(&self, area: &Area<'_>) -> Drawn {
        let Self { title, horizontal, what, lines } = self;
        let points = || lines.iter().flat_map(|line| &line.points);
        let ends = |s: &Spread| [s.mean - s.std.unwrap_or(0.0), s.mean + s.std.unwrap_or(0.0)];
        let all = || points().flat_map(|(_, spread, runs)| runs.iter().copied().chain(ends(spread)));
        let (low, high) = (all().fold(f64::INFINITY, f64::min), all().fold(f64::NEG_INFINITY, f64::max));
        let margin = (0.12 * (high - low)).max(0.5);
        let places = &horizontal.places;
        let (beside, cap) = (0.05 * horizontal.length(), CAP * horizontal.length());
        let mut chart = ChartBuilder::on(area)
            .margin(14)
            .margin_top(14 + LEGEND * u32::try_from(legend_rows(lines).len() + title.iter().len())?)
            .margin_right(30)
            .x_label_area_size(46)
            .y_label_area_size(70)
            .build_cartesian_2d(
                places[0] - beside..places[places.len() - 1] + beside,
                low - margin..high + margin,
            )?;
        quiet(&mut chart.configure_mesh())
            .x_desc(horizontal.name.as_str())
            .y_desc(what.as_str())
            .x_labels(if horizontal.numeric { 10 } else { places.len() })
            .y_labels(6)
            .x_label_formatter(&|x: &f64| horizontal.text_at(*x))
            .y_label_formatter(&|v: &f64| format!("{v:.1}"))
            .draw()?;
        for Line { colour, points, .. } in lines {
            let bold = colour.stroke_width(2);
            let dots = points.iter().flat_map(|(x, _, runs)| runs.iter().map(move |&y| (*x, y)));
            chart.draw_series(dots.map(|p| Circle::new(p, 3, colour.mix(0.4).filled())))?;
            if horizontal.ordered {
                chart.draw_series(LineSeries::new(points.iter().map(|(x, s, _)| (*x, s.mean)), bold))?;
            }
            for (x, spread, _) in points {
                chart.draw_series([Circle::new((*x, spread.mean), 4, colour.filled())])?;
                if spread.std.is_some() {
                    let [low, high] = ends(spread);
                    let end = |y: f64| PathElement::new(vec![(x - cap, y), (x + cap, y)], bold);
                    let bar = PathElement::new(vec![(*x, low), (*x, high)], bold);
                    chart.draw_series([bar, end(low), end(high)])?;
                }
            }
        }
        if let Some(title) = title {
            area.draw_text(title, &text(15, INK), (84, 12))?;
        }
        legend(area, lines, title.iter().len())
    }
}

/// The names of lines that have points, with their places in each row above the panel.
fn legend_rows(lines: &[Line]) -> Vec<Vec<(usize, &str, RGBColor)>> {
    let (mut rows, mut x) = (Vec::<Vec<_>>::new(), usize::MAX);
    for line in lines.iter().filter(|line| !line.points.is_empty()) {
        let Some(name) = &line.name else { continue };
        let width = 44 + LETTER * name.chars().count();
        if x.saturating_add(width) > WIDTH as usize {
            rows.push(Vec::new());
            x = 84;
        }
        if let Some(row) = rows.last_mut() {
            row.push((x, name.as_str(), line.colour));
        }
        x += width;
    }
    rows
}

/// Text above the panel, below so many rows of other text: what each colour means.
fn legend(area: &Area<'_>, lines: &[Line], below: usize) -> Drawn {
    let places = (20..).step_by(LEGEND as usize).skip(below);
    for (row, y) in legend_rows(lines).into_iter().zip(places) {
        for (x, name, colour) in row {
            let x = i32::try_from(x)?;
            area.draw(&PathElement::new([(x, y), (x + 22, y)], colour.stroke_width(3)))?;
            area.draw_text(name, &text(15, INK), (x + 28, y - 8))?;
        }
    }
    Ok(())
}
