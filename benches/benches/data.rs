//! Raw NTU recordings against a parser in Python; a store of 100,000 sequences, opened and read; memory of an extraction
//! from few and from many sequences.
//!
//! The recordings are made: 100 frames of one body and of two, with the originals' fields and line ends, read from the page
//! cache by both sides. The store has sequences of 60 frames of 25 joints, one person, 1.8 GB in all: `--sequences N` for
//! another number. What bounds the reading of the store: copies out of the page cache, and their checksums.

#![expect(clippy::print_stdout, reason = "a benchmark prints its numbers")]

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use rayon::prelude::*;
use szar_benches::turns::Turns;
use szar_core::config;
use szar_core::progress::Silent;
use szar_core::{
    Cancel, ClassId, ClassList, ClassSplit, Dataset, DatasetInfo, Error, Result, SampleInfo, SampleRole,
    Sequence,
};
use szar_data::archive::{Stored, import};
use szar_data::readers::ntu;
use szar_data::splits::SplitConfig;
use szar_runner::{RunOptions, SAVE_EVERY};

const JOINTS: usize = 25;
const FRAMES: usize = 60;

/// Numbers that differ, 0 to 1.
fn number(i: usize) -> f32 {
    ((i as f32 * 0.618_034).fract() - 0.5) * 2.0
}

/// A recording of 100 frames.
fn recording(bodies: usize) -> String {
    let mut text = String::from("100\r\n");
    let mut i = 0;
    let mut next = || {
        i += 1;
        number(i)
    };
    for _ in 0..100 {
        let _ = write!(text, "{bodies}\r\n");
        for body in 0..bodies {
            let id = 72_057_594_037_931_101 + body;
            let _ = write!(text, "{id} 0 1 1 1 1 0 {} {} 2\r\n{JOINTS}\r\n", next(), next());
            for _ in 0..JOINTS {
                let fields: Vec<String> = (0..11).map(|_| format!("{:.7}", next())).collect();
                let _ = write!(text, "{} 2\r\n", fields.join(" "));
            }
        }
    }
    text
}

fn parsing(folder: &Path) -> Result<()> {
    let names = [("one", 1), ("two", 2)];
    for (name, bodies) in names {
        let path = folder.join(format!("{name}.skeleton"));
        std::fs::write(&path, recording(bodies)).map_err(|e| Error::write(&path, e))?;
    }
    let mut turns = Turns::start_with("data.py", &[folder.as_os_str()]);
    for (name, bodies) in names {
        let path = folder.join(format!("{name}.skeleton"));
        turns.line(&format!("ntu-rgbd/parse/{name}"), 1, || {
            let bytes = std::fs::read(&path).map_err(|e| Error::read(&path, e))?;
            let raw = ntu::parse::parse(&path, &bytes)?;
            assert_eq!((raw.frames(), raw.bodies()), (100, 100 * bodies));
            Ok(())
        })?;
    }
    Ok(())
}

/// Sequences of one person, made when they are asked for.
struct Made {
    info: DatasetInfo,
    samples: Vec<SampleInfo>,
}

impl Made {
    fn new(count: usize) -> Result<Self> {
        let classes = ClassList::numbered((0..60).map(|i| format!("action {i}")))?;
        let layout = szar_data::layouts::by_name("ntu25")?;
        let sample = |i: usize| SampleInfo {
            name: format!("S{:03}C001P001R001A{:03}-{i}", i / 1000, i % 60),
            class: ClassId((i % 60) as i64),
            subject: Some((i % 40) as i64),
            // Few to train on: what is measured is the rest.
            role: if (i / 60).is_multiple_of(50) {
                SampleRole::Train
            } else {
                SampleRole::Test
            },
            usable: true,
        };
        Ok(Self {
            info: DatasetInfo {
                name: "made".into(),
                layout,
                classes,
                persons: 2,
                synthetic: Some("made for a benchmark".into()),
            },
            samples: (0..count).map(sample).collect(),
        })
    }
}

impl Dataset for Made {
    fn info(&self) -> &DatasetInfo {
        &self.info
    }

    fn samples(&self) -> &[SampleInfo] {
        &self.samples
    }

    fn load(&self, sample: usize) -> Result<Sequence> {
        let one = JOINTS * 3;
        let mut joints = vec![0.0; FRAMES * 2 * one];
        for (frame, both) in joints.chunks_exact_mut(2 * one).enumerate() {
            for (i, value) in both[..one].iter_mut().enumerate() {
                *value = number(sample + frame * one + i) + 1.5;
            }
        }
        Ok(Sequence {
            joints,
            frames: FRAMES,
            persons: 2,
            fps: 30.0,
        })
    }

