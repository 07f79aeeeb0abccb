//! The process that reads: one reader, one input after the other.

use std::collections::BTreeSet;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use xxhash_rust::xxh3::xxh3_64;

pub use crate::mutate::Files;
use crate::mutate::mutate;
use crate::targets::Target;
use crate::{Outcome, write};

/// Exit code when an input takes too long.
pub const SLOW: i32 = 42;
/// How long an input may take.
const PATIENCE: Duration = Duration::from_secs(2);
/// Inputs that are changed further, besides the cases.
const POOL: usize = 400;

/// Reads the cases, then changed ones until the time is over, and prints how it went.
pub fn run(target: &Target, corpus: &Path, work: &Path, seed: u64, time: Duration) -> Outcome<()> {
    let cases = cases(corpus)?;
    let others: Files = cases.iter().flatten().cloned().collect();
    let panicked = listen();
    let clock = watch();
    let reader = target.in_folder(work)?;
    let (mut pool, mut seen, mut findings) = (cases.clone(), BTreeSet::new(), BTreeSet::new());
    let (mut rng, start, mut inputs) = (ChaCha8Rng::seed_from_u64(seed), Instant::now(), 0u64);
    while inputs < cases.len() as u64 || start.elapsed() < time {
        let mut files = match cases.get(inputs as usize) {
            Some(case) => case.clone(),
            None => pool.choose(&mut rng).cloned().ok_or("the corpus is empty")?,
        };
        if inputs >= cases.len() as u64 {
            mutate(&mut files, &others, &mut rng);
        }
        write(work, &files)?;
        clock.fetch_add(1, Ordering::Relaxed);
        let read = catch_unwind(AssertUnwindSafe(|| reader.read()));
        clock.fetch_add(1, Ordering::Relaxed);
        inputs += 1;
        match read {
            Ok(outcome) => {
                let text = outcome.unwrap_or_else(|e| e.to_string());
                if seen.insert(kind(&text)) && pool.len() < POOL + cases.len() {
                    pool.push(files);
                }
            }
            Err(_) => {
                let place = panicked
                    .lock()
                    .map_or_else(|_| String::new(), |text| text.clone());
                if findings.insert(place.clone()) {
                    println!("found {place} in {}", keep(corpus, &files)?.display());
                }
            }
        }
        // A pool that is full changes still.
        if pool.len() >= POOL + cases.len() && rng.random_ratio(1, 5000) {
            pool.truncate(cases.len());
            seen.clear();
        }
    }
    println!(
        "inputs {inputs}\nmessages {}\nsize {}",
        seen.len(),
        address_space()
    );
    Ok(())
}

/// A message without what differs from file to file: numbers, and what stands in backticks.
fn kind(text: &str) -> String {
    let outside = text.split('`').step_by(2);
    let plain: String = outside.collect();
    plain
        .chars()
        .filter(|c| c.is_ascii_alphabetic() || *c == ' ')
        .collect()
}

/// Place and message of the last panic, instead of printing it.
fn listen() -> Arc<Mutex<String>> {
    let last = Arc::new(Mutex::new(String::new()));
    let heard = Arc::clone(&last);
    std::panic::set_hook(Box::new(move |info| {
        if let Ok(mut text) = heard.lock() {
            *text = info.to_string().replace('\n', " ");
        }
    }));
    last
}

/// A count that is odd while an input is read; when it stands still for too long, the process ends.
fn watch() -> Arc<AtomicU64> {
    let count = Arc::new(AtomicU64::new(0));
    let seen = Arc::clone(&count);
    std::thread::spawn(move || {
        let (mut last, mut since) = (0, Instant::now());
        loop {
            std::thread::sleep(PATIENCE / 20);
            let now = seen.load(Ordering::Relaxed);
            if now != last {
                (last, since) = (now, Instant::now());
            } else if now % 2 == 1 && since.elapsed() > PATIENCE {
                std::process::exit(SLOW);
            }
        }
    });
    count
}

/// All cases of a reader.
fn cases(corpus: &Path) -> Outcome<Vec<Files>> {
    let mut folders: Vec<PathBuf> = fs::read_dir(corpus)?
        .map(|e| e.map(|e| e.path()))
        .collect::<Result<_, _>>()?;
    folders.sort();
    folders.iter().map(|folder| read(folder)).collect()
}

/// All files of a folder.
pub fn read(folder: &Path) -> Outcome<Files> {
    let (mut files, mut open) = (Files::new(), vec![folder.to_owned()]);
    while let Some(inner) = open.pop() {
        for entry in fs::read_dir(&inner)? {
            let path = entry?.path();
            if path.is_dir() {
                open.push(path);
                continue;
            }
            let name = path.strip_prefix(folder)?.to_string_lossy().into_owned();
            files.push((name, fs::read(&path)?));
        }
    }
    files.sort();
    Ok(files)
}

/// Keeps files as a case.
pub fn keep(corpus: &Path, files: &Files) -> Outcome<PathBuf> {
    let parts: Vec<u8> = files
        .iter()
        .flat_map(|(name, bytes)| [name.as_bytes(), bytes].concat())
        .collect();
    let folder = corpus.join(format!("found-{:016x}", xxh3_64(&parts)));
    write(&folder, files)?;
    Ok(folder)
}

/// Of this process, KiB.
fn address_space() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmSize:"));
    line.and_then(|l| l.trim().trim_end_matches("kB").trim().parse().ok())
        .unwrap_or(0)
}
