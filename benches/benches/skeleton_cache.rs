//! How fast `skeleton-cache` answers when descriptors are given, with the paper's constants: samples per millisecond on one CPU
//! thread, beside the same method written plainly in PyTorch (`benches/peer/skeleton_cache.py`; `PEER_PYTHON` names the
//! Python that has torch), and how its memory grows with classes and with the stream.
//!
//! What bounds the numbers: dot products of every sample with all keys; at B = 1 the keys come from memory for each sample.
//!
//! `cargo bench -p szar-benches --bench skeleton_cache` needs the workspace's usual profile: `--profile dev`.

use szar_adapters::skeleton_cache::{Preset, SkeletonCache, SkeletonCacheConfig};
use szar_benches::turns::{self, Turns};
use szar_core::{Result, TestTimeAdapter, testing};
use tch::{Kind, Tensor};

const CLASSES: [usize; 4] = [5, 12, 24, 120];
const SLOTS: i64 = 8;
const WIDTH: i64 = 256;
/// Samples that are measured over and over: few enough to be in the processor's cache, as what an encoder just gave is.
const FRESH: usize = 64;
/// Samples of a class that fill its block before anything is measured.
const WARM: i64 = 170;
const BATCHES: [i64; 2] = [1, 64];

fn stream(samples: i64, classes: usize) -> (Tensor, Tensor) {
    tch::manual_seed(7);
    let cpu = (Kind::Float, tch::Device::Cpu);
    let descriptors = Tensor::rand([samples, SLOTS, WIDTH], cpu);
    (descriptors, Tensor::randn([samples, classes as i64], cpu) * 3.0)
}

fn begun(preset: Preset, classes: usize) -> Result<SkeletonCache> {
    let mut cache = SkeletonCache::new(&SkeletonCacheConfig {
        preset,
        ..SkeletonCacheConfig::default()
    })?;
    cache.begin(&testing::task(classes, WIDTH, 3, 25))?;
    Ok(cache)
}

fn speed(turns: &mut Turns, classes: usize, batch: i64) -> Result<()> {
    let (descriptors, logits) = stream(WARM * classes as i64, classes);
    let mut cache = begun(Preset::None, classes)?;
    let _ = cache.step_descriptors(&descriptors, &logits)?;
    let parts = descriptors
        .split(batch, 0)
        .into_iter()
        .zip(logits.split(batch, 0));
    let whole = parts.filter(|(d, _)| d.size()[0] == batch);
    let steps: Vec<_> = whole.take(FRESH / batch as usize).collect();
    let (mut at, group) = (0, 256 / batch as usize);
    let name = format!("skeleton_cache/step/C{classes}_B{batch}");
    let _ = turns.line(&name, group * batch as usize, || {
        for _ in 0..group {
            at = (at + 1) % steps.len();
            let _ = cache.step_descriptors(&steps[at].0, &steps[at].1)?;
        }
        Ok(())
    })?;
    Ok(())
}

/// State and resident memory after 64 thousand and after a million samples.
#[expect(clippy::print_stdout, reason = "the figures are what this program is for")]
fn long_stream(name: &str, preset: Preset) -> Result<()> {
    let (descriptors, logits) = stream(1000, 24);
    let mut cache = begun(preset, 24)?;
    for part in 1..=1000 {
        let _ = cache.step_descriptors(&descriptors, &logits)?;
        if part == 64 || part == 1000 {
            println!(
                "skeleton_cache/memory/{name}/{part}k_samples: state {} bytes, resident {} bytes",
                cache.state_bytes(),
                turns::resident_bytes().unwrap_or(0)
            );
        }
    }
    Ok(())
}

/// State and resident memory of a cache of very many classes, all of which hold something.
#[expect(clippy::print_stdout, reason = "the figures are what this program is for")]
fn many_classes(name: &str, preset: Preset) -> Result<()> {
    const MANY: usize = 10_000;
    let before = turns::resident_bytes().unwrap_or(0);
    let (descriptors, logits) = stream(64, MANY);
    let mut cache = begun(preset, MANY)?;
    // Every class is the best of one sample in turn.
    for from in (0..MANY as i64).step_by(64) {
        let count = 64.min(MANY as i64 - from);
        let best = (Tensor::arange(count, (Kind::Int64, tch::Device::Cpu)) + from).unsqueeze(1);
        let peak = logits.narrow(0, 0, count).scatter_value(1, &best, 30.0);
        let _ = cache.step_descriptors(&descriptors.narrow(0, 0, count), &peak)?;
    }
    println!(
        "skeleton_cache/memory/{name}/C{MANY}: {} entries, state {} bytes, resident {} bytes more than before",
        cache.held().len(),
        cache.state_bytes(),
        turns::resident_bytes().unwrap_or(0).saturating_sub(before)
    );
    Ok(())
}

fn main() -> Result<()> {
    tch::set_num_threads(1);
    for (name, preset) in [("none", Preset::None), ("balanced", Preset::Balanced)] {
        long_stream(name, preset)?;
    }
    many_classes("none", Preset::None)?;
    let mut turns = Turns::start("skeleton_cache.py");
    for classes in CLASSES {
        for batch in BATCHES {
            speed(&mut turns, classes, batch)?;
        }
    }
    Ok(())
}
