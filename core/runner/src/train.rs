//! Trains a part, or takes what is trained already: given weights, an earlier run's, or an unfinished run's.

use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use szar_core::checkpoint::{self, NamedTensors};
use szar_core::{FitSummary, Result};
use tch::Device;

use crate::rundir::{self, RunDir};

/// Where a trained part came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The configuration's `weights`.
    Given,
    /// This run directory or the shared store of trained parts.
    Reused,
    /// Trained now.
    Trained,
}

/// Weights with the summary of their training.
pub struct Trained {
    /// Where they came from.
    pub source: Source,
    /// `None` for given weights.
    pub summary: Option<FitSummary>,
}

/// A part that can be trained.
pub trait Trainable {
    /// Takes over weights.
    fn load(&mut self, state: &NamedTensors) -> Result<()>;
    /// Its weights.
    fn state(&self) -> NamedTensors;
    /// Trains it, with the unfinished state in a file.
    fn fit(&mut self, checkpoint: PathBuf) -> Result<FitSummary>;
}

/// Makes `part` ready: from `given` weights (see [`checkpoint::read_weights`]), from the run directory, from the shared
/// store, else by training. `about` says what the part is, under `component` by name.
///
/// # Errors
/// When weights are damaged, are those of another component or do not fit, or training fails or is stopped.
pub fn obtain(
    name: &str,
    part: &mut dyn Trainable,
    given: Option<&Path>,
    dir: &RunDir,
    shared: Option<&Path>,
    device: Device,
    about: &[(String, String)],
) -> Result<Trained> {
    if let Some(path) = given {
        let weights = checkpoint::read_weights(path, &part.state(), device)?;
        weights.expect_component(component(about))?;
        part.load(&weights.tensors)
            .map_err(|e| e.context(path.display().to_string()))?;
        return Ok(Trained {
            source: Source::Given,
            summary: None,
        });
    }
    if let Some((state, summary)) = dir.trained(name, component(about), device)? {
        part.load(&state)
            .map_err(|e| e.context(format!("{name}.safetensors of this run")))?;
        return Ok(Trained {
            source: Source::Reused,
            summary: Some(summary),
        });
    }
    if let Some((state, summary)) = shared
        .map(|p| rundir::load_trained(p, component(about), device))
        .transpose()?
        .flatten()
    {
        part.load(&state)?;
        tracing::info!(
            part = name,
            "trained earlier for the same data, options, seed and device: reused"
        );
        dir.keep(name, &part.state(), &summary, about)?;
        return Ok(Trained {
            source: Source::Reused,
            summary: Some(summary),
        });
    }
    let summary = part.fit(dir.checkpoint(name))?;
    dir.keep(name, &part.state(), &summary, about)?;
    if let Some(path) = shared {
        rundir::save_trained(path, &part.state(), &summary, about)?;
    }
    Ok(Trained {
        source: Source::Trained,
        summary: Some(summary),
    })
}

/// The name of the component that metadata is about.
fn component(about: &[(String, String)]) -> &str {
    let found = about.iter().find(|(key, _)| key == "component");
    found.map_or("", |(_, name)| name)
}

/// Hash of tensors and texts, for naming what was made from them.
pub fn content_hash<'a>(texts: impl IntoIterator<Item = &'a str>, values: &[f32]) -> String {
    let mut hash = Sha256::new();
    for text in texts {
        hash.update((text.len() as u64).to_le_bytes());
        hash.update(text.as_bytes());
    }
    for chunk in values.chunks(1 << 16) {
        let bytes: Vec<u8> = chunk.iter().flat_map(|v| v.to_le_bytes()).collect();
        hash.update(&bytes);
    }
    hash.finalize().iter().map(|b| format!("{b:02x}")).collect()
}
