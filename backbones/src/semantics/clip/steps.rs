//! CLIP's text transformer in single steps, for methods that come between its sublayers.
//!
//! Texts that begin alike have the same states there, since no token looks at later ones. So the common beginning is
//! held once, `[1, P, H]`, and only what follows, `[B, L, H]`, once per text.

use szar_core::{Error, Result, shape};
use tch::{Kind, Tensor};

use super::tower::{ClipText, Layer};

/// States of texts in front of a layer, or what a sublayer adds to them.
#[derive(Debug)]
pub struct States {
    /// `[1, P, H]`, of the tokens that all texts begin with; at least one.
    pub head: Tensor,
    /// `[B, L, H]`, of those that follow.
    pub tail: Tensor,
}

impl States {
    /// Both parts of two such states put together by the same operation.
    pub fn with(&self, other: &Self, op: impl Fn(&Tensor, &Tensor) -> Tensor) -> Self {
        Self {
            head: op(&self.head, &other.head),
            tail: op(&self.tail, &other.tail),
        }
    }

    /// The sum.
    pub fn plus(&self, other: &Self) -> Self {
        self.with(other, |a, b| a + b)
    }
}

impl ClipText {
    /// What goes into the first layer: token embeddings with their positions added.
    ///
    /// # Shapes
    /// - `head`: `[P, H]`, the beginning, the start token in front; `tail`: `[B, L, H]`
    ///
    /// # Errors
    /// [`Error::Shape`] for other shapes; [`Error::Input`] when the texts are too long.
    pub fn begin(&self, head: &Tensor, tail: &Tensor) -> Result<States> {
        let h = Some(self.config().hidden_size);
        let [p, _] = shape::sizes("common token embeddings", head, [None, h])?;
        let [_, l, _] = shape::sizes("token embeddings", tail, [None, None, h])?;
        let longest = self.config().max_position_embeddings;
        if p + l > longest {
            return Err(Error::Input(format!(
                "a text has {} tokens, the network takes at most {longest}",
                p + l
            )));
        }
        let positions = self.positions();
        Ok(States {
            head: (head + positions.narrow(0, 0, p)).unsqueeze(0),
            tail: tail + positions.narrow(0, p, l),
        })
    }

    /// What the attention of a layer (from 0) adds to these states, its normalisation in front included.
    ///
    /// # Errors
    /// [`Error::Input`] when there is no such layer.
    pub fn attend(&self, layer: usize, states: &States) -> Result<States> {
        let layer = self.layer(layer)?;
        let norm = |x: &Tensor| layer.before_attention.forward(x);
        let [head_q, head_k, head_v] = self.by_head(layer, &norm(&states.head));
        let [q, k, v] = self.by_head(layer, &norm(&states.tail));
        let join = |head: &Tensor, tail: &Tensor| {
            let texts = tail.size()[0];
            Tensor::cat(&[&head.expand([texts, -1, -1, -1], false), tail], 2)
        };
        let bias = behind(states.head.size()[1], states.tail.size()[1], &states.tail);
        Ok(States {
            head: self.attended(layer, &head_q, &head_k, &head_v, None),
            tail: self.attended(layer, &q, &join(&head_k, &k), &join(&head_v, &v), Some(&bias)),
        })
    }

    /// What the feed-forward part of a layer (from 0) adds to these states, its normalisation in front included.
    ///
    /// # Errors
    /// [`Error::Input`] when there is no such layer.
    pub fn feed_forward(&self, layer: usize, states: &States) -> Result<States> {
        let layer = self.layer(layer)?;
        let forward = |x: &Tensor| self.fed(layer, x);
        Ok(States {
            head: forward(&states.head),
            tail: forward(&states.tail),
        })
    }

    /// What goes into the layer behind `layer` (from 0).
    ///
    /// # Errors
    /// [`Error::Input`] when there is no such layer.
    pub fn pass(&self, layer: usize, states: &States) -> Result<States> {
        let states = states.plus(&self.attend(layer, states)?);
        Ok(states.plus(&self.feed_forward(layer, &states)?))
    }

    /// Text vectors from what comes out of the last layer, not of unit length.
    ///
    /// # Shapes
    /// - `ends`: `[B]` i64, places in the tail where the texts end; result: `[B, d]`
    ///
    /// # Errors
    /// [`Error::Shape`] for other shapes.
    pub fn finish(&self, states: &States, ends: &Tensor) -> Result<Tensor> {
        self.project(&self.normalised(&self.pool(&states.tail, ends)?))
    }

    fn layer(&self, layer: usize) -> Result<&Layer> {
        self.layers().get(layer).ok_or_else(|| {
            let count = self.layers().len();
            Error::Input(format!(
                "the text transformer has {count} layers, got number {layer}"
            ))
        })
    }
}

/// `[L, P + L]`, added to attention logits: 0 where a token of the tail may look, else the most negative number.
fn behind(head: i64, tail: i64, like: &Tensor) -> Tensor {
    let later = Tensor::ones([tail, head + tail], (Kind::Float, like.device()));
    later.triu(head + 1) * f64::from(f32::MIN)
}
