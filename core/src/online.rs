//! An adapter on a running stream: what every adapter is guarded against, whoever wrote it.
//!
//! [`Online`] checks what enters a step, keeps samples that are not finite away from the state, keeps S streams
//! apart for adapters that hold one state only, and makes snapshots that fit one adapter, one version and one list of classes.

use std::collections::BTreeMap;
use std::path::Path;

use tch::{Device, Tensor};

use crate::checkpoint::{self, NamedTensors};
use crate::component::BuildContext;
use crate::traits::{
    AdapterConfig, Aligner, Held, Observation, SampleRef, Skeletons, SlotWeights, Task, TestTimeAdapter,
};
use crate::types::{FeatureMap, Scores, SkeletonBatch};
use crate::{Error, Result, shape};

/// What one step gave.
#[derive(Debug)]
pub struct Stepped {
    /// `[B, C]`.
    pub scores: Scores,
    /// Samples of the batch whose features or scores were not finite: they keep their scores, and the state never saw them.
    pub skipped: Vec<usize>,
}

/// What a snapshot belongs to, and the state itself.
#[derive(Debug)]
pub struct Snapshot {
    /// Adapter, its options, version, classes, streams.
    pub identity: BTreeMap<String, String>,
    /// The state.
    pub tensors: NamedTensors,
}

impl Snapshot {
    /// Writes it as safetensors.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn save(&self, path: &Path) -> Result<()> {
        let about: Vec<(String, String)> = self
            .identity
            .iter()
            .map(|(k, v)| (k.clone(), v.clone()))
            .collect();
        checkpoint::save(path, &self.tensors, &about)
    }

    /// Reads what [`Self::save`] wrote.
    ///
    /// # Errors
    /// When the file is missing or damaged.
    pub fn load(path: &Path, device: Device) -> Result<Self> {
        let (tensors, about) = checkpoint::load(path, device)?;
        Ok(Self {
            identity: about.into_iter().collect(),
            tensors,
        })
    }
}

/// An adapter between `begin` and the end of its stream.
pub struct Online {
    /// One; or one per stream, for adapters that hold a single state.
    adapters: Vec<Box<dyn TestTimeAdapter>>,
    identity: BTreeMap<String, String>,
    name: String,
    classes: i64,
    streams: usize,
    /// Is there one adapter per stream?
    separate: bool,
}

impl Online {
    /// Builds the adapter and begins a stream.
    ///
    /// # Errors
    /// When the options do not fit the task.
    pub fn begin(config: &dyn AdapterConfig, ctx: &BuildContext, task: &Task) -> Result<Self> {
        let name = config.typetag_name().to_owned();
        let named = |e: Error| e.context(format!("adapter `{name}`"));
        if task.streams == 0 {
            return Err(Error::Input("a task needs at least one stream".into()));
        }
        let own = config.holds_streams() || task.streams == 1;
        let count = if own { 1 } else { task.streams };
        let mut adapters = Vec::with_capacity(count);
        for _ in 0..count {
            let mut adapter = config.build(ctx).map_err(named)?;
            if own {
                adapter.begin(task).map_err(named)?;
            } else {
                adapter.begin(&one_of(task)?).map_err(named)?;
            }
            adapters.push(adapter);
        }
        Ok(Self {
            adapters,
            identity: identity(config, task),
            classes: task.candidates.len() as i64,
            streams: task.streams,
            separate: !own,
            name,
        })
    }

    /// One online step.
    ///
    /// # Errors
    /// [`Error::Shape`] when the classes are not those of the task or the parts of the observation differ in length;
    /// whatever the adapter refuses.
    pub fn step(&mut self, seen: &Observation, model: &dyn Aligner) -> Result<Stepped> {
        self.guarded(seen, |adapter, part| adapter.step(part, model))
    }

    /// Scores a batch of the finished stream again; see [`TestTimeAdapter::rescore`].
    ///
    /// # Errors
    /// As [`Self::step`].
    pub fn rescore(&mut self, seen: &Observation, model: &dyn Aligner) -> Result<Stepped> {
        self.guarded(seen, |adapter, part| adapter.rescore(part, model))
    }

