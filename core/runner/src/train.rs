//! Trains a part, or takes what is trained already: given weights, an earlier run's, or an unfinished run's.

use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use szar_core::checkpoint::{self, NamedTensors};
use szar_core::{Error, FitSummary, Result};
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

/// Makes `part` ready: from `given` weights, from the run directory, from the shared store, else by training.
///
/// # Errors
/// When weights are damaged or do not fit, or training fails or is stopped.
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
        let state = load_weights(path, device)?;
        part.load(&state)
            .map_err(|e| e.context(path.display().to_string()))?;
        return Ok(Trained {
            source: Source::Given,
            summary: None,
        });
    }
    if let Some((state, summary)) = dir.trained(name, device)? {
        part.load(&state)
            .map_err(|e| e.context(format!("{name}.safetensors of this run")))?;
        return Ok(Trained {
            source: Source::Reused,
            summary: Some(summary),
        });
    }
    if let Some((state, summary)) = shared
        .map(|p| rundir::load_trained(p, device))
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

/// Weights from `.safetensors`, or from a `.pt`/`.pth` state_dict (read by libtorch, which executes no code of it).
///
/// # Errors
/// When the file is missing or neither of them.
pub fn load_weights(path: &Path, device: Device) -> Result<NamedTensors> {
    let extension = path.extension().map(|e| e.to_string_lossy().to_lowercase());
    match extension.as_deref() {
        Some("safetensors") => Ok(checkpoint::load(path, device)?.0),
        Some("pt" | "pth") => {
            std::fs::File::open(path).map_err(|e| Error::read(path, e))?;
            let tensors = tch::Tensor::loadz_multi_with_device(path, device)
                .or_else(|_| tch::Tensor::load_multi_with_device(path, device))
                .map_err(|e| {
                    Error::format(
                        path,
                        None,
                        format!("not a state_dict that libtorch can read ({e})"),
                    )
                })?;
            Ok(tensors.into_iter().collect())
        }
        _ => Err(Error::format(
            path,
            None,
            "expected weights as .safetensors, .pt or .pth",
        )),
    }
}

/// Hash of tensors and texts, for naming what was made from them.
pub fn content_hash<'a>(
    texts: impl IntoIterator<Item = &'a str>,
    values: impl IntoIterator<Item = &'a [f32]>,
) -> String {
    let mut hash = Sha256::new();
    for text in texts {
        hash.update((text.len() as u64).to_le_bytes());
        hash.update(text.as_bytes());
    }
    for chunk in values.into_iter().flat_map(|part| part.chunks(1 << 16)) {
        let bytes: Vec<u8> = chunk.iter().flat_map(|v| v.to_le_bytes()).collect();
        hash.update(&bytes);
    }
    hash.finalize().iter().map(|b| format!("{b:02x}")).collect()
}
