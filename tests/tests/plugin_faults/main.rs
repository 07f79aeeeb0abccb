//! Plugins that misbehave, met as a user meets them: what is wrong is said with the name of the plugin and of the call,
//! the process ends in order, and what a run had saved is there.

mod inside;
mod loading;
mod running;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use tempfile::TempDir;

/// The program, in the workspace root, with no plugins but those that a test names.
fn szar() -> assert_cmd::Command {
    let mut command = szar_tests::program(env!("CARGO_BIN_EXE_szar-under-test"));
    command.timeout(Duration::from_secs(60));
    command
}

/// A place that is not there.
fn nowhere() -> PathBuf {
    std::env::temp_dir().join("szar-no-data-here")
}

/// What the program says on stderr, and on stdout, when it ends with this code.
fn ends(command: &mut assert_cmd::Command, code: i32) -> (String, String) {
    let assert = command.assert().code(code);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let output = assert.get_output();
    (text(&output.stderr), text(&output.stdout))
}

/// The plugin in Rust that misbehaves on demand, built with these tests.
fn faulty() -> PathBuf {
    let program = Path::new(env!("CARGO_BIN_EXE_szar-under-test"));
    let (prefix, suffix) = (std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX);
    let file = program
        .with_file_name("deps")
        .join(format!("{prefix}szar_example_faulty{suffix}"));
    assert!(file.exists(), "{} was not built", file.display());
    file
}

/// A library built from C; `None` (and a line on stderr) where there is no compiler.
fn from_c(name: &str) -> Option<PathBuf> {
    static BUILT: OnceLock<Option<TempDir>> = OnceLock::new();
    let built = BUILT.get_or_init(|| {
        let folder = tempfile::tempdir().expect("a folder");
        for name in ["old", "no_entry"] {
            let source = szar_tests::root().join(format!("tests/plugins_c/{name}.c"));
            let mut cc = Command::new("cc");
            cc.args(["-shared", "-fPIC", "-Wall", "-Wextra", "-Werror", "-o"])
                .arg(folder.path().join(format!("lib{name}.so")))
                .arg(source);
            if cfg!(target_os = "macos") {
                cc.args(["-undefined", "dynamic_lookup"]);
            }
            match cc.status() {
                Ok(status) => assert!(status.success(), "{name}.c does not compile"),
                Err(error) => {
                    eprintln!("skipped: no C compiler ({error})");
                    return None;
                }
            }
        }
        Some(folder)
    });
    Some(built.as_ref()?.path().join(format!("lib{name}.so")))
}
