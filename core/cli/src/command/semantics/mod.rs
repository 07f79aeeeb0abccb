//! `szar semantics`: texts of classes and their vectors.

mod classes;
mod generate;
mod words;

use std::process::ExitCode;

use anyhow::Result;
use szar_core::Cancel;

use super::embed;
use crate::output::Output;

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Descriptions and weights of classes, from a language model behind an OpenAI-compatible endpoint.
    Generate(Box<generate::Args>),
    /// Verb and noun of each class name by rules, as a file to read, correct and use.
    Words(words::Args),
    /// Vectors of texts, in a file that stands in for the text encoder, or in the cache.
    Embed(embed::Args),
}

/// Runs the subcommand.
pub fn run(args: &Args, output: &Output, cancel: &Cancel) -> Result<ExitCode> {
    match &args.command {
        Command::Generate(args) => generate::run(args, output, cancel),
        Command::Words(args) => words::run(args, output),
        Command::Embed(args) => embed::run(args, output),
    }
}
