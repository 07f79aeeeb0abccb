//! Dual-stream language prompting: a frozen CLIP text transformer with learned prompts in its first S layers.
//!
//! SCoPLe, section 3.2. The plain stream E runs through the layers as they are. The prompted stream E' gets new prompts
//! in front of each of the first S layers, and a share α of its input is what the attention of the plain stream gives
//! there. Behind layer S only E' goes on.

use szar_core::{Error, NamedTensors, Result};
use tch::{Device, Kind, Tensor};

use super::config::ScopleConfig;
use crate::aligners::training::unit_rows;
use crate::semantics::clip::steps::States;
use crate::semantics::clip::{Clip, ClipConfig, ClipText};

/// Names behind the preamble, tokenised and looked up.
#[derive(Debug)]
pub struct Prompts {
    /// `[P, H]`: the start token and the preamble, alike for all.
    head: Tensor,
    /// `[C, L, H]`: what follows.
    tail: Tensor,
    /// `[C]`, where each text ends in the tail.
    ends: Tensor,
}

impl Prompts {
    /// Those of the classes in `columns` (`[n]` i64).
    pub fn select(&self, columns: &Tensor) -> Self {
        Self {
            head: self.head.shallow_clone(),
            tail: self.tail.index_select(0, columns),
            ends: self.ends.index_select(0, columns),
        }
    }
}

/// CLIP's text transformer and what is learned inside it.
#[derive(Debug)]
pub struct TextBranch {
    options: ClipConfig,
    clip: Clip,
    tower: ClipText,
    preamble: String,
    ending: String,
    /// `[l, H]`: in front of the first layer.
    words: Tensor,
    /// Per prompted layer `[l, H]`.
    layers: Vec<Tensor>,
    /// `[S]`: share of the plain stream's attention.
    alpha: Tensor,
}

impl TextBranch {
    /// Loads CLIP and makes prompts: those in front of the first layer begin as the words they replace, the others
    /// random.
    ///
    /// # Errors
    /// When CLIP cannot be loaded, has too few layers, or the preamble has fewer tokens than the prompts.
    pub fn new(config: &ScopleConfig, device: Device) -> Result<Self> {
        let options = config.clip()?;
        let clip = Clip::open(&options, device)?;
        let tower = clip.tower()?;
        let (depth, length) = (config.depth, config.text_prompts);
        let there = tower.config().num_hidden_layers;
        if depth > there {
            return Err(Error::Input(format!(
                "aligner `scople` is to prompt {depth} layers (`depth`), the text transformer has {there}"
            )));
        }
        let head = head(&clip, &config.preamble)?;
        let room = head.len() as i64 - 1;
        if length > room {
            return Err(Error::Input(format!(
                "aligner `scople`: the preamble \"{}\" has {room} tokens, `text_prompts` is {length}",
                config.preamble
            )));
        }
        let ids = Tensor::from_slice(&head).unsqueeze(0).to_device(device);
        let words = tower.embed(&ids)?.get(0).narrow(0, 1, length).copy();
        let random = |_| words.randn_like() * config.prompt_deviation;
        Ok(Self {
            layers: (0..depth).map(random).collect(),
            alpha: Tensor::full([depth], config.alpha, (Kind::Float, device)),
            words,
            preamble: config.preamble.clone(),
            ending: config.ending.clone(),
            options,
            clip,
            tower,
        })
    }

    /// d.
    pub fn width(&self) -> i64 {
        self.tower.config().projection_dim
    }

