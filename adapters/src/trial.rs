//! What every adapter with a memory of vectors promises, tried on streams that look random and never change.

use szar_core::testing::{self, DotModel, build_context, uniform};
use szar_core::{
    AdapterConfig, Aligner, FeatureMap, Granularity, Observation, SampleRef, Scores, SemanticAnchors, Task,
    TestTimeAdapter, checkpoint,
};
use tch::{Device, Kind, Tensor};

use crate::recorded::Recorded;

fn unit(rows: &Tensor) -> Tensor {
    rows / rows
        .square()
        .sum_dim_intlist([1i64].as_slice(), true, Kind::Double)
        .sqrt()
}

fn around_classes(name: &str, samples: i64, classes: i64, width: i64, share: f64) -> Recorded {
    let centred =
        |part: &str, rows: i64| unit(&(uniform(&format!("{name}_{part}"), &[rows, width]) * 2.0 - 1.0));
    let texts = centred("t", classes);
    let labels = (uniform(&format!("{name}_lab"), &[samples]) * classes as f64)
        .floor()
        .to_kind(Kind::Int64);
    let features = unit(&(texts.index_select(0, &labels) * share + centred("v", samples)));
    Recorded {
        features: features.to_kind(Kind::Float),
        classes: texts.to_kind(Kind::Float),
        labels,
        scale: 1.0,
        batch: 1,
    }
}

/// The stream on which reference numbers are known: 200 samples of 10 classes in 64 dimensions.
pub(crate) fn reference() -> Recorded {
    around_classes("tta", 200, 10, 64, 0.25)
}

/// How many answers are right.
pub(crate) fn correct(recorded: &Recorded, scores: &Tensor) -> i64 {
    let right = scores.argmax(1, false).eq_tensor(&recorded.labels);
    right.sum(Kind::Int64).int64_value(&[])
}

/// Sum of all values.
pub(crate) fn sum(scores: &Tensor) -> f64 {
    scores.sum(Kind::Double).double_value(&[])
}

/// A stream with its scores.
pub(crate) struct Trial {
    recorded: Recorded,
    anchors: SemanticAnchors,
    scores: Tensor,
    streams: usize,
}

const MODEL: DotModel = DotModel { scale: 12.0 };

impl Trial {
    /// Some samples of `classes` classes in `streams` streams.
    pub fn new(seed: u64, classes: usize, streams: usize) -> Self {
        let recorded = around_classes(&format!("trial{seed}"), 90, classes as i64, 19, 0.6);
        let values = recorded.classes.unsqueeze(1);
        let anchors =
            SemanticAnchors::new(values, vec![Granularity::GLOBAL], testing::classes(classes)).unwrap();
        let features = FeatureMap::from_pooled(&recorded.features).unwrap();
        let scores = MODEL.score(&features, &anchors).unwrap().logits;
        Self {
            recorded,
            anchors,
            scores,
            streams,
        }
    }

    fn begun(
        &self,
        config: &dyn AdapterConfig,
        anchors: &SemanticAnchors,
        streams: usize,
    ) -> Box<dyn TestTimeAdapter> {
        let mut adapter = config.build(&build_context()).unwrap();
        let task = Task {
            anchors: anchors.with_values(anchors.values.shallow_clone()).unwrap(),
            streams,
            ..testing::task(anchors.classes.len(), 19, 1, 1)
        };
        adapter.begin(&task).unwrap();
        adapter
    }

