//! Class, subject and part of the protocol of samples that are known by their names.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use regex::Regex;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use szar_core::{ClassId, ClassList, Error, FilePath, Problems, Result, SampleInfo, SampleRole};

use super::text;
use super::walk::{Found, natural};

/// Where the class of a sample is found. A sample's name is the path of its file below `root` without the ending.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ClassFrom {
    /// The folder that the file lies in.
    #[default]
    Folder,
    /// A regular expression over the sample's name: its group `class`, else its first group; a group `subject`
    /// tells the subject. `_(?<class>[a-z-]+)_` for instance.
    Regex(
        /// Pattern with a group `class`, and `subject` where the name tells it.
        String,
    ),
    /// A CSV file with the columns `sample` and `class`, and `subject` where known.
    File(
        /// CSV file with the columns `sample` and `class`, and `subject` where known.
        FilePath,
    ),
}

impl ClassFrom {
    /// Judges the option alone.
    pub(crate) fn validate(&self, problems: &mut Problems) {
        match self {
            Self::Folder => {}
            Self::Regex(pattern) => match Regex::new(pattern) {
                Err(e) => problems.add("class_from.regex", last_line(&e)),
                Ok(regex) => problems.check(regex.captures_len() > 1, "class_from.regex", || {
                    "has no group, expected one around the class, `_(?<class>[a-z]+)_` for instance".into()
                }),
            },
            Self::File(path) => problems.check(!path.is_empty(), "class_from.file", || {
                "must name the CSV file with the columns `sample` and `class`".into()
            }),
        }
    }
}

/// Which samples train and which test the seen classes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Protocol {
    /// Subjects that train; all others test, and samples of no known subject stay out. Default: none, so that the
    /// next two options decide.
    pub train_subjects: Vec<i64>,
    /// A regular expression: samples whose names it matches test, all others train. Default: none.
    pub test_names: Option<String>,
    /// Where neither is given, every so-manieth sample of a class tests; at least 2. Default (ours): 5.
    pub test_every: usize,
}

impl Default for Protocol {
    fn default() -> Self {
        Self {
            train_subjects: Vec::new(),
            test_names: None,
            test_every: 5,
        }
    }
}

impl Protocol {
    /// Judges the options alone; fields are named below the caller's scope.
    pub(crate) fn validate(&self, problems: &mut Problems) {
        problems.check(self.test_every >= 2, "test_every", || {
            format!("must be at least 2, got {}", self.test_every)
        });
        let pattern = self.test_names.as_deref();
        if let Some(Err(e)) = pattern.map(Regex::new) {
            problems.add("test_names", last_line(&e));
        }
        problems.check(pattern.is_none() || self.train_subjects.is_empty(), "", || {
            "says in two ways which samples test, expected one of `train_subjects`, `test_names`".into()
        });
    }

    /// Fills the roles in.
    pub(crate) fn assign(&self, samples: &mut [SampleInfo]) -> Result<()> {
        let pattern = self.test_names.as_deref().map(compile).transpose()?;
        let mut count: BTreeMap<ClassId, usize> = BTreeMap::new();
        for sample in samples {
            let of_class = count.entry(sample.class).or_default();
            *of_class += 1;
            let test = if !self.train_subjects.is_empty() {
                sample.subject.map(|s| !self.train_subjects.contains(&s))
            } else if let Some(pattern) = &pattern {
                Some(pattern.is_match(&sample.name))
            } else {
                Some(of_class.is_multiple_of(self.test_every.max(1)))
            };
            sample.role = match test {
                Some(true) => SampleRole::Test,
                Some(false) => SampleRole::Train,
                None => SampleRole::Outside,
            };
        }
        Ok(())
    }
}

/// A regular expression from the options.
pub(crate) fn compile(pattern: &str) -> Result<Regex> {
    Regex::new(pattern)
        .map_err(|e| Error::Input(format!("`{pattern}` is no regular expression: {}", last_line(&e))))
}

/// The reason alone: the lines before it repeat the pattern.
fn last_line(error: &regex::Error) -> String {
    let text = error.to_string();
    text.lines().last().unwrap_or_default().trim().to_owned()
}

/// What is known of one sample: class and subject as the source spells them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Label {
    pub(crate) class: String,
    pub(crate) subject: Option<String>,
}

