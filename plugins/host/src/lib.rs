//! Plugins: found, loaded, checked, and registered beside the built-in components.
//!
//! A plugin is never unloaded: its tables, texts and code stay valid as long as the process lives.
#![expect(unsafe_code, reason = "loads libraries and calls what they export")]

pub mod conformance;
mod elf;
mod end;
mod host;
mod library;
mod search;
mod standin;
mod tables;

use std::path::Path;

use szar_core::Result;

pub use end::end_plainly;
pub use library::{Loaded, load, loaded};
pub use search::{SEARCH_PATH, load_found, user_folder};

/// Loads the plugins that a configuration names, and those of the search path.
///
/// # Errors
/// When the configuration cannot be read, or a plugin that it names cannot be loaded.
pub fn prepare(config: &Path, overrides: &[String]) -> Result<()> {
    load_found();
    for path in szar_core::config::plugins(config, overrides)? {
        let _ = load(&path).map_err(|e| e.context(format!("`plugins` of {}", config.display())))?;
    }
    Ok(())
}
