//! The command line of szar: parses, calls, prints. Data goes to stdout, everything else to stderr.
//!
//! Exit codes: 0 done, 1 the run failed or was stopped, 2 the input was wrong.

mod command;
mod output;
mod threads;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use szar_core::{Cancel, Error};

use output::Output;

/// Zero-shot recognition of actions from skeletons, composed from one YAML file.
#[derive(Debug, Parser)]
#[command(name = "szar", version, max_term_width = 100)]
struct Cli {
    /// Say more: -v what happens, -vv everything.
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    verbose: u8,
    /// Say only what is wrong.
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    quiet: bool,
    /// Print the result as JSON.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Train on seen classes, recognise unseen ones, adapt online, report.
    Run(command::run::Args),
    /// Compute and keep the features of a pipeline's encoder, for later runs and for other programs.
    Extract(command::extract::Args),
    /// Judge a pipeline without touching its data; lists every problem.
    Check(command::check::Args),
    /// The registered components.
    List(command::list::Args),
    /// One component: what it is and each of its options.
    Describe(command::describe::Args),
    /// Finished runs side by side, grouped, with mean and standard deviation.
    Table(command::table::Args),
    /// Finished runs as one HTML page: numbers, figures, tests of their differences.
    Report(command::report::Args),
    /// Which encoders, aligners, adapters and gates go together, and why others do not.
    Matrix(command::matrix::Args),
    /// Skeletons in any format: import them, look at them.
    Data(command::data::Args),
    /// Compare components with recorded tensors of the official implementations.
    Conform(command::conform::Args),
    /// Texts of classes: ask a language model, split names, make vectors.
    Semantics(command::semantics::Args),
    /// The same as `szar semantics embed`.
    #[command(hide = true)]
    Embed(command::embed::Args),
    /// For authors of plugins: start one, check one.
    Plugin(command::plugin::Args),
    /// What is installed here, and what is wrong.
    Doctor(command::doctor::Args),
}

/// Runs the program with the arguments of the process.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { 2 } else { 0 });
        }
    };
    if matches!(
        cli.command,
        Command::Run(_)
            | Command::Extract(_)
            | Command::Conform(_)
            | Command::Embed(_)
            | Command::Semantics(_)
    ) {
        threads::settle_wait_policy();
    }
    let output = Output::new(cli.verbose, cli.quiet, cli.json);
    let cancel = Cancel::default();
    stop_on_signal(&cancel);
    let result = catch(|| match &cli.command {
        Command::Run(args) => command::run::run(args, &output, &cancel),
        Command::Extract(args) => command::extract::run(args, &output, &cancel),
        Command::Check(args) => command::check::run(args, &output),
        Command::List(args) => command::list::run(args, &output),
        Command::Describe(args) => command::describe::run(args, &output),
        Command::Table(args) => command::table::run(args, &output),
        Command::Report(args) => command::report::run(args, &output),
        Command::Matrix(args) => command::matrix::run(args, &output),
        Command::Conform(args) => command::conform::run(args, &output),
        Command::Embed(args) => command::embed::run(args, &output),
        Command::Semantics(args) => command::semantics::run(args, &output, &cancel),
        Command::Data(args) => command::data::run(args, &output, &cancel),
        Command::Plugin(args) => command::plugin::run(args, &output),
        Command::Doctor(args) => command::doctor::run(args, &output),
    });
    let code = match result {
        Ok(code) => code,
        Err(error) => {
            output.error(&error);
            let input = error.downcast_ref::<Error>().is_some_and(Error::is_input);
            ExitCode::from(if input { 2 } else { 1 })
        }
    };
    szar_plugin_host::end_plainly();
    code
}

/// The first signal asks to stop at the next safe place, the second stops at once.
fn stop_on_signal(cancel: &Cancel) {
    let cancel = cancel.clone();
    let handler = move || {
        if cancel.requested() {
            szar_plugin_host::end_plainly();
            std::process::exit(130);
        }
        cancel.request();
        output::note("stopping after this step; once more to stop at once");
    };
    if let Err(error) = ctrlc::set_handler(handler) {
        tracing::warn!(%error, "signals cannot be handled");
    }
}

/// A panic is a bug of ours: it is reported as one, and the process ends with code 1.
fn catch(body: impl FnOnce() -> anyhow::Result<ExitCode>) -> anyhow::Result<ExitCode> {
    std::panic::set_hook(Box::new(|info| tracing::debug!("{info}")));
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(body)).unwrap_or_else(|payload| {
        let text = payload.downcast_ref::<String>().map(String::as_str);
        let text = text
            .or_else(|| payload.downcast_ref::<&str>().copied())
            .unwrap_or("no message");
        Err(anyhow::anyhow!("internal error, please report it: {text}"))
    })
}
