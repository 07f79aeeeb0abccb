//! `szar data`: skeletons in any format, imported and looked at.

mod import;
mod inspect;
mod summary;

use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;
use szar_core::{BuildContext, Cancel, Dataset, Error, Seed};
use tch::Device;

use crate::output::Output;

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Any dataset as one store, which opens at once and is read where it lies.
    Import(import::Args),
    /// What is in a dataset and what is wrong with it; draws its skeletons.
    Inspect(inspect::Args),
}

/// Runs the subcommand.
pub fn run(args: &Args, output: &Output, cancel: &Cancel) -> Result<ExitCode> {
    match &args.command {
        Command::Import(args) => import::run(args, output, cancel),
        Command::Inspect(args) => inspect::run(args, output, cancel),
    }
}

/// Opens the dataset that a configuration names; with the options as text.
fn open(dataset: &str, overrides: &[String]) -> Result<(Box<dyn Dataset>, String)> {
    if Path::new(dataset).is_file() {
        szar_plugin_host::prepare(Path::new(dataset), overrides)?;
    }
    let (config, value) = szar_core::config::dataset(dataset, overrides)?;
    let ctx = BuildContext {
        device: Device::Cpu,
        seed: Seed(0),
        cache: szar_runner::cache_dir(),
    };
    if config.features().is_some() {
        let name = config.typetag_name();
        let why =
            format!("dataset `{name}` brings features in place of skeletons: there are no sequences to read");
        return Err(Error::Input(why).into());
    }
    Ok((config.build(&ctx)?, value.to_string()))
}
