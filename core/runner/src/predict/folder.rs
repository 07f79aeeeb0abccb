//! The folder of a finished run, opened for its model.

use std::fs;
use std::path::{Path, PathBuf};

use szar_core::checkpoint::NamedTensors;
use szar_core::config::{self, Resolved};
use szar_core::{Error, Result, SkeletonLayout};
use tch::Device;

use super::signature::{self, Signature};
use crate::report::Report;
use crate::rundir::load_trained;

/// Run folders that a message lists.
const LISTED: usize = 5;

/// A finished run, whole and of this version.
#[derive(Debug)]
pub struct FinishedRun {
    root: PathBuf,
    pub(super) resolved: Resolved,
    pub(super) signature: Signature,
    /// Hash of its configuration.
    pub(super) hash: String,
}

impl FinishedRun {
    /// The configuration of the run in a folder.
    ///
    /// # Errors
    /// When there is no run, or an unfinished one.
    pub fn config(root: &Path) -> Result<PathBuf> {
        let config = root.join("config.yaml");
        if !config.is_file() {
            return Err(no_run(root));
        }
        if !root.join("report.json").is_file() {
            let root = root.display();
            return Err(Error::Input(format!(
                "{root}: the run here is not finished\n\nhint: `szar run {} --out {root}` goes on with it",
                config.display()
            )));
        }
        Ok(config)
    }

    /// Opens a folder; weights are not read. The plugins that its configuration names must be loaded before.
    ///
    /// # Errors
    /// As [`Self::config`], and when another version of szar made the run, or a file is damaged or was changed.
    pub fn open(root: &Path) -> Result<Self> {
        let config = Self::config(root)?;
        let report = report(&root.join("report.json"))?;
        let resolved = config::load(&config, &[] as &[String])?;
        let hash = resolved.hash();
        if hash != report.provenance.config {
            let why = "is not the configuration that this run was made with: it, or a plugin that it names, was changed";
            return Err(Error::format(&config, None, why));
        }
        Ok(Self {
            signature: Signature::load(&root.join(signature::FILE))?,
            root: root.to_owned(),
            resolved,
            hash,
        })
    }

    /// The skeleton that its model was trained on.
    pub fn layout(&self) -> &SkeletonLayout {
        &self.signature.layout
    }

    /// Threads of libtorch that its configuration asks for.
    pub fn threads(&self) -> Option<usize> {
        self.resolved.pipeline.threads
    }

    /// The weights of a part, the component of this name.
    pub(super) fn weights(&self, part: &str, component: &str, device: Device) -> Result<NamedTensors> {
        let path = self.root.join(format!("{part}.safetensors"));
        match load_trained(&path, component, device)? {
            Some((state, _)) => Ok(state),
            None => Err(Error::format(
                &path,
                None,
                "is missing, the weights of this run are gone",
            )),
        }
    }
}

fn report(path: &Path) -> Result<Report> {
    let text = fs::read_to_string(path).map_err(|e| Error::read(path, e))?;
    let value: serde_json::Value =
        serde_json::from_str(&text).map_err(|e| Error::format(path, None, e.to_string()))?;
    let (made, this) = (&value["provenance"]["szar"], env!("CARGO_PKG_VERSION"));
    if made.as_str().is_some_and(|made| made != this) {
        let made = made.as_str().unwrap_or_default();
        let why = format!("szar {made} made this run, this is szar {this}");
        return Err(Error::format(
            path,
            None,
            format!("{why}\n\nhint: run its `config.yaml` again with `--fresh`"),
        ));
    }
    serde_json::from_value(value).map_err(|e| Error::format(path, None, e.to_string()))
}

/// Says that a folder holds no run, and which folders below it do.
fn no_run(root: &Path) -> Error {
    let below = fs::read_dir(root).into_iter().flatten().flatten();
    let mut runs: Vec<String> = below
        .map(|entry| entry.path())
        .filter(|path| path.join("report.json").is_file())
        .map(|path| path.display().to_string())
        .collect();
    runs.sort();
    let hint = match runs.as_slice() {
        [] => "`szar run PIPELINE.yaml` makes one and prints where".to_owned(),
        some => {
            let shown = &some[..some.len().min(LISTED)];
            format!("finished runs are in it: {}", shown.join(", "))
        }
    };
    Error::Input(format!(
        "{}: there is no run here, expected a folder with `config.yaml`, `report.json` and weights\n\nhint: {hint}",
        root.display()
    ))
}
