//! `szar run`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use szar_core::Cancel;
use szar_runner::{RunOptions, SAVE_EVERY, run as run_pipeline};

use crate::output::Output;
use crate::threads;

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The pipeline.
    config: PathBuf,
    /// Change a value: `--set adapters.0.alpha=3`; may be given often.
    #[arg(long = "set", value_name = "PATH=VALUE")]
    overrides: Vec<String>,
    /// Folder of the run [default: <output>/<name>-<hash of the configuration>].
    #[arg(long)]
    out: Option<PathBuf>,
    /// Train anew, whatever an earlier run left.
    #[arg(long)]
    fresh: bool,
    /// Only go on with an unfinished run; an error when there is none.
    #[arg(long, conflicts_with = "fresh")]
    resume: bool,
}

/// Runs a pipeline and prints its summary.
pub fn run(args: &Args, output: &Output, cancel: &Cancel) -> Result<ExitCode> {
    let resolved = szar_core::config::load(&args.config, &args.overrides)?;
    threads::set_count(resolved.pipeline.threads);
    let options = RunOptions {
        out: args.out.clone(),
        fresh: args.fresh,
        resume: args.resume,
        save_every: SAVE_EVERY,
        progress: output,
        cancel,
    };
    let outcome = run_pipeline(&resolved, &options)?;
    if outcome.reused {
        output.say("this run is finished already; `--fresh` runs it anew");
    }
    if output.json {
        output.json(&outcome.report)?;
    } else {
        output.result(&outcome.summary)?;
    }
    output.say(&format!("run folder: {}", outcome.dir.display()));
    Ok(ExitCode::SUCCESS)
}
