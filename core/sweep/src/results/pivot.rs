//! Rows put together: means and deviations by the points of some axes.

use indexmap::{IndexMap, IndexSet};
use szar_core::Result;
use szar_runner::table::{Spread, spread};

use super::measures::{self, Measure};
use super::{Results, Row};
use crate::grid::{Grid, Highlight, Labels};

/// Measures of a table that names none.
const USUAL: [&str; 3] = ["class_mean_adapted", "top1_adapted", "harmonic_mean_adapted"];

/// A place in a table.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Entry {
    /// Mean and deviation over the cells that are finished.
    pub spread: Option<Spread>,
    /// How many these are.
    pub runs: usize,
    /// Cells that failed or cannot run.
    pub lost: usize,
    /// The best of its column or row.
    pub best: bool,
}

/// A table: rows and columns by points of axes, or columns by measures.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    /// The measure, where all of it is of one.
    pub title: Option<String>,
    /// Axes of the rows.
    pub heads: Vec<String>,
    /// Names of the columns.
    pub columns: Vec<String>,
    /// Points and entries of each row.
    pub rows: Vec<(Vec<String>, Vec<Entry>)>,
}

/// A published number beside ours.
#[derive(Clone, Debug, PartialEq)]
pub struct Beside {
    /// Where it was published.
    pub source: String,
    /// Points, `55/5, purls`.
    pub at: String,
    /// Title of the measure.
    pub measure: String,
    /// The published number.
    pub published: f64,
    /// Ours, over the cells that are finished.
    pub ours: Option<Spread>,
    /// A remark.
    pub note: String,
}

impl Results {
    /// The tables that a grid asks for.
    pub fn tables(&self, grid: &Grid) -> Vec<Table> {
        let over = grid.over();
        let options = &grid.table;
        let rest = |a: &&String| !over.contains(a) && !options.columns.contains(a);
        let heads: Vec<String> = match options.rows.is_empty() {
            true => self.axes.iter().filter(rest).cloned().collect(),
            false => options.rows.clone(),
        };
        let measures = self.shown(grid);
        if options.columns.is_empty() {
            let mut table = self.by_measure(&heads, &measures);
            highlight(&mut table, options.best, &measures, true);
            return vec![table];
        }
        let one = |measure: &&'static Measure| {
            let mut table = self.by_points(&heads, &options.columns, measure);
            highlight(&mut table, options.best, &[*measure], false);
            table
        };
        measures.iter().map(one).collect()
    }

    fn shown(&self, grid: &Grid) -> Vec<&'static Measure> {
        let named = |names: &[String]| -> Vec<&'static Measure> {
            let found: Vec<Result<&'static Measure>> = names.iter().map(|n| measures::find(n)).collect();
            found.into_iter().flatten().collect()
        };
        if !grid.table.measures.is_empty() {
            return named(&grid.table.measures);
        }
        let usual = named(&USUAL.map(str::to_owned));
        let some = |m: &&&'static Measure| (0..self.rows.len()).any(|row| self.value(row, m.name).is_some());
        let found: Vec<_> = usual.iter().filter(some).copied().collect();
        if found.is_empty() {
            usual[..1].to_vec()
        } else {
            found
        }
    }

    fn by_measure(&self, heads: &[String], measures: &[&'static Measure]) -> Table {
        let rows = self.groups(heads).into_iter().map(|(at, members)| {
            let entries = measures.iter().map(|m| self.entry(&members, m)).collect();
            (at, entries)
        });
        Table {
            title: None,
            heads: heads.to_vec(),
            columns: measures.iter().map(|m| m.title.to_owned()).collect(),
            rows: rows.collect(),
        }
    }

    fn by_points(&self, heads: &[String], columns: &[String], measure: &Measure) -> Table {
        let names: IndexSet<Vec<String>> = self.rows.iter().map(|row| points(row, columns)).collect();
        let rows = self.groups(heads).into_iter().map(|(at, members)| {
            let of = |name: &Vec<String>| -> Vec<usize> {
                let here = |row: &&usize| points(&self.rows[**row], columns) == *name;
                members.iter().filter(here).copied().collect()
            };
            let entries = names.iter().map(|name| self.entry(&of(name), measure)).collect();
            (at, entries)
        });
        Table {
            title: Some(measure.title.to_owned()),
            heads: heads.to_vec(),
            columns: names.iter().map(|name| name.join(" / ")).collect(),
            rows: rows.collect(),
        }
    }

    /// Rows that agree in some axes, in the order of the grid.
    fn groups(&self, axes: &[String]) -> Vec<(Vec<String>, Vec<usize>)> {
        let mut groups: IndexMap<Vec<String>, Vec<usize>> = IndexMap::new();
        for (i, row) in self.rows.iter().enumerate() {
            groups.entry(points(row, axes)).or_default().push(i);
        }
        groups.into_iter().collect()
    }

    fn entry(&self, members: &[usize], measure: &Measure) -> Entry {
        let values: Vec<f64> = members
            .iter()
            .filter_map(|row| self.value(*row, measure.name))
            .collect();
        let lost = |row: &&usize| matches!(self.rows[**row].status, "failed" | "invalid");
        Entry {
            spread: spread(&values),
            runs: values.len(),
            lost: members.iter().filter(lost).count(),
            best: false,
        }
    }

    /// Published numbers beside ours, in the order of the grid.
    pub fn beside(&self, grid: &Grid) -> Vec<Beside> {
        let mut list = Vec::new();
        for expected in &grid.expected {
            let Ok(measure) = measures::find(&expected.measure) else {
                continue;
            };
            for value in &expected.values {
                let place = expected.place(value);
                let here = |row: &usize| {
                    place
                        .iter()
                        .all(|(axis, labels)| is_at(&self.rows[*row], axis, labels))
                };
                let members: Vec<usize> = (0..self.rows.len()).filter(here).collect();
                let names = place.values().map(|labels| labels.names().join(" or "));
                list.push(Beside {
                    source: expected.source.clone(),
                    at: names.collect::<Vec<_>>().join(", "),
                    measure: measure.title.to_owned(),
                    published: value.value,
                    ours: self.entry(&members, measure).spread,
                    note: value.note.clone(),
                });
            }
        }
        list
    }
}

