//! The figure of an ablation: scores against the setting that was varied, one panel a measure, with error bars.

use super::plan::{Axis, number};
use super::table::{COLUMNS, Column, Row, Spread, at};
use crate::base::Result;
use crate::draw::plot::{Drawn, EPOCH, STEP, quiet, refused};
use plotters::prelude::*;

const WIDTH: u32 = 960;
const PANEL: u32 = 340;
/// Half the width of an error bar's ends, as a fraction of the axis.
const CAP: f64 = 0.008;

/// Panels one below the other: the mean over the seeds as a line, its standard deviation as bars, single runs as faint
/// dots. Values that are numbers stand where they belong, others side by side.
///
/// # Errors
/// If the drawing library refuses.
pub fn svg(axis: &Axis, rows: &[Row], task: &str) -> Result<String> {
    let shown: Vec<&Column> =
        COLUMNS.iter().filter(|c| rows.iter().any(|row| (c.of)(row).is_some())).collect();
    let panels = u32::try_from(shown.len().max(1)).unwrap_or(1);
    let mut svg = String::new();
    draw(&mut svg, (axis, task), rows, &shown, (WIDTH, PANEL * panels)).map_err(refused)?;
    Ok(svg)
}

fn draw(
    svg: &mut String,
    (axis, task): (&Axis, &str),
    rows: &[Row],
    shown: &[&Column],
    size: (u32, u32),
) -> Drawn {
    let root = SVGBackend::with_string(svg, size).into_drawing_area();
    root.fill(&WHITE)?;
    for (column, area) in shown.iter().zip(root.split_evenly((shown.len().max(1), 1))) {
        panel(&area, (axis, task), rows, column)?;
    }
    root.present()?;
    Ok(())
}

type Area<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;

fn panel(area: &Area<'_>, (axis, task): (&Axis, &str), rows: &[Row], column: &Column) -> Drawn {
    let places = places(axis);
    let labels: Vec<String> = axis.values.iter().map(Axis::label).collect();
    let runs = |label: &str| at(rows, label, column).into_iter().map(|x| 100.0 * x).collect::<Vec<f64>>();
    let points: Vec<(f64, Spread, Vec<f64>)> = places
        .iter()
        .zip(&labels)
        .filter_map(|(&x, label)| Some((x, Spread::of(&runs(label))?, runs(label))))
        .collect();
    let bars =
        points.iter().map(|(x, s, _)| (*x, s.mean - s.std.unwrap_or(0.0), s.mean + s.std.unwrap_or(0.0)));
    let bars: Vec<(f64, f64, f64)> = bars.collect();
    let all = || points.iter().flat_map(|p| &p.2).copied().chain(bars.iter().flat_map(|b| [b.1, b.2]));
    let (low, high) = (all().fold(f64::INFINITY, f64::min), all().fold(f64::NEG_INFINITY, f64::max));
    let margin = (0.12 * (high - low)).max(0.5);
    let (first, last) = (places[0], places[places.len() - 1]);
    let (beside, cap) = (0.05 * (last - first), CAP * (last - first));
    let mut chart = ChartBuilder::on(area)
        .margin(14)
        .margin_right(30)
        .x_label_area_size(46)
        .y_label_area_size(70)
        .build_cartesian_2d(first - beside..last + beside, low - margin..high + margin)?;
    let name = |x: &f64| match places.iter().position(|place| (place - x).abs() < 1e-9) {
        Some(i) => labels[i].clone(),
        None if is_numeric(axis) => format!("{}", (x * 1e4).round() / 1e4),
        None => String::new(),
    };
    quiet(&mut chart.configure_mesh())
        .x_desc(axis.name.as_str())
        .y_desc(format!("{}, {} in %", column.name, column.measure(task)))
        .x_labels(if is_numeric(axis) { 10 } else { places.len() })
        .y_labels(6)
        .x_label_formatter(&name)
        .y_label_formatter(&|v: &f64| format!("{v:.1}"))
        .draw()?;
    let dots = points.iter().flat_map(|(x, _, runs)| runs.iter().map(move |&y| (*x, y)));
    chart.draw_series(dots.map(|p| Circle::new(p, 3, STEP.filled())))?;
    chart.draw_series(LineSeries::new(points.iter().map(|(x, s, _)| (*x, s.mean)), EPOCH.stroke_width(2)))?;
    let mean = points.iter().zip(&bars);
    for ((x, spread, _), (_, low, high)) in mean {
        chart.draw_series([Circle::new((*x, spread.mean), 4, EPOCH.filled())])?;
        if spread.std.is_some() {
            let end = |y: f64| PathElement::new(vec![(x - cap, y), (x + cap, y)], EPOCH.stroke_width(2));
            let bar = PathElement::new(vec![(*x, *low), (*x, *high)], EPOCH.stroke_width(2));
            chart.draw_series([bar, end(*low), end(*high)])?;
        }
    }
    Ok(())
}

fn is_numeric(axis: &Axis) -> bool {
    axis.values.iter().all(|value| number(value).is_some())
}

/// Where each value stands on the axis.
fn places(axis: &Axis) -> Vec<f64> {
    let numbers: Option<Vec<f64>> = axis.values.iter().map(number).collect();
    numbers.unwrap_or_else(|| (0..axis.values.len()).map(|i| i as f64).collect())
}
