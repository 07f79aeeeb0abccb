//! What came of a grid: one row a cell, and tables of them.

mod files;
pub mod measures;
mod pivot;
mod render;
#[cfg(test)]
mod tests;

use std::fs;
use std::path::{Path, PathBuf};

use indexmap::IndexMap;
use szar_core::checkpoint::write_atomically;
use szar_core::{Error, Result};
use szar_runner::report;

use crate::batch::Batch;
use crate::grid::{Grid, State};
use crate::plan::Progressed;

pub use pivot::{Beside, Entry, Table};
pub use render::{latex, markdown, terminal};

/// A cell and what was measured.
#[derive(Clone, Debug)]
pub struct Row {
    /// Its point on each axis.
    pub at: IndexMap<String, String>,
    /// `finished`, `failed`, `invalid` or `waiting`.
    pub status: &'static str,
    /// Why there is nothing, if something went wrong.
    pub why: Option<String>,
    /// Folder of the run.
    pub run: Option<PathBuf>,
    /// In the order of [`measures::ALL`]; all empty without a report.
    pub values: Vec<Option<f64>>,
}

/// All rows of a grid.
#[derive(Clone, Debug)]
pub struct Results {
    /// Names of the axes.
    pub axes: Vec<String>,
    /// One a cell, in the order of the grid.
    pub rows: Vec<Row>,
}

impl Results {
    /// What came of a batch; its cells' points on `axes` name the rows.
    ///
    /// # Errors
    /// When a report is damaged, or is of another version.
    pub fn read(axes: Vec<String>, batch: &Batch) -> Result<Self> {
        let mut rows = Vec::with_capacity(batch.cells.len());
        for (i, cell) in batch.cells.iter().enumerate() {
            let progress = batch.plan.progress(i)?;
            let run = batch.plan.run_of(i).map(Path::to_owned);
            let (status, why) = match (progress, &cell.state) {
                (Some(Progressed::Finished), _) => ("finished", None),
                (Some(Progressed::Failed(why)), _) => ("failed", Some(why)),
                (Some(Progressed::Waiting), _) => ("waiting", None),
                (None, State::Invalid(why)) => ("invalid", Some(why.clone())),
                (None, State::Valid(_)) => ("waiting", None),
            };
            let values = match &run {
                Some(run) if status == "finished" => {
                    let report = report::read(&run.join("report.json"))?;
                    measures::ALL.iter().map(|m| m.of(&report)).collect()
                }
                _ => vec![None; measures::ALL.len()],
            };
            rows.push(Row {
                at: cell.at.clone(),
                status,
                why,
                run,
                values,
            });
        }
        Ok(Self { axes, rows })
    }

    /// Value of a measure in a row.
    pub fn value(&self, row: usize, measure: &str) -> Option<f64> {
        let at = measures::ALL.iter().position(|m| m.name == measure)?;
        self.rows[row].values[at]
    }

    /// Measures that some row has, by their place in [`measures::ALL`].
    fn measured(&self) -> Vec<usize> {
        let some = |m: &usize| self.rows.iter().any(|row| row.values[*m].is_some());
        (0..measures::ALL.len()).filter(some).collect()
    }

    /// Writes `results.csv`, `results.parquet`, `table.md` and `table.tex` into the study's folder.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn write(&self, grid: &Grid) -> Result<()> {
        let folder = &grid.output.0;
        fs::create_dir_all(folder).map_err(|e| Error::write(folder, e))?;
        write_atomically(&folder.join("results.csv"), &files::csv(self)?)?;
        write_atomically(&folder.join("results.parquet"), &files::parquet(self)?)?;
        let tables = self.tables(grid);
        let beside = self.beside(grid);
        let text = markdown(grid, &tables, &beside);
        write_atomically(&folder.join("table.md"), text.as_bytes())?;
        let text = latex(grid, &tables, &beside);
        write_atomically(&folder.join("table.tex"), text.as_bytes())
    }
}
