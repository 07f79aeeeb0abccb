//! `szar semantics`.

mod generate;
mod server;
mod vectors;

use std::path::{Path, PathBuf};

use assert_cmd::Command;
use tempfile::TempDir;

/// A folder with a cache of its own.
struct Bench {
    folder: TempDir,
}

impl Bench {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().expect("a folder"),
        }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A file with this text.
    fn file(&self, name: &str, text: &str) -> PathBuf {
        std::fs::write(self.at(name), text).expect("written");
        self.at(name)
    }

    /// `szar semantics ...`, with nothing of this machine's network settings.
    fn command(&self, subcommand: &str) -> Command {
        let mut command = crate::szar();
        for name in [
            "http_proxy",
            "https_proxy",
            "all_proxy",
            "HTTP_PROXY",
            "HTTPS_PROXY",
            "ALL_PROXY",
        ] {
            command.env_remove(name);
        }
        command
            .env_remove("OPENAI_API_KEY")
            .env("SZAR_CACHE", self.at("cache"));
        command.args(["semantics", subcommand]);
        command
    }
}

fn json(path: &Path) -> serde_json::Value {
    let text = std::fs::read_to_string(path).expect("a file");
    serde_json::from_str(&text).expect("JSON")
}

/// What a command says on stderr that ends with this code.
fn says(command: &mut Command, code: i32) -> String {
    let assert = command.assert().code(code);
    String::from_utf8_lossy(&assert.get_output().stderr).into_owned()
}

#[test]
fn words_are_split_for_a_list_and_for_a_pipeline() {
    let bench = Bench::new();
    let list = bench.file("list.txt", "drinking water\nreading\nyoga\n");
    let err = says(
        bench
            .command("words")
            .arg(&list)
            .args(["--out"])
            .arg(bench.at("w.json")),
        1,
    );
    assert!(
        err.contains("no verb in 1 names") && err.contains("  yoga"),
        "{err}"
    );
    let words = json(&bench.at("w.json"));
    assert_eq!(
        words["drinking water"],
        serde_json::json!({"verb": "drink", "noun": "water"})
    );
    assert_eq!(
        words["reading"],
        serde_json::json!({"verb": "read", "noun": null})
    );
    assert_eq!(words["yoga"]["verb"], serde_json::Value::Null);
    let err = says(
        bench
            .command("words")
            .arg(&list)
            .arg("--out")
            .arg(bench.at("w.json")),
        2,
    );
    assert!(err.contains("is there already"), "{err}");

    let pipeline = says(
        bench
            .command("words")
            .args(["configs/quickstart.yaml", "--out"])
            .arg(bench.at("p.json")),
        0,
    );
    assert!(pipeline.contains("30 classes"), "{pipeline}");
    let dataset = bench.file("d.yaml", "dataset: {type: procedural}\n");
    says(
        bench
            .command("words")
            .arg(dataset)
            .arg("--out")
            .arg(bench.at("d.json")),
        0,
    );
    assert_eq!(json(&bench.at("d.json")), json(&bench.at("p.json")));
}
