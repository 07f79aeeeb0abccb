//! What `szar predict` adds to the model's own time, per window of a stream.
//!
//! Trains the quickstart (little: times do not depend on how well), then feeds a stream of frames as JSON lines, a window every
//! frame and one every eighth. Prints the mean milliseconds in encoder, aligner and adapter, and the rest: reading the lines,
//! the ring of frames, preprocessing, the posterior. What bounds the rest: reading the numbers of the lines.

#![expect(clippy::print_stdout, reason = "a benchmark prints its numbers")]

use std::path::Path;
use std::time::{Duration, Instant};

use szar_core::progress::Silent;
use szar_core::{Cancel, config};
use szar_runner::predict::{FinishedRun, FrameStream, Line, PredictOptions, Predictor, Spacing};
use szar_runner::{RunOptions, SAVE_EVERY};

const JOINTS: usize = 25;
const FRAMES: usize = 48;
const WINDOWS: usize = 200;

const SETTINGS: [&str; 5] = [
    "encoder.train.epochs=1",
    "aligner.epochs=1",
    "dataset.samples_per_class=8",
    "threads=1",
    "precision=f32",
];

/// A body that sways, as lines.
fn lines(count: usize) -> Vec<Line> {
    let joint = |t: usize, j: usize| {
        let (t, j) = (t as f64, j as f64);
        let sway = (t * 0.2 + j).sin() * 0.1;
        [j.sin() * 0.4 + sway, j * 0.06, 3.0 + sway]
    };
    (0..count)
        .map(|t| {
            let joints: Vec<_> = (0..JOINTS).map(|j| joint(t, j)).collect();
            Line {
                number: t as u64 + 1,
                text: serde_json::json!({ "joints": joints }).to_string().into_bytes(),
                ended: true,
            }
        })
        .collect()
}

fn train(out: &Path) {
    let file = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../configs/quickstart.yaml"));
    let output = format!("output={}", out.display());
    let settings = SETTINGS.into_iter().map(str::to_owned).chain([output]);
    let settings: Vec<String> = settings.collect();
    let resolved = config::load(file, &settings).expect("a pipeline");
    let options = RunOptions {
        out: Some(out.join("run")),
        fresh: false,
        resume: false,
        record: false,
        save_every: SAVE_EVERY,
        progress: &Silent,
        cancel: &Cancel::default(),
    };
    szar_runner::run(&resolved, &options).expect("a run");
}

/// Seconds in encoder, aligner and adapter, and the rest.
fn play(run: &Path, stride: usize) -> [Duration; 4] {
    let run = FinishedRun::open(run).expect("a finished run");
    let mut predictor = Predictor::open(run, &PredictOptions::default()).expect("a model");
    let spacing = Spacing {
        window: FRAMES,
        stride,
    };
    let lines = lines(FRAMES + (WINDOWS - 1) * stride);
    let mut stream = FrameStream::new(&mut predictor, "bench", spacing);
    for line in &lines[..FRAMES - 1] {
        stream.feed(line).expect("a frame");
    }
    let mut spent = [Duration::ZERO; 4];
    let started = Instant::now();
    let mut windows = 0;
    for line in &lines[FRAMES - 1..] {
        let answer = stream.feed(line).expect("a frame");
        let times = answer.and_then(|a| a.prediction).map(|p| p.times);
        if let Some(times) = times {
            windows += 1;
            let adapt = times.adapt.unwrap_or_default();
            for (sum, time) in spent.iter_mut().zip([times.encode, times.score, adapt]) {
                *sum += time;
            }
        }
    }
    assert_eq!(windows, WINDOWS);
    spent[3] = started.elapsed().saturating_sub(spent[..3].iter().sum());
    spent
}

fn main() {
    let folder = tempfile::tempdir().expect("a folder");
    tch::set_num_threads(1);
    train(folder.path());
    for stride in [1, 8] {
        let spent = play(&folder.path().join("run"), stride);
        for (what, time) in ["encode", "score", "adapt", "the rest"].into_iter().zip(spent) {
            let each = time.as_secs_f64() * 1e3 / WINDOWS as f64;
            println!("predict/{what}/T{FRAMES}_stride{stride} {each:8.3} ms a window");
        }
    }
}
