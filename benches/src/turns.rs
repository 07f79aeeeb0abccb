//! szar and the same work in plain PyTorch in turns, round by round, on processor time.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use szar_core::Result;

/// How long a round of ours lasts at least; those of the peer last as long or one call.
const ROUND: f64 = 0.2;

/// Rounds of which the median is taken, unless they take longer than [`PATIENCE`].
const ROUNDS: usize = 7;

/// Time after which no further round begins.
const PATIENCE: Duration = Duration::from_secs(20);

/// Seconds that the processor worked for this thread, so that other programs count less; wall time where nobody tells.
fn processor_seconds(since: Instant) -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanoseconds = text.split(' ').next().and_then(|n| n.parse::<f64>().ok());
    nanoseconds.map_or_else(|| since.elapsed().as_secs_f64(), |n| n * 1e-9)
}

/// A Python program that works when asked to.
#[derive(Debug)]
struct Partner {
    process: Child,
    asks: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Partner {
    fn ask(&mut self, name: &str) -> Option<f64> {
        writeln!(self.asks, "{name}").ok()?;
        let mut line = String::new();
        self.answers.read_line(&mut line).ok()?;
        line.trim().parse().ok()
    }
}

impl Drop for Partner {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A table of szar beside PyTorch.
#[derive(Debug)]
pub struct Turns(Option<Partner>);

impl Turns {
    /// Starts a script of `benches/peer` with `PEER_PYTHON`; without one only our own numbers are printed. Prints the head of
    /// the table. Both sides keep the memory they free: ours is started again as `szar run` is, see [`szar_cli::launch`].
    pub fn start(script: &str) -> Self {
        Self::start_with(script, &[])
    }

    /// [`Self::start`] with arguments for the script.
    pub fn start_with(script: &str, arguments: &[&OsStr]) -> Self {
        szar_cli::launch::settle();
        head("szar", "PyTorch");
        let python = std::env::var_os("PEER_PYTHON").unwrap_or_else(|| "python3".into());
        let path = format!("{}/peer/{script}", env!("CARGO_MANIFEST_DIR"));
        let mut command = Command::new(python);
        command
            .arg(path)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let Ok(mut process) = command.spawn() else {
            return Self(None);
        };
        let (Some(asks), Some(answers)) = (process.stdin.take(), process.stdout.take()) else {
            return Self(None);
        };
        Self(Some(Partner {
            process,
            asks,
            answers: BufReader::new(answers),
        }))
    }

    /// Measures `work`, which does `samples` at a time, and the peer's work of the same name; prints the medians and their
    /// ratio, and gives our samples per millisecond.
    ///
    /// # Errors
    /// Whatever `work` fails with.
    pub fn line(&mut self, name: &str, samples: usize, work: impl FnMut() -> Result<()>) -> Result<f64> {
        let mut partner = self.0.take();
        let theirs = || partner.as_mut().and_then(|p| p.ask(name));
        let result = against(name, samples, work, theirs);
        self.0 = partner;
        result
    }
}

/// Prints the head of a table.
#[expect(clippy::print_stdout, reason = "the figures are what a benchmark is for")]
pub fn head(ours: &str, theirs: &str) {
    println!(
        "{:<44} {ours:>10} {theirs:>10} {:>8} {:>6}",
        "samples/ms of one thread", "ratio", "load"
    );
}

/// As [`Turns::line`] against any other measurement of samples per millisecond.
///
/// # Errors
/// Whatever `work` fails with.
#[expect(clippy::print_stdout, reason = "the figures are what a benchmark is for")]
pub fn against(
    name: &str,
    samples: usize,
    mut work: impl FnMut() -> Result<()>,
    mut theirs: impl FnMut() -> Option<f64>,
) -> Result<f64> {
    work()?;
    let (begin, mut ours, mut others) = (Instant::now(), Vec::new(), Vec::new());
    while ours.len() < ROUNDS && (ours.is_empty() || begin.elapsed() < PATIENCE) {
        ours.push(round(samples, &mut work)?);
        others.extend(theirs());
    }
    let ours = median(&mut ours);
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().unwrap_or("-");
    if others.is_empty() {
        println!("{name:<44} {ours:>10.4} {:>10} {:>8} {load:>6}", "-", "-");
    } else {
        let theirs = median(&mut others);
        println!(
            "{name:<44} {ours:>10.4} {theirs:>10.4} {:>8.1} {load:>6}",
            ours / theirs
        );
    }
    Ok(ours)
}

/// Samples per millisecond of processor time over one round.
///
/// # Errors
/// Whatever `work` fails with.
pub fn round(samples: usize, mut work: impl FnMut() -> Result<()>) -> Result<f64> {
    let (origin, mut done) = (Instant::now(), 0);
    let start = processor_seconds(origin);
    loop {
        work()?;
        done += samples;
        let spent = processor_seconds(origin) - start;
        if spent >= ROUND {
            return Ok(done as f64 / (spent * 1e3));
        }
    }
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Resident memory of this process in bytes, where the system tells.
pub fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:"))?;
    let kilobytes: u64 = line.trim().trim_end_matches("kB").trim().parse().ok()?;
    Some(kilobytes * 1024)
}
