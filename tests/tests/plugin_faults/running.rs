//! Components that misbehave while a pipeline runs.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use super::{ends, faulty, from_c, szar};

/// A pipeline of parts that need no training, into `output`; each part as a YAML map.
fn pipeline(plugins: &[&Path], output: &Path, encoder: &str, aligner: &str, adapter: &str) -> String {
    let configs = szar_tests::root().join("configs");
    let plugins: Vec<_> = plugins.iter().map(|p| p.display().to_string()).collect();
    format!(
        "name: faults
plugins: [{}]
dataset: {{type: procedural, samples_per_class: 4}}
preprocess: {{frames: 16}}
encoder: {encoder}
semantics:
  type: descriptions
  file: {configs}/semantics/procedural_descriptions.json
  embeddings: {configs}/embeddings/minilm-l6-v2.safetensors
aligner: {aligner}
adapters: [{adapter}]
stream: {{batch: 8}}
threads: 1
output: {}
",
        plugins.join(", "),
        output.display(),
        configs = configs.display(),
    )
}

const ENCODER: &str = "{type: faulty-encoder}";
const ALIGNER: &str = "{type: faulty-aligner}";

fn rust_pipeline(output: &Path, encoder: &str, aligner: &str, adapter: &str) -> String {
    pipeline(&[&faulty()], output, encoder, aligner, adapter)
}

fn write(folder: &Path, name: &str, text: &str) -> PathBuf {
    let path = folder.join(format!("{name}.yaml"));
    std::fs::write(&path, text).expect("written");
    path
}

/// The only run folder below `output`.
fn run_dir(output: &Path) -> PathBuf {
    let entries = std::fs::read_dir(output).expect("the output folder exists");
    let mut dirs = entries.flatten().map(|e| e.path());
    dirs.find(|p| !p.ends_with(".trained") && !p.ends_with(".features"))
        .expect("a run folder")
}

fn predictions(output: &Path) -> String {
    std::fs::read_to_string(run_dir(output).join("predictions.csv")).expect("predictions")
}

/// What a run without any fault predicts.
fn sound() -> &'static str {
    static SOUND: OnceLock<String> = OnceLock::new();
    SOUND.get_or_init(|| {
        let folder = tempfile::tempdir().expect("a folder");
        let output = folder.path().join("out");
        let text = rust_pipeline(&output, ENCODER, ALIGNER, "{type: faulty}");
        ends(szar().arg("run").arg(write(folder.path(), "sound", &text)), 0);
        predictions(&output)
    })
}

/// Faults of adapters, and what is said of each; nothing where the results are to be those of a sound one.
const ADAPTER: [(&str, &str); 26] = [
    ("build-fails", "build: this adapter cannot be built"),
    ("build-panics", "build: panicked: building panicked"),
    ("begin-fails", "begin: this adapter does not begin"),
    ("step-fails", "step: this step fails"),
    ("step-panics", "step: panicked: this step panics"),
    ("step-panics-for-ever", "step: panicked: no message"),
    (
        "fewer-samples",
        "step: `result` has shape [7, 6], expected [8, 6]",
    ),
    (
        "fewer-classes",
        "step: `result` has shape [8, 5], expected [8, 6]",
    ),
    ("flat", "step: `result` has shape [48], expected [8, 6]"),
    (
        "integers",
        "step: gave values of kind Int64, expected floating point",
    ),
    ("undefined", "step: gave an empty handle"),
    ("sparse", "step: gave a tensor without values in plain memory"),
    (
        "writes-features",
        "step: wrote into `features`, which was only lent",
    ),
    ("writes-scores", "step: wrote into `scores`, which was only lent"),
    (
        "writes-anchors",
        "step: wrote into `anchors`, which was only lent",
    ),
    (
        "writes-aligner",
        "step: wrote into `projection of the aligner`, which was only lent",
    ),
    ("learns", "step: changed `requires_grad` of `features`"),
    ("doubles", ""),
    ("keeps", ""),
    ("seeds", ""),
    ("leaves-gradients", ""),
    ("drop-panics", ""),
    ("diagnostics-panic", ""),
    ("anchors-misshapen", ""),
    ("snapshot-fails", ""),
    ("snapshot-nameless", ""),
];

