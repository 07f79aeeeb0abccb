//! `szar conform`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use comfy_table::{CellAlignment, Table, presets::NOTHING};
use szar_runner::conform::{Verdict, conform, tally};

use crate::output::Output;

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A folder of golden cases, or any folder above some.
    folder: PathBuf,
    /// Only cases of this kind: adapter, aligner, encoder, graph, metric, preprocess, semantics.
    #[arg(long)]
    kind: Option<String>,
    /// Cases of components that do not exist here count as failures.
    #[arg(long)]
    strict: bool,
}

/// Replays golden cases and prints the table; code 1 on any mismatch.
pub fn run(args: &Args, output: &Output) -> Result<ExitCode> {
    crate::threads::set_count(None);
    let cases = conform(&args.folder, args.kind.as_deref())?;
    if output.json {
        output.json(&cases)?;
    } else {
        let mut table = Table::new();
        table.load_style(NOTHING);
        table.set_header(["case", "worst output", "max error", "atol", "rtol", "verdict"]);
        for case in &cases {
            let verdict = match case.verdict {
                Verdict::Pass => "pass",
                Verdict::Fail => "FAIL",
                Verdict::NotImplemented => "not implemented",
            };
            let number = |v: f64| {
                if case.verdict == Verdict::NotImplemented {
                    String::new()
                } else {
                    format!("{v:.1e}")
                }
            };
            table.add_row([
                case.case.clone(),
                case.worst.clone(),
                number(case.max_error),
                number(case.atol),
                number(case.rtol),
                verdict.to_owned(),
            ]);
        }
        for column in 2..5 {
            if let Some(column) = table.column_mut(column) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        output.result(&table.to_string())?;
        for case in &cases {
            for problem in &case.problems {
                output.say(&format!("{}: {problem}", case.case));
            }
        }
        let counts: Vec<String> = tally(&cases).iter().map(|(k, v)| format!("{v} {k}")).collect();
        output.result(&format!("{} cases: {}", cases.len(), counts.join(", ")))?;
    }
    let bad = |v: Verdict| v == Verdict::Fail || (args.strict && v == Verdict::NotImplemented);
    Ok(if cases.iter().any(|c| bad(c.verdict)) {
        ExitCode::from(1)
    } else {
        ExitCode::SUCCESS
    })
}