/// The label of every file.
///
/// # Errors
/// When a name does not say the class, or the label file lacks a sample.
pub(crate) fn labels(found: &[Found], from: &ClassFrom) -> Result<Vec<Label>> {
    match from {
        ClassFrom::Folder => found.iter().map(by_folder).collect(),
        ClassFrom::Regex(pattern) => {
            let regex = compile(pattern)?;
            found.iter().map(|f| by_regex(f, &regex)).collect()
        }
        ClassFrom::File(path) => by_file(found, path.as_ref()),
    }
}

fn by_folder(file: &Found) -> Result<Label> {
    let folder = file.name.rsplit('/').nth(1).ok_or_else(|| {
        let why = "lies in no folder below `root`, expected one folder a class; or set `class_from`";
        Error::format(&file.path, None, why)
    })?;
    Ok(Label {
        class: folder.into(),
        subject: None,
    })
}

fn by_regex(file: &Found, regex: &Regex) -> Result<Label> {
    let groups = regex.captures(&file.name);
    let class = groups.as_ref().and_then(|g| g.name("class").or_else(|| g.get(1)));
    let class = class.filter(|c| !c.as_str().is_empty()).ok_or_else(|| {
        let why = format!("its name `{}` gives no class by `{regex}`", file.name);
        Error::format(&file.path, None, why)
    })?;
    let subject = groups.as_ref().and_then(|g| g.name("subject"));
    Ok(Label {
        class: class.as_str().into(),
        subject: subject.map(|s| s.as_str().into()),
    })
}

fn by_file(found: &[Found], path: &Path) -> Result<Vec<Label>> {
    let labels = read_labels(path)?;
    let of = |file: &Found| {
        labels.get(&file.name).cloned().ok_or_else(|| {
            let known = labels.keys().cloned();
            Error::unknown("sample", &file.name, known).context(path.display().to_string())
        })
    };
    found.iter().map(of).collect()
}

/// A CSV file with the columns `sample`, `class` and perhaps `subject`.
fn read_labels(path: &Path) -> Result<BTreeMap<String, Label>> {
    let content = text::read(path)?;
    let mut reader = csv::ReaderBuilder::new()
        .trim(csv::Trim::All)
        .from_reader(content.as_bytes());
    let bad = |e: csv::Error| Error::format(path, None, e.to_string());
    let header = reader.headers().map_err(bad)?.clone();
    let column = |name: &str| {
        header
            .iter()
            .position(|h| h.trim_start_matches('\u{feff}') == name)
    };
    let need = |name: &str| {
        column(name)
            .ok_or_else(|| Error::unknown("column", name, header.iter()).context(path.display().to_string()))
    };
    let (sample, class, subject) = (need("sample")?, need("class")?, column("subject"));
    let mut labels = BTreeMap::new();
    for record in reader.records() {
        let record = record.map_err(bad)?;
        let line = record.position().map(|p| format!("line {}", p.line()));
        let field = |at: usize| record.get(at).unwrap_or_default();
        if field(sample).is_empty() || field(class).is_empty() {
            return Err(Error::format(
                path,
                line,
                "expected a sample and its class, found nothing",
            ));
        }
        let label = Label {
            class: field(class).into(),
            subject: subject.map(field).filter(|s| !s.is_empty()).map(Into::into),
        };
        if labels.insert(field(sample).to_owned(), label).is_some() {
            let why = format!("sample `{}` was already given", field(sample));
            return Err(Error::format(path, line, why));
        }
    }
    Ok(labels)
}

/// Class list and samples from names and labels.
///
/// The list `classes` has a line a class: its label, or label, tab and the name that reports use. Without one the
/// classes go by their labels, `2` before `10`. Subjects that are no numbers are numbered from 1 in the order of
/// their names.
///
/// # Errors
/// When the list is malformed, or a label is not in it.
pub(crate) fn samples(
    found: &[Found],
    labels: &[Label],
    classes: Option<&Path>,
    protocol: &Protocol,
) -> Result<(ClassList, Vec<SampleInfo>)> {
    let listed = match classes {
        Some(path) => read_classes(path)?,
        None => {
            let mut all: Vec<_> = labels.iter().map(|l| l.class.clone()).collect();
            all.sort_by_cached_key(|l| natural(l));
            all.dedup();
            all.into_iter().map(|l| (l.clone(), l)).collect()
        }
    };
    let ids: BTreeMap<&str, ClassId> = listed
        .iter()
        .map(|(l, _)| l.as_str())
        .zip((0..).map(ClassId))
        .collect();
    let subjects = subjects(labels);
    let mut samples = Vec::new();
    for ((file, label), subject) in found.iter().zip(labels).zip(subjects) {
        let class = ids.get(label.class.as_str()).copied().ok_or_else(|| {
            let known = listed.iter().map(|(l, _)| l.clone());
            let list = classes.map_or(String::new(), |p| format!(", {}", p.display()));
            Error::unknown("class", &label.class, known).context(format!("{}{list}", file.path.display()))
        })?;
        samples.push(SampleInfo {
            name: file.name.clone(),
            class,
            subject,
            role: SampleRole::Train,
            usable: true,
        });
    }
    protocol.assign(&mut samples)?;
    Ok((
        ClassList::numbered(listed.iter().map(|(_, name)| name.clone()))?,
        samples,
    ))
}

