//! The adapter: groups the samples of a step, answers each group from its memory, and remembers it.

use std::collections::BTreeMap;

use szar_core::{
    Aligner, Error, Held, NamedTensors, Observation, Result, SampleRef, Scores, Seed, Task, TestTimeAdapter,
    host,
};
use tch::Tensor;

use super::bn::Bn;
use super::memory::Memory;
use super::step::Voting;
use super::{AdaNpcConfig, Answer, Update};
use crate::rows::{self, Rows, Setting};
use crate::saved::{self, Saved};

/// The runtime part of `adanpc`.
#[derive(Debug)]
pub struct AdaNpc {
    options: AdaNpcConfig,
    /// Vectors and labels to start from, instead of the class vectors.
    given: Option<(Tensor, Vec<usize>)>,
    stream: Option<Stream>,
}

/// What lives from `begin` to `begin`.
#[derive(Debug)]
struct Stream {
    setting: Setting,
    seed: Seed,
    /// One per stream, once the first vectors came; empty before.
    memories: Vec<Memory>,
    /// One per stream with the option `bn`.
    bns: Vec<Bn>,
    samples: i64,
    batch: Batch,
}

/// Buffers of a step, kept for the next.
#[derive(Debug, Default)]
struct Batch {
    voting: Voting,
    /// `[B, D]`.
    queries: Vec<f32>,
    /// `[B, C]`.
    out: Vec<f32>,
    /// Samples of the batch, those of a group side by side.
    order: Vec<usize>,
    /// `[G, D]`, `[G, C]` and the samples of a group.
    vectors: Vec<f32>,
    votes: Vec<f32>,
    group: Vec<SampleRef>,
}

impl AdaNpc {
    /// With these options.
    pub fn new(options: &AdaNpcConfig) -> Self {
        Self {
            options: options.clone(),
            given: None,
            stream: None,
        }
    }

    /// Starts every stream from these labelled vectors instead of the class vectors; labels are columns.
    ///
    /// # Shapes
    /// - `vectors`: `[n, D]`, of any length; as many `labels`
    #[must_use]
    pub fn with_memory(mut self, vectors: &Tensor, labels: &[usize]) -> Self {
        self.given = Some((vectors.shallow_clone(), labels.to_vec()));
        self
    }

    fn stream(&self) -> Result<&Stream> {
        self.stream.as_ref().ok_or_else(not_begun)
    }

    pub(super) fn memories(&self) -> &[Memory] {
        self.stream.as_ref().map_or(&[], |s| &s.memories)
    }

    pub(super) fn bns(&self) -> &[Bn] {
        self.stream.as_ref().map_or(&[], |s| &s.bns)
    }
}

fn not_begun() -> Error {
    Error::Missing("a stream: adanpc was not begun".into())
}

/// A vector of uniform numbers from -1 to 1.
fn noise(seed: Seed, width: usize) -> impl Iterator<Item = f32> {
    let draw = move |i: usize| seed.derive("adanpc noise row", i as u64).0 >> 40;
    (0..width).map(move |i| draw(i) as f32 / (1u32 << 23) as f32 - 1.0)
}

impl Stream {
    /// The memory that every stream starts with.
    fn start(
        &self,
        options: &AdaNpcConfig,
        given: Option<&(Tensor, Vec<usize>)>,
        classes: &Tensor,
        width: usize,
    ) -> Result<Memory> {
        let count = self.setting.classes;
        let (mut values, mut labels) = (Vec::new(), Vec::new());
        if options.noise_row {
            values.extend(noise(self.seed, width));
            labels.push(0);
        }
        let own: Vec<usize> = (0..count).collect();
        let (vectors, classes) = given.map_or((classes, &own), |(vectors, labels)| (vectors, labels));
        let want = [Some(classes.len() as i64), Some(width as i64)];
        szar_core::shape::expect("memory to start from", vectors, want)?;
        if let Some(label) = classes.iter().find(|label| **label >= count) {
            return Err(Error::Input(format!(
                "the memory to start from has a vector of class {label}, there are {count} candidates"
            )));
        }
        let mut rows = Vec::new();
        rows::fetch(vectors, &mut rows);
        values.extend(rows);
        labels.extend_from_slice(classes);
        if labels.is_empty() {
            return Err(Error::Input("the memory to start from is empty".into()));
        }
        let limit = options.capacity.limit();
        Ok(Memory::new(Rows::new(width), count, limit, &values, &labels))
    }