    /// The names behind the preamble, ready to be encoded.
    ///
    /// # Errors
    /// When the preamble has other tokens with a name behind it.
    pub fn prompts(&self, names: &[String]) -> Result<Prompts> {
        let head = head(&self.clip, &self.preamble)?;
        let texts: Vec<_> = names
            .iter()
            .map(|name| format!("{} {name}{}", self.preamble, self.ending))
            .collect();
        let ids = self.clip.ids(&texts)?;
        let ends = self.tower.ends(&ids)?;
        let begins = Tensor::from_slice(&head);
        let length = begins.numel() as i64;
        let fits = ids.size()[1] > length
            && ids.narrow(1, 0, length).eq_tensor(&begins).all().int64_value(&[]) == 1
            && ends.min().int64_value(&[]) > length;
        if !fits {
            return Err(Error::Input(format!(
                "aligner `scople`: the tokens of the preamble \"{}\" change, or fill the network, with the name of a class behind it",
                self.preamble
            )));
        }
        let device = self.tower.device();
        let embeddings = self.tower.embed(&ids.to_device(device))?;
        Ok(Prompts {
            head: embeddings.get(0).narrow(0, 0, length).copy(),
            tail: embeddings.narrow(1, length, ids.size()[1] - length).copy(),
            ends: (ends - length).to_device(device),
        })
    }

    /// `[C, d]`, f: gradients flow to the prompts and to α.
    ///
    /// # Errors
    /// When texts and prompts together are too long.
    pub fn encode(&self, prompts: &Prompts) -> Result<Tensor> {
        let tower = &self.tower;
        let mut plain = tower.begin(&behind_start(&prompts.head, &self.words), &prompts.tail)?;
        let mut prompted = States {
            head: plain.head.shallow_clone(),
            tail: plain.tail.shallow_clone(),
        };
        for (s, prompt) in self.layers.iter().enumerate() {
            let attention = tower.attend(s, &plain)?;
            let alpha = self.alpha.get(s as i64);
            prompted.head = behind_start(&prompted.head, &prompt.unsqueeze(0));
            let mixed = prompted.with(&attention, |own, given| own * (1.0 - &alpha) + given * &alpha);
            prompted = tower.pass(s, &mixed)?;
            if s + 1 < self.layers.len() {
                let between = plain.plus(&attention);
                plain = between.plus(&tower.feed_forward(s, &between)?);
            }
        }
        for layer in self.layers.len()..tower.config().num_hidden_layers as usize {
            prompted = tower.pass(layer, &prompted)?;
        }
        let texts = tower.finish(&prompted, &prompts.ends)?;
        Ok(if self.options.normalise {
            unit_rows(&texts)
        } else {
            texts
        })
    }

    /// As [`Self::encode`] with the encoder's `batch` texts at a time.
    ///
    /// # Errors
    /// As [`Self::encode`].
    pub fn encode_in_parts(&self, prompts: &Prompts) -> Result<Tensor> {
        let (count, size) = (prompts.tail.size()[0], self.options.batch as i64);
        let columns = Tensor::arange(count, (Kind::Int64, prompts.tail.device()));
        let parts = columns.split(size, 0);
        let parts = parts.iter().map(|part| self.encode(&prompts.select(part)));
        Ok(Tensor::cat(&parts.collect::<Result<Vec<_>>>()?, 0))
    }

    /// What is learned, by name, sharing memory.
    pub fn parameters(&self) -> NamedTensors {
        let mut parameters = NamedTensors::from([
            ("text_prompts.0".to_owned(), self.words.shallow_clone()),
            ("alpha".to_owned(), self.alpha.shallow_clone()),
        ]);
        for (s, prompt) in (1..).zip(&self.layers) {
            parameters.insert(format!("text_prompts.{s}"), prompt.shallow_clone());
        }
        parameters
    }
}

/// `[.., P, H]`: the beginning with `prompt` (`[.., l, H]`) in the places behind the start token.
fn behind_start(head: &Tensor, prompt: &Tensor) -> Tensor {
    let (length, whole) = (prompt.size()[prompt.dim() - 2], head.size()[head.dim() - 2]);
    let (start, rest) = (
        head.narrow(-2, 0, 1),
        head.narrow(-2, 1 + length, whole - 1 - length),
    );
    Tensor::cat(&[&start, prompt, &rest], -2)
}

/// Ids of the start token and the preamble.
fn head(clip: &Clip, preamble: &str) -> Result<Vec<i64>> {
    let mut ids = szar_core::host::to_i64(&clip.ids(&[preamble.to_owned()])?)?;
    ids.pop(); // the end token
    Ok(ids)
}
