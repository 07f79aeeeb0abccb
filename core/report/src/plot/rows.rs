//! One row per name: bars, and pairs of dots.

use super::scale::tick;
use super::{Anchor, Figure, LETTER, Scale, WIDTH, shorten};

/// Letters of a name.
const NAME: usize = 26;
/// Height of a row.
const ROW: f64 = 19.0;

/// One row.
#[derive(Clone, Debug)]
pub struct Row {
    /// Its name.
    pub name: String,
    /// What stands behind the name.
    pub note: String,
    /// Two values, percent; one for bars.
    pub values: [f64; 2],
}

fn margin(rows: &[Row]) -> f64 {
    let letters = rows.iter().map(|r| shorten(&r.name, NAME).chars().count()).max();
    16.0 + LETTER * letters.unwrap_or(0) as f64
}

/// A dot before and a dot after, joined; blue to the right, orange to the left.
pub fn dumbbells(title: &str, rows: &[Row], x: &str) -> String {
    let height = 34.0 + ROW * rows.len() as f64 + 36.0;
    let mut figure = Figure::new(WIDTH, height, title);
    let entries = [
        ("hollow", "before"),
        ("up solid", "after, higher"),
        ("down solid", "after, lower"),
    ];
    figure.legend(
        2.0,
        14.0,
        WIDTH,
        &entries.map(|(c, n)| (c.to_owned(), n.to_owned())),
    );
    let (left, right, top) = (margin(rows), WIDTH - 46.0, 30.0);
    let foot = top + ROW * rows.len() as f64;
    let scale = Scale::new([0.0, 100.0], [left, right]);
    grid(&mut figure, &scale, top, foot, x);
    for (i, row) in rows.iter().enumerate() {
        let y = top + ROW * (i as f64 + 0.5);
        let [before, after] = row.values.map(|v| scale.at(v));
        let change = row.values[1] - row.values[0];
        let class = match change {
            c if c > 0.0 => "up",
            c if c < 0.0 => "down",
            _ => "same",
        };
        let tip = format!(
            "{}: {:.1}% -> {:.1}%, {}",
            row.name, row.values[0], row.values[1], row.note
        );
        figure.text(
            [left - 10.0, y + 4.0],
            Anchor::End,
            "label",
            &shorten(&row.name, NAME),
        );
        figure.line([before, y], [after, y], &format!("{class} bar"));
        figure.disc([before, y], 4.0, "hollow", &tip);
        figure.disc([after, y], 4.5, &format!("{class} solid"), &tip);
        let change = if change.abs() < 0.05 {
            "0".to_owned()
        } else {
            format!("{change:+.1}")
        };
        figure.text(
            [WIDTH - 2.0, y + 4.0],
            Anchor::End,
            "number",
            &change.replace('-', "−"),
        );
    }
    figure.finish()
}

/// A bar per row, with its value behind it.
pub fn bars(title: &str, rows: &[Row], x: &str) -> String {
    let height = 6.0 + ROW * rows.len() as f64 + 36.0;
    let mut figure = Figure::new(WIDTH, height, title);
    let (left, right, top) = (margin(rows), WIDTH - 70.0, 4.0);
    let foot = top + ROW * rows.len() as f64;
    let values = rows.iter().map(|r| r.values[0]).chain([0.0]);
    let mut scale = Scale::around(values, [left, right]);
    scale.values[0] = scale.values[0].max(0.0);
    grid(&mut figure, &scale, top, foot, x);
    for (i, row) in rows.iter().enumerate() {
        let y = top + ROW * i as f64;
        let end = scale.at(row.values[0]);
        figure.text(
            [left - 10.0, y + 13.5],
            Anchor::End,
            "label",
            &shorten(&row.name, NAME),
        );
        let tip = format!("{}: {}", row.name, row.note);
        figure.rectangle(
            [left, y + 4.0, (end - left).max(0.5), ROW - 8.0],
            "after solid",
            &tip,
        );
        figure.text([end + 5.0, y + 13.5], Anchor::Start, "number", &row.note);
    }
    figure.finish()
}

fn grid(figure: &mut Figure, scale: &Scale, top: f64, foot: f64, x: &str) {
    for value in scale.ticks(5.0) {
        let at = scale.at(value);
        figure.line([at, top], [at, foot], "grid");
        figure.text([at, foot + 14.0], Anchor::Middle, "tick", &tick(value));
    }
    let [left, right] = scale.places;
    figure.text(
        [f64::midpoint(left, right), foot + 31.0],
        Anchor::Middle,
        "label",
        x,
    );
}
