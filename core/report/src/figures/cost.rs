//! Time and memory of the stages.

use super::Shown;
use crate::plot::{Row, bars};
use crate::run::Run;

/// Throughput, time and memory; only what was computed in this run.
pub fn cost(run: &Run) -> Vec<Shown> {
    let stages: Vec<_> = run.report.performance.iter().filter(|s| !s.reused).collect();
    let figure =
        |name: &str, title: &str, x: &str, caption: &str, value: &dyn Fn(usize) -> Option<(f64, String)>| {
            let row = |i: usize| {
                let (value, note) = value(i)?;
                Some(Row {
                    name: stages[i].name.clone(),
                    note,
                    values: [value, value],
                })
            };
            let rows: Vec<Row> = (0..stages.len()).filter_map(row).collect();
            (!rows.is_empty()).then(|| Shown::new(name, title, caption.to_owned(), bars(title, &rows, x)))
        };
    let seconds = |i: usize| {
        let s = stages[i].seconds;
        Some((
            s,
            if s < 10.0 {
                format!("{s:.2} s")
            } else {
                format!("{s:.0} s")
            },
        ))
    };
    let rate = |i: usize| {
        let rate = stages[i].samples_per_second;
        (rate > 0.0).then(|| (rate, format!("{rate:.0}/s")))
    };
    let memory = |i: usize| {
        let mib = stages[i].peak_memory_mib;
        (mib > 0.0).then(|| (mib, format!("{mib:.0} MiB")))
    };
    [
        figure("time", "Time", "seconds", "Wall clock of each stage.", &seconds),
        figure(
            "throughput",
            "Throughput",
            "samples per second",
            "Samples through each stage (times epochs for training).",
            &rate,
        ),
        figure(
            "memory",
            "Memory",
            "MiB",
            "Largest resident memory of the process during each stage.",
            &memory,
        ),
    ]
    .into_iter()
    .flatten()
    .collect()
}
