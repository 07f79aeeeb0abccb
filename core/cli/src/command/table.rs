//! `szar table`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use szar_runner::table::{compare, read};

use crate::output::Output;

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Run folders, their report.json files, or folders above some.
    #[arg(required = true)]
    runs: Vec<PathBuf>,
    /// What runs are grouped by: `dataset`, `split`, `adapters`, or a path in the configuration such as `name` or `aligner.partition`.
    #[arg(long, value_delimiter = ',', default_value = "dataset,split,aligner,adapters")]
    by: Vec<String>,
    /// Print CSV instead of Markdown.
    #[arg(long, conflicts_with = "json")]
    csv: bool,
}

/// Prints finished runs side by side.
pub fn run(args: &Args, output: &Output) -> Result<ExitCode> {
    let table = compare(&read(&args.runs)?, &args.by)?;
    if output.json {
        output.json(&table)?;
    } else if args.csv {
        output.result(&table.csv()?)?;
    } else {
        output.result(&table.markdown())?;
    }
    Ok(ExitCode::SUCCESS)
}
