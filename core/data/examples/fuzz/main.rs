//! Feeds damaged files to every reader and keeps what breaks one.
//!
//! ```sh
//! cargo run -p szar-data --example fuzz -- --seconds 60              # a minute for each reader
//! cargo run -p szar-data --example fuzz -- --seconds 600 bvh asf-amc
//! ```
//!
//! It starts from `core/data/fuzz/corpus/READER/CASE/`, changes a few things, and reads the outcome. A change that brings
//! forth a message not seen before is changed further. A finding is a panic, more than two seconds for an input, or half a
//! gibibyte of memory; its files are kept in the corpus as a case `found-..`, which the test `corpus` reads from then on.
//! Each reader works in a process of its own, since a lack of memory ends it.

#![expect(
    clippy::print_stdout,
    reason = "a program for developers prints what it finds"
)]

mod mutate;
#[path = "../../fuzz/targets.rs"]
mod targets;
mod worker;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use targets::{PIPELINE, TARGETS, Target};
use worker::Files;

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// Address space beyond what the seeds need, KiB.
const ROOM: u64 = 512 << 10;

/// What is asked for on the command line.
struct Asked {
    seconds: u64,
    seed: u64,
    /// Readers by name; all when there is none.
    names: Vec<String>,
    /// The folder to work in, for a process that reads.
    work: Option<PathBuf>,
}

fn main() -> Outcome<()> {
    let asked = asked()?;
    let wanted = |t: &&Target| asked.names.is_empty() || asked.names.iter().any(|n| n == t.name);
    let targets: Vec<&Target> = TARGETS.iter().chain([&PIPELINE]).filter(wanted).collect();
    if targets.len() < asked.names.len() {
        let known: Vec<_> = TARGETS.iter().chain([&PIPELINE]).map(|t| t.name).collect();
        return Err(format!("no such reader; there are {}", known.join(", ")).into());
    }
    if let Some(work) = &asked.work {
        return worker::run(
            targets[0],
            &corpus(targets[0]),
            work,
            asked.seed,
            Duration::from_secs(asked.seconds),
        );
    }
    println!(
        "{:<18} {:>10} {:>8} {:>9} {:>8}",
        "reader", "inputs", "seconds", "messages", "findings"
    );
    for target in targets {
        fuzz(target, &asked)?;
    }
    Ok(())
}

fn asked() -> Outcome<Asked> {
    let mut asked = Asked {
        seconds: 10,
        seed: 1,
        names: Vec::new(),
        work: None,
    };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or(format!("{word} wants a value"));
        match word.as_str() {
            "--seconds" => asked.seconds = value()?.parse()?,
            "--seed" => asked.seed = value()?.parse()?,
            "--work" => asked.work = Some(value()?.into()),
            _ => asked.names.push(word),
        }
    }
    Ok(asked)
}

/// The cases of a reader.
fn corpus(target: &Target) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz/corpus")
        .join(target.name)
}

/// Runs processes until the time is over; one that ends early leaves its last input behind as a finding.
fn fuzz(target: &Target, asked: &Asked) -> Outcome<()> {
    let shared = Path::new("/dev/shm");
    let folder = if shared.is_dir() {
        shared.to_owned()
    } else {
        std::env::temp_dir()
    };
    let folder = tempfile::tempdir_in(folder)?;
    let work = folder.path().join("root");
    let room = measure(target, &work)?.saturating_add(ROOM);
    let (mut seed, mut inputs, mut messages, mut findings) = (asked.seed, 0, 0, 0);
    let (start, time) = (Instant::now(), Duration::from_secs(asked.seconds));
    while let Some(left) = time
        .checked_sub(start.elapsed())
        .filter(|left| left.as_secs() > 0)
    {
        let limited = format!("ulimit -v {room}; exec \"$0\" \"$@\"");
        let output = process(target, &work, seed, left.as_secs(), Some(&limited))?;
        let text = String::from_utf8_lossy(&output.0).into_owned();
        for line in text.lines() {
            match line.split_once(' ') {
                Some(("inputs", n)) => inputs += n.parse::<u64>()?,
                Some(("messages", n)) => messages = messages.max(n.parse()?),
                Some(("found", what)) => {
                    println!("{}: {what}", target.name);
                    findings += 1;
                }
                _ => {}
            }
        }
        if !output.1.success() {
            let case = worker::keep(&corpus(target), &worker::read(&work)?)?;
            println!("{}: {} in {}", target.name, reason(output.1), case.display());
            findings += 1;
        }
        seed += 1_000_003;
    }
    let seconds = start.elapsed().as_secs_f64();
    println!(
        "{:<18} {inputs:>10} {seconds:>8.1} {messages:>9} {findings:>8}",
        target.name
    );
    Ok(())
}

fn reason(status: ExitStatus) -> String {
    match status.code() {
        Some(worker::SLOW) => "more than two seconds".into(),
        _ => format!("the process ended ({status}): memory or stack"),
    }
}

/// Address space that reading the cases takes, KiB.
fn measure(target: &Target, work: &Path) -> Outcome<u64> {
    let (output, status) = process(target, work, 0, 0, None)?;
    let text = String::from_utf8_lossy(&output).into_owned();
    let size = text.lines().find_map(|l| l.strip_prefix("size "));
    size.and_then(|s| s.parse().ok())
        .ok_or(format!("{}: its cases cannot be read ({status})", target.name).into())
}

/// This program again, to read in `work`, through a shell that sets the limits.
fn process(
    target: &Target,
    work: &Path,
    seed: u64,
    seconds: u64,
    shell: Option<&str>,
) -> Outcome<(Vec<u8>, ExitStatus)> {
    let program = std::env::current_exe()?;
    let mut command = match shell {
        Some(script) => {
            let mut command = Command::new("sh");
            command.args(["-c", script]).arg(program);
            command
        }
        None => Command::new(program),
    };
    command.arg(target.name).arg("--work").arg(work);
    command.args(["--seed", &seed.to_string(), "--seconds", &seconds.to_string()]);
    let output = command
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()?
        .wait_with_output()?;
    Ok((output.stdout, output.status))
}

/// Writes files to a folder that is emptied before.
fn write(folder: &Path, files: &Files) -> std::io::Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    fs::create_dir_all(folder)?;
    for (name, bytes) in files {
        let path = folder.join(name);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(path, bytes)?;
    }
    Ok(())
}
