//! `szar semantics embed`.

use super::{Bench, says};

/// Runs where `SZAR_MINILM` names a folder of all-MiniLM-L6-v2.
fn model() -> Option<std::ffi::OsString> {
    let model = std::env::var_os("SZAR_MINILM");
    if model.is_none() {
        eprintln!("skipped: SZAR_MINILM names no folder of all-MiniLM-L6-v2");
    }
    model
}

#[test]
fn names_and_words_are_embedded_once_and_read_by_a_pipeline() {
    let Some(model) = model() else { return };
    let bench = Bench::new();
    let list = bench.file("list.txt", "drinking water\nreading\n");
    let out = bench.at("v.safetensors");
    let embed = |more: &[&str], code: i32| {
        let mut command = bench.command("embed");
        command
            .arg("--classes")
            .arg(&list)
            .arg("--model")
            .arg(&model)
            .arg("--out")
            .arg(&out)
            .args(more);
        says(&mut command, code)
    };
    let err = embed(&[], 2);
    assert!(err.contains("`--names` and `--words`"), "{err}");
    let err = embed(&["--names"], 0);
    assert!(err.contains("2 texts, width 384"), "{err}");
    let before = std::fs::read(&out).expect("a file");
    // drink, water, read, #
    let err = embed(&["--names", "--words", "rules", "--extend"], 0);
    assert!(err.contains("6 texts, width 384, 4 of them new"), "{err}");
    assert_ne!(before, std::fs::read(&out).expect("a file"));
    let err = embed(&["--names", "--words", "rules", "--extend"], 0);
    assert!(err.contains("6 texts, width 384, 0 of them new"), "{err}");
    // The old name of the command.
    let mut command = crate::szar();
    let texts = bench.file("t.txt", "some text\nanother\n");
    command
        .args(["embed", "--texts"])
        .arg(texts)
        .arg("--model")
        .arg(&model)
        .arg("--out")
        .arg(bench.at("t.safetensors"));
    let err = says(&mut command, 0);
    assert!(err.contains("2 texts"), "{err}");
}

#[test]
fn what_cannot_be_embedded_is_refused() {
    let bench = Bench::new();
    let list = bench.file("list.txt", "walk\nyoga\n");
    let mut command = bench.command("embed");
    command
        .arg("--classes")
        .arg(&list)
        .args(["--words", "rules", "--model", "/nowhere", "--out"])
        .arg(bench.at("v"));
    let err = says(&mut command, 2);
    assert!(err.contains("model"), "{err}");
    let err = says(
        bench
            .command("embed")
            .arg("--texts")
            .arg(&list)
            .arg("--out")
            .arg(bench.at("v")),
        2,
    );
    assert!(err.contains("no text encoder"), "{err}");
    let err = says(&mut bench.command("embed"), 2);
    assert!(err.contains("--out"), "{err}");
}

#[test]
fn shipped_configurations_can_ask_for_names_verbs_and_nouns() {
    let bench = Bench::new();
    let texts = "semantics.granularities=[label, verb, noun, global]";
    let mut command = bench.command("embed");
    command.args([
        "--pipeline",
        "configs/quickstart.yaml",
        "--set",
        texts,
        "--set",
        "aligner={type: eszsl}",
    ]);
    let err = says(&mut command, 0);
    assert!(err.contains("vectors of 30 classes"), "{err}");
}
