//! Hyper-parameters, chosen on seen classes alone.
//!
//! ```yaml
//! pipeline: ../combined.yaml
//! space:
//!   adapters.0.alpha: {from: 0.1, to: 10, scale: log}
//!   adapters.0.beta: [1, 3, 5, 9]
//! search: {type: tpe, trials: 30}
//! validation: {unseen: 8, folds: 3}
//! ```
//!
//! Every trial is run on folds of the dataset's seen classes (`pseudo-unseen`): some of them stand for unseen ones, encoder and
//! aligner are trained without these, and no test sample is read. The first trial is the pipeline as it stands.

mod evidence;
mod options;
mod search;
mod space;
#[cfg(test)]
mod tests;

use std::path::Path;

use indexmap::IndexMap;
use serde_json::{Value, json};
use szar_core::checkpoint::write_atomically;
use szar_core::config::{self, Document, Layer, Resolved};
use szar_core::{Cancel, Error, Result};
use szar_runner::table::{Spread, spread};

use crate::batch::{Batch, BatchOptions, Overseer};
use crate::grid::{Cell, State, given};
use crate::results::{Results, measures};

pub use options::{Method, Tuning, Validation};
pub use space::{Domain, Scale};

use search::Search;

/// One point of the space, and what it gave.
#[derive(Clone, Debug)]
pub struct Trial {
    /// Fields and values; empty for the pipeline as it stands.
    pub values: IndexMap<String, Value>,
    /// Objective in each fold and seed that finished.
    pub scores: Vec<f64>,
    /// What went wrong in the others.
    pub failures: Vec<String>,
}

impl Trial {
    /// Mean and deviation, where every fold and seed finished.
    pub fn score(&self) -> Option<Spread> {
        spread(&self.scores).filter(|_| self.failures.is_empty())
    }
}

/// What a search found.
#[derive(Clone, Debug)]
pub struct Found {
    /// All trials, in order; the first is the pipeline as it stands.
    pub trials: Vec<Trial>,
    /// Number of the best one.
    pub best: usize,
}

/// A search that was read and checked.
#[derive(Debug)]
pub struct Tuner {
    /// What the file says.
    pub options: Tuning,
    base: Resolved,
    common: Vec<Layer>,
}

impl Tuner {
    /// Reads a search, with `changes` to its own values, and its pipeline, with the values `set`. `prepare` is told the
    /// pipeline's file before it is read.
    ///
    /// # Errors
    /// With every mistake in either; when the pipeline cannot be evaluated on seen classes.
    pub fn read(
        file: &Path,
        changes: &[String],
        set: &[String],
        prepare: &dyn Fn(&Path) -> Result<()>,
    ) -> Result<Self> {
        let (options, document) = Tuning::read(file, changes)?;
        prepare(options.pipeline.as_ref())?;
        let mut common = layers(&document, &options);
        common.extend(given(set)?);
        let base = config::load_over(options.pipeline.as_ref(), &common, &[])?;
        if measures::find(&options.objective)?.more_is_better.is_none() {
            return Err(Error::Input(format!(
                "`{}` is no measure that can be better or worse",
                options.objective
            )));
        }
        let this = Self {
            options,
            base,
            common,
        };
        for (field, domain) in &this.options.space {
            let value = domain.at(0.5);
            this.pipeline(&IndexMap::from([(field.clone(), value)]))
                .map_err(|e| e.context(format!("space, `{field}`")))?;
        }
        Ok(this)
    }

    /// The pipeline with some values, on the dataset itself.
    ///
    /// # Errors
    /// When it is none.
    pub fn pipeline(&self, values: &IndexMap<String, Value>) -> Result<Resolved> {
        let mut layers = self.common.clone();
        layers.extend(
            values
                .iter()
                .map(|(field, value)| Layer::new(field, value.clone(), &told(field, value))),
        );
        config::load_over(self.options.pipeline.as_ref(), &layers, &[])
    }

    /// Runs the search, or goes on with one that was stopped: what it asked before it asks again, and is answered from what is
    /// there.
    ///
    /// # Errors
    /// When the folder cannot be written, the launcher refuses, the user stops, or no trial finished.
    pub fn run(&self, program: &Path, watch: &mut dyn Overseer, cancel: &Cancel) -> Result<Found> {
        let folder = &self.options.output.0;
        std::fs::create_dir_all(folder).map_err(|e| Error::write(folder, e))?;
        let base = folder.join("base.yaml");
        write_atomically(&base, self.base.to_yaml()?.as_bytes())?;
        let mut search = Search::new(&self.options)?;
        let mut trials = vec![
            self.measure(&base, vec![IndexMap::new()], program, watch, cancel)?
                .remove(0),
        ];
        while let Some(asked) = search.ask(&trials)? {
            let measured = self.measure(&base, asked, program, watch, cancel)?;
            search.tell(
                &measured,
                measures::find(&self.options.objective)?.more_is_better != Some(false),
            )?;
            trials.extend(measured);
            evidence::write(self, &trials)?;
        }
        let found = self.best(trials)?;
        evidence::write(self, &found.trials)?;
        let best = self.pipeline(&found.trials[found.best].values)?;
        write_atomically(&folder.join("best.yaml"), best.to_yaml()?.as_bytes())?;
        Ok(found)
    }

