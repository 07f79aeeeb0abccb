//! A table of shades.

use super::{Anchor, Figure, LETTER, WIDTH, shorten};

/// Letters of a name.
const NAME: usize = 24;
/// Width of a cell below which names stand upright.
const UPRIGHT: f64 = 16.0;

/// Rows and columns of values.
pub struct Heat<'a> {
    /// For those who cannot see it.
    pub title: &'a str,
    /// Names of the rows; too many to be read are left out.
    pub rows: &'a [String],
    /// Names of the columns, in the same way; none where the columns are numbered by `x`.
    pub columns: &'a [String],
    /// What the columns are, and what the rows are.
    pub axes: [&'a str; 2],
    /// By row, column: `0 ..= 1` of the darkest shade; nothing where there is no value.
    pub shade: &'a dyn Fn(usize, usize) -> Option<f64>,
    /// What a cell says when it is large enough, and when it is pointed at.
    pub tell: &'a dyn Fn(usize, usize) -> (String, String),
    /// Columns where they have no names.
    pub count: usize,
    /// Draw a frame around the cells where row and column are the same?
    pub diagonal: bool,
}

/// Draws it.
pub fn heat(heat: &Heat) -> String {
    let columns = if heat.columns.is_empty() {
        heat.count
    } else {
        heat.columns.len()
    };
    let rows = heat.rows.len();
    let longest = |names: &[String]| {
        names
            .iter()
            .map(|n| n.chars().count().min(NAME))
            .max()
            .unwrap_or(0) as f64
    };
    let left = 26.0 + LETTER * longest(heat.rows);
    let size = |room: f64| (room / columns.max(1) as f64).min(34.0);
    // Names rise to the right while there is room between them, and straight up where there is not.
    let overhang = 0.7 * LETTER * heat.columns.last().map_or(0, |n| n.chars().count().min(NAME)) as f64;
    let slanted = size(WIDTH - left - 4.0 - overhang) >= UPRIGHT;
    let cell = size(WIDTH - left - 4.0 - if slanted { overhang } else { 0.0 });
    let (small, numbered) = (cell < 12.5, heat.columns.is_empty());
    let tall = if numbered {
        cell.clamp(7.0, 18.0)
    } else {
        cell.max(7.0)
    };
    let named = cell >= 7.0 && !numbered;
    let letter = if small { 0.72 * LETTER } else { LETTER };
    let rise = if slanted { 0.72 } else { 1.0 };
    let top = if named {
        22.0 + rise * letter * longest(heat.columns)
    } else {
        22.0
    };
    let height = top + tall * rows as f64 + 8.0;
    let mut figure = Figure::new(WIDTH, height.max(40.0), heat.title);
    figure.text([left, 11.0], Anchor::Start, "axis-name", heat.axes[0]);
    figure.text([2.0, top - 5.0], Anchor::Start, "axis-name", heat.axes[1]);
    for (r, name) in heat.rows.iter().enumerate() {
        let y = top + tall * r as f64;
        if tall >= 7.0 {
            let size = if tall < 12.5 { "label small" } else { "label" };
            figure.text(
                [left - 6.0, y + tall / 2.0 + 3.5],
                Anchor::End,
                size,
                &shorten(name, NAME),
            );
        }
        for c in 0..columns {
            let at = [left + cell * c as f64, y, cell, tall];
            cell_of(&mut figure, heat, r, c, at);
        }
    }
    if named {
        for (c, name) in heat.columns.iter().enumerate() {
            let x = left + cell * (c as f64 + 0.5) + 3.0;
            let degrees = if slanted { -45.0 } else { -90.0 };
            let class = if small { "label small" } else { "label" };
            figure.turned([x, top - 4.0], degrees, class, &shorten(name, NAME));
        }
    }
    figure.finish()
}

fn cell_of(figure: &mut Figure, heat: &Heat, r: usize, c: usize, [x, y, width, tall]: [f64; 4]) {
    let gap = if width > 9.0 { 1.0 } else { 0.25 };
    let inner = [x, y, width - gap, tall - gap];
    let diagonal = heat.diagonal && r == c;
    let Some(part) = (heat.shade)(r, c).filter(|p| p.is_finite()) else {
        figure.rectangle(inner, "none", "");
        return;
    };
    let part = part.clamp(0.0, 1.0);
    if part <= 0.0 && !diagonal {
        figure.rectangle(inner, "empty", "");
        return;
    }
    let (short, tip) = (heat.tell)(r, c);
    figure.shade(
        inner,
        if diagonal { "cell right" } else { "cell" },
        part.max(0.03),
        &tip,
    );
    if width >= 20.0 && tall >= 14.0 && !short.is_empty() {
        let class = if part > 0.55 { "on-dark" } else { "on-light" };
        figure.text(
            [x + (width - gap) / 2.0, y + tall / 2.0 + 3.5],
            Anchor::Middle,
            class,
            &short,
        );
    }
}
