//! CLIP's text transformer: token and position embeddings, pre-norm layers under a causal mask, the state at the
//! end of the text, and its projection into the space that texts and images share.
//!
//! Source: Radford et al., "Learning Transferable Visual Models From Natural Language Supervision", ICML 2021,
//! section 2.4, under the parameter names of Hugging Face's `CLIPTextModelWithProjection`.
//!
//! | symbol | meaning |
//! |---|---|
//! | B | texts |
//! | L | tokens, padding included |
//! | H | hidden size |
//! | P | tokens that texts begin with alike |
//! | d | width of the shared space |

use szar_core::{Error, NamedTensors, Result, shape};
use tch::{Device, Kind, Tensor};

use super::config::{Activation, ClipTextConfig};
use crate::semantics::parameters::{Linear, Norm, Taker};

#[derive(Debug)]
pub(super) struct Layer {
    pub(super) before_attention: Norm,
    /// Queries, keys and values in one product.
    qkv: Linear,
    output: Linear,
    before_feed_forward: Norm,
    up: Linear,
    down: Linear,
}

impl Layer {
    fn take(taker: &mut Taker, i: i64, config: &ClipTextConfig) -> Self {
        let (h, inner, eps) = (
            config.hidden_size,
            config.intermediate_size,
            config.layer_norm_eps,
        );
        let at = format!("text_model.encoder.layers.{i}");
        let three =
            ["q_proj", "k_proj", "v_proj"].map(|n| taker.linear(&format!("{at}.self_attn.{n}"), h, h));
        Self {
            before_attention: taker.norm(&format!("{at}.layer_norm1"), h, eps),
            qkv: Linear::joined(&three),
            output: taker.linear(&format!("{at}.self_attn.out_proj"), h, h),
            before_feed_forward: taker.norm(&format!("{at}.layer_norm2"), h, eps),
            up: taker.linear(&format!("{at}.mlp.fc1"), inner, h),
            down: taker.linear(&format!("{at}.mlp.fc2"), h, inner),
        }
    }
}

/// CLIP's text transformer with its weights, frozen, on one device.
#[derive(Debug)]
pub struct ClipText {
    config: ClipTextConfig,
    device: Device,
    /// `[vocab_size, H]`
    tokens: Tensor,
    /// `[max_position_embeddings, H]`
    positions: Tensor,
    layers: Vec<Layer>,
    last_norm: Norm,
    /// `[d, H]`
    projection: Tensor,
}

impl ClipText {
    /// Takes the weights from a state dict of the text model or of a whole CLIP; other entries are left alone.
    ///
    /// # Errors
    /// What is missing or of another shape, as a sentence.
    pub fn new(config: ClipTextConfig, state: &NamedTensors, device: Device) -> Result<Self, String> {
        if let Some(why) = config.objection() {
            return Err(why);
        }
        let mut taker = Taker::new(state, device);
        let h = config.hidden_size;
        let mut table = |name: &str, rows: i64| {
            taker.take(
                &format!("text_model.embeddings.{name}_embedding.weight"),
                &[rows, h],
            )
        };
        let tokens = table("token", config.vocab_size);
        let positions = table("position", config.max_position_embeddings);
        let layers = (0..config.num_hidden_layers)
            .map(|i| Layer::take(&mut taker, i, &config))
            .collect();
        let last_norm = taker.norm("text_model.final_layer_norm", h, config.layer_norm_eps);
        let projection = taker.take("text_projection.weight", &[config.projection_dim, h]);
        taker.finish()?;
        Ok(Self {
            config,
            device,
            tokens,
            positions,
            layers,
            last_norm,
            projection,
        })
    }

    /// The network's sizes.
    pub fn config(&self) -> &ClipTextConfig {
        &self.config
    }

    /// Where the weights are, and where inputs must be.
    pub fn device(&self) -> Device {
        self.device
    }

