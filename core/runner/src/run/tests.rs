//! Whole runs in small: stopped inside a stream and resumed.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use szar_core::config;
use szar_core::progress::Silent;

use super::*;

const SMALL: [&str; 9] = [
    "dataset.samples_per_class=5",
    "preprocess.frames=12",
    "encoder.base_channels=8",
    "encoder.train.epochs=1",
    "aligner.epochs=1",
    "aligner.hidden=16",
    "threads=1",
    "stream.batch=3",
    "stream.streams=2",
];

/// Asks to stop when a stage has got so far; remembers the stages.
struct StopAt {
    stage: String,
    done: u64,
    cancel: Cancel,
    inside: AtomicBool,
    stages: std::sync::Mutex<Vec<String>>,
}

impl StopAt {
    fn new(stage: &str, done: u64) -> Self {
        Self {
            stage: stage.to_owned(),
            done,
            cancel: Cancel::default(),
            inside: AtomicBool::new(false),
            stages: Default::default(),
        }
    }
}

impl Progress for StopAt {
    fn begin(&self, stage: &str, _: u64) {
        self.inside.store(stage == self.stage, Ordering::Relaxed);
        self.stages.lock().unwrap().push(stage.to_owned());
    }

    fn advance(&self, done: u64, _: &str) {
        if self.inside.load(Ordering::Relaxed) && done >= self.done {
            self.cancel.request();
        }
    }

    fn end(&self) {
        self.inside.store(false, Ordering::Relaxed);
    }
}

fn resolve(output: &Path, more: &[&str]) -> Resolved {
    let mut set: Vec<String> = SMALL.iter().chain(more).map(|s| (*s).to_owned()).collect();
    set.push(format!("output={}", output.display()));
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../configs/quickstart.yaml");
    config::load(Path::new(file), &set).unwrap()
}

fn options<'a>(out: &Path, progress: &'a dyn Progress, cancel: &'a Cancel) -> RunOptions<'a> {
    RunOptions {
        out: Some(out.to_owned()),
        fresh: false,
        resume: false,
        record: true,
        save_every: SAVE_EVERY,
        progress,
        cancel,
    }
}

/// Report (without what differs from run to run) and predictions.
fn left(out: &Path) -> (serde_json::Value, Vec<u8>) {
    let text = std::fs::read(out.join("report.json")).unwrap();
    let mut report: serde_json::Value = serde_json::from_slice(&text).unwrap();
    report.as_object_mut().unwrap().remove("performance");
    (report, std::fs::read(out.join("predictions.csv")).unwrap())
}

const CHAIN: &str =
    "adapters=[{type: skeleton-cache, capacity: 3}, {type: skeleton-cache, capacity: 2, alpha: 1}]";

#[test]
fn a_stream_that_was_stopped_goes_on_bit_for_bit() {
    let folder = tempfile::tempdir().unwrap();
    let resolved = resolve(folder.path(), &[CHAIN]);
    let never = Cancel::default();
    let whole = folder.path().join("whole");
    run(&resolved, &options(&whole, &Silent, &never)).unwrap();
    for (name, stage, save_every) in [
        ("second", "zsl: skeleton-cache", SAVE_EVERY),
        ("gzsl", "gzsl: skeleton-cache", Duration::ZERO),
    ] {
        let out = folder.path().join(name);
        let stop = StopAt::new(stage, 7);
        let begun = RunOptions {
            save_every,
            ..options(&out, &stop, &stop.cancel)
        };
        assert!(matches!(run(&resolved, &begun).unwrap_err(), Error::Cancelled));
        assert!(!out.join("report.json").exists());
        let setting = stage.split(':').next().unwrap();
        let file = out.join(format!("checkpoints/stream-{setting}-0.safetensors"));
        assert!(file.exists());
        let again = StopAt::new("never", 0);
        let resumed = RunOptions {
            resume: true,
            save_every,
            ..options(&out, &again, &never)
        };
        run(&resolved, &resumed).unwrap();
        assert_eq!(left(&out), left(&whole));
        assert!(!file.exists(), "a finished run needs no checkpoint");
        let played = again
            .stages
            .lock()
            .unwrap()
            .iter()
            .filter(|s| *s == "zsl: skeleton-cache")
            .count();
        // With every step saved, the zsl streams that were through are not played again.
        assert_eq!(played, if save_every.is_zero() { 0 } else { 2 });
    }
}