fn read_classes(path: &Path) -> Result<Vec<(String, String)>> {
    let split = |line: String| match line.split_once('\t') {
        Some((label, name)) => (label.trim().to_owned(), name.trim().to_owned()),
        None => (line.clone(), line),
    };
    let list: Vec<_> = text::lines(path)?.into_iter().map(split).collect();
    let mut first = BTreeMap::new();
    for (at, (label, _)) in list.iter().enumerate() {
        if let Some(before) = first.insert(label, at) {
            let why = format!("label `{label}` was already given on line {}", before + 1);
            return Err(Error::format(path, text::place(at), why));
        }
    }
    Ok(list)
}

fn subjects(labels: &[Label]) -> Vec<Option<i64>> {
    let texts = labels.iter().map(|l| l.subject.as_deref());
    let numbers: Option<Vec<Option<i64>>> = texts
        .clone()
        .map(|s| match s {
            None => Some(None),
            Some(text) => text.parse().ok().map(Some),
        })
        .collect();
    numbers.unwrap_or_else(|| {
        let mut names: Vec<_> = texts.clone().flatten().collect();
        names.sort_unstable();
        names.dedup();
        let number = |s: &str| names.binary_search(&s).ok().map(|at| at as i64 + 1);
        texts.map(|s| s.and_then(number)).collect()
    })
}

/// The class list that a reader should use: the one named, else `classes.txt` in `root` where it is there.
pub(crate) fn class_file(root: &Path, named: Option<&FilePath>) -> Option<PathBuf> {
    let beside = root.join("classes.txt");
    match named {
        Some(path) => Some(path.0.clone()),
        None => beside.is_file().then_some(beside),
    }
}

/// Name of a dataset and its key in a split file: that of its folder.
pub(crate) fn dataset_name(root: &Path) -> String {
    let folder = std::path::absolute(root).unwrap_or_else(|_| root.to_owned());
    let name = folder.file_name().map(|n| n.to_string_lossy().into_owned());
    name.unwrap_or_else(|| "skeletons".into())
}

/// Refuses a frame rate that is none.
pub(crate) fn check_fps(fps: f32, problems: &mut Problems) {
    problems.check(fps.is_finite() && fps > 0.0, "fps", || {
        format!("must be a number above 0, got {fps}")
    });
}

/// Refuses a unit of length that is none.
pub(crate) fn check_metres(metres: f64, problems: &mut Problems) {
    problems.check(metres.is_finite() && metres > 0.0, "metres_per_unit", || {
        format!("must be a number above 0, got {metres}")
    });
}

/// Refuses a unit of length that is none, and key points in pixels without one.
pub(crate) fn check_metres_of_key_points(metres: Option<f64>, in_pixels: bool, problems: &mut Problems) {
    match metres {
        Some(metres) => check_metres(metres, problems),
        None => problems.check(!in_pixels, "metres_per_unit", || {
            "must be given for key points in pixels: 1.7 over the height of a person in pixels, say".into()
        }),
    }
}

/// Most persons that are read of a sequence.
const MAX_PERSONS: usize = 8;

/// Refuses a number of persons that is not read.
pub(crate) fn check_persons(persons: usize, problems: &mut Problems) {
    problems.check((1..=MAX_PERSONS).contains(&persons), "persons", || {
        format!("must be between 1 and {MAX_PERSONS}, got {persons}")
    });
}

/// Refuses a least confidence that is none.
pub(crate) fn check_confidence(least: f64, problems: &mut Problems) {
    problems.check((0.0..=1.0).contains(&least), "min_confidence", || {
        format!("must be between 0 and 1, got {least}")
    });
}

#[cfg(test)]
#[path = "labelling_tests.rs"]
mod tests;
