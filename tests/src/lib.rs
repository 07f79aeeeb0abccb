//! Shared by the workspace-level tests.

use std::path::PathBuf;

use assert_cmd::Command;

/// Root of the workspace.
pub fn root() -> PathBuf {
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    here.parent().map(PathBuf::from).unwrap_or(here)
}

/// Real data for tests: `$SZAR_DATA`, else `../shared/data` beside the workspace; `None` (and a line on stderr)
/// where there is none.
pub fn real_data(set: &str) -> Option<PathBuf> {
    let data = std::env::var_os("SZAR_DATA").map_or_else(|| root().join("../shared/data"), PathBuf::from);
    let folder = data.join(set);
    if folder.is_dir() {
        return Some(folder);
    }
    eprintln!("skipped: no real data at {} (set SZAR_DATA)", folder.display());
    None
}

/// A program of this package in the workspace root, with colours and wait policy settled, and no plugins but those that a test
/// names.
pub fn program(exe: &str) -> Command {
    let mut command = Command::new(exe);
    command
        .current_dir(root())
        .env("NO_COLOR", "1")
        .env("GOMP_SPINCOUNT", "1000")
        .env("MALLOC_TRIM_THRESHOLD_", "131072")
        .env_remove("SZAR_PLUGIN_PATH")
        .env("XDG_DATA_HOME", "/nonexistent");
    command
}

/// What a command that must succeed says on stdout.
pub fn stdout(command: &mut Command) -> String {
    let assert = command.assert().success();
    String::from_utf8_lossy(&assert.get_output().stdout).into_owned()
}

/// What a command says on stderr that must end with this code.
pub fn refused(command: &mut Command, code: i32) -> String {
    let assert = command.assert().code(code);
    String::from_utf8_lossy(&assert.get_output().stderr).into_owned()
}