#[test]
fn one_process_survives_every_fault_of_an_adapter() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = szar();
    command.arg("run");
    for (fault, _) in ADAPTER {
        let adapter = format!("{{type: faulty, after: 1, fault: {fault}}}");
        let text = rust_pipeline(&folder.path().join(fault), ENCODER, ALIGNER, &adapter);
        command.arg(write(folder.path(), fault, &text));
    }
    let (said, _) = ends(&mut command, 1);
    for (fault, part) in ADAPTER {
        let output = folder.path().join(fault);
        if part.is_empty() {
            assert_eq!(predictions(&output), sound(), "{fault}");
            continue;
        }
        let part = format!("plugin `faulty`, adapter `faulty`, {part}");
        assert!(said.contains(&part), "{fault}: `{part}` in\n{said}");
        let dir = run_dir(&output);
        for kept in ["encoder.safetensors", "aligner.safetensors"] {
            assert!(dir.join(kept).exists(), "{fault}: {kept} is lost");
        }
        assert!(!dir.join("report.json").exists(), "{fault}: there is a report");
    }
    for part in [
        "an object panicked while it was dropped",
        "diagnostics: panicked: the diagnostics panicked",
        "moved_anchors: `result` has shape [2, 2], expected [_, 6, 8, 384]",
    ] {
        assert!(said.contains(part), "`{part}` in\n{said}");
    }
}

#[test]
fn one_process_survives_every_fault_of_encoders_and_aligners() {
    let encoders = [
        ("spec-panics", "spec: panicked: saying what it gives panicked"),
        (
            "features-misshapen",
            "encode: gave features of shape [120, 2, 1, 1], its spec says [_, 3, 1, 1]",
        ),
        (
            "no-logits",
            "encode: gave no tensor `logits`, its spec says that it classifies",
        ),
        ("encode-panics", "encode: panicked: encoding panicked"),
        (
            "writes-joints",
            "encode: wrote into `joints`, which was only lent",
        ),
        (
            "features-integers",
            "encode: gave values of kind Int, expected floating point",
        ),
        ("state-panics", "state: panicked: the weights cannot be read"),
    ];
    let aligners = [
        ("fit-fails", "fit: this training fails"),
        ("fit-panics", "fit: panicked: training panicked"),
        (
            "fit-writes-features",
            "fit: wrote into `train/features`, which was only lent",
        ),
        ("score-panics", "score: panicked: scoring panicked"),
        (
            "scores-fewer-classes",
            "score: `result` has shape [8, 1], expected [8, 6]",
        ),
        (
            "scoring-writes-anchors",
            "score: wrote into `anchors`, which was only lent",
        ),
        ("weights-panic", "state: panicked: the weights cannot be read"),
        ("weights-nameless", "state: gave a tensor without a name"),
    ];
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = szar();
    command.arg("run");
    for (kind, faults) in [("encoder", &encoders[..]), ("aligner", &aligners[..])] {
        for (fault, _) in faults {
            let part = format!("{{type: faulty-{kind}, fault: {fault}}}");
            let (encoder, aligner) = match kind {
                "encoder" => (part.as_str(), ALIGNER),
                _ => (ENCODER, part.as_str()),
            };
            let text = rust_pipeline(&folder.path().join(fault), encoder, aligner, "{type: none}");
            command.arg(write(folder.path(), fault, &text));
        }
    }
    let (said, _) = ends(&mut command, 1);
    for (kind, faults) in [("encoder", &encoders[..]), ("aligner", &aligners[..])] {
        for (fault, part) in faults {
            let part = format!("plugin `faulty`, {kind} `faulty-{kind}`, {part}");
            assert!(said.contains(&part), "{fault}: `{part}` in\n{said}");
            let dir = run_dir(&folder.path().join(fault));
            assert!(!dir.join("report.json").exists(), "{fault}: there is a report");
            // What was trained before the fault is kept; what could not be saved does not look saved.
            assert_eq!(
                dir.join("encoder.safetensors").exists(),
                !matches!(*fault, "spec-panics" | "state-panics")
            );
        }
    }
}

