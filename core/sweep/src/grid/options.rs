//! What a grid's file says.

use std::path::Path;

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use szar_core::config::Document;
use szar_core::{Error, FilePath, LauncherConfig, Problems, Result};

use super::expected::Expected;
use crate::launch::LocalConfig;
use crate::results::measures;

/// A grid of runs.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Grid {
    /// Name of the study. Default: the name of the file.
    #[serde(default)]
    pub name: String,
    /// What it is for, in a sentence; stands above its tables. Default: nothing.
    #[serde(default)]
    pub about: String,
    /// The pipeline that every cell is made of.
    pub pipeline: FilePath,
    /// Values laid over it in every cell, by field (`dataset.split.name`).
    #[serde(default)]
    pub set: IndexMap<String, Value>,
    /// What is varied, by name. A list holds values of the field that the axis is named after; a mapping gives each point a
    /// name and the fields that it sets.
    pub axes: IndexMap<String, Axis>,
    /// Axes that go together: the first point of one with the first of the others, and so on. Default: none, every point of
    /// an axis meets every point of the others.
    #[serde(default)]
    pub zip: Vec<Vec<String>>,
    /// Cells to leave out: those with all of the named points, `{aligner: eszsl, adapter: [tent, tda]}`. Default: none.
    #[serde(default)]
    pub exclude: Vec<IndexMap<String, Labels>>,
    /// Where runs are done. Default: on this machine.
    #[serde(default = "local")]
    #[schemars(schema_with = "szar_core::registry::launcher_schema")]
    pub launcher: Box<dyn LauncherConfig>,
    /// How results are put together.
    #[serde(default)]
    pub table: TableOptions,
    /// Published numbers, shown beside ours. Default: none.
    #[serde(default)]
    pub expected: Vec<Expected>,
    /// Folder of the study. Default: `runs/NAME` in the working folder.
    #[serde(default)]
    pub output: FilePath,
}

fn local() -> Box<dyn LauncherConfig> {
    Box::new(LocalConfig::default())
}

/// The points of an axis.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Axis {
    /// Values of the field that the axis is named after.
    Values(Vec<Value>),
    /// Fields and values, by the point's name.
    Points(IndexMap<String, IndexMap<String, Value>>),
}

/// A point of an axis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Point {
    /// Its name.
    pub label: String,
    /// Where its values stand in the file, and the field each is for.
    pub fields: Vec<(Vec<String>, String)>,
}

impl Axis {
    /// Its points, in order; `name` is the axis's own.
    pub fn points(&self, name: &str) -> Vec<Point> {
        let path = |rest: &[&str]| {
            ["axes", name]
                .iter()
                .chain(rest)
                .map(|s| (*s).to_owned())
                .collect()
        };
        match self {
            Self::Values(values) => {
                let point = |(i, value): (usize, &Value)| Point {
                    label: label(value),
                    fields: vec![(path(&[&i.to_string()]), name.to_owned())],
                };
                values.iter().enumerate().map(point).collect()
            }
            Self::Points(points) => {
                let point = |(label, fields): (&String, &IndexMap<String, Value>)| Point {
                    label: label.clone(),
                    fields: fields.keys().map(|f| (path(&[label, f]), f.clone())).collect(),
                };
                points.iter().map(point).collect()
            }
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::Values(values) => values.len(),
            Self::Points(points) => points.len(),
        }
    }
}

/// A value as the name of its point: a component by its type, a list by its parts.
fn label(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "none".into(),
        Value::Array(items) if items.is_empty() => "none".into(),
        Value::Array(items) => items.iter().map(label).collect::<Vec<_>>().join(" + "),
        Value::Object(fields) => {
            let name = fields.get("type").and_then(Value::as_str);
            let more = fields.iter().filter(|(k, _)| *k != "type");
            let more: Vec<String> = more.map(|(k, v)| format!("{k}={}", label(v))).collect();
            match (name, more.is_empty()) {
                (Some(name), true) => name.to_owned(),
                (Some(name), false) => format!("{name} ({})", more.join(", ")),
                (None, _) => more.join(", "),
            }
        }
        other => other.to_string(),
    }
}

