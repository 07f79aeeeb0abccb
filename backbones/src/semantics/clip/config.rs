//! The sizes of CLIP's text transformer, as its folder's `config.json` gives them.

use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use szar_core::{Error, Result};

use crate::semantics::bert::folder::json;

/// `eos_token_id` of configurations written before the real id was recorded in them.
const OLD_EOS: i64 = 2;

/// Non-linearity between the two linear maps of a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Activation {
    /// `x σ(1.702 x)`, OpenAI's.
    #[serde(rename = "quick_gelu")]
    QuickGelu,
    /// Gaussian error linear unit by the error function.
    #[serde(rename = "gelu")]
    Gelu,
}

/// What `config.json` says of the text transformer; unknown keys are ignored, defaults are Hugging Face's, which are
/// those of ViT-B/32.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ClipTextConfig {
    /// H.
    pub hidden_size: i64,
    /// Width between the two linear maps of a layer.
    pub intermediate_size: i64,
    /// d, width of the space that texts and images share.
    pub projection_dim: i64,
    /// Number of layers.
    pub num_hidden_layers: i64,
    /// Divides H.
    pub num_attention_heads: i64,
    /// Longest input in tokens.
    pub max_position_embeddings: i64,
    /// Number of token ids.
    pub vocab_size: i64,
    /// Non-linearity.
    pub hidden_act: Activation,
    /// Added to the variance in layer normalisation.
    pub layer_norm_eps: f64,
    /// Token whose state stands for the text; 2 means the largest id of the row instead.
    pub eos_token_id: i64,
}

impl Default for ClipTextConfig {
    fn default() -> Self {
        Self {
            hidden_size: 512,
            intermediate_size: 2048,
            projection_dim: 512,
            num_hidden_layers: 12,
            num_attention_heads: 8,
            max_position_embeddings: 77,
            vocab_size: 49408,
            hidden_act: Activation::QuickGelu,
            layer_norm_eps: 1e-5,
            eos_token_id: 49407,
        }
    }
}

impl ClipTextConfig {
    /// Reads the `config.json` of a text model or of a whole CLIP, whose text part is under `text_config`.
    ///
    /// # Errors
    /// When the file is missing or wrong, or of another architecture.
    pub fn load(file: &Path) -> Result<Self> {
        let wrong = |at: Option<String>, why: String| Error::format(file, at, why);
        let whole: Value = json(file)?;
        let family = whole.get("model_type").and_then(Value::as_str).unwrap_or("none");
        let (text, at) = match family {
            "clip_text_model" => (whole, None),
            "clip" => (text_part(&whole), Some("text_config".to_owned())),
            other => {
                let why = format!("`model_type` is `{other}`, expected `clip` or `clip_text_model`");
                return Err(wrong(None, why));
            }
        };
        let config: Self = serde_json::from_value(text).map_err(|e| wrong(at.clone(), e.to_string()))?;
        match config.objection() {
            Some(why) => Err(wrong(at, why)),
            None => Ok(config),
        }
    }

    /// Why this network cannot be built here, if so.
    pub fn objection(&self) -> Option<String> {
        let sizes = [
            ("hidden_size", self.hidden_size),
            ("intermediate_size", self.intermediate_size),
            ("projection_dim", self.projection_dim),
            ("num_hidden_layers", self.num_hidden_layers),
            ("num_attention_heads", self.num_attention_heads),
            ("max_position_embeddings", self.max_position_embeddings),
            ("vocab_size", self.vocab_size),
        ];
        if let Some((name, size)) = sizes.iter().find(|(_, s)| !(1..=1 << 24).contains(s)) {
            return Some(format!("`{name}` is {size}, expected 1 to 16777216"));
        }
        let (h, heads) = (self.hidden_size, self.num_attention_heads);
        (h % heads != 0)
            .then(|| format!("`hidden_size` {h} is not a multiple of `num_attention_heads` {heads}"))
    }

    /// True when a text ends at its largest token id: the configuration is older than the rule by `eos_token_id`.
    pub fn ends_at_largest_id(&self) -> bool {
        self.eos_token_id == OLD_EOS
    }
}

/// The text part of a whole CLIP. `text_config_dict`, where it is filled, stands in for `text_config`, and the width
/// of the shared space is the one outside both, as in Hugging Face's code.
fn text_part(whole: &Value) -> Value {
    let parts = ["text_config_dict", "text_config"].map(|key| whole.get(key).filter(|v| v.is_object()));
    let mut text = parts.into_iter().flatten().next().cloned();
    let text = text.get_or_insert_with(|| Value::Object(serde_json::Map::new()));
    if let (Some(fields), Some(width)) = (text.as_object_mut(), whole.get("projection_dim")) {
        fields.insert("projection_dim".into(), width.clone());
    }
    text.take()
}