#[test]
fn one_process_survives_every_fault_of_a_c_plugin() {
    let Some(file) = from_c("old") else { return };
    let faults = [
        ("none", ""),
        ("build-silent", "build: failed without a reason"),
        ("build-null", "build: gave null instead of an object"),
        ("step-nothing", "step: gave no tensor `logits`"),
        ("step-status", "step: returned the unknown status 4711"),
        ("step-stops", "step: stopped, though nobody asked it to"),
        ("step-unsupported", "step: is not supported"),
        ("step-silent", "step: failed without a reason"),
        ("step-reason", "step: a reason that is not UTF-8"),
        ("step-lent", "step: gave away a handle that was only lent to it"),
        ("step-meta", "step: gave a tensor without values in plain memory"),
        ("step-kind", "step: gave values of an unknown kind"),
        ("step-null", "step: gave null instead of a tensor"),
        ("step-name", "step: gave a tensor whose name is not UTF-8"),
        ("step-twice", "step: gave one handle twice"),
    ];
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = szar();
    command.arg("run");
    for (fault, _) in faults {
        let adapter = format!("{{type: old, fault: {fault}}}");
        let output = folder.path().join(fault);
        let text = pipeline(&[&faulty(), &file], &output, ENCODER, ALIGNER, &adapter);
        command.arg(write(folder.path(), fault, &text));
    }
    let (said, _) = ends(&mut command, 1);
    assert_eq!(predictions(&folder.path().join("none")), sound());
    for (fault, part) in &faults[1..] {
        let part = format!("plugin `old`, adapter `old`, {part}");
        assert!(said.contains(&part), "{fault}: `{part}` in\n{said}");
    }
}

#[test]
fn options_are_refused_with_their_place() {
    let rust = [
        // What the schema refuses: all of it, with a hint.
        ("{type: faulty, digitz: 1, after: many}", "did you mean `digits`?"),
        ("{type: faulty, digitz: 1}", "2.yaml:11:27"),
        ("{type: faulty, fault: nap}", "3.yaml:11:"),
        // What the schema allows and the plugin does not.
        (
            "{type: faulty, digits: abc}",
            "configure: `abc` is not made of digits\n  at ",
        ),
        ("{type: faulty, digits: a}", "5.yaml:11:12, `adapters[0]`"),
        (
            "{type: faulty, fault: validate-panics}",
            "validate: panicked: the check of the options panicked",
        ),
    ];
    let c = [
        (
            "{type: old, fault: configure-fails}",
            "configure: these options are not to my taste",
        ),
        (
            "{type: old, fault: configure-null}",
            "configure: gave null instead of a configuration",
        ),
        ("{type: old, fault: no-options}", "options: has no such method"),
        (
            "{type: old, fault: validate-status}",
            "validate: returned the unknown status -5",
        ),
        (
            "{type: old, fault: validate-json}",
            "validate: gave JSON that cannot be read",
        ),
        (
            "{type: old, fault: facts}",
            "facts: gave JSON that cannot be read",
        ),
    ];
    let folder = tempfile::tempdir().expect("a folder");
    let (rust_file, c_file) = (faulty(), from_c("old"));
    let (mut plugins, mut cases) = (vec![rust_file.as_path()], rust.to_vec());
    if let Some(file) = &c_file {
        plugins.push(file);
        cases.extend(c);
    }
    let mut command = szar();
    command.arg("check");
    for (number, (adapter, _)) in cases.iter().enumerate() {
        let text = pipeline(&plugins, folder.path(), ENCODER, ALIGNER, adapter);
        command.arg(write(folder.path(), &(number + 1).to_string(), &text));
    }
    let (said, _) = ends(&mut command, 2);
    for (adapter, part) in cases {
        assert!(said.contains(part), "{adapter}: `{part}` in\n{said}");
    }
}