    fn guarded(
        &mut self,
        seen: &Observation,
        mut step: impl FnMut(&mut dyn TestTimeAdapter, &Observation) -> Result<Scores>,
    ) -> Result<Stepped> {
        let batch = self.check(seen)?;
        let (features, logits) = (&seen.features.values, &seen.scores.logits);
        let rows = if all_finite(&[features, logits]) {
            None
        } else {
            Some(finite_rows(&[features, logits])?)
        };
        let name = self.name.clone();
        let mut run = |adapter: &mut dyn TestTimeAdapter, part: &Observation| -> Result<Tensor> {
            let scores = step(adapter, part).map_err(|e| e.context(format!("adapter `{name}`")))?;
            let want = [
                Some(part.samples.len() as i64),
                Some(part.scores.logits.size()[1]),
            ];
            shape::expect("adapter scores", &scores.logits, want)?;
            Ok(scores.logits.detach())
        };
        if self.adapters.len() == 1 && rows.is_none() {
            let scores = Scores {
                logits: run(self.adapters[0].as_mut(), seen)?,
            };
            return Ok(Stepped {
                scores,
                skipped: Vec::new(),
            });
        }
        let usable = rows.unwrap_or_else(|| (0..batch).collect());
        let out = logits.copy();
        for (number, adapter) in self.adapters.iter_mut().enumerate() {
            let separate = self.separate;
            let own: Vec<usize> = usable
                .iter()
                .copied()
                .filter(|row| !separate || seen.samples[*row].stream == number)
                .collect();
            if own.is_empty() {
                continue;
            }
            let part = Part::of(seen, &own, separate)?;
            let scores = run(adapter.as_mut(), &part.observation(seen))?;
            let _ = out
                .shallow_clone()
                .index_copy_(0, &part.index, &scores.to_kind(out.kind()));
        }
        let skipped = (0..batch)
            .filter(|row| usable.binary_search(row).is_err())
            .collect();
        Ok(Stepped {
            scores: Scores { logits: out },
            skipped,
        })
    }

    fn check(&self, seen: &Observation) -> Result<usize> {
        let batch = seen.samples.len();
        let rows = Some(batch as i64);
        shape::expect("scores", &seen.scores.logits, [rows, Some(self.classes)])
            .and_then(|()| shape::expect("features", &seen.features.values, [rows, None, None, None]))
            .map_err(|e| e.context(format!("adapter `{}`", self.name)))?;
        match seen.samples.iter().find(|s| s.stream >= self.streams) {
            Some(sample) => Err(Error::Input(format!(
                "sample {} is of stream {}, there are {} streams",
                sample.position, sample.stream, self.streams
            ))),
            None => Ok(batch),
        }
    }

    /// Everything needed to go on later, bit for bit, in this or another process.
    ///
    /// # Errors
    /// When the adapter cannot tell its state.
    pub fn snapshot(&self) -> Result<Snapshot> {
        let mut tensors = NamedTensors::new();
        for (number, adapter) in self.adapters.iter().enumerate() {
            let state = adapter.snapshot()?;
            tensors.extend(state.into_iter().map(|(name, t)| (format!("{number}/{name}"), t)));
        }
        Ok(Snapshot {
            identity: self.identity.clone(),
            tensors,
        })
    }

    /// Goes on from a snapshot.
    ///
    /// # Errors
    /// [`Error::Input`] when it belongs to another adapter, version, list of classes or number of streams;
    /// [`Error::Missing`] or [`Error::Shape`] when its entries do not fit.
    pub fn restore(&mut self, snapshot: &Snapshot) -> Result<()> {
        for (what, want) in &self.identity {
            let found = snapshot.identity.get(what);
            if found != Some(want) {
                let found = found.map_or_else(|| "nothing".to_owned(), |f| format!("`{f}`"));
                return Err(Error::Input(format!(
                    "the snapshot does not belong to this stream: its {what} is {found}, expected `{want}`"
                )));
            }
        }
        for (number, adapter) in self.adapters.iter_mut().enumerate() {
            let prefix = format!("{number}/");
            let own = snapshot.tensors.iter();
            let own = own.filter_map(|(name, t)| Some((name.strip_prefix(&prefix)?.to_owned(), t.copy())));
            adapter
                .restore(own.collect())
                .map_err(|e| e.context(format!("snapshot of adapter `{}`", self.name)))?;
        }
        Ok(())
    }

    /// See [`TestTimeAdapter::wants_second_pass`].
    pub fn wants_second_pass(&self) -> bool {
        self.adapters.iter().all(|a| a.wants_second_pass())
    }

    /// See [`TestTimeAdapter::held`].
    pub fn held(&self) -> Vec<Held> {
        let separate = self.separate;
        let of = |(number, held): (usize, Vec<Held>)| {
            let stream = |held: Held| Held {
                sample: SampleRef {
                    stream: if separate { number } else { held.sample.stream },
                    ..held.sample
                },
                ..held
            };
            held.into_iter().map(stream).collect::<Vec<_>>()
        };
        self.adapters
            .iter()
            .map(|a| a.held())
            .enumerate()
            .flat_map(of)
            .collect()
    }

    /// See [`TestTimeAdapter::moved_anchors`]; `[S, C, G, d]`.
    pub fn moved_anchors(&self) -> Option<Tensor> {
        let moved: Option<Vec<Tensor>> = self.adapters.iter().map(|a| a.moved_anchors()).collect();
        moved.filter(|m| !m.is_empty()).map(|m| Tensor::cat(&m, 0))
    }

