//! Every gate in a whole run, and the training that some of them ask for.

use super::*;

/// As few samples as leave validation samples and held-out ones.
const GATED: [&str; 5] = [
    "evaluate=[gzsl]",
    "adapters=[]",
    "validation.fraction=0.3",
    "encoder.base_channels=4",
    "aligner.hidden=8",
];

fn gated(output: &Path, gate: &str) -> Resolved {
    let gate = format!("gate={gate}");
    let set: Vec<&str> = GATED.iter().copied().chain([gate.as_str()]).collect();
    resolve(output, &set)
}

fn go(resolved: &Resolved, out: &Path) -> Result<Report> {
    let never = Cancel::default();
    Ok(run(resolved, &options(out, &Silent, &never))?.report)
}

/// Trainings of a run, and whether they were done earlier.
fn trainings(report: &Report) -> Vec<(&str, bool)> {
    let stages = report.performance.iter();
    let trainings = stages.filter(|s| s.name.ends_with("training"));
    trainings.map(|s| (s.name.as_str(), s.reused)).collect()
}

#[test]
fn every_gate_runs_and_reports_what_it_chose() {
    let folder = tempfile::tempdir().unwrap();
    for (name, gate, constants, open) in [
        ("keep", "{type: entropy}", vec!["threshold"], false),
        (
            "mean",
            "{type: entropy, choose: harmonic_mean}",
            vec!["threshold", "validation_harmonic_mean"],
            true,
        ),
        (
            "stacking",
            "{type: calibrated-stacking}",
            vec!["gamma", "validation_harmonic_mean"],
            true,
        ),
        (
            "fixed",
            "{type: calibrated-stacking, gamma: 0.5, on: probabilities}",
            vec!["gamma"],
            false,
        ),
        (
            "learned",
            "{type: seen-unseen-classifier}",
            vec!["temperature", "threshold", "top", "validation_accuracy"],
            true,
        ),
        ("oracle", "{type: oracle}", vec![], false),
    ] {
        let report = go(&gated(folder.path(), gate), &folder.path().join(name)).unwrap();
        let gzsl = report.gzsl.as_ref().unwrap();
        assert_eq!(gzsl.gate.keys().collect::<Vec<_>>(), constants, "{name}");
        assert_eq!(gzsl.held_out.is_some(), open, "{name}");
        let labelled = report.marks.iter().any(|m| m.uses_test_labels);
        assert_eq!(labelled, name == "oracle", "{name}");
        if name == "oracle" {
            assert_eq!(gzsl.taken_for_seen, [100.0, 0.0]);
            assert_eq!(gzsl.gate_auc, 100.0);
        }
    }
}

#[test]
fn the_held_out_classes_are_seen_ones_and_their_training_is_shared() {
    let folder = tempfile::tempdir().unwrap();
    let first = gated(folder.path(), "{type: seen-unseen-classifier}");
    let report = go(&first, &folder.path().join("first")).unwrap();
    let held = report.gzsl.as_ref().unwrap().held_out.as_ref().unwrap();
    assert_eq!(
        held.classes.len(),
        report.data.unseen.len().min(report.data.seen.len() / 3)
    );
    assert!(held.classes.iter().all(|c| report.data.seen.contains(c)));
    assert!(held.encoder_retrained && held.encoder.is_some() && held.aligner.is_some());
    assert!(held.samples.iter().all(|n| *n > 0));
    let all = |reused| {
        [
            "encoder training",
            "aligner training",
            "gate: encoder training",
            "gate: aligner training",
        ]
        .map(|name| (name, reused))
        .to_vec()
    };
    assert_eq!(trainings(&report), all(false));
    let other = gated(folder.path(), "{type: calibrated-stacking}");
    let again = go(&other, &folder.path().join("second")).unwrap();
    assert_eq!(trainings(&again), all(true));
    let again = again.gzsl.unwrap().held_out.unwrap();
    assert_eq!(again.classes, held.classes);
}