/// Names of one point or of several.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Labels {
    /// Several.
    Many(Vec<Value>),
    /// One.
    One(Value),
}

impl Labels {
    /// The names.
    pub fn names(&self) -> Vec<String> {
        match self {
            Self::Many(values) => values.iter().map(label).collect(),
            Self::One(value) => vec![label(value)],
        }
    }
}

/// Which numbers of a table are printed bold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Highlight {
    /// The best of each column.
    #[default]
    Column,
    /// The best of each row.
    Row,
    /// None.
    None,
}

/// How results are put together.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TableOptions {
    /// Axes whose points are the rows. Default: all that are neither columns nor averaged over.
    pub rows: Vec<String>,
    /// Axes whose points are the columns; one table a measure. Default: none, the measures are the columns.
    pub columns: Vec<String>,
    /// Axes that are averaged over, with standard deviation. Default: `seed`, where there is such an axis.
    pub over: Option<Vec<String>>,
    /// What is shown. Default: `class_mean_adapted`, `top1_adapted` and, for generalised recognition,
    /// `harmonic_mean_adapted`.
    pub measures: Vec<String>,
    /// Where the best is printed bold.
    pub best: Highlight,
}

impl Grid {
    /// Reads and judges the file of a grid.
    ///
    /// # Errors
    /// As [`Document::read`], and with every mistake in its axes and names.
    pub fn read(path: &Path, overrides: &[String]) -> Result<(Self, Document)> {
        let (document, mut grid) = Document::read::<Self>(path, overrides)?;
        if grid.name.is_empty() {
            let stem = path.file_stem().unwrap_or_default();
            grid.name = stem.to_string_lossy().into_owned();
        }
        if grid.output.is_empty() {
            let here = std::env::current_dir().map_err(|e| Error::read(".", e))?;
            grid.output = here.join("runs").join(&grid.name).into();
        }
        let mut problems = Problems::new();
        grid.validate(&mut problems);
        if problems.is_empty() {
            Ok((grid, document))
        } else {
            Err(document.refuse(problems))
        }
    }

    /// Axes that are averaged over.
    pub fn over(&self) -> Vec<String> {
        let seed = || self.axes.keys().filter(|a| *a == "seed").cloned().collect();
        self.table.over.clone().unwrap_or_else(seed)
    }

    fn validate(&self, problems: &mut Problems) {
        problems.scoped("launcher", |p| self.launcher.validate(p));
        let named = self
            .name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
        problems.check(named && !self.name.is_empty(), "name", || {
            format!(
                "`{}` must be of letters, digits, `-`, `_` and `.`: a folder is named after it",
                self.name
            )
        });
        problems.check(!self.axes.is_empty(), "axes", || {
            "there is nothing to vary: name at least one axis".into()
        });
        for (name, axis) in &self.axes {
            problems.scoped("axes", |p| one_axis(name, axis, p));
        }
        self.clashes(problems);
        self.zips(problems);
        for (i, rule) in self.exclude.iter().enumerate() {
            problems.scoped(&format!("exclude[{i}]"), |p| self.points_of(rule, p));
        }
        for (i, expected) in self.expected.iter().enumerate() {
            problems.scoped(&format!("expected[{i}]"), |p| expected.validate(self, p));
        }
        problems.scoped("table", |p| self.judge_table(p));
    }

