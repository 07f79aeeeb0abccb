//! `szar report`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use szar_core::checkpoint::write_atomically;

use crate::output::Output;

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Run folders, their report.json files, or folders above some; the first run is what others are compared with.
    #[arg(required = true)]
    runs: Vec<PathBuf>,
    /// The file to write [default: report.html in the folder of the run, or here for several].
    #[arg(long)]
    out: Option<PathBuf>,
}

/// Writes the page and prints where it is; with `--json`, what it shows as data.
pub fn run(args: &Args, output: &Output) -> Result<ExitCode> {
    let page = szar_report::page(&args.runs)?;
    let path = args.out.clone().unwrap_or_else(|| default_path(args));
    write_atomically(&path, page.html.as_bytes())?;
    if output.json {
        output.json(&page.data)?;
    } else {
        output.result(&path.display().to_string())?;
    }
    Ok(ExitCode::SUCCESS)
}

fn default_path(args: &Args) -> PathBuf {
    let [run] = args.runs.as_slice() else {
        return PathBuf::from("report.html");
    };
    match run.is_dir() {
        true => run.join("report.html"),
        false => run.with_file_name("report.html"),
    }
}
