//! The adapter: splits a batch into its streams and takes the gradient steps.

use std::collections::BTreeMap;

use szar_core::{
    Aligner, Error, FeatureMap, NamedTensors, Observation, Result, Scores, SemanticAnchors, Task,
    TestTimeAdapter, host, shape,
};
use tch::{Kind, Tensor};

use super::state::Layers;
use super::{Answer, TentConfig};

/// The runtime part of `tent`.
#[derive(Debug)]
pub struct Tent {
    options: TentConfig,
    run: Option<Run>,
}

/// What lives from `begin` to `begin`.
#[derive(Debug)]
struct Run {
    anchors: SemanticAnchors,
    /// One per stream; nothing before its first batch.
    streams: Vec<Option<Layers>>,
    /// Gradient steps taken.
    updates: i64,
    /// Samples that kept their scores, their batch being too small.
    passed: i64,
    /// Rows of the batch by stream; kept to save the allocation.
    rows: Vec<Vec<i64>>,
}

fn not_begun() -> Error {
    Error::Missing("a stream: tent was not begun".into())
}

impl Tent {
    /// With these options.
    pub fn new(options: &TentConfig) -> Self {
        Self {
            options: options.clone(),
            run: None,
        }
    }
}

/// Mean over the rows of the entropy of their softmax, in nats.
///
/// # Shapes
/// - `logits`: `[B, C]`; result: scalar
fn entropy(logits: &Tensor) -> Tensor {
    let log = logits.log_softmax(-1, Kind::Float);
    let rows = logits.size()[0].max(1) as f64;
    (log.exp() * log).sum(Kind::Float) * (-1.0 / rows)
}

impl Run {
    /// All samples of one stream in a batch: the scores they get, `[n, C]`; nothing when they are too few.
    fn adapt(
        &mut self,
        options: &TentConfig,
        stream: usize,
        features: &FeatureMap,
        model: &dyn Aligner,
    ) -> Result<Option<Tensor>> {
        let count = features.dims().0;
        if (count as usize) < options.min_batch {
            self.passed += count;
            return Ok(None);
        }
        let found = model.normalisation();
        let known = self.streams[stream].take().filter(|_| !options.episodic);
        let mut layers = match known {
            Some(layers) => {
                layers.check(&found)?;
                layers
            }
            None => Layers::new(options, &found)?,
        };
        let mut answer = None;
        for _ in 0..options.steps {
            let want = [Some(count), Some(self.anchors.classes.len() as i64)];
            answer = Some(tch::with_grad(|| {
                let logits = model
                    .score_normalised(features, &self.anchors, &layers.affine)?
                    .logits;
                shape::expect("scores under scale and shift", &logits, want)?;
                let loss = match options.logit_scale {
                    1.0 => entropy(&logits), // two passes over the scores less
                    scale => entropy(&(&logits * scale)),
                };
                if !loss.requires_grad() {
                    return Err(Error::Input(
                        "the aligner's scores do not depend on the layers that tent moves".into(),
                    ));
                }
                layers.optimiser.zero_grad();
                loss.f_backward()?;
                Ok(logits.detach())
            })?);
            layers.optimiser.step(options.lr);
            self.updates += 1;
        }
        if options.answer == Answer::AfterUpdate {
            let after = tch::no_grad(|| model.score_normalised(features, &self.anchors, &layers.affine))?;
            answer = Some(after.logits);
        }
        self.streams[stream] = Some(layers);
        Ok(answer)
    }

    /// Sorts the rows of a batch by stream.
    fn sort(&mut self, seen: &Observation) -> Result<()> {
        self.rows.iter_mut().for_each(Vec::clear);
        for (row, sample) in (0..).zip(seen.samples) {
            let count = self.rows.len();
            let rows = self.rows.get_mut(sample.stream).ok_or_else(|| {
                Error::Input(format!(
                    "a sample of stream {}, there are {count} streams",
                    sample.stream
                ))
            })?;
            rows.push(row);
        }
        Ok(())
    }
}

impl TestTimeAdapter for Tent {
    fn begin(&mut self, task: &Task) -> Result<()> {
        self.run = Some(Run {
            anchors: task.anchors.to_device(task.device),
            streams: (0..task.streams).map(|_| None).collect(),
            updates: 0,
            passed: 0,
            rows: vec![Vec::new(); task.streams],
        });
        Ok(())
    }

