use serde::{Deserialize, Serialize};
use tch::kind::FLOAT_CPU;

use super::*;
use crate::Problems;
use crate::testing::{NoModel, build_context, task};

/// Adds to each logit how many samples of the stream came before.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct CountConfig {
    step: f64,
}

#[typetag::serde(name = "count-for-tests")]
impl AdapterConfig for CountConfig {
    fn validate(&self, _: &mut Problems) {}

    fn build(&self, _: &BuildContext) -> Result<Box<dyn TestTimeAdapter>> {
        Ok(Box::new(Count {
            step: self.step,
            seen: 0,
            held: Vec::new(),
        }))
    }
}

#[derive(Debug)]
struct Count {
    step: f64,
    seen: i64,
    held: Vec<Held>,
}

impl TestTimeAdapter for Count {
    fn begin(&mut self, _: &Task) -> Result<()> {
        self.seen = 0;
        Ok(())
    }

    fn step(&mut self, seen: &Observation, _: &dyn Aligner) -> Result<Scores> {
        let batch = seen.samples.len() as i64;
        let count = Tensor::arange_start(self.seen, self.seen + batch, FLOAT_CPU) * self.step;
        self.seen += batch;
        self.held.extend(seen.samples.iter().map(|sample| Held {
            sample: *sample,
            class: 0,
        }));
        Ok(Scores {
            logits: &seen.scores.logits + count.unsqueeze(1),
        })
    }

    fn snapshot(&self) -> Result<NamedTensors> {
        Ok([("seen".to_owned(), Tensor::from(self.seen))].into())
    }

    fn restore(&mut self, mut state: NamedTensors) -> Result<()> {
        let seen = state
            .remove("seen")
            .ok_or_else(|| Error::Missing("`seen`".into()))?;
        self.seen = seen.int64_value(&[]);
        Ok(())
    }

    fn held(&self) -> Vec<Held> {
        self.held.clone()
    }
}

fn begin(step: f64, classes: usize, streams: usize) -> Online {
    let task = Task {
        streams,
        ..task(classes, 4, 2, 3)
    };
    Online::begin(&CountConfig { step }, &build_context(), &task).unwrap()
}

fn step(online: &mut Online, logits: &Tensor, features: &Tensor, samples: &[SampleRef]) -> Result<Stepped> {
    let features = FeatureMap::new(features.shallow_clone())?;
    let scores = Scores {
        logits: logits.shallow_clone(),
    };
    online.step(&Observation::new(&features, &scores, samples), &NoModel)
}

fn features(batch: i64) -> Tensor {
    Tensor::randn([batch, 4, 2, 3], FLOAT_CPU)
}

#[test]
fn a_sample_that_is_not_finite_is_named_and_never_reaches_the_state() {
    let mut online = begin(1.0, 3, 1);
    let logits = Tensor::zeros([4, 3], FLOAT_CPU);
    let _ = logits.get(1).get(2).fill_(f64::NAN);
    let map = features(4);
    let _ = map.get(3).fill_(f64::INFINITY);
    let stepped = step(&mut online, &logits, &map, &SampleRef::run(0, 4)).unwrap();
    assert_eq!(stepped.skipped, [1, 3]);
    let column: Vec<f64> = crate::host::to_f64(&stepped.scores.logits.select(1, 0));
    assert_eq!(column, [0.0, 0.0, 1.0, 0.0], "only samples 0 and 2 count");
    let positions: Vec<u64> = online.held().iter().map(|h| h.sample.position).collect();
    assert_eq!(positions, [0, 2]);
}

#[test]
fn a_class_count_that_changes_is_refused_by_shape() {
    let mut online = begin(1.0, 3, 1);
    let error = step(
        &mut online,
        &Tensor::zeros([1, 4], FLOAT_CPU),
        &features(1),
        &SampleRef::run(0, 1),
    );
    let text = error.unwrap_err().to_string();
    assert!(
        text.contains("count-for-tests") && text.contains("[1, 4]") && text.contains("[1, 3]"),
        "{text}"
    );
}

#[test]
fn streams_are_kept_apart_for_adapters_that_hold_one_state() {
    let mut online = begin(1.0, 2, 2);
    let samples: Vec<_> = (0..5)
        .map(|i| SampleRef {
            stream: (i % 2) as usize,
            position: i,
        })
        .collect();
    let stepped = step(
        &mut online,
        &Tensor::zeros([5, 2], FLOAT_CPU),
        &features(5),
        &samples,
    )
    .unwrap();
    let column = crate::host::to_f64(&stepped.scores.logits.select(1, 0));
    assert_eq!(column, [0.0, 0.0, 1.0, 1.0, 2.0]);
    let held = online.held();
    assert!(
        held.iter()
            .all(|h| h.sample.stream == (h.sample.position % 2) as usize)
    );
    let beyond = [SampleRef {
        stream: 2,
        position: 9,
    }];
    assert!(
        step(
            &mut online,
            &Tensor::zeros([1, 2], FLOAT_CPU),
            &features(1),
            &beyond
        )
        .is_err()
    );
}

#[test]
fn a_snapshot_goes_on_bit_for_bit_and_fits_nothing_else() {
    let (mut one, logits) = (begin(0.5, 3, 2), Tensor::randn([6, 3], FLOAT_CPU));
    let samples: Vec<_> = (0..6)
        .map(|i| SampleRef {
            stream: (i % 2) as usize,
            position: i,
        })
        .collect();
    step(&mut one, &logits, &features(6), &samples).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.safetensors");
    one.snapshot().unwrap().save(&path).unwrap();
    let snapshot = Snapshot::load(&path, Device::Cpu).unwrap();
    let mut other = begin(0.5, 3, 2);
    other.restore(&snapshot).unwrap();
    let map = features(6);
    let (a, b) = (
        step(&mut one, &logits, &map, &samples),
        step(&mut other, &logits, &map, &samples),
    );
    assert!(a.unwrap().scores.logits.equal(&b.unwrap().scores.logits));
    for (mut wrong, what) in [
        (begin(0.25, 3, 2), "options"),
        (begin(0.5, 4, 2), "class list"),
        (begin(0.5, 3, 1), "number of streams"),
    ] {
        let error = wrong.restore(&snapshot).unwrap_err().to_string();
        assert!(error.contains(what), "{error}");
    }
    let mut older = Snapshot::load(&path, Device::Cpu).unwrap();
    older.identity.insert("version".into(), "0.0.0".into());
    assert!(other.restore(&older).unwrap_err().to_string().contains("version"));
    older.identity.insert("adapter".into(), "tda".into());
    assert!(other.restore(&older).unwrap_err().to_string().contains("tda"));
}