    fn samples(&self) -> Vec<SampleRef> {
        let stream =
            |position: u64| (position.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as usize % self.streams;
        (0..self.recorded.labels.size()[0] as u64)
            .map(|position| SampleRef {
                stream: stream(position),
                position,
            })
            .collect()
    }

    /// Feeds the rows `which` of a stream whose samples are `samples`.
    fn feed(
        &self,
        adapter: &mut dyn TestTimeAdapter,
        which: &[usize],
        samples: &[SampleRef],
        batch: usize,
    ) -> Tensor {
        let steps = which.chunks(batch).map(|rows| {
            let index: Vec<i64> = rows.iter().map(|r| *r as i64).collect();
            let index = Tensor::from_slice(&index);
            let features = FeatureMap::from_pooled(&self.recorded.features.index_select(0, &index)).unwrap();
            let scores = Scores {
                logits: self.scores.index_select(0, &index),
            };
            let samples: Vec<_> = rows.iter().map(|r| samples[*r]).collect();
            adapter
                .step(&Observation::new(&features, &scores, &samples), &MODEL)
                .unwrap()
                .logits
        });
        Tensor::cat(&steps.collect::<Vec<_>>(), 0)
    }

    fn all(&self) -> Vec<usize> {
        (0..self.recorded.labels.numel()).collect()
    }

    /// A batch gives what its samples give one by one.
    pub fn batches_are_singles(&self, config: &dyn AdapterConfig) {
        assert!(config.per_sample());
        let play = |batch| {
            let mut adapter = self.begun(config, &self.anchors, self.streams);
            let out = self.feed(adapter.as_mut(), &self.all(), &self.samples(), batch);
            (out, adapter.held(), adapter.diagnostics())
        };
        let (singles, batches) = (play(1), play(16));
        assert!(singles.0.equal(&batches.0), "{config:?}");
        assert_eq!((singles.1, singles.2), (batches.1, batches.2));
    }

    /// Mixed streams give what an adapter for each of them gives.
    pub fn streams_stay_apart(&self, config: &dyn AdapterConfig, batch: usize) {
        let samples = self.samples();
        let mut mixed = self.begun(config, &self.anchors, self.streams);
        let mut alone: Vec<_> = (0..self.streams)
            .map(|_| self.begun(config, &self.anchors, 1))
            .collect();
        let own = vec![SampleRef::default(); samples.len()];
        for rows in self.all().chunks(batch) {
            let together = self.feed(mixed.as_mut(), rows, &samples, batch);
            for (stream, adapter) in alone.iter_mut().enumerate() {
                let at = (0..rows.len()).filter(|i| samples[rows[*i]].stream == stream);
                let at: Vec<i64> = at.map(|i| i as i64).collect();
                if at.is_empty() {
                    continue;
                }
                let rows: Vec<usize> = at.iter().map(|i| rows[*i as usize]).collect();
                let apart = self.feed(adapter.as_mut(), &rows, &own, batch);
                let together = together.index_select(0, &Tensor::from_slice(&at));
                assert!(apart.equal(&together), "{config:?}: stream {stream}");
            }
        }
        let bytes: u64 = alone.iter().map(|a| a.state_bytes()).sum();
        assert_eq!(mixed.state_bytes(), bytes);
        assert_eq!(
            mixed.held().len(),
            alone.iter().map(|a| a.held().len()).sum::<usize>()
        );
    }

    /// A stream that is interrupted goes on bit for bit in a fresh adapter, through a file.
    pub fn snapshots_go_on(&self, config: &dyn AdapterConfig, batch: usize) {
        let (samples, all) = (self.samples(), self.all());
        let folder = tempfile::tempdir().unwrap();
        for half in [0, 2 * batch, 5 * batch] {
            let mut whole = self.begun(config, &self.anchors, self.streams);
            let half = half.min(all.len());
            if half > 0 {
                let _ = self.feed(whole.as_mut(), &all[..half], &samples, batch);
            }
            let path = folder.path().join(format!("{half}.safetensors"));
            checkpoint::save(&path, &whole.snapshot().unwrap(), &[]).unwrap();
            let rest = self.feed(whole.as_mut(), &all[half..], &samples, batch);
            let mut fresh = self.begun(config, &self.anchors, self.streams);
            fresh
                .restore(checkpoint::load(&path, Device::Cpu).unwrap().0)
                .unwrap();
            let again = self.feed(fresh.as_mut(), &all[half..], &samples, batch);
            assert!(rest.equal(&again), "{config:?}: after {half}");
            assert_eq!(
                (whole.held(), whole.diagnostics()),
                (fresh.held(), fresh.diagnostics())
            );
            assert_eq!(whole.state_bytes(), fresh.state_bytes());
        }
        self.damaged_snapshots_are_refused(config);
    }

    /// Every entry is needed, and in its shape.
    fn damaged_snapshots_are_refused(&self, config: &dyn AdapterConfig) {
        let mut adapter = self.begun(config, &self.anchors, self.streams);
        let _ = self.feed(adapter.as_mut(), &self.all(), &self.samples(), 15);
        let state = adapter.snapshot().unwrap();
        for name in state.keys() {
            let copy = || state.iter().map(|(n, t)| (n.clone(), t.copy()));
            let lacking = copy().filter(|(n, _)| n != name).collect();
            assert!(adapter.restore(lacking).is_err(), "`{name}` is missing");
            let odd = copy().map(|(n, t)| {
                if n == *name {
                    (n, Tensor::zeros([3, 1, 2], (Kind::Int64, Device::Cpu)))
                } else {
                    (n, t)
                }
            });
            assert!(
                adapter.restore(odd.collect()).is_err(),
                "`{name}` has another shape"
            );
        }
        adapter.restore(state).unwrap();
    }

    /// Other columns for the same classes change nothing but the columns.
    pub fn columns_follow_their_classes(&self, config: &dyn AdapterConfig, batch: usize) {
        let count = self.anchors.classes.len() as i64;
        let turned: Vec<i64> = (0..count).map(|c| (c + 1) % count).rev().collect();
        let index = Tensor::from_slice(&turned);
        let other = Self {
            recorded: Recorded {
                features: self.recorded.features.shallow_clone(),
                classes: self.recorded.classes.shallow_clone(),
                labels: self.recorded.labels.shallow_clone(),
                ..self.recorded
            },
            anchors: self
                .anchors
                .with_values(self.anchors.values.index_select(0, &index))
                .unwrap(),
            scores: self.scores.index_select(1, &index),
            streams: self.streams,
        };
        let play = |trial: &Self| {
            let mut adapter = trial.begun(config, &trial.anchors, trial.streams);
            trial.feed(adapter.as_mut(), &trial.all(), &trial.samples(), batch)
        };
        // Sums over the entries of several classes run in another order.
        let (here, there) = (play(self).index_select(1, &index), play(&other));
        assert!(here.allclose(&there, 1e-4, 1e-4, false), "{config:?}");
    }

    /// Bytes held after the stream has come `rounds` times.
    pub fn bytes_after(&self, config: &dyn AdapterConfig, rounds: usize) -> u64 {
        let mut adapter = self.begun(config, &self.anchors, self.streams);
        for _ in 0..rounds {
            let _ = self.feed(adapter.as_mut(), &self.all(), &self.samples(), 30);
        }
        adapter.state_bytes()
    }

    /// Shapes that do not fit are refused, and so is a step before `begin`.
    pub fn odd_input_is_refused(&self, config: &dyn AdapterConfig) {
        let features = FeatureMap::from_pooled(&self.recorded.features.narrow(0, 0, 2)).unwrap();
        let samples = SampleRef::run(0, 2);
        let step = |adapter: &mut dyn TestTimeAdapter, logits: &Tensor, samples: &[SampleRef]| {
            let scores = Scores {
                logits: logits.shallow_clone(),
            };
            adapter.step(&Observation::new(&features, &scores, samples), &MODEL)
        };
        let two = self.scores.narrow(0, 0, 2);
        let mut fresh = config.build(&build_context()).unwrap();
        assert!(
            step(fresh.as_mut(), &two, &samples)
                .unwrap_err()
                .to_string()
                .contains("not begun")
        );
        assert!(fresh.snapshot().is_err());
        let mut adapter = self.begun(config, &self.anchors, 1);
        assert!(step(adapter.as_mut(), &two.narrow(1, 0, 1), &samples).is_err());
        assert!(step(adapter.as_mut(), &two.narrow(0, 0, 1), &samples).is_err());
        let beyond = [SampleRef {
            stream: 1,
            position: 0,
        }; 2];
        assert!(step(adapter.as_mut(), &two, &beyond).is_err());
        assert!(step(adapter.as_mut(), &two, &samples).is_ok());
        let narrow =
            FeatureMap::from_pooled(&self.recorded.features.narrow(0, 0, 2).narrow(1, 0, 5)).unwrap();
        let scores = Scores { logits: two };
        assert!(
            adapter
                .step(&Observation::new(&narrow, &scores, &samples), &MODEL)
                .is_err()
        );
    }
}