    fn step(&mut self, seen: &Observation, model: &dyn Aligner) -> Result<Scores> {
        let run = self.run.as_mut().ok_or_else(not_begun)?;
        let (batch, classes) = (seen.samples.len() as i64, run.anchors.classes.len() as i64);
        let logits = &seen.scores.logits;
        shape::expect("scores", logits, [Some(batch), Some(classes)])?;
        shape::expect("features", &seen.features.values, [Some(batch), None, None, None])?;
        run.sort(seen)?;
        if let Some(only) = run.rows.iter().position(|rows| rows.len() as i64 == batch) {
            let answer = run.adapt(&self.options, only, seen.features, model)?;
            return Ok(Scores {
                logits: answer.unwrap_or_else(|| logits.shallow_clone()),
            });
        }
        let mut out = logits.to_kind(Kind::Float).copy();
        for stream in 0..run.rows.len() {
            if run.rows[stream].is_empty() {
                continue;
            }
            let index = Tensor::from_slice(&run.rows[stream]).to_device(logits.device());
            let part = seen.features.select(&index);
            if let Some(answer) = run.adapt(&self.options, stream, &part, model)? {
                let _ = out.index_copy_(0, &index, &answer.to_kind(Kind::Float));
            }
        }
        Ok(Scores { logits: out })
    }

    fn snapshot(&self) -> Result<NamedTensors> {
        let run = self.run.as_ref().ok_or_else(not_begun)?;
        let counts = Tensor::from_slice(&[run.streams.len() as i64, run.updates, run.passed]);
        let mut all = NamedTensors::from([("counts".to_owned(), counts)]);
        for (number, layers) in run.streams.iter().enumerate() {
            if let Some(layers) = layers {
                layers.save(&format!("{number}/"), &mut all);
            }
        }
        Ok(all)
    }

    fn restore(&mut self, state: NamedTensors) -> Result<()> {
        let run = self.run.as_mut().ok_or_else(not_begun)?;
        let counts = state
            .get("counts")
            .ok_or_else(|| Error::Missing("`counts`".into()))?;
        shape::expect("counts", counts, [Some(3)])?;
        let counts = host::to_i64(counts)?;
        if counts[0] != run.streams.len() as i64 {
            return Err(Error::Input(format!(
                "the state is of {} streams, expected {}",
                counts[0],
                run.streams.len()
            )));
        }
        let mut by_stream: Vec<NamedTensors> = run.streams.iter().map(|_| NamedTensors::new()).collect();
        for (name, tensor) in state.iter().filter(|(name, _)| *name != "counts") {
            let place = name.split_once('/');
            let place = place.and_then(|(stream, rest)| Some((stream.parse::<usize>().ok()?, rest)));
            let (own, rest) = place
                .and_then(|(stream, rest)| Some((by_stream.get_mut(stream)?, rest)))
                .ok_or_else(|| Error::Input(format!("`{name}` is not an entry of tent")))?;
            own.insert(rest.to_owned(), tensor.shallow_clone());
        }
        let device = run.anchors.values.device();
        let load = |own: &NamedTensors| {
            let here: NamedTensors = own
                .iter()
                .map(|(n, t)| (n.clone(), t.to_device(device)))
                .collect();
            (!here.is_empty())
                .then(|| Layers::load(&self.options, &here))
                .transpose()
        };
        run.streams = by_stream.iter().map(load).collect::<Result<_>>()?;
        (run.updates, run.passed) = (counts[1], counts[2]);
        Ok(())
    }

    fn diagnostics(&self) -> BTreeMap<String, Vec<f64>> {
        let Some(run) = &self.run else {
            return BTreeMap::new();
        };
        [
            ("updates", vec![run.updates as f64]),
            ("samples_not_adapted", vec![run.passed as f64]),
        ]
        .map(|(name, values)| (name.to_owned(), values))
        .into()
    }

    fn state_bytes(&self) -> u64 {
        let streams = self.run.iter().flat_map(|run| run.streams.iter().flatten());
        streams.map(Layers::bytes).sum()
    }
}