    /// Sorts the samples into groups that share a memory as it is: a stream's samples, or each sample alone.
    fn group(&mut self, update: Update, samples: &[SampleRef]) {
        let order = &mut self.batch.order;
        order.clear();
        order.extend(0..samples.len());
        if update == Update::Batch && self.setting.streams > 1 {
            order.sort_by_key(|b| samples[*b].stream);
        }
    }

    fn step(&mut self, options: &AdaNpcConfig, samples: &[SampleRef]) {
        self.group(options.update, samples);
        let classes = self.setting.classes;
        self.batch.out.resize(samples.len() * classes, 0.0);
        let mut from = 0;
        while from < samples.len() {
            let stream = samples[self.batch.order[from]].stream;
            let mut to = from + 1;
            let together = |b: &usize| samples[*b].stream == stream;
            while options.update == Update::Batch && self.batch.order.get(to).is_some_and(together) {
                to += 1;
            }
            self.batch
                .gather(samples, from..to, self.memories[stream].rows.width);
            match self.bns.get_mut(stream) {
                Some(bn) => self.batch.adapt(options, &mut self.memories[stream], bn, classes),
                None => self.batch.answer(options, &mut self.memories[stream], classes),
            }
            for (i, b) in self.batch.order[from..to].iter().enumerate() {
                let votes = &self.batch.votes[i * classes..][..classes];
                self.batch.out[b * classes..][..classes].copy_from_slice(votes);
            }
            from = to;
        }
        if options.answer == Answer::LogVotes {
            self.batch.out.iter_mut().for_each(|v| *v = v.ln());
        }
        self.samples += samples.len() as i64;
    }
}

impl Batch {
    fn gather(&mut self, samples: &[SampleRef], which: std::ops::Range<usize>, width: usize) {
        self.vectors.clear();
        self.group.clear();
        for b in &self.order[which] {
            self.vectors
                .extend_from_slice(&self.queries[b * width..][..width]);
            self.group.push(samples[*b]);
        }
    }

    fn answer(&mut self, options: &AdaNpcConfig, memory: &mut Memory, classes: usize) {
        memory.rows.normalise(&mut self.vectors);
        self.votes.resize(self.group.len() * classes, 0.0);
        self.voting
            .votes(options, memory, &self.vectors, classes, &mut self.votes);
        self.voting
            .remember(options, memory, &self.vectors, &self.votes, &self.group);
    }

    fn adapt(&mut self, options: &AdaNpcConfig, memory: &mut Memory, bn: &mut Bn, classes: usize) {
        let shape = [self.group.len() as i64, memory.rows.width as i64];
        let x = Tensor::from_slice(&self.vectors).reshape(shape);
        for _ in 0..options.steps {
            let pass = bn.pass(options, memory, classes, &x);
            rows::fetch(&pass.vectors, &mut self.vectors);
            rows::fetch(&pass.votes, &mut self.votes);
            self.voting
                .remember(options, memory, &self.vectors, &self.votes, &self.group);
        }
    }
}

impl TestTimeAdapter for AdaNpc {
    fn begin(&mut self, task: &Task) -> Result<()> {
        self.stream = Some(Stream {
            setting: Setting::of(task)?,
            seed: task.seed,
            memories: Vec::new(),
            bns: Vec::new(),
            samples: 0,
            batch: Batch::default(),
        });
        Ok(())
    }

