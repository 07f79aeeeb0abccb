//! `szar work`: does tasks of a sweep, for its launcher.

use std::io::BufRead;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::mpsc::channel;

use anyhow::Result;
use szar_core::config::Resolved;
use szar_core::{Cancel, Error, Outcome};
use szar_sweep::{Worker, work};

use crate::output::Output;
use crate::threads;

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The list of tasks.
    list: PathBuf,
    /// Do these tasks and end; without, read numbers of tasks, one a line, from the standard input.
    #[arg(long, value_delimiter = ',')]
    tasks: Vec<usize>,
    /// Threads of libtorch for pipelines that name none.
    #[arg(long)]
    threads: Option<usize>,
}

/// Does the tasks; one line of JSON for each on stdout.
pub fn run(args: &Args, output: &Output, cancel: &Cancel) -> Result<ExitCode> {
    threads::set_count(args.threads);
    let worker = Worker {
        load: &load,
        threads: args.threads,
        progress: output,
        cancel,
    };
    let mut failed = false;
    let mut tell = |outcome: &Outcome| {
        failed |= outcome.error.is_some();
        let line = serde_json::to_string(outcome).map_err(|e| Error::Input(e.to_string()))?;
        output.result(&line)
    };
    if args.tasks.is_empty() {
        work(&args.list, &mut numbers(cancel), &worker, &mut tell)?;
    } else {
        work(
            &args.list,
            &mut args.tasks.iter().copied().map(Ok),
            &worker,
            &mut tell,
        )?;
    }
    Ok(ExitCode::from(u8::from(failed)))
}

/// A pipeline, after the plugins that it names.
pub(super) fn load(config: &Path) -> szar_core::Result<Resolved> {
    szar_plugin_host::prepare(config, &[])?;
    szar_core::config::load(config, &[])
}

/// Numbers from the standard input. Whoever writes them closes it to say that nothing more is wanted, also of the task in hand.
fn numbers(cancel: &Cancel) -> impl Iterator<Item = szar_core::Result<usize>> {
    let (send, receive) = channel();
    let cancel = cancel.clone();
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines() {
            let number = line.map_err(|e| Error::read("stdin", e)).and_then(|line| {
                let bad = |_| Error::Input(format!("`{line}` is no number of a task"));
                line.trim().parse().map_err(bad)
            });
            let _ = send.send(number);
        }
        cancel.request();
    });
    receive.into_iter()
}
