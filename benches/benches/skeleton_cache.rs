//! How fast `skeleton-cache` answers when descriptors are given: samples per millisecond on one CPU thread, beside
//! the same method written plainly in PyTorch (`benches/peer/skeleton_cache.py`; `PEER_PYTHON` names the Python that
//! has torch), and how its memory grows with the stream.
//!
//! `cargo bench -p szar-benches --bench skeleton_cache` needs the workspace's usual profile: `--profile dev`.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::{Duration, Instant};

use szar_adapters::skeleton_cache::{SkeletonCache, SkeletonCacheConfig};
use szar_core::{Result, TestTimeAdapter, testing};
use tch::{Kind, Tensor};

const CLASSES: usize = 24;
const SLOTS: i64 = 8;
const WIDTH: i64 = 256;
/// Samples that fill the cache before anything is measured.
const WARM: i64 = 4096;
const BATCHES: [i64; 3] = [1, 8, 64];

fn stream(samples: i64) -> (Tensor, Tensor) {
    tch::manual_seed(7);
    let cpu = (Kind::Float, tch::Device::Cpu);
    let descriptors = Tensor::rand([samples, SLOTS, WIDTH], cpu);
    (descriptors, Tensor::randn([samples, CLASSES as i64], cpu) * 3.0)
}

fn full_cache(descriptors: &Tensor, logits: &Tensor) -> Result<SkeletonCache> {
    let mut cache = SkeletonCache::new(&SkeletonCacheConfig::default())?;
    cache.begin(&testing::task(CLASSES, WIDTH, 3, 25))?;
    let _ = cache.step_descriptors(descriptors, logits)?;
    Ok(cache)
}

/// Samples per millisecond: the median over rounds of at least a tenth of a second.
fn throughput(cache: &mut SkeletonCache, descriptors: &Tensor, logits: &Tensor, batch: i64) -> Result<f64> {
    let steps: Vec<_> = descriptors
        .split(batch, 0)
        .into_iter()
        .zip(logits.split(batch, 0))
        .collect();
    let mut rounds = Vec::new();
    for _ in 0..15 {
        let (start, mut samples) = (Instant::now(), 0);
        while start.elapsed() < Duration::from_millis(100) {
            for (descriptors, logits) in &steps {
                samples += cache.step_descriptors(descriptors, logits)?.size()[0];
            }
        }
        rounds.push(samples as f64 / (start.elapsed().as_secs_f64() * 1e3));
    }
    rounds.sort_by(f64::total_cmp);
    Ok(rounds[rounds.len() / 2])
}

/// `name value` lines of the Python version; empty, with a line on stderr, where it cannot run.
fn peer() -> BTreeMap<String, f64> {
    let python = std::env::var_os("PEER_PYTHON").unwrap_or_else(|| "python3".into());
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/peer/skeleton_cache.py");
    match Command::new(&python).arg(script).output() {
        Ok(output) if output.status.success() => {
            let text = String::from_utf8_lossy(&output.stdout);
            let line = |line: &str| {
                let (name, value) = line.split_once(' ')?;
                Some((name.to_owned(), value.trim().parse().ok()?))
            };
            text.lines().filter_map(line).collect()
        }
        _ => {
            eprintln!(
                "no comparison: {} cannot run {script} (set PEER_PYTHON)",
                python.to_string_lossy()
            );
            BTreeMap::new()
        }
    }
}

/// State after 64 thousand and after a million samples.
fn memory() -> Result<(u64, u64)> {
    let (descriptors, logits) = stream(1000);
    let mut cache = full_cache(&descriptors, &logits)?;
    let mut sizes = Vec::new();
    for part in 1..=1000 {
        let _ = cache.step_descriptors(&descriptors, &logits)?;
        if part == 63 || part == 999 {
            sizes.push(cache.state_bytes());
        }
    }
    Ok((sizes[0], sizes[1]))
}

#[expect(clippy::print_stdout, reason = "the figures are what this program is for")]
fn main() -> Result<()> {
    tch::set_num_threads(1);
    let (descriptors, logits) = stream(WARM);
    let peer = peer();
    println!(
        "{:<34} {:>12} {:>12} {:>8}",
        "samples/ms, one thread", "szar", "PyTorch", "ratio"
    );
    for batch in BATCHES {
        let mut cache = full_cache(&descriptors, &logits)?;
        let name = format!("skeleton_cache/step/C{CLASSES}_B{batch}");
        let ours = throughput(&mut cache, &descriptors, &logits, batch)?;
        match peer.get(&name) {
            Some(theirs) => println!("{name:<34} {ours:>12.2} {theirs:>12.2} {:>8.1}", ours / theirs),
            None => println!("{name:<34} {ours:>12.2} {:>12} {:>8}", "-", "-"),
        }
    }
    let (early, late) = memory()?;
    println!("skeleton_cache/state_bytes: {early} after 64 thousand samples, {late} after a million");
    Ok(())
}
