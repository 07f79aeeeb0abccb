//! `szar run`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use szar_core::Cancel;
use szar_core::config::Resolved;
use szar_runner::{Models, RunOptions, SAVE_EVERY, run_after};

use crate::output::Output;
use crate::threads;

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The pipeline; several run one after the other, and share data and trained models where only adapters, gate or
    /// stream differ.
    #[arg(required = true, value_name = "FILE")]
    configs: Vec<PathBuf>,
    /// Change a value: `--set adapters.0.alpha=3`; may be given often.
    #[arg(long = "set", value_name = "PATH=VALUE")]
    overrides: Vec<String>,
    /// Folder of the run [default: <output>/<name>-<hash of the configuration>].
    #[arg(long)]
    out: Option<PathBuf>,
    /// Train anew, whatever an earlier run left.
    #[arg(long)]
    fresh: bool,
    /// Leave out the file that the pictures of `szar report` are made from.
    #[arg(long)]
    no_record: bool,
    /// Only go on with an unfinished run; an error when there is none.
    #[arg(long, conflicts_with = "fresh")]
    resume: bool,
}

/// Runs pipelines and prints their summaries. All are judged before any is run.
pub fn run(args: &Args, output: &Output, cancel: &Cancel) -> Result<ExitCode> {
    let load = |config: &PathBuf| {
        szar_plugin_host::prepare(config, &args.overrides)?;
        szar_core::config::load(config, &args.overrides)
    };
    let pipelines = args.configs.iter().map(load).collect::<Result<Vec<_>, _>>()?;
    if args.out.is_some() && pipelines.len() > 1 {
        let why = "`--out` names the folder of one run; several go to `output` (`--set output=DIR`)";
        return Err(szar_core::Error::Input(why.into()).into());
    }
    let mut models = Models::default();
    let mut failed = None;
    for resolved in &pipelines {
        let result = one(resolved, args, &mut models, output, cancel);
        match (result, pipelines.len()) {
            (Ok(()), _) => {}
            (Err(error), 1) => return Err(error),
            (Err(error), _) if cancel.requested() => return Err(error),
            // The others are no worse for it.
            (Err(error), _) => {
                output.error(&error);
                failed.get_or_insert(ExitCode::from(1));
            }
        }
    }
    Ok(failed.unwrap_or(ExitCode::SUCCESS))
}

fn one(
    resolved: &Resolved,
    args: &Args,
    models: &mut Models,
    output: &Output,
    cancel: &Cancel,
) -> Result<()> {
    threads::set_count(resolved.pipeline.threads);
    let options = RunOptions {
        out: args.out.clone(),
        fresh: args.fresh,
        resume: args.resume,
        save_every: SAVE_EVERY,
        record: !args.no_record,
        progress: output,
        cancel,
    };
    let outcome = run_after(resolved, &options, models)?;
    if outcome.reused {
        output.say("this run is finished already; `--fresh` runs it anew");
    }
    if output.json {
        output.json(&outcome.report)?;
    } else {
        output.result(&outcome.summary)?;
    }
    output.say(&format!("run folder: {}", outcome.dir.display()));
    Ok(())
}
