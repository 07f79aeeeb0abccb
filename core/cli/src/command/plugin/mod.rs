//! `szar plugin`: for authors of plugins.

mod check;
mod new;

use std::process::ExitCode;

use anyhow::Result;

use crate::output::Output;

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Write a project that builds, passes its tests and runs in a pipeline.
    New(new::Args),
    /// Load a plugin, judge what it says of itself, and try each of its components.
    Check(check::Args),
}

/// Runs the subcommand.
pub fn run(args: &Args, output: &Output) -> Result<ExitCode> {
    match &args.command {
        Command::New(args) => new::run(args, output),
        Command::Check(args) => check::run(args, output),
    }
}
