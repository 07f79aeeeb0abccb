//! Text encoder `sentence-bert`: BERT, pooled over the tokens of a text, of unit length.
//!
//! Source: Reimers and Gurevych, "Sentence-BERT", EMNLP 2019, in the folder layout of sentence-transformers. Any
//! folder with a plain BERT network fits; all-MiniLM-L6-v2 (d = 384) is small and quick.

pub mod config;
pub mod folder;
pub mod model;
pub mod tokens;

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use szar_core::{
    BuildContext, ComponentInfo, ComponentKind, Error, FilePath, Problems, Result, TextEncoder,
    TextEncoderConfig, checkpoint,
};
use tch::{Device, Kind, Tensor};

use super::batches::in_batches;
use super::hash;
use super::parameters::unit;
use folder::{ModelFolder, Pooling};
use model::Bert;
use tokens::Tokens;

/// Options of the `sentence-bert` text encoder.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SentenceBertConfig {
    /// Folder of the model in Hugging Face's layout (`config.json`, `model.safetensors`, `tokenizer.json` or
    /// `vocab.txt`). `./x model` prints the folder of all-MiniLM-L6-v2. No default.
    pub model: FilePath,
    /// Texts per forward pass, `1 ..`; changes speed, and results by rounding only. Default ours.
    pub batch: usize,
    /// Tokens per text, `[CLS]` and `[SEP]` included, `3 ..`; what is longer is cut. Default: what the folder's
    /// `sentence_bert_config.json` says, else the network's limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_length: Option<usize>,
    /// Scale the vectors to unit length. Default: true, as sentence-transformers does for all-MiniLM-L6-v2.
    pub normalise: bool,
}

impl Default for SentenceBertConfig {
    fn default() -> Self {
        Self {
            model: FilePath::default(),
            batch: 32,
            max_length: None,
            normalise: true,
        }
    }
}

inventory::submit! {
    ComponentInfo::new::<SentenceBertConfig>(
        ComponentKind::TextEncoder,
        "sentence-bert",
        "BERT sentence encoder read from a Hugging Face folder.",
        "Reimers and Gurevych, Sentence-BERT, EMNLP 2019",
    )
}

#[typetag::serde(name = "sentence-bert")]
impl TextEncoderConfig for SentenceBertConfig {
    fn validate(&self, problems: &mut Problems) {
        if self.model.is_empty() {
            problems.add_with_hint(
                "model",
                "no model folder given",
                "`./x model` fetches all-MiniLM-L6-v2 and prints its folder",
            );
        }
        problems.check(self.batch > 0, "batch", || "must be at least 1, got 0".into());
        let length = self.max_length.unwrap_or(3);
        problems.check(length >= 3, "max_length", || {
            format!("must be at least 3 (`[CLS]`, a token, `[SEP]`), got {length}")
        });
    }

    fn build(&self, ctx: &BuildContext) -> Result<Box<dyn TextEncoder>> {
        Ok(Box::new(SentenceBert::open(self, ctx.device)?))
    }
}

/// A sentence encoder whose network is loaded when the first text comes, so that vectors found in a cache cost no
/// memory.
#[derive(Debug)]
pub struct SentenceBert {
    options: SentenceBertConfig,
    folder: ModelFolder,
    tokens: Tokens,
    weights: PathBuf,
    fingerprint: String,
    device: Device,
    network: Option<Bert>,
}

impl SentenceBert {
    /// Reads the folder's small files and the digest of its weights.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when there is no such folder; else when a file is missing or wrong.
    pub fn open(options: &SentenceBertConfig, device: Device) -> Result<Self> {
        let mut folder = ModelFolder::open(options.model.as_ref()).map_err(|e| match e {
            Error::Unavailable(why) => Error::Unavailable(format!(
                "{why}; `./x model` fetches all-MiniLM-L6-v2 and prints its folder, give it as `text_encoder.model`"
            )),
            other => other,
        })?;
        let longest = folder.config.max_position_embeddings;
        if let Some(asked) = options.max_length {
            if asked as i64 > longest {
                return Err(Error::Input(format!(
                    "`max_length` is {asked}, but the network in {} takes at most {longest} tokens",
                    folder.transformer.display()
                )));
            }
            folder.max_length = asked;
        }
        folder.max_length = folder.max_length.max(3);
        let tokens = Tokens::load(&folder.transformer, folder.max_length)?;
        tokens.check_below(folder.config.vocab_size)?;
        let weights = folder.weights()?;
        let fingerprint = fingerprint(&folder, &tokens, options.normalise, &hash::of_file(&weights)?)?;
        Ok(Self {
            options: options.clone(),
            folder,
            tokens,
            weights,
            fingerprint,
            device,
            network: None,
        })
    }

