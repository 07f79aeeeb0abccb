//! `szar check`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;

use crate::output::Output;

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The pipelines.
    #[arg(required = true)]
    configs: Vec<PathBuf>,
    /// Change a value: `--set adapters.0.alpha=3`; may be given often.
    #[arg(long = "set", value_name = "PATH=VALUE")]
    overrides: Vec<String>,
    /// Print the resolved configuration with every default.
    #[arg(long)]
    resolved: bool,
}

/// Checks pipelines; every problem of every file is printed.
pub fn run(args: &Args, output: &Output) -> Result<ExitCode> {
    let mut code = ExitCode::SUCCESS;
    for path in &args.configs {
        let prepared = szar_plugin_host::prepare(path, &args.overrides);
        match prepared.and_then(|()| szar_core::config::load(path, &args.overrides)) {
            Ok(resolved) if output.json => output.json(&resolved.value)?,
            Ok(resolved) if args.resolved => output.result(&resolved.to_yaml()?)?,
            Ok(_) => output.say(&format!("{}: fine", path.display())),
            Err(error) => {
                output.error(&error.into());
                code = ExitCode::from(2);
            }
        }
    }
    Ok(code)
}
