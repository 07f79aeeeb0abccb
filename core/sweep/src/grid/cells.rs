//! From axes to cells: every combination, resolved and checked.

use std::collections::BTreeMap;

use indexmap::IndexMap;
use szar_core::config::{self, Document, Layer, Resolved};
use szar_core::{Error, Result};

use super::options::{Grid, Labels, Point};

/// Combinations that a grid may have.
const MOST: usize = 100_000;

/// One combination of points.
#[derive(Debug)]
pub struct Cell {
    /// Name of its point on each axis, in the order of the axes.
    pub at: IndexMap<String, String>,
    /// What became of it.
    pub state: State,
}

/// What the check of a cell found.
#[derive(Debug)]
pub enum State {
    /// It can run.
    Valid(Box<Resolved>),
    /// It cannot, for these reasons.
    Invalid(String),
}

impl Cell {
    /// Its pipeline, if it can run.
    pub fn resolved(&self) -> Option<&Resolved> {
        match &self.state {
            State::Valid(resolved) => Some(resolved),
            State::Invalid(_) => None,
        }
    }

    /// Its points in one line.
    pub fn label(&self) -> String {
        self.at
            .values()
            .map(String::as_str)
            .collect::<Vec<_>>()
            .join(" / ")
    }

    /// Is it at these points?
    pub fn is_at(&self, points: &IndexMap<String, Labels>) -> bool {
        let here = |(axis, labels): (&String, &Labels)| {
            self.at
                .get(axis)
                .is_some_and(|label| labels.names().contains(label))
        };
        points.iter().all(here)
    }
}

/// Values for every cell from the command line, `dataset.root=/data`; relative paths are those of the working folder.
///
/// # Errors
/// [`Error::Input`] for a text of another form.
pub fn given(texts: &[String]) -> Result<Vec<Layer>> {
    let one = |text: &String| {
        let (field, value) = text.split_once('=').ok_or_else(|| {
            Error::Input(format!(
                "`{text}` is no field and value: write it as `--set dataset.root=/data`"
            ))
        })?;
        let value = serde_yaml::from_str(value)
            .map_err(|e| Error::Input(format!("--set {text}: `{value}` is not valid YAML: {e}")))?;
        Ok(Layer::new(field.trim(), value, text))
    };
    texts.iter().map(one).collect()
}

/// Every cell of a grid that is not excluded, each with its pipeline or what is wrong with it; `given` is laid over what the
/// grid sets in every cell. Touches nothing but the configuration's files.
///
/// # Errors
/// When the grid has too many cells, none at all, or none that can run (with the reasons).
pub fn expand(grid: &Grid, document: &Document, given: &[Layer]) -> Result<Vec<Cell>> {
    let groups = groups(grid);
    let count = groups.iter().map(Vec::len).try_fold(1usize, usize::checked_mul);
    if count.is_none_or(|n| n > MOST) {
        return Err(Error::Input(format!(
            "the axes have more than {MOST} combinations; leave some out, or make several grids"
        )));
    }
    let common: Vec<Layer> = grid
        .set
        .keys()
        .filter_map(|field| document.layer(&["set", field], field))
        .chain(given.iter().cloned())
        .collect();
    let mut cells = Vec::new();
    for choice in combinations(&groups) {
        let cell = Cell {
            at: in_order(grid, &choice),
            state: State::Invalid(String::new()),
        };
        if grid.exclude.iter().any(|rule| cell.is_at(rule)) {
            continue;
        }
        let state = resolve(grid, document, &common, &choice);
        cells.push(Cell { state, ..cell });
    }
    if cells.is_empty() {
        return Err(Error::Input("`exclude` leaves no cell of the grid".into()));
    }
    if !cells.iter().any(|cell| cell.resolved().is_some()) {
        return Err(none_valid(&cells));
    }
    Ok(cells)
}

/// Axes that go together as one list of steps, the others each by itself; in the order of the axes.
fn groups(grid: &Grid) -> Vec<Vec<Vec<(String, Point)>>> {
    let mut groups = Vec::new();
    for (name, axis) in &grid.axes {
        let zipped = grid.zip.iter().find(|group| group.contains(name));
        let first = zipped.is_none_or(|group| grid.axes.keys().find(|a| group.contains(a)) == Some(name));
        if !first {
            continue;
        }
        let members: Vec<&String> = match zipped {
            Some(group) => grid.axes.keys().filter(|a| group.contains(a)).collect(),
            None => vec![name],
        };
        let step = |i: usize| {
            members
                .iter()
                .map(|m| ((*m).clone(), grid.axes[*m].points(m)[i].clone()))
                .collect()
        };
        groups.push((0..axis.points(name).len()).map(step).collect());
    }
    groups
}

/// Every choice of one step from each group; the last group varies fastest.
fn combinations<T: Clone>(groups: &[Vec<Vec<T>>]) -> Vec<Vec<T>> {
    let start = vec![Vec::new()];
    groups.iter().fold(start, |lines, group| {
        let line = |line: &Vec<T>, step: &Vec<T>| line.iter().chain(step).cloned().collect();
        lines
            .iter()
            .flat_map(|l| group.iter().map(move |s| line(l, s)))
            .collect()
    })
}

fn in_order(grid: &Grid, choice: &[(String, Point)]) -> IndexMap<String, String> {
    let label = |axis: &String| {
        let found = choice.iter().find(|(name, _)| name == axis);
        found.map(|(_, point)| (axis.clone(), point.label.clone()))
    };
    grid.axes.keys().filter_map(label).collect()
}

/// A cell's runs, and what they share, lie in the study's folder.
fn own_folder(grid: &Grid) -> Layer {
    let runs = grid.output.0.join("runs").display().to_string();
    Layer::new("output", runs.into(), "output=..")
}

fn resolve(grid: &Grid, document: &Document, common: &[Layer], choice: &[(String, Point)]) -> State {
    let mut layers = common.to_vec();
    for (path, field) in choice.iter().flat_map(|(_, point)| &point.fields) {
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        layers.extend(document.layer(&path, field));
    }
    layers.push(own_folder(grid));
    match config::load_over(grid.pipeline.as_ref(), &layers, &[]) {
        Ok(resolved) => State::Valid(Box::new(resolved)),
        Err(error) => State::Invalid(error.to_string()),
    }
}

/// The reasons, each once, with how many cells it stops.
fn none_valid(cells: &[Cell]) -> Error {
    let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
    for cell in cells {
        if let State::Invalid(why) = &cell.state {
            *reasons.entry(why).or_default() += 1;
        }
    }
    let shown: Vec<String> = reasons
        .iter()
        .take(5)
        .map(|(why, n)| format!("{n} of {}: {why}", cells.len()))
        .collect();
    Error::Input(format!(
        "none of the grid's {} cells can run\n\n{}",
        cells.len(),
        shown.join("\n\n")
    ))
}