    fn split(&self) -> Result<ClassSplit> {
        Err(Error::Missing("a split of made sequences".into()))
    }
}

/// Opens and reads a store of that many sequences.
fn store(folder: &Path, count: usize) -> Result<()> {
    let root = folder.join("store");
    let cancel = Cancel::default();
    import(&Made::new(count)?, "made", &root, false, &Silent, &cancel)?;
    let mut times: Vec<f64> = Vec::new();
    for _ in 0..7 {
        let started = Instant::now();
        let stored = Stored::open(&root, SplitConfig::default())?;
        times.push(started.elapsed().as_secs_f64());
        assert_eq!(stored.samples().len(), count);
    }
    times.sort_by(f64::total_cmp);
    println!(
        "store of {count} sequences: opened in {:.3} s (median of 7)",
        times[3]
    );
    let stored = Stored::open(&root, SplitConfig::default())?;
    // What was read from the disk, and what a reader gets: persons that are not there are zeros that were never stored.
    let bytes = (count * FRAMES * JOINTS * 3 * 4) as f64;
    for pass in ["first", "second", "third"] {
        let started = Instant::now();
        let sums: Result<Vec<f32>> = (0..count)
            .into_par_iter()
            .with_min_len(64)
            .map(|i| stored.load(i).map(|s| s.joints[0]))
            .collect();
        let seconds = started.elapsed().as_secs_f64();
        assert_eq!(sums?.len(), count);
        println!(
            "store of {count} sequences, {pass} pass: {:.2} GB/s with {} threads",
            bytes / seconds * 1e-9,
            rayon::current_num_threads()
        );
    }
    Ok(())
}

/// Most memory that this process held, MB.
fn peak() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"));
    let kilobytes = line.and_then(|l| l.trim().trim_end_matches("kB").trim().parse().ok());
    kilobytes.unwrap_or(0.0) / 1024.0
}

/// Extracts features from the first `count` sequences of a store, in a process of its own, since a peak never falls.
fn extraction(folder: &Path, count: &str) -> Result<()> {
    let root = folder.join(format!("few-{count}"));
    let cancel = Cancel::default();
    let number = count
        .parse()
        .map_err(|_| Error::Input(format!("`{count}`: expected a number")))?;
    import(&Made::new(number)?, "made", &root, false, &Silent, &cancel)?;
    let file = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../configs/quickstart.yaml"));
    let settings = [
        format!(
            "dataset={{type: skeleton-store, root: {}, split: {{random: {{unseen: 5, seed: 1}}}}}}",
            root.display()
        ),
        "preprocess={type: standard, frames: 64}".to_owned(),
        "encoder={type: st-gcn, base_channels: 4, features: 32, train: {epochs: 1}}".to_owned(),
        format!("output={}", folder.join(format!("runs-{count}")).display()),
    ];
    let resolved = config::load(file, &settings)?;
    let options = RunOptions {
        out: None,
        fresh: false,
        resume: false,
        record: false,
        save_every: SAVE_EVERY,
        progress: &Silent,
        cancel: &cancel,
    };
    let before = peak();
    let extracted = szar_runner::extract(&resolved, &options, false)?;
    println!(
        "extraction of {count} sequences ({} MB prepared, {} MB of features): most memory {:.0} MB, {:.0} MB before it",
        number * 64 * JOINTS * 3 * 4 / 1_000_000,
        extracted.bytes / 1_000_000,
        peak(),
        before
    );
    Ok(())
}

fn main() -> Result<()> {
    szar_cli::launch::settle();
    let arguments: Vec<String> = std::env::args().collect();
    let after = |name: &str| {
        let at = arguments.iter().position(|a| a == name)?;
        arguments.get(at + 1)
    };
    if let (Some(count), Some(folder)) = (after("--extraction"), after("--in")) {
        return extraction(Path::new(folder), count);
    }
    let count = match after("--sequences") {
        Some(text) => text
            .parse()
            .map_err(|_| Error::Input(format!("--sequences: expected a number, found `{text}`")))?,
        None => 100_000,
    };
    let folder = tempfile::tempdir().map_err(|e| Error::write("a temporary folder", e))?;
    parsing(folder.path())?;
    store(folder.path(), count)?;
    for count in ["16000", "32000"] {
        let program = std::env::current_exe().map_err(|e| Error::read("this program", e))?;
        let run = Command::new(program)
            .args(["--extraction", count, "--in"])
            .arg(folder.path())
            .status();
        let ended = run.map_err(|e| Error::read("this program", e))?;
        assert!(ended.success());
    }
    Ok(())
}
