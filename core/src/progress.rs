//! What a long computation tells the outside, and how the outside stops it.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::{Deserialize, Serialize};
use tch::Device;

use crate::checkpoint::{self, NamedTensors};
use crate::traits::SeenMotion;
use crate::{Error, Precision, Result, Seed};

/// Receives progress; the command line draws it, tests ignore it.
pub trait Progress: Send + Sync {
    /// A stage with `total` steps begins.
    fn begin(&self, stage: &str, total: u64);
    /// `done` steps of the stage are finished; `note` is a short status such as the loss.
    fn advance(&self, done: u64, note: &str);
    /// The stage is over.
    fn end(&self);
}

/// Shows nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Progress for Silent {
    fn begin(&self, _: &str, _: u64) {}
    fn advance(&self, _: u64, _: &str) {}
    fn end(&self) {}
}

/// A flag that asks a computation to stop at the next safe place.
#[derive(Clone, Debug, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    /// Asks to stop.
    pub fn request(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Has anyone asked?
    pub fn requested(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// [`Error::Cancelled`] once asked.
    ///
    /// # Errors
    /// [`Error::Cancelled`].
    pub fn check(&self) -> Result<()> {
        if self.requested() {
            Err(Error::Cancelled)
        } else {
            Ok(())
        }
    }
}

/// What a component's `fit` gets besides the data.
pub struct FitContext<'a> {
    /// Device of the tensors.
    pub device: Device,
    /// Precision of the products.
    pub precision: Precision,
    /// Seed of this fit.
    pub seed: Seed,
    /// Where progress goes.
    pub progress: &'a dyn Progress,
    /// To be checked between steps.
    pub cancel: &'a Cancel,
    /// File that holds the state after the last finished epoch, if the run keeps one.
    pub checkpoint: Option<PathBuf>,
    /// The skeletons behind the features, for aligners whose capabilities say `skeletons`.
    pub motion: Option<&'a dyn SeenMotion>,
}

impl FitContext<'_> {
    /// Saves the state of an unfinished fit (tensors and a note in JSON) atomically; does nothing without a file.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn save<T: Serialize>(&self, tensors: &NamedTensors, note: &T) -> Result<()> {
        let Some(path) = &self.checkpoint else {
            return Ok(());
        };
        let note = serde_json::to_string(note).map_err(|e| Error::Input(format!("checkpoint note: {e}")))?;
        checkpoint::save(path, tensors, &[("progress".to_owned(), note)])
    }

    /// The state of an earlier, unfinished fit, if there is one.
    ///
    /// # Errors
    /// When the file is there but damaged.
    pub fn load<T: for<'de> Deserialize<'de>>(&self) -> Result<Option<(NamedTensors, T)>> {
        let Some(path) = self.checkpoint.as_ref().filter(|p| p.exists()) else {
            return Ok(None);
        };
        let (tensors, metadata) = checkpoint::load(path, self.device)?;
        let bad = |why: String| Error::format(path, "metadata `progress`".to_owned(), why);
        let note = metadata.get("progress").ok_or_else(|| bad("is missing".into()))?;
        let note = serde_json::from_str(note).map_err(|e| bad(e.to_string()))?;
        Ok(Some((tensors, note)))
    }
}

/// What a fit reports.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct FitSummary {
    /// Epochs run (0 for closed forms).
    pub epochs: u32,
    /// Epoch whose weights were kept, counted from 1.
    pub best_epoch: u32,
    /// Training loss per epoch.
    pub train_loss: Vec<f64>,
    /// Validation measure per epoch, as named in `validation_measure`.
    pub validation: Vec<f64>,
    /// What `validation` holds: `loss` or `top1` (percent).
    pub validation_measure: String,
    /// Constants chosen on the way, by name.
    pub chosen: std::collections::BTreeMap<String, f64>,
}