    fn best(&self, trials: Vec<Trial>) -> Result<Found> {
        let more = measures::find(&self.options.objective)?.more_is_better != Some(false);
        let sign = if more { 1.0 } else { -1.0 };
        let scored = trials
            .iter()
            .enumerate()
            .filter_map(|(i, t)| Some((i, sign * t.score()?.mean)));
        // The earliest of equal ones: what stands as it is stays.
        let best = scored.reduce(|a, b| if b.1 > a.1 { b } else { a });
        match best {
            Some((best, _)) => Ok(Found { trials, best }),
            None => {
                let why = trials.iter().flat_map(|t| &t.failures).next();
                let why = why.map_or("no fold gave the objective", String::as_str);
                Err(Error::Unavailable(format!("no trial finished: {why}")))
            }
        }
    }

    /// Runs trials on every fold and seed.
    fn measure(
        &self,
        base: &Path,
        asked: Vec<IndexMap<String, Value>>,
        program: &Path,
        watch: &mut dyn Overseer,
        cancel: &Cancel,
    ) -> Result<Vec<Trial>> {
        let places = self.places();
        let mut cells = Vec::new();
        for values in &asked {
            cells.extend(places.iter().map(|place| self.cell(base, values, *place)));
        }
        let batch = Batch::new(&self.options.name, self.options.output.0.clone(), cells);
        let options = BatchOptions {
            program: program.to_owned(),
            watch,
            cancel,
        };
        batch.run(self.options.launcher.as_ref(), options)?;
        let results = Results::read(vec!["trial".into()], &batch)?;
        let trial = |(i, values): (usize, IndexMap<String, Value>)| {
            let rows = i * places.len()..(i + 1) * places.len();
            let scores = rows
                .clone()
                .filter_map(|row| results.value(row, &self.options.objective))
                .collect();
            let failures = rows.filter_map(|row| results.rows[row].why.clone()).collect();
            Trial {
                values,
                scores,
                failures,
            }
        };
        Ok(asked.into_iter().enumerate().map(trial).collect())
    }

    /// Folds and seeds.
    fn places(&self) -> Vec<(usize, u64)> {
        let folds = 0..self.options.validation.folds;
        folds
            .flat_map(|fold| self.options.seeds.iter().map(move |seed| (fold, *seed)))
            .collect()
    }

    fn cell(&self, base: &Path, values: &IndexMap<String, Value>, (fold, seed): (usize, u64)) -> Cell {
        let validation = &self.options.validation;
        let dataset = json!({
            "type": "pseudo-unseen", "of": self.base.value["dataset"], "unseen": validation.unseen,
            "folds": validation.folds, "fold": fold, "seed": validation.seed, "test": validation.test,
        });
        let runs = self.options.output.0.join("runs").display().to_string();
        let mut layers: Vec<Layer> = values
            .iter()
            .map(|(field, value)| Layer::new(field, value.clone(), &told(field, value)))
            .collect();
        layers.push(Layer::new("dataset", dataset, "the folds"));
        layers.push(Layer::new("seed", seed.into(), "the seeds"));
        layers.push(Layer::new("output", runs.into(), "output=.."));
        let state = match config::load_over(base, &layers, &[]) {
            Ok(resolved) => State::Valid(Box::new(resolved)),
            Err(error) => State::Invalid(error.to_string()),
        };
        let point = values
            .iter()
            .map(|(k, v)| told(k, v))
            .collect::<Vec<_>>()
            .join(" ");
        let point = if point.is_empty() {
            "as it stands".to_owned()
        } else {
            point
        };
        let at = [
            ("trial", point),
            ("fold", format!("fold {fold}")),
            ("seed", format!("seed {seed}")),
        ];
        Cell {
            at: at.map(|(k, v)| (k.to_owned(), v)).into_iter().collect(),
            state,
        }
    }
}

fn told(field: &str, value: &Value) -> String {
    format!("{field}={value}")
}

fn layers(document: &Document, options: &Tuning) -> Vec<Layer> {
    options
        .set
        .keys()
        .filter_map(|field| document.layer(&["set", field], field))
        .collect()
}
