//! `szar matrix`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use szar_runner::matrix::Matrix;

use super::list::plugins;
use crate::output::Output;

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Load this plugin first, beside those of the search path; may be given often.
    #[arg(long = "plugin", value_name = "FILE")]
    plugins: Vec<PathBuf>,
    /// Skeleton layout of the sequences.
    #[arg(long, default_value = "ntu25")]
    layout: String,
    /// Frames of the sequences.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(i64).range(1..))]
    frames: i64,
}

/// Prints which encoders, aligners, adapters and gates go together, and why others do not.
pub fn run(args: &Args, output: &Output) -> Result<ExitCode> {
    plugins(&args.plugins)?;
    let matrix = Matrix::of_registered(&args.layout, args.frames)?;
    if output.json {
        output.json(&matrix)?;
    } else {
        output.result(&matrix.markdown())?;
    }
    Ok(ExitCode::SUCCESS)
}
