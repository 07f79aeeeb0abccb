//! The contact sheet: a row for each class, six moments of one of its sequences.

use rand::seq::SliceRandom;
use rayon::prelude::*;
use szar_core::{Cancel, ClassId, Dataset, Error, Result, Seed, Sequence};

use super::colour::{Side, tone};
use super::figure::{Cell, Poses, View};
use super::label::{LETTER, LINE, text, width, wrap};
use super::scene::{Item, Point, Scene};

/// Moments in a row.
const MOMENTS: usize = 6;
/// Size of a figure's cell, pixels.
const CELL: (f64, f64) = (80.0, 104.0);
/// Letters in a line of a label, and lines of a class name.
const LABEL: (usize, usize) = (19, 3);
/// Around and between the columns of rows, pixels.
const GAP: f64 = 16.0;
/// Height of the heading, pixels.
const HEADING: f64 = 44.0;
/// Height that a sheet may have for its width.
const TALL: f64 = 1.4;
/// Sequences of a class that are tried until one can be drawn.
const TRIES: usize = 16;

/// What a row shows.
struct Row {
    name: String,
    sequence: Option<Sequence>,
}

/// Draws one sequence of each of these classes (of all, when none is given): its first usable one that can be drawn, or with
/// a seed any of them. Rows run down one or more columns.
///
/// # Errors
/// [`Error::Input`] when no sequence of these classes can be drawn; when the user stops.
pub fn contact_sheet(
    dataset: &dyn Dataset,
    classes: &[ClassId],
    seed: Option<u64>,
    cancel: &Cancel,
) -> Result<Scene> {
    let all = &dataset.info().classes;
    let classes = if classes.is_empty() { all.ids() } else { classes };
    let rows: Result<Vec<Row>> = classes
        .par_iter()
        .map(|class| row(dataset, *class, seed, cancel))
        .collect();
    let rows = rows?;
    if rows.iter().all(|row| row.sequence.is_none()) {
        return Err(Error::Input(format!(
            "dataset `{}`: no usable sequence of these classes can be drawn",
            dataset.info().name
        )));
    }
    compose(dataset, &rows)
}

fn row(dataset: &dyn Dataset, class: ClassId, seed: Option<u64>, cancel: &Cancel) -> Result<Row> {
    let layout = &dataset.info().layout;
    let samples = dataset.samples().iter().enumerate();
    let usable = samples.filter(|(_, s)| s.class == class && s.usable);
    let mut candidates: Vec<usize> = usable.map(|(number, _)| number).collect();
    if let Some(seed) = seed {
        let mut rng = Seed(seed).derive("contact sheet", class.0.cast_unsigned()).rng();
        candidates.shuffle(&mut rng);
    }
    let mut sequence = None;
    for number in candidates.into_iter().take(TRIES) {
        cancel.check()?;
        let visible = |s: &Sequence| Poses::new(s, layout).is_ok_and(|poses| !poses.frames().is_empty());
        sequence = dataset.load(number).ok().filter(visible);
        if sequence.is_some() {
            break;
        }
    }
    let name = dataset.info().classes.name(class);
    Ok(Row {
        name: name.map_or_else(|| format!("class {class}"), str::to_owned),
        sequence,
    })
}

/// Where everything goes.
struct Plan {
    /// Rows in a column.
    down: usize,
    /// Width of a column and of its labels.
    column: f64,
    label: f64,
    width: f64,
    height: f64,
}

impl Plan {
    /// For so many rows with labels of so many letters.
    fn of(rows: usize, letters: usize) -> Self {
        let label = letters as f64 * f64::from(LETTER) + GAP / 2.0;
        let column = label + MOMENTS as f64 * CELL.0;
        let down_for = |columns: usize| rows.div_ceil(columns);
        let height = |columns: usize| HEADING + down_for(columns) as f64 * CELL.1 + GAP;
        let width = |columns: usize| columns as f64 * (column + GAP) + GAP;
        let fits = |columns: &usize| height(*columns) <= TALL * width(*columns);
        let columns = (1..=rows.max(1)).find(fits).unwrap_or(1);
        Self {
            down: down_for(columns),
            column,
            label,
            width: width(columns),
            height: height(columns),
        }
    }

    /// Upper left corner of a row.
    fn corner(&self, row: usize) -> (f64, f64) {
        let (column, line) = (row / self.down, row % self.down);
        let x = GAP + column as f64 * (self.column + GAP);
        (x, HEADING + line as f64 * CELL.1)
    }
}

