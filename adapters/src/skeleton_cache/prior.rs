//! Weights of the descriptors for each class, as a language model was asked for them.
//!
//! A file holds `{"split", "num_classes", "class_names", "weights": {"0": {"spatial": [head, torso, hands, legs],
//! "temporal": [start, middle, end], "gamma"}, ...}}`. Its keys are positions in the ascending list of candidates,
//! or, with `"indexing": "label"`, class numbers of the dataset. Skeleton-Cache, eq. 9: global weighs γ, parts
//! and phases share (1 − γ) each, and the slots in use are normalised to sum 1.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;
use szar_core::{ClassId, ClassList, Error, Granularity, Result};

use super::MissingPrior;

/// How far a group of weights may be from summing to 1 before the file is refused; within it, it is normalised.
const SUM_TOLERANCE: f64 = 0.02;

const SPATIAL: [&str; 4] = ["head", "torso", "hands", "legs"];
const TEMPORAL: [&str; 3] = ["start", "middle", "end"];

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Indexing {
    #[default]
    Position,
    Label,
}

#[derive(Debug, Deserialize)]
struct File {
    split: Option<String>,
    #[serde(default)]
    indexing: Indexing,
    num_classes: Option<usize>,
    class_names: Option<Vec<String>>,
    weights: BTreeMap<String, Value>,
}

#[derive(Clone, Debug, Deserialize)]
struct Row {
    spatial: Option<Vec<f64>>,
    temporal: Option<Vec<f64>>,
    gamma: f64,
}

/// A prior that was read and checked; what it says of each class, by number and slot name.
#[derive(Clone, Debug)]
pub struct Prior {
    path: PathBuf,
    indexing: Indexing,
    names: Option<Vec<String>>,
    rows: BTreeMap<i64, BTreeMap<&'static str, f64>>,
}

impl Prior {
    /// Reads a file and checks every class in it; `split` is the name it must bear, if any.
    ///
    /// # Errors
    /// [`Error::Io`] when it cannot be read; [`Error::Format`] with the class when it is not valid JSON of the
    /// schema, is for another split, lacks classes it announces, or has weights of the wrong number, negative,
    /// not finite, all zero or not summing to 1.
    pub fn read(path: &Path, split: Option<&str>) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(|e| Error::read(path, e))?;
        Self::parse(&text, path, split)
    }

    /// As [`Self::read`], of a text that came from `path`.
    ///
    /// # Errors
    /// As [`Self::read`], but for reading.
    pub fn parse(text: &str, path: &Path, split: Option<&str>) -> Result<Self> {
        let broken = |e: serde_json::Error| Error::format(path, class_before(text, &e), e.to_string());
        let file: File = serde_json::from_str(text).map_err(broken)?;
        check_split(path, &file, split)?;
        check_count(path, &file)?;
        let mut rows = BTreeMap::new();
        for (key, row) in &file.weights {
            let at = place(key, &file);
            let id = key.parse().map_err(|_| {
                Error::format(path, at.clone(), "expected a class number as the key".to_owned())
            })?;
            let row = Row::deserialize(row).map_err(|e| Error::format(path, at.clone(), e.to_string()))?;
            let slots = row.slots().map_err(|why| Error::format(path, at, why))?;
            rows.insert(id, slots);
        }
        Ok(Self {
            path: path.to_owned(),
            indexing: file.indexing,
            names: file.class_names,
            rows,
        })
    }

    /// `C x D` weights, row-major: a row per candidate, a column per slot, rows sum to 1.
    ///
    /// # Errors
    /// [`Error::Format`] when a candidate is missing (unless `missing` allows it), when a file keyed by position
    /// has another number of classes than there are candidates, or when no slot in use has any weight.
    pub fn weights(
        &self,
        candidates: &ClassList,
        slots: &[Granularity],
        missing: MissingPrior,
    ) -> Result<Vec<f32>> {
        self.check_positions(candidates, missing)?;
        let mut weights = Vec::with_capacity(candidates.len() * slots.len());
        for (column, (id, name)) in candidates.iter().enumerate() {
            match (self.rows.get(&self.key(column, id)), missing) {
                (Some(row), _) => weights.extend(self.fused(row, slots, id, name)?),
                (None, MissingPrior::Uniform) => {
                    weights.extend(std::iter::repeat_n(uniform(slots.len()), slots.len()));
                }
                (None, MissingPrior::Error) => {
                    let why = format!(
                        "no weights for class {id} `{name}`; `missing_prior: uniform` would give it equal ones"
                    );
                    return Err(Error::format(&self.path, Some("`weights`".into()), why));
                }
            }
        }
        Ok(weights)
    }

    fn key(&self, column: usize, id: ClassId) -> i64 {
        match self.indexing {
            Indexing::Label => id.0,
            Indexing::Position => column as i64,
        }
    }

    /// Positions mean something only for the very list of candidates that the file was made for.
    fn check_positions(&self, candidates: &ClassList, missing: MissingPrior) -> Result<()> {
        if self.indexing == Indexing::Label {
            return Ok(());
        }
        let (have, want) = (self.rows.len(), candidates.len());
        if have != want && (have > want || missing == MissingPrior::Error) {
            let why = format!(
                "holds {have} classes keyed by position, there are {want} candidates; \
                 key it by class number (`\"indexing\": \"label\"`)"
            );
            return Err(Error::format(&self.path, Some("`weights`".into()), why));
        }
        for (position, name) in self.names.iter().flatten().enumerate() {
            let elsewhere = candidates
                .names()
                .iter()
                .position(|n| n.eq_ignore_ascii_case(name));
            if let Some(column) = elsewhere.filter(|column| *column != position) {
                let why =
                    format!("`{name}` is at position {position}, among the candidates it is at {column}");
                return Err(Error::format(&self.path, Some("`class_names`".into()), why));
            }
        }
        Ok(())
    }

    fn fused(
        &self,
        row: &BTreeMap<&'static str, f64>,
        slots: &[Granularity],
        id: ClassId,
        name: &str,
    ) -> Result<Vec<f32>> {
        let raw: Vec<f64> = slots
            .iter()
            .map(|s| row.get(s.as_str()).copied().unwrap_or(0.0))
            .collect();
        let sum: f64 = raw.iter().sum();
        if sum <= 0.0 {
            let at = format!("class {id} `{name}`");
            return Err(Error::format(
                &self.path,
                at,
                "gives no weight to any of the descriptors in use",
            ));
        }
        Ok(raw.iter().map(|w| (w / sum) as f32).collect())
    }
}

