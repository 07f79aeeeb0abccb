//! Where plugins are looked for without being named.

use std::path::{Path, PathBuf};

use crate::library::load;

/// Files and folders that hold plugins, separated like `PATH`.
pub const SEARCH_PATH: &str = "SZAR_PLUGIN_PATH";

/// The user's own folder of plugins.
pub fn user_folder() -> Option<PathBuf> {
    let set = |name: &str| {
        std::env::var_os(name)
            .filter(|v| !v.is_empty())
            .map(PathBuf::from)
    };
    let data = set("XDG_DATA_HOME").or_else(|| Some(set("HOME")?.join(".local/share")))?;
    Some(data.join("szar/plugins"))
}

/// Loads every plugin of `SZAR_PLUGIN_PATH` and of the user's folder. One that cannot be loaded is left out with a warning,
/// since nobody asked for it by name.
pub fn load_found() {
    let listed = std::env::var_os(SEARCH_PATH).unwrap_or_default();
    let mut places: Vec<PathBuf> = std::env::split_paths(&listed)
        .filter(|p| !p.as_os_str().is_empty())
        .collect();
    for place in &places {
        if !place.exists() {
            tracing::warn!("{SEARCH_PATH} names {}, which is not there", place.display());
        }
    }
    places.extend(user_folder());
    for file in places.iter().flat_map(|place| files(place)) {
        if let Err(error) = load(&file) {
            tracing::warn!("left out: {error}");
        }
    }
}

/// The place itself when it is a file, else the libraries in the folder, sorted.
fn files(place: &Path) -> Vec<PathBuf> {
    if place.is_file() {
        return vec![place.to_owned()];
    }
    let Ok(entries) = std::fs::read_dir(place) else {
        return Vec::new();
    };
    let library = |path: &PathBuf| {
        path.extension()
            .is_some_and(|e| e == std::env::consts::DLL_EXTENSION)
    };
    let mut files: Vec<_> = entries.flatten().map(|e| e.path()).filter(library).collect();
    files.sort();
    files
}
