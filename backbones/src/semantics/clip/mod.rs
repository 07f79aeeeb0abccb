//! Text encoder `clip`: CLIP's text transformer, projected into the space that it shares with images.
//!
//! Source: Radford et al., "Learning Transferable Visual Models From Natural Language Supervision", ICML 2021, in
//! the folder layout of Hugging Face, of a text model or of a whole CLIP.
//!
//! | file | read for |
//! |---|---|
//! | `config.json`, `model.safetensors` | the network |
//! | `tokenizer.json`, or `vocab.json` and `merges.txt` | the tokens |

pub mod config;
pub mod prompt;
pub mod steps;
pub mod tokens;
pub mod tower;

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use szar_core::{
    BuildContext, ComponentInfo, ComponentKind, Error, FilePath, Problems, Result, TextEncoder,
    TextEncoderConfig, checkpoint,
};
use tch::{Device, Kind, Tensor};

use super::batches::in_batches;
use super::bert::folder::weights_file;
use super::bert::tokens::Tokens;
use super::hash;
use super::parameters::unit;
use config::ClipTextConfig;
pub use prompt::PromptTower;
pub use tower::ClipText;

/// Options of the `clip` text encoder.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ClipConfig {
    /// Folder of the model in Hugging Face's layout (`config.json`, `model.safetensors`, `tokenizer.json` or
    /// `vocab.json` with `merges.txt`), clip-vit-base-patch32 say. No default.
    pub model: FilePath,
    /// Texts per forward pass, `1 ..`; changes speed, and results by rounding only. Default ours.
    pub batch: usize,
    /// Scale the vectors to unit length. Default: true, because CLIP was trained on cosines alone: its lengths mean
    /// nothing, and they differ between texts.
    pub normalise: bool,
}

impl Default for ClipConfig {
    fn default() -> Self {
        Self {
            model: FilePath::default(),
            batch: 32,
            normalise: true,
        }
    }
}

inventory::submit! {
    ComponentInfo::new::<ClipConfig>(
        ComponentKind::TextEncoder,
        "clip",
        "CLIP's text transformer read from a Hugging Face folder.",
        "Radford et al., Learning Transferable Visual Models From Natural Language Supervision, ICML 2021",
    )
}

#[typetag::serde(name = "clip")]
impl TextEncoderConfig for ClipConfig {
    fn validate(&self, problems: &mut Problems) {
        problems.check(!self.model.is_empty(), "model", || "no model folder given".into());
        problems.check(self.batch > 0, "batch", || "must be at least 1, got 0".into());
    }

    fn prompts(&self) -> bool {
        true
    }

    fn build(&self, ctx: &BuildContext) -> Result<Box<dyn TextEncoder>> {
        Ok(Box::new(Clip::open(self, ctx.device)?))
    }
}

/// A text encoder whose network is loaded when the first text comes, so that vectors found in a cache cost no
/// memory.
#[derive(Debug)]
pub struct Clip {
    options: ClipConfig,
    config: ClipTextConfig,
    tokens: Tokens,
    weights: PathBuf,
    fingerprint: String,
    device: Device,
    network: Option<ClipText>,
}

impl Clip {
    /// Reads the folder's small files and the digest of its weights.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when there is no such folder; else when a file is missing or wrong.
    pub fn open(options: &ClipConfig, device: Device) -> Result<Self> {
        let folder: &Path = options.model.as_ref();
        if !folder.is_dir() {
            return Err(Error::Unavailable(format!(
                "there is no model folder {}; give one with CLIP in Hugging Face's layout as `text_encoder.model`",
                folder.display()
            )));
        }
        let config = ClipTextConfig::load(&folder.join("config.json"))?;
        let longest = usize::try_from(config.max_position_embeddings).unwrap_or(usize::MAX);
        if longest < 3 {
            let why = format!("`max_position_embeddings` is {longest}, expected at least 3");
            return Err(Error::format(folder.join("config.json"), None, why));
        }
        let tokens = tokens::load(folder, longest)?;
        tokens.check_below(config.vocab_size)?;
        check_end(&tokens, &config)?;
        let weights = weights_file(folder)?;
        let fingerprint = fingerprint(folder, &tokens, &config, options.normalise, &weights)?;
        Ok(Self {
            options: options.clone(),
            config,
            tokens,
            weights,
            fingerprint,
            device,
            network: None,
        })
    }

    /// The text transformer, loaded anew.
    ///
    /// # Errors
    /// When the weights cannot be read or don't fit `config.json`.
    pub fn tower(&self) -> Result<ClipText> {
        let (state, _) = checkpoint::load(&self.weights, Device::Cpu)?;
        ClipText::new(self.config.clone(), &state, self.device)
            .map_err(|why| Error::format(&self.weights, None, why))
    }