const CHANGING: &str = "{type: faulty, after: 1, fault: environment}";

#[test]
fn a_run_that_failed_in_a_plugin_goes_on_when_the_plugin_behaves() {
    let folder = tempfile::tempdir().expect("a folder");
    let output = folder.path().join("out");
    let path = write(
        folder.path(),
        "p",
        &rust_pipeline(&output, ENCODER, ALIGNER, CHANGING),
    );
    let (said, _) = ends(
        szar()
            .env("SZAR_EXAMPLE_FAULT", "step-panics")
            .arg("run")
            .arg(&path),
        1,
    );
    assert!(said.contains("step: panicked: this step panics"), "{said}");
    let trained = |name| {
        std::fs::metadata(run_dir(&output).join(name))
            .and_then(|m| m.modified())
            .ok()
    };
    let before = trained("aligner.safetensors");
    assert!(before.is_some());
    ends(szar().args(["run", "--resume"]).arg(&path), 0);
    assert_eq!(trained("aligner.safetensors"), before, "it was trained again");
    assert_eq!(predictions(&output), sound());
}

/// A run that is in the second step of a plugin that takes its time there.
fn in_a_slow_step(path: &Path, output: &Path) -> Child {
    let mut program = Command::new(env!("CARGO_BIN_EXE_szar-under-test"));
    let program = program.arg("run").arg(path).env("SZAR_EXAMPLE_FAULT", "slow");
    let quiet = program.stdout(Stdio::null()).stderr(Stdio::null());
    let child = quiet.spawn().expect("it starts");
    let begun = Instant::now();
    while !output.exists() || !run_dir(output).join("aligner.safetensors").exists() {
        assert!(begun.elapsed() < Duration::from_secs(60), "it does not begin");
        std::thread::sleep(Duration::from_millis(20));
    }
    std::thread::sleep(Duration::from_millis(500));
    child
}

fn interrupt(child: &Child) {
    let status = Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status();
    assert!(status.expect("kill runs").success());
}

#[test]
fn a_stream_that_was_stopped_in_a_slow_plugin_goes_on_where_it_was() {
    let folder = tempfile::tempdir().expect("a folder");
    let output = folder.path().join("out");
    let path = write(
        folder.path(),
        "p",
        &rust_pipeline(&output, ENCODER, ALIGNER, CHANGING),
    );
    let mut child = in_a_slow_step(&path, &output);
    interrupt(&child);
    assert_eq!(child.wait().expect("it ends").code(), Some(1));
    let (said, _) = ends(szar().args(["run", "--resume", "-v"]).arg(&path), 0);
    assert!(said.contains("goes on inside its stream"), "{said}");
    assert_eq!(predictions(&output), sound());
}

#[test]
fn a_plugin_that_does_not_return_is_left_by_a_second_signal() {
    let folder = tempfile::tempdir().expect("a folder");
    let output = folder.path().join("out");
    let path = write(
        folder.path(),
        "p",
        &rust_pipeline(&output, ENCODER, ALIGNER, CHANGING),
    );
    let mut child = in_a_slow_step(&path, &output);
    interrupt(&child);
    std::thread::sleep(Duration::from_millis(200));
    interrupt(&child);
    assert_eq!(child.wait().expect("it ends").code(), Some(130));
    ends(szar().args(["run", "--resume"]).arg(&path), 0);
    assert_eq!(predictions(&output), sound());
}

#[test]
fn a_thread_that_outlives_the_run_does_not_spoil_its_end() {
    let folder = tempfile::tempdir().expect("a folder");
    let text = rust_pipeline(
        folder.path(),
        ENCODER,
        ALIGNER,
        "{type: faulty, fault: leaves-thread}",
    );
    let path = write(folder.path(), "thread", &text);
    for round in 0..3 {
        let output = folder.path().join(round.to_string());
        let set = format!("output={}", output.display());
        ends(szar().args(["run", "--set", &set]).arg(&path), 0);
        assert_eq!(predictions(&output), sound());
    }
}
