//! `szar ablate`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Result;
use szar_core::{Cancel, Error};
use szar_sweep::results::terminal;
use szar_sweep::{Ablation, Batch, BatchOptions, Ended};

use crate::board::Board;
use crate::output::Output;

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The grid: a pipeline, and axes along which parts of it are changed.
    #[arg(value_name = "GRID")]
    file: PathBuf,
    /// Set a value of the pipeline in every run: `--set dataset.root=/data`; may be given often.
    #[arg(long = "set", value_name = "PATH=VALUE")]
    set: Vec<String>,
    /// Change a value of the grid itself: `--grid output=DIR`; may be given often.
    #[arg(long = "grid", value_name = "PATH=VALUE")]
    changes: Vec<String>,
    /// Only resolve and check every cell, and say what there is to do.
    #[arg(long, conflicts_with_all = ["status", "cancel", "detach", "table"])]
    dry_run: bool,
    /// Only say how far the grid is.
    #[arg(long, conflicts_with_all = ["cancel", "detach", "table"])]
    status: bool,
    /// Stop what was handed to a cluster.
    #[arg(long, conflicts_with_all = ["detach", "table"])]
    cancel: bool,
    /// Hand the grid to a cluster and end; the same command without it waits and makes the tables.
    #[arg(long, conflicts_with = "table")]
    detach: bool,
    /// Only make the tables anew, of what is finished.
    #[arg(long)]
    table: bool,
}

/// Runs a grid, or does what is asked about it.
pub fn run(args: &Args, output: &Output, cancel: &Cancel) -> Result<ExitCode> {
    let prepare = |pipeline: &Path| szar_plugin_host::prepare(pipeline, &[]);
    let ablation = Ablation::read(&args.file, &args.changes, &args.set, &prepare)?;
    if args.dry_run {
        return outlook(&ablation, output);
    }
    if args.status {
        return status(&ablation, output);
    }
    if args.cancel {
        let stopped = ablation.batch.stop(ablation.grid.launcher.as_ref())?;
        output.say(if stopped {
            "stopped"
        } else {
            "nothing of this grid was handed over, or it is over"
        });
        return Ok(ExitCode::SUCCESS);
    }
    if args.detach || !args.table {
        let board = &mut Board::new(output);
        let options = BatchOptions {
            program: std::env::current_exe().map_err(|e| Error::read("szar", e))?,
            watch: board,
            cancel,
        };
        if args.detach {
            ablation.batch.submit(ablation.grid.launcher.as_ref(), options)?;
            return status(&ablation, output);
        }
        match ablation.run(options) {
            // What is finished is worth its table.
            Err(error @ Error::Cancelled) => {
                ablation.results()?.write(&ablation.grid)?;
                return Err(error.into());
            }
            ran => ran?,
        }
    }
    tables(&ablation, output)
}

fn outlook(ablation: &Ablation, output: &Output) -> Result<ExitCode> {
    let ended = ablation.batch.ended()?;
    if output.json {
        output.json(&serde_json::json!({
            "cells": ablation.batch.cells.len(), "pipelines": ablation.batch.plan.pipelines(), "finished": ended.finished,
            "tasks": ablation.batch.task_names(), "invalid": ended.invalid,
        }))?;
        return Ok(ExitCode::SUCCESS);
    }
    output.result(&format!(
        "{} cells, {} pipelines, {} finished; {} tasks are left",
        ablation.batch.cells.len(),
        ablation.batch.plan.pipelines(),
        ended.finished,
        ablation.batch.left()
    ))?;
    troubles(&ended, output);
    Ok(ExitCode::SUCCESS)
}

fn status(ablation: &Ablation, output: &Output) -> Result<ExitCode> {
    let ended = ablation.batch.ended()?;
    let queue = ablation.batch.queue(ablation.grid.launcher.as_ref())?;
    if output.json {
        output.json(&serde_json::json!({
            "cells": ablation.batch.cells.len(), "finished": ended.finished, "failed": ended.failed,
            "invalid": ended.invalid, "waiting": ended.waiting, "queue": queue,
        }))?;
        return Ok(ExitCode::SUCCESS);
    }
    output.result(&counts(&ablation.batch, &ended))?;
    if let Some(queue) = queue {
        output.result(&queue)?;
    }
    troubles(&ended, output);
    Ok(ExitCode::SUCCESS)
}

fn tables(ablation: &Ablation, output: &Output) -> Result<ExitCode> {
    let results = ablation.results()?;
    results.write(&ablation.grid)?;
    let ended = ablation.batch.ended()?;
    if output.json {
        let rows = results.rows.iter().map(|row| {
            let values = szar_sweep::results::measures::ALL.iter().zip(&row.values);
            let values: serde_json::Map<_, _> = values
                .filter_map(|(m, v)| Some((m.name.to_owned(), serde_json::json!((*v)?))))
                .collect();
            serde_json::json!({ "at": row.at, "status": row.status, "error": row.why, "run": row.run, "measures": values })
        });
        output.json(&rows.collect::<Vec<_>>())?;
    } else {
        let text = terminal(
            &ablation.grid,
            &results.tables(&ablation.grid),
            &results.beside(&ablation.grid),
        );
        output.result(&text)?;
    }
    output.say(&counts(&ablation.batch, &ended));
    troubles(&ended, output);
    let folder = ablation.grid.output.0.display();
    output.say(&format!(
        "results.csv, results.parquet, table.md and table.tex are in {folder}"
    ));
    Ok(ExitCode::from(u8::from(!ended.failed.is_empty())))
}

pub(super) fn counts(batch: &Batch, ended: &Ended) -> String {
    format!(
        "{} cells: {} finished, {} failed, {} invalid, {} waiting",
        batch.cells.len(),
        ended.finished,
        ended.failed.len(),
        ended.invalid.len(),
        ended.waiting
    )
}

/// What failed and what cannot run, each reason once.
fn troubles(ended: &Ended, output: &Output) {
    for (word, list) in [("cannot run", &ended.invalid), ("failed", &ended.failed)] {
        let mut reasons: Vec<(&str, Vec<&str>)> = Vec::new();
        for (label, why) in list {
            match reasons.iter_mut().find(|(other, _)| other == why) {
                Some((_, labels)) => labels.push(label),
                None => reasons.push((why, vec![label])),
            }
        }
        for (why, labels) in reasons {
            let more = labels.len().saturating_sub(3);
            let more = if more > 0 {
                format!(" and {more} more")
            } else {
                String::new()
            };
            let shown: Vec<&str> = labels.iter().take(3).copied().collect();
            output.say(&format!("{word}: {}{more}: {why}", shown.join("; ")));
        }
    }
}
