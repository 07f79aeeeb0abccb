//! The sizes of a BERT network, as its folder's `config.json` gives them.

use serde::{Deserialize, Serialize};

/// Non-linearity between the two linear maps of a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Activation {
    /// Gaussian error linear unit by the error function.
    #[serde(rename = "gelu")]
    Gelu,
    /// Its approximation by the hyperbolic tangent.
    #[serde(rename = "gelu_new", alias = "gelu_pytorch_tanh")]
    GeluTanh,
    /// Rectifier.
    #[serde(rename = "relu")]
    Relu,
}

/// What a model folder's `config.json` says of the network; unknown keys are ignored, defaults are Hugging Face's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct BertConfig {
    /// Architecture family; only `bert` is known here.
    pub model_type: String,
    /// h.
    pub hidden_size: i64,
    /// Number of layers.
    pub num_hidden_layers: i64,
    /// a; divides h.
    pub num_attention_heads: i64,
    /// Width between the two linear maps of a layer.
    pub intermediate_size: i64,
    /// Longest input in tokens.
    pub max_position_embeddings: i64,
    /// Number of token ids.
    pub vocab_size: i64,
    /// Number of segment ids.
    pub type_vocab_size: i64,
    /// Added to the variance in layer normalisation.
    pub layer_norm_eps: f64,
    /// Non-linearity.
    pub hidden_act: Activation,
    /// How positions enter; only `absolute` is known here.
    pub position_embedding_type: String,
    /// Token id of padding.
    pub pad_token_id: i64,
}

impl Default for BertConfig {
    fn default() -> Self {
        Self {
            model_type: "bert".into(),
            hidden_size: 768,
            num_hidden_layers: 12,
            num_attention_heads: 12,
            intermediate_size: 3072,
            max_position_embeddings: 512,
            vocab_size: 30522,
            type_vocab_size: 2,
            layer_norm_eps: 1e-12,
            hidden_act: Activation::Gelu,
            position_embedding_type: "absolute".into(),
            pad_token_id: 0,
        }
    }
}

impl BertConfig {
    /// Why this network cannot be built here, if so.
    pub fn objection(&self) -> Option<String> {
        let sizes = [
            self.hidden_size,
            self.num_hidden_layers,
            self.num_attention_heads,
            self.intermediate_size,
            self.max_position_embeddings,
            self.vocab_size,
            self.type_vocab_size,
        ];
        let (h, a) = (self.hidden_size, self.num_attention_heads);
        if self.model_type != "bert" {
            return Some(format!("`model_type` is `{}`, expected `bert`", self.model_type));
        }
        if self.position_embedding_type != "absolute" {
            let found = &self.position_embedding_type;
            return Some(format!(
                "`position_embedding_type` is `{found}`, expected `absolute`"
            ));
        }
        if let Some(size) = sizes.iter().find(|s| !(1..=1 << 24).contains(*s)) {
            return Some(format!("a size is {size}, expected 1 to 16777216"));
        }
        (h % a != 0).then(|| format!("`hidden_size` {h} is not a multiple of `num_attention_heads` {a}"))
    }
}
