//! `szar extract`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use szar_core::Cancel;
use szar_runner::{Extracted, RunOptions, SAVE_EVERY};

use crate::output::Output;
use crate::threads;

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The pipeline whose encoder is asked.
    #[arg(value_name = "FILE")]
    config: PathBuf,
    /// Change a value: `--set features.precision=f16`; may be given often.
    #[arg(long = "set", value_name = "PATH=VALUE")]
    overrides: Vec<String>,
    /// Folder of the run, with the encoder's weights [default: <output>/<name>-<hash of the configuration>].
    #[arg(long)]
    out: Option<PathBuf>,
    /// Leave the map out: pooled features, descriptors and logits alone.
    #[arg(long)]
    pooled: bool,
}

/// Trains or loads the encoder, keeps the features of all samples, and says where.
pub fn run(args: &Args, output: &Output, cancel: &Cancel) -> Result<ExitCode> {
    szar_plugin_host::prepare(&args.config, &args.overrides)?;
    let resolved = szar_core::config::load(&args.config, &args.overrides)?;
    threads::set_count(resolved.pipeline.threads);
    let options = RunOptions {
        out: args.out.clone(),
        fresh: false,
        resume: false,
        save_every: SAVE_EVERY,
        record: false,
        progress: output,
        cancel,
    };
    let extracted = szar_runner::extract(&resolved, &options, args.pooled)?;
    if output.json {
        output.json(&extracted)?;
    } else {
        output.result(&text(&extracted))?;
    }
    output.say(&format!("run folder: {}", extracted.run.display()));
    Ok(ExitCode::SUCCESS)
}

fn text(extracted: &Extracted) -> String {
    let form = &extracted.form;
    let size = form.features;
    let map = match form.map {
        Some(_) => format!("maps [{}, {}, {}]", size.channels, size.frames, size.joints),
        None => format!("pooled features [{}]", size.channels),
    };
    let how = if extracted.kept {
        "kept by an earlier run, read".to_owned()
    } else {
        let rate = form.rows as f64 / extracted.seconds.max(1e-9);
        format!("computed ({rate:.0} samples/s)")
    };
    let mebibytes = extracted.bytes as f64 / (1 << 20) as f64;
    format!(
        "{} samples, {map}, {mebibytes:.1} MiB, {how} in {:.2} s\n{}\n",
        form.rows,
        extracted.seconds,
        extracted.folder.display()
    )
}
