//! A sentence encoder's folder, as Hugging Face and sentence-transformers write it.
//!
//! | file | read for |
//! |---|---|
//! | `modules.json` | which parts follow the transformer, and where they are; optional |
//! | `config.json`, `model.safetensors` | the network |
//! | `tokenizer.json`, or `vocab.txt` and `tokenizer_config.json` | the tokens |
//! | `sentence_bert_config.json` | length limit, lower-casing; optional |
//! | `1_Pooling/config.json` | pooling; mean over the tokens where there is none |

use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::DeserializeOwned;
use szar_core::{Error, Result};

use super::config::BertConfig;

/// How the tokens of a text become one vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pooling {
    /// Mean over the tokens, `[CLS]` and `[SEP]` included.
    Mean,
    /// The vector of `[CLS]`.
    Cls,
}

impl Pooling {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Mean => "mean",
            Self::Cls => "cls",
        }
    }
}

/// Everything a folder says, apart from weights and vocabulary.
#[derive(Clone, Debug)]
pub struct ModelFolder {
    /// Folder of `config.json`, the weights and the vocabulary.
    pub transformer: PathBuf,
    /// The network's sizes.
    pub config: BertConfig,
    /// From tokens to a vector.
    pub pooling: Pooling,
    /// Longest input in tokens.
    pub max_length: usize,
    /// Lower-case texts before they are tokenised.
    pub lower_case: bool,
}

#[derive(Deserialize)]
struct Module {
    #[serde(default)]
    path: PathBuf,
    #[serde(rename = "type")]
    class: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct SentenceConfig {
    max_seq_length: Option<usize>,
    do_lower_case: bool,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct PoolingConfig {
    pooling_mode_cls_token: bool,
    pooling_mode_mean_tokens: bool,
    pooling_mode_max_tokens: bool,
    pooling_mode_mean_sqrt_len_tokens: bool,
    pooling_mode_weightedmean_tokens: bool,
    pooling_mode_lasttoken: bool,
}

/// Parses a JSON file; the error has line and column.
pub(in crate::semantics) fn json<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let text = std::fs::read_to_string(path).map_err(|e| Error::read(path, e))?;
    serde_json::from_str(&text).map_err(|e| Error::format(path, None, e.to_string()))
}

/// Parses a JSON file that need not exist.
pub(in crate::semantics) fn json_if_there<T: DeserializeOwned>(path: &Path) -> Result<Option<T>> {
    if path.is_file() {
        json(path).map(Some)
    } else {
        Ok(None)
    }
}

impl ModelFolder {
    /// Reads the small files of a folder.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when there is no such folder; else when a file is missing, wrong, or asks for
    /// something that a plain BERT sentence encoder does not have.
    pub fn open(folder: &Path) -> Result<Self> {
        if !folder.is_dir() {
            return Err(Error::Unavailable(format!(
                "there is no model folder {}",
                folder.display()
            )));
        }
        let (transformer, pooling_file) = modules(folder)?;
        let config_file = transformer.join("config.json");
        let config: BertConfig = json(&config_file)?;
        if let Some(why) = config.objection() {
            return Err(Error::format(&config_file, None, why));
        }
        let sentence: SentenceConfig =
            json_if_there(&transformer.join("sentence_bert_config.json"))?.unwrap_or_default();
        let longest = usize::try_from(config.max_position_embeddings).unwrap_or(usize::MAX);
        Ok(Self {
            pooling: pooling(&pooling_file)?,
            max_length: sentence.max_seq_length.map_or(longest, |n| n.min(longest)),
            lower_case: sentence.do_lower_case,
            transformer,
            config,
        })
    }

    /// The weights file.
    ///
    /// # Errors
    /// [`Error::Format`] when there is none, with what to do about PyTorch's older format.
    pub fn weights(&self) -> Result<PathBuf> {
        weights_file(&self.transformer)
    }
}

/// The weights file of a folder, or what to do about PyTorch's older format.
pub(in crate::semantics) fn weights_file(folder: &Path) -> Result<PathBuf> {
    let path = folder.join("model.safetensors");
    if path.is_file() {
        return Ok(path);
    }
    let old = folder.join("pytorch_model.bin").is_file();
    let why = if old {
        "there is no `model.safetensors`; convert `pytorch_model.bin` (transformers: `save_pretrained`)"
    } else {
        "there is no `model.safetensors`"
    };
    Err(Error::format(folder, None, why))
}

/// Folder of the transformer and file of the pooling.
fn modules(folder: &Path) -> Result<(PathBuf, PathBuf)> {
    let (mut transformer, mut pooling) = (folder.to_owned(), folder.join("1_Pooling/config.json"));
    let file = folder.join("modules.json");
    for module in json_if_there::<Vec<Module>>(&file)?.unwrap_or_default() {
        match module.class.rsplit('.').next().unwrap_or_default() {
            "Transformer" => transformer = folder.join(&module.path),
            "Pooling" => pooling = folder.join(&module.path).join("config.json"),
            "Normalize" => {}
            other => {
                let why = format!("module `{other}` is unknown; expected Transformer, Pooling, Normalize");
                return Err(Error::format(&file, None, why));
            }
        }
    }
    Ok((transformer, pooling))
}

fn pooling(file: &Path) -> Result<Pooling> {
    let Some(config) = json_if_there::<PoolingConfig>(file)? else {
        return Ok(Pooling::Mean);
    };
    let others = config.pooling_mode_max_tokens
        || config.pooling_mode_mean_sqrt_len_tokens
        || config.pooling_mode_weightedmean_tokens
        || config.pooling_mode_lasttoken;
    match (
        config.pooling_mode_mean_tokens,
        config.pooling_mode_cls_token,
        others,
    ) {
        (true, false, false) => Ok(Pooling::Mean),
        (false, true, false) => Ok(Pooling::Cls),
        _ => {
            let why = "expected exactly one of `pooling_mode_mean_tokens` and `pooling_mode_cls_token`, and no other mode";
            Err(Error::format(file, None, why))
        }
    }
}