#[test]
fn a_stream_of_another_run_is_refused_by_file_and_reason() {
    let folder = tempfile::tempdir().unwrap();
    let stopped = |name: &str, more: &[&str]| {
        let resolved = resolve(folder.path(), more);
        let (out, stop) = (folder.path().join(name), StopAt::new("zsl: skeleton-cache", 3));
        assert!(run(&resolved, &options(&out, &stop, &stop.cancel)).is_err());
        (resolved, out)
    };
    let (_, other) = stopped("other", &["adapters.0.alpha=2"]);
    let (resolved, out) = stopped("own", &[]);
    let file = "checkpoints/stream-zsl-0.safetensors";
    std::fs::copy(other.join(file), out.join(file)).unwrap();
    let never = Cancel::default();
    let error = run(&resolved, &options(&out, &Silent, &never)).unwrap_err();
    let text = error.to_string();
    assert!(error.is_input() && text.contains(file), "{text}");
    assert!(
        text.contains("its configuration is") && text.contains("--fresh"),
        "{text}"
    );
    // A damaged file is named as well.
    std::fs::write(out.join(file), b"nothing of the kind").unwrap();
    let text = run(&resolved, &options(&out, &Silent, &never))
        .unwrap_err()
        .to_string();
    assert!(text.contains(file) && text.contains("--fresh"), "{text}");
    let fresh = RunOptions {
        fresh: true,
        ..options(&out, &Silent, &never)
    };
    run(&resolved, &fresh).unwrap();
}

#[test]
fn resume_wants_an_unfinished_run() {
    let folder = tempfile::tempdir().unwrap();
    let resolved = resolve(folder.path(), &["evaluate=[zsl]", "gate=null"]);
    let (out, never) = (folder.path().join("run"), Cancel::default());
    let resume = || RunOptions {
        resume: true,
        ..options(&out, &Silent, &never)
    };
    let text = run(&resolved, &resume()).unwrap_err().to_string();
    assert!(
        text.contains("nothing to resume") && text.contains("hint"),
        "{text}"
    );
    assert!(!out.exists(), "nothing was touched");
    run(&resolved, &options(&out, &Silent, &never)).unwrap();
    let text = run(&resolved, &resume()).unwrap_err().to_string();
    assert!(text.contains("finished"), "{text}");
}

#[test]
fn runs_that_differ_in_their_adapters_share_encoder_and_aligner() {
    let folder = tempfile::tempdir().unwrap();
    let never = Cancel::default();
    let reused = |name: &str, more: &[&str]| -> Vec<(String, bool)> {
        let out = folder.path().join(name);
        let outcome = run(&resolve(folder.path(), more), &options(&out, &Silent, &never)).unwrap();
        let training = outcome
            .report
            .performance
            .into_iter()
            .filter(|s| s.name.ends_with("training"));
        training.map(|s| (s.name, s.reused)).collect()
    };
    let want = |encoder, aligner| {
        vec![
            ("encoder training".to_owned(), encoder),
            ("aligner training".to_owned(), aligner),
        ]
    };
    assert_eq!(reused("cached", &[]), want(false, false));
    assert_eq!(reused("plain", &["adapters=[]"]), want(true, true));
    assert_eq!(reused("longer", &["aligner.epochs=2"]), want(true, false));
    assert_eq!(reused("seed", &["seed=6"]), want(false, false));
}

/// Whatever an adapter keeps between two steps is in its snapshot.
#[test]
fn every_adapter_goes_on_bit_for_bit() {
    let folder = tempfile::tempdir().unwrap();
    let never = Cancel::default();
    for component in szar_core::registry::all() {
        if component.kind != szar_core::ComponentKind::Adapter {
            continue;
        }
        let name = component.name;
        let adapter = format!("adapters=[{{type: {name}}}]");
        let set = [
            adapter.as_str(),
            "evaluate=[zsl]",
            "stream.batch=4",
            "stream.streams=2",
        ];
        let resolved = resolve(folder.path(), &set);
        let (whole, out) = (
            folder.path().join(format!("{name}-whole")),
            folder.path().join(name),
        );
        run(&resolved, &options(&whole, &Silent, &never)).unwrap_or_else(|e| panic!("{name}: {e}"));
        let stop = StopAt::new(&format!("zsl: {name}"), 12);
        let stopped = run(&resolved, &options(&out, &stop, &stop.cancel));
        assert!(matches!(stopped.unwrap_err(), Error::Cancelled), "{name}");
        run(&resolved, &options(&out, &Silent, &never)).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(left(&out), left(&whole), "{name}");
    }
}

mod composability;
mod gates;