    /// An axis must not undo what one before it does.
    fn clashes(&self, problems: &mut Problems) {
        let fields = |name: &String| -> Vec<String> {
            let points = self.axes[name].points(name).into_iter();
            points.flat_map(|p| p.fields).map(|(_, field)| field).collect()
        };
        let names: Vec<&String> = self.axes.keys().collect();
        for (i, later) in names.iter().enumerate() {
            for earlier in &names[..i] {
                let (before, after) = (fields(earlier), fields(later));
                let undoes = |b: &&String| after.iter().any(|a| a == *b || b.starts_with(&format!("{a}.")));
                if let Some(field) = before.iter().find(undoes) {
                    let why = format!(
                        "sets `{field}` or what it stands in, and so does axis `{earlier}` before it"
                    );
                    problems.add(&format!("axes.{later}"), why);
                }
            }
        }
    }

    fn zips(&self, problems: &mut Problems) {
        let mut taken: Vec<&str> = Vec::new();
        for (i, group) in self.zip.iter().enumerate() {
            let field = format!("zip[{i}]");
            problems.check(group.len() > 1, &field, || "needs two axes or more".into());
            let mut lengths = Vec::new();
            for name in group {
                if taken.contains(&name.as_str()) {
                    problems.add(&field, format!("axis `{name}` goes together with others already"));
                }
                taken.push(name);
                match self.axes.get(name) {
                    Some(axis) => lengths.push((name, axis.len())),
                    None => self.unknown_axis(&field, name, problems),
                }
            }
            if lengths.iter().any(|(_, n)| *n != lengths[0].1) {
                let said: Vec<String> = lengths
                    .iter()
                    .map(|(a, n)| format!("`{a}` has {n} points"))
                    .collect();
                problems.add(
                    &field,
                    format!("axes that go together must be of one length: {}", said.join(", ")),
                );
            }
        }
    }

    /// Judges names of axes and points, `{aligner: eszsl}`.
    pub(super) fn points_of(&self, rule: &IndexMap<String, Labels>, problems: &mut Problems) {
        problems.check(!rule.is_empty(), "", || "names no point".into());
        for (name, labels) in rule {
            let Some(axis) = self.axes.get(name) else {
                self.unknown_axis(name, name, problems);
                continue;
            };
            let known: Vec<String> = axis.points(name).into_iter().map(|p| p.label).collect();
            for label in labels.names() {
                if !known.contains(&label) {
                    problems.add(name, Error::unknown("point", &label, known.clone()).to_string());
                }
            }
        }
    }

    fn unknown_axis(&self, field: &str, name: &str, problems: &mut Problems) {
        problems.add(
            field,
            Error::unknown("axis", name, self.axes.keys().cloned()).to_string(),
        );
    }

    fn judge_table(&self, problems: &mut Problems) {
        let over = self.over();
        let lists = [
            ("rows", &self.table.rows),
            ("columns", &self.table.columns),
            ("over", &over),
        ];
        let mut used: Vec<(&str, &str)> = Vec::new();
        for (field, names) in lists {
            for name in names {
                if !self.axes.contains_key(name) {
                    self.unknown_axis(field, name, problems);
                }
                if let Some((other, _)) = used.iter().find(|(_, n)| n == name) {
                    problems.add(field, format!("axis `{name}` stands in `{other}` already"));
                }
                used.push((field, name));
            }
        }
        if !self.table.rows.is_empty() {
            for name in self.axes.keys().filter(|a| !used.iter().any(|(_, n)| n == a)) {
                problems.add(
                    "rows",
                    format!("says nothing of axis `{name}`: put it into `rows`, `columns` or `over`"),
                );
            }
        }
        for (i, name) in self.table.measures.iter().enumerate() {
            if let Err(error) = measures::find(name) {
                problems.add(&format!("measures[{i}]"), error.to_string());
            }
        }
    }
}

fn one_axis(name: &str, axis: &Axis, problems: &mut Problems) {
    problems.check(axis.len() > 0, name, || "has no point".into());
    let mut labels: Vec<String> = axis.points(name).into_iter().map(|p| p.label).collect();
    labels.sort();
    for pair in labels.windows(2).filter(|pair| pair[0] == pair[1]) {
        problems.add(name, format!("has point `{}` twice", pair[0]));
    }
}