    /// Token embeddings, positions not yet added.
    ///
    /// # Shapes
    /// - `ids`: `[B, L]` i64
    /// - result: `[B, L, H]` f32
    ///
    /// # Errors
    /// [`Error::Shape`] for another rank; [`Error::Input`] for another type or an id that has no row.
    pub fn embed(&self, ids: &Tensor) -> Result<Tensor> {
        shape::expect("token ids", ids, [None, None])?;
        if ids.kind() != Kind::Int64 {
            return Err(Error::Input(format!(
                "token ids are {:?}, expected Int64",
                ids.kind()
            )));
        }
        let rows = self.config.vocab_size;
        if ids.numel() > 0 {
            let (least, most) = (ids.min().int64_value(&[]), ids.max().int64_value(&[]));
            if least < 0 || most >= rows {
                let found = if least < 0 { least } else { most };
                return Err(Error::Input(format!(
                    "token id {found} has no embedding, expected 0 to {}",
                    rows - 1
                )));
            }
        }
        Ok(Tensor::embedding(&self.tokens, ids, -1, false, false))
    }

    /// States of all tokens behind the last layer normalisation. Token embeddings may be anything, tuned context
    /// vectors say; gradients flow back to them.
    ///
    /// # Shapes
    /// - `embeddings`: `[B, L, H]` f32, L at most `max_position_embeddings`, positions not yet added
    /// - `mask`: `[B, L]`, 1 for tokens, 0 for padding that no token may look at; padding behind the text needs none,
    ///   because a token never looks at later ones
    /// - result: `[B, L, H]` f32
    ///
    /// # Errors
    /// [`Error::Shape`] for other shapes.
    pub fn forward(&self, embeddings: &Tensor, mask: Option<&Tensor>) -> Result<Tensor> {
        Ok(self.last_norm.forward(&self.walk(embeddings, mask, |_| {})?))
    }

    /// What goes into the first layer and what comes out of each, `num_hidden_layers` + 1 tensors `[B, L, H]`; the
    /// last one is not yet normalised.
    ///
    /// # Errors
    /// As [`ClipText::forward`].
    pub fn states(&self, embeddings: &Tensor, mask: Option<&Tensor>) -> Result<Vec<Tensor>> {
        let mut states = Vec::with_capacity(self.layers.len() + 1);
        let _ = self.walk(embeddings, mask, |x| states.push(x.shallow_clone()))?;
        Ok(states)
    }

    /// Position of the state that stands for each text: the first `eos_token_id`, 0 where there is none; with the
    /// `eos_token_id` 2 of old configurations the first of the largest id.
    ///
    /// # Shapes
    /// - `ids`: `[B, L]` i64, L at least 1
    /// - result: `[B]` i64
    ///
    /// # Errors
    /// [`Error::Shape`] for another rank or empty rows.
    pub fn ends(&self, ids: &Tensor) -> Result<Tensor> {
        shape::expect("token ids", ids, [None, None])?;
        if ids.size()[1] == 0 {
            shape::expect("token ids", ids, [None, Some(1)])?;
        }
        let largest = if self.config.ends_at_largest_id() {
            ids.shallow_clone()
        } else {
            ids.eq(self.config.eos_token_id).to_kind(Kind::Int64)
        };
        // A stable sort, because `argmax` promises no order among equals.
        Ok(largest.sort_stable(true, 1, true).1.select(1, 0))
    }

    /// State of each text at its end.
    ///
    /// # Shapes
    /// - `states`: `[B, L, H]`; `ends`: `[B]` i64, below L
    /// - result: `[B, H]`
    ///
    /// # Errors
    /// [`Error::Shape`] for other shapes.
    pub fn pool(&self, states: &Tensor, ends: &Tensor) -> Result<Tensor> {
        let h = self.config.hidden_size;
        shape::expect("states", states, [None, None, Some(h)])?;
        let b = states.size()[0];
        shape::expect("ends", ends, [Some(b)])?;
        let at = ends.reshape([b, 1, 1]).expand([b, 1, h], false);
        Ok(states.gather(1, &at, false).squeeze_dim(1))
    }

    /// Into the shared space; not of unit length.
    ///
    /// # Shapes
    /// - `pooled`: `[B, H]`; result: `[B, d]`
    ///
    /// # Errors
    /// [`Error::Shape`] for another shape.
    pub fn project(&self, pooled: &Tensor) -> Result<Tensor> {
        shape::expect("pooled states", pooled, [None, Some(self.config.hidden_size)])?;
        Ok(pooled.linear(&self.projection, None::<&Tensor>))
    }

