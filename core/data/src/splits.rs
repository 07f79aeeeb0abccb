//! Which classes are seen and which are not: by name from a split file, as lists, or drawn by seed.

use std::path::{Path, PathBuf};

use rand::seq::SliceRandom;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use szar_core::{ClassId, ClassList, ClassSplit, Error, FilePath, Problems, Result, Seed};

use crate::readers::text;

pub mod published;

/// A class by its number in the dataset or by its name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum ClassRef {
    /// Number, from 0.
    Number(i64),
    /// Name as the dataset writes it.
    Name(String),
}

/// Unseen classes drawn at random.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RandomSplit {
    /// How many classes are unseen; at least 1, less than all.
    pub unseen: usize,
    /// Seed of the draw, independent of the run's seed.
    pub seed: u64,
}

/// The seen/unseen split of a dataset's classes. One of `name`, `unseen` (with or without `seen`) or `random`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SplitConfig {
    /// Split file (JSON): dataset, then split name, then the lists `seen` and `unseen`. Default: the nearest
    /// `splits.json` in the dataset's folder or the two above it, then the published splits that come with the
    /// program (ntu60, ntu120, pku51).
    pub file: Option<FilePath>,
    /// Name of the split in the file, such as `58_10_seed0` or `55/5` (`/` and `_` are the same). Default: none.
    pub name: String,
    /// Name of the dataset in the file. Default: the dataset's own.
    pub dataset: Option<String>,
    /// Seen classes, by number or name. Default: all that are not unseen.
    pub seen: Vec<ClassRef>,
    /// Unseen classes, by number or name. Default: none.
    pub unseen: Vec<ClassRef>,
    /// Draw the unseen classes. Default: no.
    pub random: Option<RandomSplit>,
}

/// Two lists of classes, as a split file holds them; further entries are for the reader of the file.
#[derive(Deserialize)]
struct Lists {
    seen: Vec<ClassRef>,
    unseen: Vec<ClassRef>,
}

impl SplitConfig {
    /// The split of this name in the dataset's own split file.
    pub fn named(name: &str) -> Self {
        Self {
            name: name.into(),
            ..Self::default()
        }
    }

    /// Judges the options alone; fields are named below the caller's scope.
    pub fn validate(&self, problems: &mut Problems) {
        let listed = !self.seen.is_empty() || !self.unseen.is_empty();
        let ways =
            usize::from(!self.name.is_empty()) + usize::from(listed) + usize::from(self.random.is_some());
        problems.check(ways == 1, "", || {
            format!(
                "says in {ways} ways which classes are unseen, expected one of `name`, `unseen`, `random`"
            )
        });
        problems.check(!listed || !self.unseen.is_empty(), "unseen", || {
            "must name at least one class".into()
        });
        let in_file = self.file.is_some() || self.dataset.is_some();
        problems.check(!in_file || !self.name.is_empty(), "name", || {
            "must be given: `file` and `dataset` only say where to look it up".into()
        });
        if let Some(random) = &self.random {
            problems.check(random.unseen > 0, "random.unseen", || {
                "must be at least 1, got 0".into()
            });
        }
    }

    /// The split over `classes`.
    ///
    /// # Errors
    /// When the file is missing or malformed, the dataset or split unknown, or a class absent or on both sides.
    pub fn resolve(&self, default_file: &Path, dataset: &str, classes: &ClassList) -> Result<ClassSplit> {
        let mut problems = Problems::new();
        problems.scoped("split", |p| self.validate(p));
        problems.into_result()?;
        if let Some(random) = &self.random {
            return draw(random, classes);
        }
        if self.name.is_empty() {
            let name = format!("{} listed", self.unseen.len());
            return build(&name, &self.seen, &self.unseen, classes);
        }
        let path = self.file.as_ref().map_or(default_file, FilePath::as_ref);
        let dataset = self.dataset.as_deref().unwrap_or(dataset);
        let found = look_up(path, dataset, &self.name);
        let (name, lists) = match found {
            Err(error) if self.file.is_none() && is_absent(&error) => {
                match published::look_up(dataset, &self.name, classes) {
                    Ok(Some(found)) => found,
                    Err(unknown) if !path.is_file() => return Err(unknown),
                    _ => return Err(error),
                }
            }
            found => found?,
        };
        let split = build(&name, &lists.seen, &lists.unseen, classes);
        split.map_err(|e| e.context(format!("{}, dataset `{dataset}`", path.display())))
    }
}