#[test]
fn given_classes_are_held_out_and_the_encoder_is_kept_when_asked() {
    let folder = tempfile::tempdir().unwrap();
    let drawn = go(
        &gated(
            folder.path(),
            "{type: calibrated-stacking, pseudo_unseen: {count: 2}}",
        ),
        &folder.path().join("drawn"),
    )
    .unwrap();
    let names = drawn.gzsl.unwrap().held_out.unwrap().classes;
    assert_eq!(names.len(), 2);
    let list = names.join(", ");
    let gate = format!(
        "{{type: seen-unseen-classifier, pseudo_unseen: {{classes: [{list}], retrain_encoder: false}}}}"
    );
    let report = go(&gated(folder.path(), &gate), &folder.path().join("named")).unwrap();
    let want = ["encoder training", "aligner training", "gate: aligner training"];
    let done: Vec<&str> = trainings(&report).iter().map(|(name, _)| *name).collect();
    assert_eq!(done, want);
    assert!(report.marks.iter().any(|m| m.text.contains("optimistic")));
    let held = report.gzsl.unwrap().held_out.unwrap();
    assert!(!held.encoder_retrained && held.encoder.is_none());
    assert_eq!(held.classes, names);
}

/// What was trained is taken over from the shared store: libtorch's generator is one for all tests of the process.
#[test]
fn the_gates_training_goes_on_where_it_was_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let resolved = gated(folder.path(), "{type: seen-unseen-classifier}");
    let out = folder.path().join("stopped");
    let listen = StopAt::new("gate: features", 1);
    let stopped = run(&resolved, &options(&out, &listen, &listen.cancel));
    assert!(matches!(stopped.unwrap_err(), Error::Cancelled));
    let stages = listen.stages.lock().unwrap().clone();
    assert!(
        stages.iter().filter(|s| s.starts_with("gate: ")).count() >= 2,
        "{stages:?}"
    );
    let kept = out.join("gate-encoder.safetensors");
    let before = std::fs::read(&kept).unwrap();
    // What is shared is gone: the run goes on from its own folder.
    std::fs::remove_dir_all(folder.path().join(".trained")).unwrap();
    let report = go(&resolved, &out).unwrap();
    let done = [
        ("encoder training", true),
        ("aligner training", true),
        ("gate: encoder training", true),
        ("gate: aligner training", false),
    ];
    assert_eq!(trainings(&report), done);
    assert_eq!(std::fs::read(&kept).unwrap(), before);
    // Once more from the parts of that run: the report is the same.
    let again = folder.path().join("again");
    std::fs::create_dir(&again).unwrap();
    for part in ["encoder", "aligner", "gate-encoder", "gate-aligner"] {
        let name = format!("{part}.safetensors");
        std::fs::copy(out.join(&name), again.join(&name)).unwrap();
    }
    go(&resolved, &again).unwrap();
    assert_eq!(left(&again), left(&out));
}

#[test]
fn what_cannot_be_held_out_is_refused_before_anything_is_trained() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |gate: &str| {
        let out = folder.path().join("refused");
        let _ = std::fs::remove_dir_all(&out);
        let error = go(&gated(folder.path(), gate), &out).unwrap_err();
        assert!(!out.join("encoder.safetensors").exists(), "{error}");
        assert!(error.is_input(), "{error}");
        error.to_string()
    };
    let many = refused("{type: calibrated-stacking, pseudo_unseen: {count: 1000}}");
    assert!(
        many.contains("1000 are to be held out") && many.contains("hint"),
        "{many}"
    );
    let never = Cancel::default();
    let few = gated(folder.path(), "{type: calibrated-stacking}");
    let few = few.to_yaml().unwrap().replace("fraction: 0.3", "fraction: 0.001");
    let file = folder.path().join("few.yaml");
    std::fs::write(&file, few).unwrap();
    let few = config::load(&file, &[]).unwrap();
    let error = run(&few, &options(&folder.path().join("few"), &Silent, &never)).unwrap_err();
    assert!(error.to_string().contains("validation.fraction"), "{error}");
    let unknown = refused("{type: calibrated-stacking, pseudo_unseen: {classes: [no such motion]}}");
    assert!(unknown.contains("unknown class `no such motion`"), "{unknown}");
}