    /// Text vectors from token embeddings: [`ClipText::forward`], [`ClipText::pool`] and [`ClipText::project`],
    /// normalising only the states that count.
    ///
    /// # Shapes
    /// - `embeddings`: `[B, L, H]`; `ends`: `[B]` i64, below L; result: `[B, d]`
    ///
    /// # Errors
    /// [`Error::Shape`] for other shapes.
    pub fn texts(&self, embeddings: &Tensor, ends: &Tensor) -> Result<Tensor> {
        let pooled = self.pool(&self.walk(embeddings, None, |_| {})?, ends)?;
        self.project(&self.last_norm.forward(&pooled))
    }

    /// Through all layers; `visit` sees what goes in and what comes out of each.
    fn walk(
        &self,
        embeddings: &Tensor,
        mask: Option<&Tensor>,
        mut visit: impl FnMut(&Tensor),
    ) -> Result<Tensor> {
        shape::expect(
            "token embeddings",
            embeddings,
            [None, None, Some(self.config.hidden_size)],
        )?;
        let (b, l, _) = embeddings.size3()?;
        let longest = self.config.max_position_embeddings;
        if l > longest {
            return Err(Error::Input(format!(
                "a text has {l} tokens, the network takes at most {longest}"
            )));
        }
        let bias = mask.map(|mask| attention_bias(mask, b, l)).transpose()?;
        let mut x = embeddings + self.positions.narrow(0, 0, l);
        visit(&x);
        for layer in &self.layers {
            x = &x + self.attention(layer, &layer.before_attention.forward(&x), bias.as_ref());
            x = &x + self.fed(layer, &x);
            visit(&x);
        }
        Ok(x)
    }

    /// What the feed-forward part adds to `x`.
    pub(super) fn fed(&self, layer: &Layer, x: &Tensor) -> Tensor {
        let inner = layer.up.forward(&layer.before_feed_forward.forward(x));
        layer.down.forward(&self.activate(&inner))
    }

    pub(super) fn layers(&self) -> &[Layer] {
        &self.layers
    }

    /// `[max_position_embeddings, H]`
    pub(super) fn positions(&self) -> &Tensor {
        &self.positions
    }

    /// The last normalisation of states `[.., H]`.
    pub(super) fn normalised(&self, x: &Tensor) -> Tensor {
        self.last_norm.forward(x)
    }

    fn activate(&self, x: &Tensor) -> Tensor {
        match self.config.hidden_act {
            Activation::QuickGelu => x * (x * 1.702).sigmoid(),
            Activation::Gelu => x.gelu("none"),
        }
    }

    /// `[B, L, H]` to `[B, L, H]`, heads side by side.
    fn attention(&self, layer: &Layer, x: &Tensor, bias: Option<&Tensor>) -> Tensor {
        let [q, k, v] = self.by_head(layer, x);
        self.attended(layer, &q, &k, &v, bias)
    }

    /// Queries, keys and values, each `[B, heads, L, H/heads]`.
    pub(super) fn by_head(&self, layer: &Layer, x: &Tensor) -> [Tensor; 3] {
        let (size, heads) = (x.size(), self.config.num_attention_heads);
        let (b, l, h) = (size[0], size[1], size[2]);
        // [B, L, 3H] -> [3, B, heads, L, H/heads]
        let qkv = layer
            .qkv
            .forward(x)
            .reshape([b, l, 3, heads, h / heads])
            .permute([2, 0, 3, 1, 4]);
        [0, 1, 2].map(|i| qkv.select(0, i))
    }

    /// What the queries find, `[B, L, H]`; causal where no bias says what they may look at.
    pub(super) fn attended(
        &self,
        layer: &Layer,
        q: &Tensor,
        k: &Tensor,
        v: &Tensor,
        bias: Option<&Tensor>,
    ) -> Tensor {
        let found = Tensor::scaled_dot_product_attention(q, k, v, bias, 0.0, bias.is_none(), None, false);
        layer.output.forward(&found.transpose(1, 2).flatten(2, 3))
    }
}

/// `[B, 1, L, L]`, added to the attention logits: 0 where a token may look, else the most negative number, once for
/// what comes later and once for padding.
fn attention_bias(mask: &Tensor, b: i64, l: i64) -> Result<Tensor> {
    shape::expect("attention mask", mask, [Some(b), Some(l)])?;
    let device = mask.device();
    let least = f64::from(f32::MIN);
    let later = Tensor::ones([l, l], (Kind::Float, device)).triu(1) * least;
    let padding: Tensor = 1.0 - mask.to_kind(Kind::Float);
    Ok((padding * least).reshape([b, 1, 1, l]) + later)
}