    fn load(&self) -> Result<Bert> {
        let (state, _) = checkpoint::load(&self.weights, Device::Cpu)?;
        Bert::new(self.folder.config.clone(), &state, self.device)
            .map_err(|why| Error::format(&self.weights, None, why))
    }

    /// `[n, d]` f32 on the encoder's device.
    fn forward(&self, network: &Bert, rows: &[&Vec<i64>]) -> Result<Tensor> {
        let (ids, mask) = pad(rows, network.config().pad_token_id);
        let (ids, mask) = (ids.to_device(self.device), mask.to_device(self.device));
        let vectors = pool(&network.forward(&ids, &mask)?, &mask, self.folder.pooling);
        Ok(if self.options.normalise {
            unit(&vectors)
        } else {
            vectors
        })
    }
}

impl TextEncoder for SentenceBert {
    fn width(&self) -> i64 {
        self.folder.config.hidden_size
    }

    fn encode(&mut self, texts: &[String]) -> Result<Tensor> {
        let mut ids = Vec::with_capacity(texts.len());
        for text in texts {
            let lower = self.folder.lower_case.then(|| text.to_lowercase());
            ids.push(self.tokens.ids(lower.as_ref().unwrap_or(text))?);
        }
        let mut out = Tensor::zeros([texts.len() as i64, self.width()], (Kind::Float, Device::Cpu));
        if texts.is_empty() {
            return Ok(out);
        }
        if self.network.is_none() {
            self.network = Some(self.load()?);
        }
        let Some(network) = &self.network else {
            return Ok(out);
        };
        in_batches(&ids, self.options.batch, &mut out, |rows| {
            self.forward(network, rows)
        })?;
        Ok(out)
    }

    fn fingerprint(&self) -> String {
        self.fingerprint.clone()
    }
}

/// What decides the vectors: network, weights, vocabulary, pooling, length limit, scale.
fn fingerprint(folder: &ModelFolder, tokens: &Tokens, normalise: bool, weights: &str) -> Result<String> {
    let json = |e: serde_json::Error| Error::Input(e.to_string());
    let config = serde_json::to_string(&folder.config).map_err(json)?;
    // With a `vocab.txt` the rules beside it count too.
    let mut vocabulary = hash::of_file(tokens.file())?;
    let rules = folder.transformer.join("tokenizer_config.json");
    if tokens.file().ends_with("vocab.txt") && rules.is_file() {
        vocabulary = hash::hex(&hash::digest(
            format!("{vocabulary} {}", hash::of_file(&rules)?).as_bytes(),
        ));
    }
    let scale = if normalise { "unit" } else { "raw" };
    let case = if folder.lower_case { " lower-case" } else { "" };
    Ok(format!(
        "sentence-bert weights={weights} vocabulary={vocabulary} config={} pooling={} max_length={} scale={scale}{case}",
        &hash::hex(&hash::digest(config.as_bytes()))[..16],
        folder.pooling.as_str(),
        folder.max_length,
    ))
}

/// Ids `[B, L]` i64 filled up with `padding`, and the mask `[B, L]` f32 that is 1 for tokens.
fn pad(rows: &[&Vec<i64>], padding: i64) -> (Tensor, Tensor) {
    let longest = rows.iter().map(|r| r.len()).max().unwrap_or(0);
    let (mut ids, mut mask) = (Vec::new(), Vec::new());
    for row in rows {
        ids.extend_from_slice(row);
        ids.resize(ids.len() + longest - row.len(), padding);
        mask.resize(mask.len() + row.len(), 1.0f32);
        mask.resize(ids.len(), 0.0);
    }
    let shape = [rows.len() as i64, longest as i64];
    (
        Tensor::from_slice(&ids).reshape(shape),
        Tensor::from_slice(&mask).reshape(shape),
    )
}

/// `[B, L, h]` to `[B, h]`.
fn pool(hidden: &Tensor, mask: &Tensor, pooling: Pooling) -> Tensor {
    match pooling {
        Pooling::Cls => hidden.select(1, 0),
        Pooling::Mean => {
            let weights = mask.unsqueeze(-1);
            let sum = (hidden * &weights).sum_dim_intlist([1i64].as_slice(), false, Kind::Float);
            sum / weights
                .sum_dim_intlist([1i64].as_slice(), false, Kind::Float)
                .clamp_min(1e-9)
        }
    }
}

mod golden;
#[cfg(test)]
pub(super) mod tests;
