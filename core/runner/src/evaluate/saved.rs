//! Streams that were stopped: one file per adapter and setting, written now and then and when the user stops.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use szar_core::checkpoint::{self, NamedTensors};
use szar_core::online::Snapshot;
use szar_core::{Error, Result};
use tch::{Device, Tensor};

use crate::report::{AdapterReport, Segment, Skipped};

/// Where unfinished streams are kept.
pub struct Saves {
    /// The folder.
    pub folder: PathBuf,
    /// Hash of the run's configuration.
    pub run: String,
    /// Time between two saves of a stream.
    pub every: Duration,
}

impl Saves {
    /// The file of one part: setting, place in the chain, variant.
    pub(super) fn slot(&self, part: &str, samples: usize) -> Slot {
        Slot {
            path: self.folder.join(format!("stream-{part}.safetensors")),
            about: BTreeMap::from([
                ("configuration".to_owned(), self.run.clone()),
                ("part".to_owned(), part.to_owned()),
                ("number of samples".to_owned(), samples.to_string()),
            ]),
            every: self.every,
            begun: Instant::now(),
            saved: Instant::now(),
        }
    }
}

/// How far a stream was played, besides the adapter's state and the scores.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Note {
    /// Samples that were played.
    pub position: usize,
    /// Samples that were skipped.
    pub skipped: Vec<Skipped>,
    /// Segments that are over.
    pub course: Vec<Segment>,
    /// Set when the adapter is through.
    pub finished: Option<AdapterReport>,
}

/// What a file holds.
pub(super) struct Saved {
    pub snapshot: Snapshot,
    /// `[position, C]`.
    pub logits: Tensor,
    /// The aligner as the adapter left it, for those that change it.
    pub aligner: NamedTensors,
    pub note: Note,
}

/// The file of one part.
pub(super) struct Slot {
    path: PathBuf,
    about: BTreeMap<String, String>,
    every: Duration,
    begun: Instant,
    saved: Instant,
}

impl Slot {
    /// Is it time to save again?
    pub(super) fn is_due(&self) -> bool {
        self.saved.elapsed() >= self.every
    }

    /// Would it hurt to play it again?
    pub(super) fn took_long(&self) -> bool {
        self.begun.elapsed() >= self.every
    }

    /// Writes the file, whole or not at all.
    pub(super) fn save(
        &mut self,
        snapshot: Snapshot,
        logits: &Tensor,
        aligner: &NamedTensors,
        note: &Note,
    ) -> Result<()> {
        let mut tensors = NamedTensors::from([("logits".to_owned(), logits.shallow_clone())]);
        let state = snapshot.tensors.into_iter();
        tensors.extend(state.map(|(name, t)| (format!("state/{name}"), t)));
        let aligner = aligner.iter();
        tensors.extend(aligner.map(|(name, t)| (format!("aligner/{name}"), t.shallow_clone())));
        let note = serde_json::to_string(note).map_err(|e| Error::format(&self.path, None, e.to_string()))?;
        let mut about = vec![("note".to_owned(), note)];
        let named = |prefix: &'static str| move |(k, v): (String, String)| (format!("{prefix}/{k}"), v);
        about.extend(self.about.clone().into_iter().map(named("run")));
        about.extend(snapshot.identity.into_iter().map(named("adapter")));
        checkpoint::save(&self.path, &tensors, &about)?;
        self.saved = Instant::now();
        Ok(())
    }

    /// What an earlier process left, if it left anything.
    ///
    /// # Errors
    /// When the file is damaged or belongs to another stream.
    pub(super) fn load(&self, device: Device) -> Result<Option<Saved>> {
        if !self.path.exists() {
            return Ok(None);
        }
        let (tensors, about) = self.fits(checkpoint::load(&self.path, device))?;
        for (what, want) in &self.about {
            let found = about
                .get(&format!("run/{what}"))
                .map_or("nothing", String::as_str);
            if found != want {
                let why = format!("it belongs to another stream: its {what} is `{found}`, expected `{want}`");
                return self.fits(Err(Error::Input(why)));
            }
        }
        let note = about.get("note").map_or("", String::as_str);
        let note = serde_json::from_str(note).map_err(|e| Error::Input(format!("metadata `note`: {e}")));
        let part = |prefix: &str| -> NamedTensors {
            let own = |(name, t): (&String, &Tensor)| Some((name.strip_prefix(prefix)?.to_owned(), t.copy()));
            tensors.iter().filter_map(own).collect()
        };
        let identity = |(k, v): (String, String)| Some((k.strip_prefix("adapter/")?.to_owned(), v));
        let logits = tensors.get("logits").map(Tensor::shallow_clone);
        Ok(Some(Saved {
            note: self.fits(note)?,
            logits: self.fits(logits.ok_or_else(|| Error::Missing("tensor `logits`".into())))?,
            aligner: part("aligner/"),
            snapshot: Snapshot {
                tensors: part("state/"),
                identity: about.into_iter().filter_map(identity).collect(),
            },
        }))
    }

    /// Names the file in what is wrong with it, and what to do.
    pub(super) fn fits<T>(&self, result: Result<T>) -> Result<T> {
        result.map_err(|error| {
            let (path, error) = (self.path.display(), error.to_string());
            let error = error.strip_prefix(&format!("{path}: ")).unwrap_or(&error);
            Error::Input(format!(
                "{path}: {error}\n\nhint: remove this file to play the stream from its start, or run with `--fresh`"
            ))
        })
    }
}
