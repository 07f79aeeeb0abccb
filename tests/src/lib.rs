//! Shared by the workspace-level tests.

use std::path::PathBuf;

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
