//! One page about finished runs, for whoever wants to see what happened: a single HTML file without network, scripts of
//! others or fonts of others. Everything in it comes from the folders of the runs; neither dataset nor model is needed.
//!
//! | module | |
//! |---|---|
//! | `run`, `answers` | what a run's folder holds |
//! | `paired`, `compare` | is the difference more than chance, what several runs differ in |
//! | `embed` | vectors in a plane |
//! | `plot` | charts as SVG |
//! | `figures` | the figures of a run |
//! | `page` | all of it as HTML |

mod answers;
mod compare;
mod embed;
mod figures;
mod page;
mod paired;
mod plot;
mod run;
mod tables;

use std::path::PathBuf;

use szar_core::Result;
use szar_runner::table;

pub use page::Page;

/// Makes the page about the finished runs at or below these files and folders.
///
/// # Errors
/// When nothing is found at a path, or a file of a run is damaged.
pub fn page(paths: &[PathBuf]) -> Result<Page> {
    let files = table::files(paths)?;
    let runs = files
        .iter()
        .map(|file| run::Run::read(file))
        .collect::<Result<Vec<_>>>()?;
    page::make(&runs)
}
