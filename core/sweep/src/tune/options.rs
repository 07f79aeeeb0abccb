//! What the file of a search says.

use std::path::Path;

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use szar_core::config::Document;
use szar_core::{Error, FilePath, LauncherConfig, Problems, Result};

use super::space::Domain;
use crate::launch::LocalConfig;
use crate::results::measures;

/// A search for hyper-parameters.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Tuning {
    /// Name of the search. Default: the name of the file.
    #[serde(default)]
    pub name: String,
    /// The pipeline whose options are chosen.
    pub pipeline: FilePath,
    /// Values laid over it in every trial, by field.
    #[serde(default)]
    pub set: IndexMap<String, Value>,
    /// What is chosen: fields (`adapters.0.alpha`) with a list of values, or a range.
    pub space: IndexMap<String, Domain>,
    /// How points of the space are chosen. Default: `{type: tpe, trials: 30}`.
    #[serde(default)]
    pub search: Method,
    /// Which seen classes stand for unseen ones.
    #[serde(default)]
    pub validation: Validation,
    /// Seeds that every trial is run with, at least one. Default: that of the pipeline's default, 5.
    #[serde(default = "seeds")]
    pub seeds: Vec<u64>,
    /// The measure that decides. Default: `class_mean_adapted`.
    #[serde(default = "objective")]
    pub objective: String,
    /// Where runs are done. Default: on this machine.
    #[serde(default = "local")]
    #[schemars(schema_with = "szar_core::registry::launcher_schema")]
    pub launcher: Box<dyn LauncherConfig>,
    /// Folder of the search. Default: `runs/NAME` in the working folder.
    #[serde(default)]
    pub output: FilePath,
}

fn seeds() -> Vec<u64> {
    vec![5]
}

fn objective() -> String {
    "class_mean_adapted".into()
}

fn local() -> Box<dyn LauncherConfig> {
    Box::new(LocalConfig::default())
}

/// How points of the space are chosen.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "lowercase", deny_unknown_fields)]
pub enum Method {
    /// All combinations of the lists, and of `points` values of the ranges.
    Grid {},
    /// Drawn evenly.
    Random {
        /// How many, at least 1.
        #[serde(default = "trials")]
        trials: usize,
        /// Seed of the draws.
        #[serde(default)]
        seed: u64,
    },
    /// Tree-structured Parzen estimators (Bergstra et al., NeurIPS 2011): where earlier trials did well.
    Tpe {
        /// How many, at least 1.
        #[serde(default = "trials")]
        trials: usize,
        /// How many of them are drawn evenly first, at least 1.
        #[serde(default = "first")]
        first: usize,
        /// How many are tried at once between two estimates, at least 1.
        #[serde(default = "together")]
        together: usize,
        /// Seed of the draws.
        #[serde(default)]
        seed: u64,
    },
}

fn trials() -> usize {
    30
}

fn first() -> usize {
    10
}

fn together() -> usize {
    4
}

impl Default for Method {
    fn default() -> Self {
        Self::Tpe {
            trials: trials(),
            first: first(),
            together: together(),
            seed: 0,
        }
    }
}

/// Which seen classes stand for unseen ones; as the dataset `pseudo-unseen` has it.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Validation {
    /// Classes in each fold, at least 2. Default: 5.
    pub unseen: usize,
    /// Folds, at least 1. Default: 3.
    pub folds: usize,
    /// Seed of the draw.
    pub seed: u64,
    /// Part of the other classes' training samples that stand for test samples, `0 .. 0.9`. Default: 0.2.
    pub test: f64,
}

impl Default for Validation {
    fn default() -> Self {
        Self {
            unseen: 5,
            folds: 3,
            seed: 0,
            test: 0.2,
        }
    }
}

impl Tuning {
    /// Reads and judges the file of a search.
    ///
    /// # Errors
    /// As [`Document::read`], and with every mistake in its values.
    pub fn read(path: &Path, overrides: &[String]) -> Result<(Self, Document)> {
        let (document, mut this) = Document::read::<Self>(path, overrides)?;
        if this.name.is_empty() {
            this.name = path
                .file_stem()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
        }
        if this.output.is_empty() {
            let here = std::env::current_dir().map_err(|e| Error::read(".", e))?;
            this.output = here.join("runs").join(&this.name).into();
        }
        let mut problems = Problems::new();
        this.validate(&mut problems);
        if problems.is_empty() {
            Ok((this, document))
        } else {
            Err(document.refuse(problems))
        }
    }

    fn validate(&self, problems: &mut Problems) {
        problems.scoped("launcher", |p| self.launcher.validate(p));
        problems.check(!self.space.is_empty(), "space", || {
            "there is nothing to choose: name at least one field".into()
        });
        for (field, domain) in &self.space {
            let top = field.split('.').next().unwrap_or_default();
            let fixed = ["dataset", "seed", "output", "evaluate", "name"];
            problems.scoped("space", |p| {
                p.check(!fixed.contains(&top), field, || {
                    format!("`{field}` cannot be chosen here: the folds are made of the dataset, and results are compared")
                });
                p.scoped(field, |p| domain.validate(p));
            });
        }
        self.judge_search(problems);
        problems.check(!self.seeds.is_empty(), "seeds", || "needs at least one".into());
        if let Err(error) = measures::find(&self.objective) {
            problems.add("objective", error.to_string());
        }
    }

    fn judge_search(&self, problems: &mut Problems) {
        let counts = match self.search {
            Method::Grid {} => Vec::new(),
            Method::Random { trials, .. } => vec![("trials", trials)],
            Method::Tpe {
                trials,
                first,
                together,
                ..
            } => {
                vec![("trials", trials), ("first", first), ("together", together)]
            }
        };
        for (field, count) in counts {
            problems.check(count > 0, &format!("search.{field}"), || {
                "must be at least 1, got 0".into()
            });
        }
        if self.search == (Method::Grid {}) {
            let total = self
                .space
                .values()
                .map(|d| d.points().len())
                .try_fold(1usize, usize::checked_mul);
            problems.check(total.is_some_and(|n| n <= 10_000), "space", || {
                "has more than 10000 combinations; choose `search: {type: random}` or `tpe`".into()
            });
        }
    }
}