    /// See [`TestTimeAdapter::slot_weights`]; the same for all streams.
    pub fn slot_weights(&self) -> Option<SlotWeights> {
        self.adapters.first()?.slot_weights()
    }

    /// See [`TestTimeAdapter::diagnostics`]; summed over separate streams.
    pub fn diagnostics(&self) -> BTreeMap<String, Vec<f64>> {
        let mut all: BTreeMap<String, Vec<f64>> = BTreeMap::new();
        for adapter in &self.adapters {
            for (name, values) in adapter.diagnostics() {
                let sum = all.entry(name).or_insert_with(|| vec![0.0; values.len()]);
                sum.iter_mut().zip(values).for_each(|(sum, value)| *sum += value);
            }
        }
        all
    }

    /// Bytes of state held, now.
    pub fn state_bytes(&self) -> u64 {
        self.adapters.iter().map(|a| a.state_bytes()).sum()
    }
}

fn identity(config: &dyn AdapterConfig, task: &Task) -> BTreeMap<String, String> {
    let classes: Vec<String> = task
        .candidates
        .ids()
        .iter()
        .zip(task.candidates.names())
        .map(|(id, name)| format!("{id} {name}"))
        .collect();
    let options = serde_json::to_value(config)
        .map(|v| v.to_string())
        .unwrap_or_default();
    BTreeMap::from([
        ("adapter".to_owned(), config.typetag_name().to_owned()),
        ("options".to_owned(), options),
        ("version".to_owned(), env!("CARGO_PKG_VERSION").to_owned()),
        ("class list".to_owned(), classes.join(", ")),
        ("number of streams".to_owned(), task.streams.to_string()),
    ])
}

fn one_of(task: &Task) -> Result<Task> {
    Ok(Task {
        candidates: task.candidates.clone(),
        seen: task.seen.clone(),
        anchors: task.anchors.with_values(task.anchors.values.shallow_clone())?,
        features: task.features,
        layout: std::sync::Arc::clone(&task.layout),
        device: task.device,
        seed: task.seed,
        streams: 1,
        expected: task.expected.div_ceil(task.streams as u64),
    })
}

/// Some rows of an observation.
struct Part {
    index: Tensor,
    features: FeatureMap,
    scores: Scores,
    samples: Vec<SampleRef>,
    skeletons: Option<SkeletonBatch>,
    oracle: Option<crate::OracleLabels>,
}

impl Part {
    /// With `alone`, as samples of a stream of its own.
    fn of(seen: &Observation, rows: &[usize], alone: bool) -> Result<Self> {
        let index: Vec<i64> = rows.iter().map(|r| *r as i64).collect();
        let index = Tensor::from_slice(&index).to_device(seen.scores.logits.device());
        let stream = |s: SampleRef| SampleRef {
            stream: if alone { 0 } else { s.stream },
            ..s
        };
        let oracle = seen.oracle.map(|o| o.0.f_index_select(0, &index)).transpose()?;
        Ok(Self {
            features: seen.features.select(&index),
            scores: Scores {
                logits: seen.scores.logits.index_select(0, &index),
            },
            samples: rows.iter().map(|r| stream(seen.samples[*r])).collect(),
            skeletons: seen.skeletons.map(|s| s.batch.select(rows)),
            oracle: oracle.map(crate::OracleLabels),
            index,
        })
    }

    fn observation<'a>(&'a self, seen: &Observation<'a>) -> Observation<'a> {
        let skeletons = self.skeletons.as_ref().zip(seen.skeletons);
        Observation {
            skeletons: skeletons.map(|(batch, s)| Skeletons {
                batch,
                encoder: s.encoder,
            }),
            prompts: seen.prompts,
            oracle: self.oracle.as_ref(),
            ..Observation::new(&self.features, &self.scores, &self.samples)
        }
    }
}

/// Cheap and never wrong when it says yes: a sum of finite values that is finite itself, read from the device once.
fn all_finite(tensors: &[&Tensor]) -> bool {
    let sums: Vec<Tensor> = tensors.iter().map(|t| t.sum(tch::Kind::Float)).collect();
    Tensor::stack(&sums, 0)
        .sum(tch::Kind::Float)
        .double_value(&[])
        .is_finite()
}

fn finite_rows(tensors: &[&Tensor]) -> Result<Vec<usize>> {
    let mut finite: Option<Tensor> = None;
    for tensor in tensors {
        let rows = tensor.isfinite().flatten(1, -1).all_dim(1, false);
        finite = Some(match finite {
            Some(before) => before.logical_and(&rows),
            None => rows,
        });
    }
    let flags = finite
        .map(|f| crate::host::to_i64(&f))
        .transpose()?
        .unwrap_or_default();
    Ok((0..flags.len()).filter(|row| flags[*row] == 1).collect())
}

#[cfg(test)]
mod tests;
