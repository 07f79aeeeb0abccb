//! The folder of a run: who owns it, what is finished in it.

use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};

use szar_core::checkpoint::{self, NamedTensors, write_atomically};
use szar_core::config::Resolved;
use szar_core::{Error, FitSummary, Result};
use tch::Device;

use crate::record;
use crate::report::{Prediction, Report};

/// A run's folder, locked for as long as this lives.
pub struct RunDir {
    root: PathBuf,
    _lock: File,
}

impl RunDir {
    /// Opens (or creates) the folder and takes its lock. `fresh` forgets what an earlier run left.
    ///
    /// # Errors
    /// When the folder cannot be written, another run holds it, or it belongs to another configuration.
    pub fn open(root: &Path, resolved: &Resolved, fresh: bool) -> Result<Self> {
        let create = |e| Error::Io {
            action: "create",
            path: root.to_owned(),
            source: e,
        };
        fs::create_dir_all(root).map_err(create)?;
        let lock_path = root.join(".lock");
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&lock_path)
            .map_err(|e| Error::write(&lock_path, e))?;
        lock.try_lock().map_err(|_| {
            Error::Unavailable(format!(
                "{}: another szar is running in this folder; wait for it, or choose another `--out`",
                root.display()
            ))
        })?;
        let this = Self {
            root: root.to_owned(),
            _lock: lock,
        };
        if fresh {
            this.forget()?;
        }
        this.claim(resolved)?;
        Ok(this)
    }

    fn forget(&self) -> Result<()> {
        for name in [
            "report.json",
            "predictions.csv",
            "config.yaml",
            "summary.txt",
            record::FILE,
        ] {
            remove(&self.path(name))?;
        }
        for part in ["encoder", "aligner", "gate-encoder", "gate-aligner"] {
            remove(&self.path(&format!("{part}.safetensors")))?;
            remove(&self.checkpoint(part))?;
        }
        self.forget_streams()
    }

    /// Drops what unfinished streams left.
    fn forget_streams(&self) -> Result<()> {
        let folder = self.path("checkpoints");
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(e) => return Err(Error::read(&folder, e)),
        };
        for entry in entries {
            let entry = entry.map_err(|e| Error::read(&folder, e))?;
            if entry.file_name().to_string_lossy().starts_with("stream-") {
                remove(&entry.path())?;
            }
        }
        Ok(())
    }

    /// Refuses to go on where there is nothing to go on from. Touches nothing.
    ///
    /// # Errors
    /// [`Error::Input`] when no run was begun in the folder, or it is finished.
    pub fn must_be_unfinished(root: &Path) -> Result<()> {
        let (what, hint) = if !root.join("config.yaml").exists() {
            (
                "no run was begun here, there is nothing to resume",
                "leave `--resume` out to begin one, or name the folder of the unfinished run with `--out`",
            )
        } else if root.join("report.json").exists() {
            (
                "the run here is finished, there is nothing to resume",
                "leave `--resume` out to see its report, or run with `--fresh` to run it anew",
            )
        } else {
            return Ok(());
        };
        Err(Error::Input(format!(
            "{}: {what}\n\nhint: {hint}",
            root.display()
        )))
    }

    /// Writes the resolved configuration, or checks that the one there is the same.
    fn claim(&self, resolved: &Resolved) -> Result<()> {
        let path = self.path("config.yaml");
        let hash = resolved.hash();
        let mark = format!("# configuration {hash}\n");
        if let Ok(old) = fs::read_to_string(&path) {
            if old.starts_with(&mark) {
                return Ok(());
            }
            return Err(Error::Input(format!(
                "{}: this folder holds a run of another configuration; choose another `--out`, or `--fresh` to replace it",
                self.root.display()
            )));
        }
        write_atomically(&path, format!("{mark}{}", resolved.to_yaml()?).as_bytes())
    }

    /// A file in the folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// State of an unfinished training.
    pub fn checkpoint(&self, part: &str) -> PathBuf {
        self.root.join("checkpoints").join(format!("{part}.safetensors"))
    }

    /// Weights and training summary of a part, the component of this name, that is trained already.
    ///
    /// # Errors
    /// When the file is there but damaged, or of another component.
    pub fn trained(
        &self,
        part: &str,
        component: &str,
        device: Device,
    ) -> Result<Option<(NamedTensors, FitSummary)>> {
        load_trained(&self.path(&format!("{part}.safetensors")), component, device)
    }

    /// Keeps the weights of a trained part and drops its checkpoint.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn keep(
        &self,
        part: &str,
        state: &NamedTensors,
        summary: &FitSummary,
        about: &[(String, String)],
    ) -> Result<()> {
        save_trained(&self.path(&format!("{part}.safetensors")), state, summary, about)?;
        remove(&self.checkpoint(part))
    }

    /// The report of a run that finished here.
    ///
    /// # Errors
    /// When the file is there but damaged.
    pub fn report(&self) -> Result<Option<Report>> {
        let path = self.path("report.json");
        if !path.exists() {
            return Ok(None);
        }
        let text = fs::read_to_string(&path).map_err(|e| Error::read(&path, e))?;
        serde_json::from_str(&text)
            .map(Some)
            .map_err(|e| Error::format(&path, None, e.to_string()))
    }

    /// Writes predictions, summary and, last, the report; what was kept of unfinished streams goes.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn finish(&self, report: &Report, predictions: &[Prediction], summary: &str) -> Result<()> {
        let path = self.path("predictions.csv");
        let mut csv = csv::Writer::from_writer(Vec::new());
        for prediction in predictions {
            csv.serialize(prediction)
                .map_err(|e| Error::format(&path, None, e.to_string()))?;
        }
        let bytes = csv
            .into_inner()
            .map_err(|e| Error::format(&path, None, e.to_string()))?;
        write_atomically(&path, &bytes)?;
        write_atomically(&self.path("summary.txt"), summary.as_bytes())?;
        let path = self.path("report.json");
        let json =
            serde_json::to_string_pretty(report).map_err(|e| Error::format(&path, None, e.to_string()))?;
        write_atomically(&path, json.as_bytes())?;
        self.forget_streams()
    }
}

fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(Error::write(path, e)),
        _ => Ok(()),
    }
}

/// Reads a component's weights with the training summary in their metadata.
pub fn load_trained(
    path: &Path,
    component: &str,
    device: Device,
) -> Result<Option<(NamedTensors, FitSummary)>> {
    if !path.exists() {
        return Ok(None);
    }
    let (state, metadata) = checkpoint::load(path, device)?;
    checkpoint::same_component(path, metadata.get("component"), component)?;
    let bad = |why: String| Error::format(path, "metadata `fit`".to_owned(), why);
    let fit = metadata.get("fit").ok_or_else(|| bad("is missing".into()))?;
    Ok(Some((
        state,
        serde_json::from_str(fit).map_err(|e| bad(e.to_string()))?,
    )))
}

/// Writes weights with the training summary in their metadata.
pub fn save_trained(
    path: &Path,
    state: &NamedTensors,
    summary: &FitSummary,
    about: &[(String, String)],
) -> Result<()> {
    let fit = serde_json::to_string(summary).map_err(|e| Error::format(path, None, e.to_string()))?;
    let mut metadata = vec![("fit".to_owned(), fit)];
    metadata.extend_from_slice(about);
    checkpoint::save(path, state, &metadata)
}