fn is_at(row: &Row, axis: &str, labels: &Labels) -> bool {
    row.at
        .get(axis)
        .is_some_and(|label| labels.names().contains(label))
}

fn points(row: &Row, axes: &[String]) -> Vec<String> {
    axes.iter()
        .map(|axis| row.at.get(axis).cloned().unwrap_or_default())
        .collect()
}

/// Marks the best entries; `measures` is one a column where `by_column`, else one for all.
fn highlight(table: &mut Table, where_: Highlight, measures: &[&'static Measure], by_column: bool) {
    let measure = |column: usize| measures[if by_column { column } else { 0 }];
    let (height, width) = (table.rows.len(), table.columns.len());
    match where_ {
        Highlight::None => {}
        Highlight::Column => {
            for column in 0..width {
                best(
                    table,
                    &(0..height).map(|row| (row, column)).collect::<Vec<_>>(),
                    measure(column),
                );
            }
        }
        // Numbers of different measures are not compared.
        Highlight::Row if by_column => {}
        Highlight::Row => {
            for row in 0..height {
                best(
                    table,
                    &(0..width).map(|column| (row, column)).collect::<Vec<_>>(),
                    measure(0),
                );
            }
        }
    }
}

/// All that print the same number as the best are the best.
fn best(table: &mut Table, places: &[(usize, usize)], measure: &Measure) {
    let Some(more) = measure.more_is_better.filter(|_| places.len() > 1) else {
        return;
    };
    let sign = if more { 1.0 } else { -1.0 };
    let shown = |mean: f64| (mean * 10.0).round();
    let mean = |table: &Table, (r, c): (usize, usize)| table.rows[r].1[c].spread.map(|s| shown(s.mean));
    let values = places.iter().filter_map(|place| mean(table, *place));
    let Some(top) = values.reduce(|a, b| if sign * a >= sign * b { a } else { b }) else {
        return;
    };
    for place in places {
        table.rows[place.0].1[place.1].best = mean(table, *place) == Some(top);
    }
}