    /// One prompt per name, the words of `context`, the name and a full stop, with the context left open; what is
    /// longer than the network takes is cut.
    ///
    /// # Errors
    /// When the context is empty, fills the network alone or has other tokens with a name behind it, or the network
    /// cannot be loaded.
    pub fn prompts(&self, names: &[String], context: &str) -> Result<PromptTower> {
        let alone = self.tokens.ids(context)?;
        let n_ctx = alone.len().saturating_sub(2);
        let mut rows = Vec::with_capacity(names.len());
        for name in names {
            let row = self.tokens.ids(&format!("{context} {name}."))?;
            if row.get(1..1 + n_ctx) != alone.get(1..1 + n_ctx) {
                return Err(Error::Input(format!(
                    "the tokens of the context \"{context}\" change with `{name}` behind it"
                )));
            }
            rows.push(row);
        }
        let ids = padded(&rows.iter().collect::<Vec<_>>());
        PromptTower::new(self.tower()?, &ids, n_ctx as i64)
    }

    /// Token ids `[n, L]` i64 of texts, on the CPU; rows are filled up with their last token.
    ///
    /// # Errors
    /// When a text cannot be tokenised.
    pub fn ids(&self, texts: &[String]) -> Result<Tensor> {
        let rows = texts.iter().map(|text| self.tokens.ids(text));
        let rows = rows.collect::<Result<Vec<_>>>()?;
        Ok(padded(&rows.iter().collect::<Vec<_>>()))
    }

    /// `[n, d]` f32 on the encoder's device.
    fn forward(&self, network: &ClipText, rows: &[&Vec<i64>]) -> Result<Tensor> {
        let ids = padded(rows).to_device(self.device);
        let vectors = network.texts(&network.embed(&ids)?, &network.ends(&ids)?)?;
        Ok(if self.options.normalise {
            unit(&vectors)
        } else {
            vectors
        })
    }
}

impl TextEncoder for Clip {
    fn width(&self) -> i64 {
        self.config.projection_dim
    }

    fn encode(&mut self, texts: &[String]) -> Result<Tensor> {
        let ids = texts.iter().map(|text| self.tokens.ids(text));
        let ids = ids.collect::<Result<Vec<_>>>()?;
        let mut out = Tensor::zeros([texts.len() as i64, self.width()], (Kind::Float, Device::Cpu));
        if texts.is_empty() {
            return Ok(out);
        }
        if self.network.is_none() {
            self.network = Some(self.tower()?);
        }
        if let Some(network) = &self.network {
            in_batches(&ids, self.options.batch, &mut out, |rows| {
                self.forward(network, rows)
            })?;
        }
        Ok(out)
    }

    fn prompt_tower(
        &mut self,
        names: &[String],
        context: &str,
    ) -> Result<Option<Box<dyn szar_core::PromptTower>>> {
        Ok(Some(Box::new(self.prompts(names, context)?)))
    }

    fn fingerprint(&self) -> String {
        self.fingerprint.clone()
    }
}

/// Refuses a tokenizer that doesn't end texts as the network expects.
fn check_end(tokens: &Tokens, config: &ClipTextConfig) -> Result<()> {
    let ids = tokens.ids("a")?;
    let (last, others) = ids.split_last().unwrap_or((&-1, &[]));
    let wrong = |why: String| Err(Error::format(tokens.file(), None, why));
    if config.ends_at_largest_id() {
        if others.iter().any(|id| id >= last) {
            return wrong(format!(
                "ends texts with token {last}, which isn't the largest id, as `eos_token_id` 2 of `config.json` asks"
            ));
        }
    } else if *last != config.eos_token_id {
        let want = config.eos_token_id;
        return wrong(format!(
            "ends texts with token {last}, expected {want} (`eos_token_id` of `config.json`)"
        ));
    }
    Ok(())
}

/// What decides the vectors: network, weights, vocabulary, scale.
fn fingerprint(
    folder: &Path,
    tokens: &Tokens,
    config: &ClipTextConfig,
    normalise: bool,
    weights: &Path,
) -> Result<String> {
    let config = serde_json::to_string(config).map_err(|e| Error::Input(e.to_string()))?;
    let mut vocabulary = hash::of_file(tokens.file())?;
    let [pairs, merges] = tokens::files(folder);
    if tokens.file() == pairs {
        let both = format!("{vocabulary} {}", hash::of_file(&merges)?);
        vocabulary = hash::hex(&hash::digest(both.as_bytes()));
    }
    let scale = if normalise { "unit" } else { "raw" };
    Ok(format!(
        "clip weights={} vocabulary={vocabulary} config={} scale={scale}",
        hash::of_file(weights)?,
        &hash::hex(&hash::digest(config.as_bytes()))[..16],
    ))
}

/// Ids `[B, L]` i64, rows filled up with their last token: the first end stays the one that counts.
fn padded(rows: &[&Vec<i64>]) -> Tensor {
    let longest = rows.iter().map(|r| r.len()).max().unwrap_or(0);
    let mut ids = Vec::with_capacity(rows.len() * longest);
    for row in rows {
        ids.extend_from_slice(row);
        let last = row.last().copied().unwrap_or(0);
        ids.resize(ids.len() + longest - row.len(), last);
    }
    Tensor::from_slice(&ids).reshape([rows.len() as i64, longest as i64])
}

mod golden;
#[cfg(test)]
pub(crate) mod tests;
