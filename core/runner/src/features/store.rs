//! Who computes an entry, and who waits for it.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use szar_core::{Cancel, Error, Result, SkeletonLayout};

use super::entry::{self, Form, Unfit, Wanted};
use super::writer::{Writer, remove};
use super::{Extraction, Features};
use crate::lock::wait_for;

/// Features that runs share, each entry under a hash of all that determines it. Any number of processes may use one
/// store at once: the first that needs an entry computes it, the others wait for it.
#[derive(Clone, Debug)]
pub struct FeatureStore {
    folder: PathBuf,
}

/// Where features came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// An earlier run kept them.
    Kept,
    /// They were computed now, at least in part.
    Computed,
}

impl FeatureStore {
    /// A store in a folder, which need not be there.
    pub fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// Folder of the entry with this key.
    pub fn folder_of(&self, key: &str) -> PathBuf {
        entry::folder(&self.folder, key)
    }

    /// The features of the entry `key`, on the extraction's device: read if they were kept, else computed and kept. An
    /// entry that is damaged is computed anew.
    ///
    /// # Errors
    /// When the encoder refuses a batch, the folder cannot be written, or the user stops; what is computed by then is
    /// kept, and the next attempt goes on from there.
    pub fn obtain(
        &self,
        key: &str,
        form: &Form,
        wanted: Wanted,
        layout: &SkeletonLayout,
        extraction: &Extraction,
    ) -> Result<(Features, Origin)> {
        let open = |folder: &Path| entry::open(folder, form, wanted, extraction.device);
        self.obtain_by(key, form, layout, extraction, open)
    }

    /// As [`Self::obtain`], but reads nothing that it need not: memory stays what a batch takes, however large the entry.
    ///
    /// # Errors
    /// As [`Self::obtain`].
    pub fn keep(
        &self,
        key: &str,
        form: &Form,
        layout: &SkeletonLayout,
        extraction: &Extraction,
    ) -> Result<Origin> {
        let check = |folder: &Path| entry::check(folder, form);
        let ((), origin) = self.obtain_by(key, form, layout, extraction, check)?;
        Ok(origin)
    }

    fn obtain_by<T>(
        &self,
        key: &str,
        form: &Form,
        layout: &SkeletonLayout,
        extraction: &Extraction,
        read: impl Fn(&Path) -> std::result::Result<T, Unfit>,
    ) -> Result<(T, Origin)> {
        let folder = self.folder_of(key);
        // Whole entries are never written to, so that they are read without a lock.
        if let Ok(kept) = read(&folder) {
            return Ok((kept, Origin::Kept));
        }
        let _lock = self.lock(key, extraction.cancel)?;
        match read(&folder) {
            Ok(kept) => return Ok((kept, Origin::Kept)),
            Err(Unfit::Damaged(error)) => {
                tracing::warn!(%error, "features that an earlier run kept are damaged: computed anew");
            }
            Err(Unfit::Absent) => {}
        }
        let part = folder.with_extension("part");
        let finished = Writer::open(part, form.clone(), layout)?.finish(extraction)?;
        remove(&folder)?;
        fs::rename(&finished, &folder).map_err(|e| Error::write(&folder, e))?;
        match read(&folder) {
            Ok(computed) => Ok((computed, Origin::Computed)),
            Err(Unfit::Damaged(error)) => Err(error.context("features that were just written")),
            Err(Unfit::Absent) => Err(Error::Missing(format!(
                "features that were just written to {}",
                folder.display()
            ))),
        }
    }

    /// Waits until no other process computes this entry.
    fn lock(&self, key: &str, cancel: &Cancel) -> Result<File> {
        let path = self.folder_of(key).with_extension("lock");
        wait_for(&path, "computing these features", cancel)
    }
}