    fn step(&mut self, seen: &Observation, model: &dyn Aligner) -> Result<Scores> {
        let _no_grad = tch::no_grad_guard();
        let stream = self.stream.as_mut().ok_or_else(not_begun)?;
        let logits = &seen.scores.logits;
        let batch = stream.setting.check(logits, seen.samples)?;
        let vectors = stream.setting.embed(seen, model)?;
        let known = stream.memories.first().map(|m| m.rows.width);
        let width = rows::width_of(&vectors.visual, known)?;
        if stream.memories.is_empty() {
            let streams = stream.setting.streams;
            // One by one: a clone would not have the room.
            let start = |_| stream.start(&self.options, self.given.as_ref(), &vectors.classes, width);
            stream.memories = (0..streams).map(start).collect::<Result<_>>()?;
            let bns = if self.options.bn { streams } else { 0 };
            stream.bns = (0..bns).map(|_| Bn::new(width)).collect();
        }
        rows::fetch(&vectors.visual, &mut stream.batch.queries);
        stream.step(&self.options, seen.samples);
        let shape = [batch as i64, stream.setting.classes as i64];
        let out = host::tensor(&stream.batch.out, &shape);
        Ok(Scores {
            logits: out.to_device(logits.device()),
        })
    }

    fn snapshot(&self) -> Result<NamedTensors> {
        let stream = self.stream()?;
        let mut state = NamedTensors::new();
        state.insert(
            "width".into(),
            saved::width(stream.memories.first().map(|m| m.rows.width)),
        );
        state.insert("seen".into(), Tensor::from_slice(&[stream.samples]));
        for (s, memory) in stream.memories.iter().enumerate() {
            memory.save(&format!("memory{s}"), &mut state);
        }
        for (s, bn) in stream.bns.iter().enumerate() {
            bn.save(&format!("bn{s}"), &mut state);
        }
        Ok(state)
    }

    fn restore(&mut self, state: NamedTensors) -> Result<()> {
        let stream = self.stream.as_mut().ok_or_else(not_begun)?;
        let (mut memories, mut bns) = (Vec::new(), Vec::new());
        let norms: NamedTensors = state
            .iter()
            .filter(|(name, _)| name.starts_with("bn"))
            .map(|(name, t)| (name.clone(), t.shallow_clone()))
            .collect();
        let mut saved = Saved::new("adanpc", state);
        let (width, seen) = (saved.width()?, saved.integers("seen", &[Some(1)])?);
        let (classes, limit) = (stream.setting.classes, self.options.capacity.limit());
        let streams = if width.is_some() {
            stream.setting.streams
        } else {
            0
        };
        for s in 0..streams {
            let width = width.unwrap_or(0);
            let name = format!("memory{s}");
            memories.push(Memory::restored(
                Rows::new(width),
                classes,
                limit,
                &name,
                &mut saved,
            )?);
            if self.options.bn {
                let mut bn = Bn::new(width);
                bn.load(&format!("bn{s}"), &norms)?;
                bns.push(bn);
            }
        }
        (stream.memories, stream.bns, stream.samples) = (memories, bns, seen[0]);
        Ok(())
    }

    fn held(&self) -> Vec<Held> {
        let of = |(stream, memory): (usize, &Memory)| {
            let entries = memory.samples.iter().zip(&memory.labels);
            let held = |(sample, label): (&i64, &usize)| {
                let position = u64::try_from(*sample).ok()?;
                Some(Held {
                    sample: SampleRef { stream, position },
                    class: *label,
                })
            };
            entries.filter_map(held).collect::<Vec<_>>()
        };
        self.memories().iter().enumerate().flat_map(of).collect()
    }

    fn diagnostics(&self) -> BTreeMap<String, Vec<f64>> {
        let Some(stream) = &self.stream else {
            return BTreeMap::new();
        };
        let mut occupancy = vec![0.0; stream.setting.classes];
        let labels = stream.memories.iter().flat_map(|m| &m.labels);
        labels.for_each(|label| occupancy[*label] += 1.0);
        let total = |of: fn(&Memory) -> i64| vec![stream.memories.iter().map(of).sum::<i64>() as f64];
        [
            ("samples", vec![stream.samples as f64]),
            ("occupancy", occupancy),
            ("writes", total(|m| m.writes)),
            ("replacements", total(|m| m.replacements)),
        ]
        .map(|(name, values)| (name.to_owned(), values))
        .into()
    }

    fn state_bytes(&self) -> u64 {
        let memories: u64 = self.memories().iter().map(Memory::bytes).sum();
        memories + self.bns().iter().map(Bn::bytes).sum::<u64>()
    }
}