/// True when a split is not in a file or the file is not there; false when the file is damaged.
fn is_absent(error: &Error) -> bool {
    match error {
        Error::Unknown { .. } => true,
        Error::Io { source, .. } => source.kind() == std::io::ErrorKind::NotFound,
        Error::Context { source, .. } => is_absent(source),
        _ => false,
    }
}

/// The nearest `splits.json` in a dataset's folder or the two above it; where there is none, the one beside the folder.
pub fn nearest_file(root: &Path) -> PathBuf {
    let root = std::path::absolute(root).unwrap_or_else(|_| root.to_owned());
    let mut candidates = root.ancestors().take(3).map(|folder| folder.join("splits.json"));
    let beside = || root.parent().unwrap_or(&root).join("splits.json");
    candidates.find(|c| c.is_file()).unwrap_or_else(beside)
}

fn draw(random: &RandomSplit, classes: &ClassList) -> Result<ClassSplit> {
    if random.unseen >= classes.len() {
        return Err(Error::Input(format!(
            "`split.random.unseen` is {}, but there are only {} classes and one must stay seen",
            random.unseen,
            classes.len()
        )));
    }
    let mut ids = classes.ids().to_vec();
    ids.shuffle(&mut Seed(random.seed).derive("split", 0).rng());
    let (unseen, seen) = ids.split_at(random.unseen);
    let name = format!("{}_{}_random_seed{}", seen.len(), unseen.len(), random.seed);
    ClassSplit::new(&name, classes, seen, unseen)
}

fn build(name: &str, seen: &[ClassRef], unseen: &[ClassRef], classes: &ClassList) -> Result<ClassSplit> {
    let id = |class: &ClassRef| match class {
        ClassRef::Number(number) => Ok(ClassId(*number)),
        ClassRef::Name(class) => classes
            .by_name(class)
            .map_err(|e| e.context(format!("split `{name}`"))),
    };
    let unseen: Vec<_> = unseen.iter().map(id).collect::<Result<_>>()?;
    let seen: Vec<_> = if seen.is_empty() {
        classes
            .ids()
            .iter()
            .copied()
            .filter(|c| !unseen.contains(c))
            .collect()
    } else {
        seen.iter().map(id).collect::<Result<_>>()?
    };
    ClassSplit::new(name, classes, &seen, &unseen)
}

/// The name as it is known: as given, or with `_` for `/`.
fn key(name: &str, known: impl Fn(&str) -> bool) -> Option<String> {
    [name.to_owned(), name.replace('/', "_")]
        .into_iter()
        .find(|k| known(k))
}

/// Finds a split in a file of the form `{dataset: {splits: {name: ..}}}`, `{dataset: {name: ..}}` or `{name: ..}`.
fn look_up(path: &Path, dataset: &str, name: &str) -> Result<(String, Lists)> {
    let file = || path.display().to_string();
    let root: Map<String, Value> = serde_json::from_str(&text::read(path)?).map_err(|e| {
        Error::format(
            path,
            format!("line {}, column {}", e.line(), e.column()),
            e.to_string(),
        )
    })?;
    let is_split = |v: &Value| v.get("unseen").is_some_and(Value::is_array);
    let flat = root.values().any(is_split);
    let found = match root.get(dataset) {
        _ if flat => None,
        None => return Err(Error::unknown("dataset", dataset, root.keys().cloned()).context(file())),
        Some(found) => Some(found.get("splits").unwrap_or(found)),
    };
    let splits = found.map_or(Some(&root), Value::as_object).ok_or_else(|| {
        Error::format(
            path,
            format!("`{dataset}`"),
            "is no mapping from split names to lists",
        )
    })?;
    let key = key(name, |k| splits.contains_key(k)).ok_or_else(|| {
        let names = splits.iter().filter(|(_, v)| is_split(v)).map(|(n, _)| n.clone());
        Error::unknown("split", name, names).context(format!("{}, dataset `{dataset}`", file()))
    })?;
    let lists = Lists::deserialize(&splits[&key])
        .map_err(|e| Error::format(path, format!("`{dataset}`, `{key}`"), e.to_string()))?;
    Ok((key, lists))
}

#[cfg(test)]
mod tests;