/// The weight of each slot when all weigh the same.
pub(super) fn uniform(slots: usize) -> f32 {
    1.0 / slots as f32
}

impl Row {
    /// Weight by slot name before the slots in use are normalised.
    fn slots(&self) -> Result<BTreeMap<&'static str, f64>, String> {
        if !(0.0..=1.0).contains(&self.gamma) {
            return Err(format!("`gamma` must be between 0 and 1, found {}", self.gamma));
        }
        let spatial = group("spatial", self.spatial.as_deref(), SPATIAL.len())?;
        let temporal = group("temporal", self.temporal.as_deref(), TEMPORAL.len())?;
        let rest = 1.0 - self.gamma;
        let local = SPATIAL
            .into_iter()
            .zip(spatial)
            .chain(TEMPORAL.into_iter().zip(temporal));
        let mut slots: BTreeMap<_, _> = local.map(|(name, weight)| (name, rest * weight)).collect();
        slots.insert("global", self.gamma);
        Ok(slots)
    }
}

/// The weights of a group, summing to 1 exactly; equal ones where the file has none.
fn group(name: &str, given: Option<&[f64]>, len: usize) -> Result<Vec<f64>, String> {
    let Some(values) = given else {
        return Ok(vec![1.0 / len as f64; len]);
    };
    if values.len() != len {
        return Err(format!(
            "`{name}` must have {len} weights, found {}",
            values.len()
        ));
    }
    if let Some(bad) = values.iter().find(|v| !v.is_finite() || **v < 0.0) {
        return Err(format!("`{name}` must hold numbers from 0, found {bad}"));
    }
    let sum: f64 = values.iter().sum();
    if (sum - 1.0).abs() > SUM_TOLERANCE {
        return Err(format!("`{name}` must sum to 1, sums to {sum:.4}"));
    }
    Ok(values.iter().map(|v| v / sum).collect())
}

fn check_split(path: &Path, file: &File, wanted: Option<&str>) -> Result<()> {
    let Some(wanted) = wanted else { return Ok(()) };
    if file.split.as_deref() == Some(wanted) {
        return Ok(());
    }
    let found = file
        .split
        .as_deref()
        .map_or_else(|| "no name".into(), |s| format!("`{s}`"));
    Err(Error::format(
        path,
        Some("`split`".into()),
        format!("expected `{wanted}`, found {found}"),
    ))
}

fn check_count(path: &Path, file: &File) -> Result<()> {
    let have = file.weights.len();
    if let Some(announced) = file.num_classes.filter(|n| *n != have) {
        let absent = (0..announced).find(|i| !file.weights.contains_key(&i.to_string()));
        let which = absent
            .map(|i| format!("; class {i}{} is missing", named(i, file)))
            .unwrap_or_default();
        let why = format!("`num_classes` is {announced}, `weights` has {have} classes{which}");
        return Err(Error::format(path, Some("`weights`".into()), why));
    }
    if file.indexing == Indexing::Label {
        return Ok(());
    }
    match (0..have).find(|i| !file.weights.contains_key(&i.to_string())) {
        Some(i) => {
            let why = format!(
                "keys must run from 0 to {}, class {i}{} is missing",
                have - 1,
                named(i, file)
            );
            Err(Error::format(path, Some("`weights`".into()), why))
        }
        None => Ok(()),
    }
}

/// The class that broken JSON stands in: the last key made of digits before the error.
fn class_before(text: &str, error: &serde_json::Error) -> Option<String> {
    let before: Vec<&str> = text.lines().take(error.line()).collect();
    let mut quoted = before
        .iter()
        .rev()
        .flat_map(|line| line.split('"').skip(1).step_by(2));
    let key = quoted.find(|word| !word.is_empty() && word.bytes().all(|b| b.is_ascii_digit()))?;
    Some(format!("class {key}"))
}

fn place(key: &str, file: &File) -> Option<String> {
    let name = key.parse().map(|i: usize| named(i, file)).unwrap_or_default();
    Some(format!("class {key}{name}"))
}

/// `` `name` `` of a class, where the file has one.
fn named(index: usize, file: &File) -> String {
    let name = file.class_names.as_ref().and_then(|names| names.get(index));
    name.map(|n| format!(" `{n}`")).unwrap_or_default()
}