fn compose(dataset: &dyn Dataset, rows: &[Row]) -> Result<Scene> {
    let info = dataset.info();
    let labels: Vec<Vec<String>> = rows.iter().map(label).collect();
    let letters = labels.iter().flatten().map(|line| width(line)).max();
    let plan = Plan::of(rows.len(), letters.unwrap_or(0));
    let mut items = Vec::new();
    let mut others = false;
    for (number, (row, label)) in rows.iter().zip(&labels).enumerate() {
        let (x, y) = plan.corner(number);
        if let Some(sequence) = &row.sequence {
            let poses = Poses::new(sequence, &info.layout)?;
            others |= poses.has_others();
            figures(&poses, x + plan.label, y, &mut items);
        }
        let top = y + ((CELL.1 - label.len() as f64 * f64::from(LINE)) / 2.0).round();
        for (line, words) in label.iter().enumerate() {
            items.push(text(x as f32, top as f32 + line as f32 * LINE, words));
        }
    }
    let heading = format!(
        "{}, {}: {} joints in front view",
        info.name,
        info.layout.name,
        info.layout.len()
    );
    legend(&heading, others, &mut items);
    Ok(Scene {
        width: plan.width.ceil() as u32,
        height: plan.height.ceil() as u32,
        title: format!("{} classes of {}", rows.len(), info.name),
        items,
    })
}

/// Six moments of one sequence on one scale, each centred on the body.
fn figures(poses: &Poses, x: f64, y: f64, items: &mut Vec<Item>) {
    let chosen: Vec<_> = moments(&poses.frames())
        .into_iter()
        .map(|frame| (frame, poses.place(frame)))
        .collect();
    let cell = Cell {
        x,
        y,
        width: CELL.0,
        height: CELL.1,
    };
    let view = View::fit(cell, poses, &chosen);
    for (number, (frame, place)) in chosen.into_iter().enumerate() {
        let view = view.moved(x + number as f64 * CELL.0, y);
        poses.draw(frame, &view, place, items);
    }
}

/// The middles of six equal parts; each frame once.
fn moments(frames: &[usize]) -> Vec<usize> {
    let at = |part: usize| frames.get((2 * part + 1) * frames.len() / (2 * MOMENTS)).copied();
    let mut chosen: Vec<usize> = (0..MOMENTS).filter_map(at).collect();
    chosen.dedup();
    chosen
}

/// Name of the class and length of the sequence, line by line.
fn label(row: &Row) -> Vec<String> {
    let mut lines = wrap(&row.name, LABEL.0, LABEL.1);
    let length = row.sequence.as_ref().map(|s| format!("{} frames", s.frames));
    lines.push(length.unwrap_or_else(|| "nothing to draw".into()));
    lines
}

/// What is shown, and which colour is what.
fn legend(heading: &str, others: bool, items: &mut Vec<Item>) {
    let mut x = GAP as f32;
    let y = (HEADING as f32 - LINE) / 2.0;
    let mut say = |x: &mut f32, words: &str| {
        items.push(text(*x, y, words));
        *x += (words.chars().count() as f32 + 1.0) * LETTER;
    };
    let mut swatches = Vec::new();
    say(&mut x, heading);
    x += LETTER;
    let persons = [("limbs:", true), ("others:", false)];
    for (who, first) in persons.into_iter().take(if others { 2 } else { 1 }) {
        say(&mut x, who);
        for (word, side) in [("left", Side::Left), ("right", Side::Right)] {
            let line = [x, x + 3.0 * LETTER].map(|x| Point { x, y: y + LINE / 2.0 });
            swatches.push(Item::Lines {
                colour: tone(first, side),
                width: 3.0,
                lines: vec![line],
            });
            x += 4.0 * LETTER;
            say(&mut x, word);
        }
        x += LETTER;
    }
    items.extend(swatches);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_spread_and_never_twice() {
        let frames = |n: usize| moments(&(0..n).collect::<Vec<_>>());
        assert_eq!(frames(60), [5, 15, 25, 35, 45, 55]);
        assert_eq!(frames(6), [0, 1, 2, 3, 4, 5]);
        assert_eq!(frames(2), [0, 1]);
        assert_eq!(frames(0), [0; 0]);
    }

    #[test]
    fn rows_run_down_columns_and_do_not_overlap() {
        for rows in [1, 5, 30, 68, 120] {
            let plan = Plan::of(rows, 12);
            let corners: Vec<_> = (0..rows).map(|row| plan.corner(row)).collect();
            for (i, (x, y)) in corners.iter().enumerate() {
                assert!(
                    x + plan.column <= plan.width && y + CELL.1 <= plan.height,
                    "{rows} {i}"
                );
                let apart = |(a, b): &(f64, f64)| (a - x).abs() >= plan.column || (b - y).abs() >= CELL.1;
                assert!(corners[..i].iter().all(apart), "{rows} {i}");
            }
            assert!(rows == 1 || plan.height <= TALL * plan.width);
        }
    }
}
