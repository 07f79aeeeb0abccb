//! Lines over a common axis.

use super::scale::tick;
use super::{Anchor, Figure, Scale, WIDTH};

/// One line.
#[derive(Clone, Debug)]
pub struct Series {
    /// What the legend says.
    pub name: String,
    /// Class of its colour.
    pub class: String,
    /// x, y; a gap where a value is not finite.
    pub points: Vec<[f64; 2]>,
    /// Deviation of each point, or none.
    pub spread: Vec<f64>,
}

impl Series {
    /// A line without deviations.
    pub fn new(name: &str, class: &str, points: Vec<[f64; 2]>) -> Self {
        let (name, class) = (name.to_owned(), class.to_owned());
        let spread = Vec::new();
        Self {
            name,
            class,
            points,
            spread,
        }
    }
}

/// Lines and their axes.
#[derive(Clone, Debug)]
pub struct LineChart<'a> {
    /// For those who cannot see it.
    pub title: &'a str,
    /// Below the axis.
    pub x: &'a str,
    /// Above the axis.
    pub y: &'a str,
    /// Percent from 0 to 100, or as the values are.
    pub percent: bool,
    /// Mark every point?
    pub marks: bool,
    /// x by its logarithm?
    pub logarithmic: bool,
    /// The lines.
    pub series: Vec<Series>,
}

/// Draws them.
pub fn lines(chart: &LineChart) -> String {
    let height = 250.0;
    let mut figure = Figure::new(WIDTH, height, chart.title);
    let entries: Vec<(String, String)> = chart
        .series
        .iter()
        .map(|s| (format!("{} solid", s.class), s.name.clone()))
        .collect();
    let top = figure.legend(2.0, 14.0, WIDTH, &entries) + 18.0;
    let (left, right, foot) = (44.0, WIDTH - 12.0, height - 40.0);
    let xs = || chart.series.iter().flat_map(|s| s.points.iter().map(|p| p[0]));
    let ys = || {
        let of = |s: &Series| -> Vec<f64> {
            let spread = |i: usize| s.spread.get(i).copied().unwrap_or(0.0);
            let ends = s.points.iter().enumerate();
            ends.flat_map(|(i, p)| [p[1] - spread(i), p[1] + spread(i)])
                .collect()
        };
        chart.series.iter().flat_map(of)
    };
    let mut across = Scale::around(xs(), [left, right]);
    let ends = xs().fold([f64::INFINITY, f64::NEG_INFINITY], |[l, h], x| {
        [l.min(x), h.max(x)]
    });
    if ends[0] < ends[1] {
        across.values = ends;
    }
    across.logarithmic = chart.logarithmic;
    let mut up = Scale::around(ys(), [foot, top]);
    if chart.percent {
        up.values = [up.values[0].max(0.0), up.values[1].min(100.0)];
    }
    frame(&mut figure, &across, &up, chart, height);
    for series in &chart.series {
        draw(&mut figure, series, &across, &up, chart.marks);
    }
    figure.finish()
}

fn frame(figure: &mut Figure, across: &Scale, up: &Scale, chart: &LineChart, height: f64) {
    let ([left, right], [foot, top]) = (across.places, up.places);
    for value in up.ticks(4.0) {
        let y = up.at(value);
        figure.line([left, y], [right, y], "grid");
        figure.text([left - 6.0, y + 4.0], Anchor::End, "tick", &tick(value));
    }
    let values = if chart.logarithmic {
        let mut all: Vec<f64> = chart
            .series
            .iter()
            .flat_map(|s| s.points.iter().map(|p| p[0]))
            .collect();
        all.sort_by(f64::total_cmp);
        all.dedup();
        all
    } else {
        across.ticks(5.0)
    };
    for value in values {
        let x = across.at(value);
        figure.line([x, foot], [x, foot + 4.0], "axis");
        figure.text([x, foot + 17.0], Anchor::Middle, "tick", &tick(value));
    }
    figure.line([left, foot], [right, foot], "axis");
    figure.text(
        [f64::midpoint(left, right), height - 6.0],
        Anchor::Middle,
        "label",
        chart.x,
    );
    figure.text([2.0, top - 9.0], Anchor::Start, "label", chart.y);
}

fn draw(figure: &mut Figure, series: &Series, across: &Scale, up: &Scale, marks: bool) {
    let class = format!("{} stroke", series.class);
    let mut run: Vec<[f64; 2]> = Vec::new();
    for [x, y] in &series.points {
        if y.is_finite() {
            run.push([across.at(*x), up.at(*y)]);
        } else if !run.is_empty() {
            figure.polyline(&std::mem::take(&mut run), &class);
        }
    }
    if !run.is_empty() {
        figure.polyline(&run, &class);
    }
    for (i, [x, y]) in series.points.iter().enumerate().filter(|(_, p)| p[1].is_finite()) {
        let at = [across.at(*x), up.at(*y)];
        if let Some(spread) = series.spread.get(i).filter(|s| **s > 0.0) {
            let [low, high] = [y - spread, y + spread].map(|v| up.at(v));
            figure.line([at[0], low], [at[0], high], &class);
        }
        let tip = format!(
            "{}: {} at {}",
            series.name,
            tick((y * 100.0).round() / 100.0),
            tick(*x)
        );
        let radius = if marks || series.points.len() == 1 {
            3.5
        } else {
            2.0
        };
        figure.disc(at, radius, &format!("{} solid", series.class), &tip);
    }
}
