//! Files that processes wait at, so that what several need is made once.

use std::fs::{self, File, OpenOptions};
use std::path::Path;
use std::time::Duration;

use szar_core::{Cancel, Error, Result};

/// How long a process waits before it asks again.
const POLL: Duration = Duration::from_millis(100);

/// Waits until no other process holds the lock in a file, which is made where it is missing, and holds it for as long as
/// the result lives. `doing` says what the other one is busy with.
///
/// # Errors
/// When the file cannot be made, or the user stops.
pub fn wait_for(path: &Path, doing: &str, cancel: &Cancel) -> Result<File> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).map_err(|e| Error::write(parent, e))?;
    }
    let mut options = OpenOptions::new();
    let options = options.create(true).truncate(false).write(true);
    let lock = options.open(path).map_err(|e| Error::write(path, e))?;
    let mut told = false;
    while lock.try_lock().is_err() {
        if !told {
            tracing::info!(path = %path.display(), "another run is {doing}: waiting for it");
            told = true;
        }
        cancel.check()?;
        std::thread::sleep(POLL);
    }
    Ok(lock)
}
