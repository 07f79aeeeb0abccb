//! What an author does: the commands of the tutorial, and `szar plugin check` on the examples.

use std::path::{Path, PathBuf};
use std::process::Command as Process;

use szar_tests::{refused, stdout};

use crate::{library, szar};

/// The blocks of shell commands in the tutorial.
fn blocks() -> Vec<String> {
    let text = std::fs::read_to_string(szar_tests::root().join("plugins/README.md")).expect("the tutorial");
    let blocks = text.split("```sh\n").skip(1);
    blocks
        .map(|b| b.split("```").next().unwrap_or_default().to_owned())
        .collect()
}

/// The folder where cargo builds this workspace, and that profile's folder in it.
fn target() -> (PathBuf, PathBuf) {
    let exe = std::env::current_exe().expect("the test's own path");
    let profile = exe
        .parent()
        .and_then(Path::parent)
        .expect("target/PROFILE/deps")
        .to_owned();
    (profile.parent().expect("target").to_owned(), profile)
}

/// Runs commands in `folder` with `szar` on the path.
fn shell(folder: &Path, commands: &str) -> (bool, String) {
    let bin = folder.join(".bin");
    std::fs::create_dir_all(&bin).expect("a folder");
    let link = bin.join("szar");
    if !link.exists() {
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_szar-under-test"), &link).expect("a link");
    }
    let path = std::env::var("PATH").unwrap_or_default();
    let output = Process::new("sh")
        .args(["-ec", commands])
        .current_dir(folder)
        .env("PATH", format!("{}:{path}", bin.display()))
        .env("NO_COLOR", "1")
        .env_remove("CARGO_TARGET_DIR")
        .env_remove("LIBTORCH")
        .output()
        .expect("a shell");
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    (output.status.success(), text)
}

/// The commands as they stand in the tutorial, except that the project is built with the profile and in the folder of this
/// workspace, so that libtorch's bindings are not compiled once more.
#[test]
fn the_tutorial_in_rust_works_from_an_empty_folder() {
    let commands = blocks()
        .into_iter()
        .find(|b| b.contains("cargo build --release"))
        .expect("a block");
    let (target, profile) = target();
    let profile = profile
        .file_name()
        .expect("a name")
        .to_string_lossy()
        .into_owned();
    let shared = format!(
        "cd demo\nln -s '{}' target\nsed -i 's#target/release#target/{profile}#' pipeline.yaml\n",
        target.display()
    );
    let commands = commands
        .replace("cd demo\n", &shared)
        .replace(
            "cargo build --release",
            "cargo build --offline && cargo test --offline",
        )
        .replace("target/release", &format!("target/{profile}"))
        .replace(
            &format!("s#target/{profile}#target/{profile}#"),
            &format!("s#target/release#target/{profile}#"),
        );
    let folder = tempfile::tempdir().expect("a folder");
    let (success, text) = shell(folder.path(), &commands);
    assert!(success, "{text}");
    assert!(text.contains("10 ok, 0 skipped, 0 broken"), "{text}");
    assert!(text.contains("3 passed; 0 failed"), "{text}");
    assert!(text.contains("run folder: "), "{text}");
}

#[test]
fn the_tutorial_in_cpp_works_from_an_empty_folder() {
    if Process::new("c++").arg("--version").output().is_err()
        || Process::new("make").arg("-v").output().is_err()
    {
        eprintln!("skipped: there is no `c++` or no `make` here");
        return;
    }
    let commands = blocks()
        .into_iter()
        .find(|b| b.contains("--lang cpp"))
        .expect("a block");
    let folder = tempfile::tempdir().expect("a folder");
    let (success, text) = shell(folder.path(), &commands);
    assert!(success, "{text}");
    assert!(text.contains(" ok, 0 skipped, 0 broken"), "{text}");
    assert!(text.contains("run folder: "), "{text}");
}

#[test]
fn the_examples_keep_what_they_promise() {
    for (name, expected) in [
        ("adapter", "10 ok, 0 skipped, 0 broken"),
        ("aligner", "12 ok, 0 skipped, 0 broken"),
        ("data", "24 ok, 0 skipped, 0 broken"),
        ("encoder", "10 ok, 0 skipped, 0 broken"),
    ] {
        let mut command = szar();
        command.args(["plugin", "check"]).arg(library(name));
        let text = stdout(&mut command);
        assert!(text.contains(expected), "{text}");
    }
}

#[test]
fn bad_requests_of_authors_are_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let new = |args: &[&str]| {
        let mut command = szar();
        command
            .current_dir(folder.path())
            .args(["plugin", "new"])
            .args(args);
        command
    };
    let text = refused(&mut new(&["Demo", "--kind", "adapter"]), 2);
    assert!(text.contains("`Demo` is no name for a plugin"), "{text}");
    let text = refused(&mut new(&["skeleton-cache", "--kind", "adapter"]), 2);
    assert!(
        text.contains("szar itself has adapter `skeleton-cache`"),
        "{text}"
    );
    let text = refused(&mut new(&["demo", "--kind", "adapter", "--szar", "/nowhere"]), 2);
    assert!(text.contains("/nowhere holds no sources of szar"), "{text}");
    std::fs::create_dir(folder.path().join("full")).expect("a folder");
    std::fs::write(folder.path().join("full/x"), "").expect("a file");
    let text = refused(&mut new(&["full", "--kind", "encoder"]), 2);
    assert!(text.contains("full is there already"), "{text}");
    let mut check = szar();
    check
        .args(["plugin", "check"])
        .arg(library("adapter"))
        .args(["--options", "{\"running-men\": {}}"]);
    let text = refused(&mut check, 2);
    assert!(text.contains("did you mean `running-mean`?"), "{text}");
}
