//! The BERT encoder: embeddings, then post-norm transformer layers.
//!
//! Source: Devlin et al., "BERT", NAACL 2019, under the parameter names of Hugging Face's `BertModel`.
//!
//! | symbol | meaning |
//! |---|---|
//! | L | tokens, padding included |
//! | h | hidden size |
//! | a | attention heads |

use szar_core::{NamedTensors, shape};
use tch::{Device, Kind, Tensor};

use super::config::{Activation, BertConfig};
use crate::semantics::parameters::{Linear, Norm, Taker};

#[derive(Debug)]
struct Layer {
    /// Queries, keys and values in one product.
    qkv: Linear,
    output: Linear,
    after_attention: Norm,
    up: Linear,
    down: Linear,
    after_feed_forward: Norm,
}

/// A BERT encoder with its weights on one device.
#[derive(Debug)]
pub struct Bert {
    config: BertConfig,
    words: Tensor,
    positions: Tensor,
    segment: Tensor,
    norm: Norm,
    layers: Vec<Layer>,
}

fn layer(taker: &mut Taker, i: i64, config: &BertConfig) -> Layer {
    let (h, inner, at) = (
        config.hidden_size,
        config.intermediate_size,
        format!("encoder.layer.{i}"),
    );
    let three = ["query", "key", "value"].map(|n| taker.linear(&format!("{at}.attention.self.{n}"), h, h));
    let mut norm = |name: &str| taker.norm(&format!("{at}.{name}.LayerNorm"), h, config.layer_norm_eps);
    let (after_attention, after_feed_forward) = (norm("attention.output"), norm("output"));
    Layer {
        qkv: Linear::joined(&three),
        output: taker.linear(&format!("{at}.attention.output.dense"), h, h),
        after_attention,
        up: taker.linear(&format!("{at}.intermediate.dense"), inner, h),
        down: taker.linear(&format!("{at}.output.dense"), h, inner),
        after_feed_forward,
    }
}

impl Bert {
    /// Takes the weights from a state dict, with or without a leading `bert.`; other entries (heads, buffers) are
    /// left alone.
    ///
    /// # Errors
    /// What is missing or of another shape, as a sentence.
    pub fn new(config: BertConfig, state: &NamedTensors, device: Device) -> Result<Self, String> {
        if let Some(why) = config.objection() {
            return Err(why);
        }
        let bare = state
            .iter()
            .map(|(n, t)| (n.strip_prefix("bert.").unwrap_or(n), t));
        let from: NamedTensors = bare.map(|(n, t)| (n.to_owned(), t.shallow_clone())).collect();
        let mut taker = Taker::new(&from, device);
        let h = config.hidden_size;
        let segments = taker.take(
            "embeddings.token_type_embeddings.weight",
            &[config.type_vocab_size, h],
        );
        let words = taker.take("embeddings.word_embeddings.weight", &[config.vocab_size, h]);
        let positions = taker.take(
            "embeddings.position_embeddings.weight",
            &[config.max_position_embeddings, h],
        );
        let norm = taker.norm("embeddings.LayerNorm", h, config.layer_norm_eps);
        let layers = (0..config.num_hidden_layers)
            .map(|i| layer(&mut taker, i, &config))
            .collect();
        taker.finish()?;
        Ok(Self {
            config,
            words,
            positions,
            segment: segments.select(0, 0),
            norm,
            layers,
        })
    }

    /// The network's sizes.
    pub fn config(&self) -> &BertConfig {
        &self.config
    }

    /// Hidden states of the last layer; padded positions hold numbers without meaning.
    ///
    /// # Shapes
    /// - `ids`: `[B, L]` i64, each below `vocab_size`, L at most `max_position_embeddings`
    /// - `mask`: `[B, L]` f32, 1 for tokens, 0 for padding
    /// - result: `[B, L, h]` f32
    ///
    /// # Errors
    /// [`szar_core::Error::Shape`] when the two differ in shape.
    pub fn forward(&self, ids: &Tensor, mask: &Tensor) -> szar_core::Result<Tensor> {
        shape::expect("token ids", ids, [None, None])?;
        let (b, l) = ids.size2()?;
        shape::expect("attention mask", mask, [Some(b), Some(l)])?;
        let embedded = Tensor::embedding(&self.words, ids, -1, false, false);
        let mut x = self
            .norm
            .forward(&(embedded + self.positions.narrow(0, 0, l) + &self.segment));
        // Added to the attention logits: 0 for tokens, the most negative number for padding.
        let padding: Tensor = 1.0 - mask;
        let bias = (padding * f64::from(f32::MIN)).reshape([b, 1, 1, l]);
        for layer in &self.layers {
            x = self.layer(layer, &x, &bias);
        }
        Ok(x)
    }

    fn layer(&self, layer: &Layer, x: &Tensor, bias: &Tensor) -> Tensor {
        let attended = layer.output.forward(&self.attention(layer, x, bias));
        let x = layer.after_attention.forward(&(attended + x));
        let inner = layer.up.forward(&x);
        let inner = match self.config.hidden_act {
            Activation::Gelu => inner.gelu("none"),
            Activation::GeluTanh => inner.gelu("tanh"),
            Activation::Relu => inner.relu(),
        };
        layer
            .after_feed_forward
            .forward(&(layer.down.forward(&inner) + &x))
    }

    /// `[B, L, h]` to `[B, L, h]`, heads side by side.
    fn attention(&self, layer: &Layer, x: &Tensor, bias: &Tensor) -> Tensor {
        let (size, heads) = (x.size(), self.config.num_attention_heads);
        let (b, l, h) = (size[0], size[1], size[2]);
        // [B, L, 3h] -> [3, B, a, L, h/a]
        let qkv = layer
            .qkv
            .forward(x)
            .reshape([b, l, 3, heads, h / heads])
            .permute([2, 0, 3, 1, 4]);
        let (q, k, v) = (qkv.select(0, 0), qkv.select(0, 1), qkv.select(0, 2));
        let scale = ((h / heads) as f64).sqrt();
        let weights = (q.matmul(&k.transpose(-2, -1)) / scale + bias).softmax(-1, Kind::Float);
        weights.matmul(&v).transpose(1, 2).reshape([b, l, h])
    }
}
