//! `szar data import`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use szar_core::Cancel;
use szar_data::archive::{Imported, import};

use crate::output::{Output, note};

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The data: a file with a `dataset` block (a pipeline, say), or the block itself: `{type: ntu-rgbd, root: DIR}`.
    #[arg(value_name = "DATASET")]
    dataset: String,
    /// Folder to write, which must not exist.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Change a value: `--set dataset.root=DIR`; may be given often.
    #[arg(long = "set", value_name = "PATH=VALUE")]
    overrides: Vec<String>,
    /// Leave out sequences that cannot be read, and list them, instead of stopping at the first.
    #[arg(long)]
    lenient: bool,
}

/// Writes the store and says what is in it.
pub fn run(args: &Args, output: &Output, cancel: &Cancel) -> Result<ExitCode> {
    let (dataset, source) = super::open(&args.dataset, &args.overrides)?;
    let done = import(dataset.as_ref(), &source, &args.out, args.lenient, output, cancel)?;
    for (name, why) in &done.failed {
        note(&format!("left out: {name}: {why}"));
    }
    if output.json {
        output.json(&done)?;
    } else {
        output.result(&text(&done, args))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn text(done: &Imported, args: &Args) -> String {
    let mebibytes = done.bytes as f64 / (1 << 20) as f64;
    let left = match done.failed.len() {
        0 => String::new(),
        n => format!(", {n} left out"),
    };
    let out = args.out.display();
    format!(
        "{} sequences, {} frames, {mebibytes:.1} MiB{left}\n{out}\n\ndataset: {{type: skeleton-store, root: {out}, split: ..}}\n",
        done.samples, done.frames
    )
}
