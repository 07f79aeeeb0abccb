//! Benchmarks, and what they have in common: a clock, and the same work in plain PyTorch to hold it against.

pub mod turns;

use std::collections::BTreeMap;
use std::process::Command;
use std::time::{Duration, Instant};

use szar_core::Result;

/// Rounds of which the median is taken.
const ROUNDS: usize = 9;

/// How long a round lasts at least.
const ROUND: Duration = Duration::from_millis(100);

/// Samples per millisecond of `work`, which does `samples` at a time: the median over rounds of at least a tenth of a second.
///
/// # Errors
/// Whatever `work` fails with.
pub fn throughput(samples: usize, mut work: impl FnMut() -> Result<()>) -> Result<f64> {
    work()?;
    let mut rounds = Vec::with_capacity(ROUNDS);
    for _ in 0..ROUNDS {
        let (start, mut done) = (Instant::now(), 0);
        while start.elapsed() < ROUND {
            work()?;
            done += samples;
        }
        rounds.push(done as f64 / (start.elapsed().as_secs_f64() * 1e3));
    }
    rounds.sort_by(f64::total_cmp);
    Ok(rounds[ROUNDS / 2])
}

/// What a Python version of the same work reached, by name.
#[derive(Debug)]
pub struct Peer(BTreeMap<String, f64>);

impl Peer {
    /// Runs a script of `benches/peer` with `PEER_PYTHON` and reads its `name value` lines; nothing, with a line on stderr,
    /// where it cannot run. Prints the head of the table.
    #[expect(clippy::print_stdout, reason = "the figures are what a benchmark is for")]
    pub fn run(script: &str) -> Self {
        println!(
            "{:<44} {:>10} {:>10} {:>8}",
            "samples/ms, one thread", "szar", "PyTorch", "ratio"
        );
        let python = std::env::var_os("PEER_PYTHON").unwrap_or_else(|| "python3".into());
        let path = format!("{}/peer/{script}", env!("CARGO_MANIFEST_DIR"));
        let Ok(output) = Command::new(&python).arg(&path).output() else {
            return Self::none(&python.to_string_lossy(), &path);
        };
        if !output.status.success() {
            return Self::none(&python.to_string_lossy(), &path);
        }
        let line = |line: &str| {
            let (name, value) = line.split_once(' ')?;
            Some((name.to_owned(), value.trim().parse().ok()?))
        };
        let text = String::from_utf8_lossy(&output.stdout);
        Self(text.lines().filter_map(line).collect())
    }

    fn none(python: &str, path: &str) -> Self {
        eprintln!("no comparison: {python} cannot run {path} (set PEER_PYTHON)");
        Self(BTreeMap::new())
    }

    /// What the Python version reached.
    pub fn get(&self, name: &str) -> Option<f64> {
        self.0.get(name).copied()
    }

    /// Prints a line of the table.
    #[expect(clippy::print_stdout, reason = "the figures are what a benchmark is for")]
    pub fn line(&self, name: &str, ours: f64) {
        match self.get(name) {
            Some(theirs) => println!("{name:<44} {ours:>10.2} {theirs:>10.2} {:>8.1}", ours / theirs),
            None => println!("{name:<44} {ours:>10.2} {:>10} {:>8}", "-", "-"),
        }
    }
}
