//! A grid from its file to its tables.

use std::path::Path;

use szar_core::Result;

use crate::batch::{Batch, BatchOptions};
use crate::grid::{Grid, expand, given};
use crate::results::Results;

/// A grid and its cells.
#[derive(Debug)]
pub struct Ablation {
    /// The grid.
    pub grid: Grid,
    /// Its cells, and what has to be done for them.
    pub batch: Batch,
}

impl Ablation {
    /// Reads a grid, with `changes` to its own values, resolves and checks every cell, with the values `set` in each. `prepare` is told the pipeline's file, before it is read, for plugins to be
    /// loaded. Writes nothing.
    ///
    /// # Errors
    /// As [`Grid::read`] and [`expand`].
    pub fn read(
        file: &Path,
        changes: &[String],
        set: &[String],
        prepare: &dyn Fn(&Path) -> Result<()>,
    ) -> Result<Self> {
        let (grid, document) = Grid::read(file, changes)?;
        prepare(grid.pipeline.as_ref())?;
        let cells = expand(&grid, &document, &given(set)?)?;
        let batch = Batch::new(&grid.name, grid.output.0.clone(), cells);
        Ok(Self { grid, batch })
    }

    /// Runs what is left of the grid, and waits for it.
    ///
    /// # Errors
    /// As [`Batch::run`].
    pub fn run(&self, options: BatchOptions) -> Result<()> {
        self.batch.run(self.grid.launcher.as_ref(), options)
    }

    /// The results of the cells that are finished.
    ///
    /// # Errors
    /// When a report is damaged, or is of another version.
    pub fn results(&self) -> Result<Results> {
        Results::read(self.grid.axes.keys().cloned().collect(), &self.batch)
    }
}
