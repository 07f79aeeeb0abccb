//! Toy data whose features are a linear image of the texts, and what every trained aligner on maps must fulfil on it.

use std::sync::Arc;

use rand::RngExt;
use szar_core::testing::{build_context, classes, fit_context, layout, uniform};
use szar_core::{
    Aligner, AlignerConfig, Cancel, ClassId, ClassList, ClassSplit, EncoderSpec, Error, FeatureMap,
    FitContext, Granularity, Problems, Progress, Seed, SeenFeatures, SeenLabels, SeenSet, SemanticAnchors,
};
use tch::{Device, Kind, Tensor};

pub const SEEN: i64 = 16;
pub const UNSEEN: i64 = 4;
pub const WIDTH: i64 = 8;
pub const SPEC: EncoderSpec = EncoderSpec {
    channels: 12,
    frames: 4,
    joints: 5,
    classifies: false,
};

/// Numbers in ±1 from a generator of their own: libtorch's is shared by all tests of the process.
pub fn random(name: &str, size: &[i64]) -> Tensor {
    let mut rng = Seed(7).derive(name, 0).rng();
    let values: Vec<f32> = (0..size.iter().product::<i64>())
        .map(|_| rng.random::<f32>() * 2.0 - 1.0)
        .collect();
    Tensor::from_slice(&values).view(size)
}

/// Classes of a few hidden numbers, which texts and features both show.
pub struct Toy {
    /// `[C, k]`.
    hidden: Tensor,
    /// Of all classes.
    pub anchors: SemanticAnchors,
}

impl Toy {
    /// With the eight texts of PURLS.
    pub fn new() -> Self {
        Self::with_texts(&Granularity::PURLS_ORDER)
    }

    pub fn with_texts(texts: &[Granularity]) -> Self {
        let names = classes((SEEN + UNSEEN) as usize);
        Self::of(random("hidden", &[SEEN + UNSEEN, 3]), names, texts)
    }

    /// Classes with these hidden numbers `[C, k]`.
    pub fn of(hidden: Tensor, names: ClassList, texts: &[Granularity]) -> Self {
        let (count, hidden_count) = (texts.len() as i64, hidden.size()[1]);
        let shared = random("text", &[hidden_count, 1, WIDTH]);
        let own = random("texts", &[hidden_count, count, WIDTH]) * 0.2;
        let values = hidden.mm(&(shared + own).flatten(1, 2));
        let values = values.view([-1, count, WIDTH]);
        Self {
            hidden,
            anchors: SemanticAnchors::new(values, texts.to_vec(), names).unwrap(),
        }
    }

    /// Maps of samples of these classes.
    pub fn maps(&self, name: &str, labels: &[i64]) -> FeatureMap {
        let hidden = self.hidden.index_select(0, &Tensor::from_slice(labels));
        let clean = hidden
            .mm(&random("map", &[self.hidden.size()[1], SPEC.channels]))
            .unsqueeze(-1)
            .unsqueeze(-1);
        let size = [labels.len() as i64, SPEC.channels, SPEC.frames, SPEC.joints];
        FeatureMap::new(clean + random(name, &size) * 0.3).unwrap()
    }

    fn set(&self, name: &str, count: i64) -> SeenSet {
        let labels: Vec<i64> = (0..count).map(|i| i % SEEN).collect();
        let ids = |from: i64, to: i64| (from..to).map(ClassId).collect::<Vec<_>>();
        let split = ClassSplit::new(
            "toy",
            &self.anchors.classes,
            &ids(0, SEEN),
            &ids(SEEN, SEEN + UNSEEN),
        )
        .unwrap();
        let of: Vec<_> = labels.iter().map(|l| ClassId(*l)).collect();
        SeenSet {
            features: self.maps(name, &labels),
            labels: SeenLabels::new(&split, &of, Device::Cpu).unwrap(),
        }
    }

    pub fn seen(&self, train: i64, validation: i64) -> SeenFeatures {
        SeenFeatures {
            train: self.set("train", train),
            validation: self.set("validation", validation),
            layout: Arc::new(layout(SPEC.joints as usize)),
        }
    }

    pub fn anchors_of(&self, range: std::ops::Range<i64>) -> SemanticAnchors {
        let ids: Vec<_> = range.map(ClassId).collect();
        let some = self.anchors.classes.subset(&ids).unwrap();
        self.anchors.for_classes(&some).unwrap()
    }

    pub fn seen_anchors(&self) -> SemanticAnchors {
        self.anchors_of(0..SEEN)
    }

    pub fn unseen_anchors(&self) -> SemanticAnchors {
        self.anchors_of(SEEN..SEEN + UNSEEN)
    }

    pub fn build(&self, config: &dyn AlignerConfig) -> Box<dyn Aligner> {
        let mut problems = Problems::new();
        config.validate(&mut problems);
        assert!(problems.is_empty(), "{problems}");
        let texts = &self.anchors.granularities;
        config.build(&SPEC, texts, WIDTH, &build_context()).unwrap()
    }

    pub fn fitted(&self, config: &dyn AlignerConfig, train: i64) -> Box<dyn Aligner> {
        let mut aligner = self.build(config);
        let cancel = Cancel::default();
        let seen = self.seen(train, 2 * SEEN);
        let summary = aligner.fit(&seen, &self.seen_anchors(), &mut fit_context(&cancel));
        assert_eq!(summary.unwrap().validation_measure, "top1");
        aligner
    }

    /// Share of samples of unseen classes that are recognised among the unseen classes.
    pub fn unseen_share(&self, aligner: &dyn Aligner) -> f64 {
        let labels: Vec<i64> = (0..80).map(|i| SEEN + i % UNSEEN).collect();
        let scores = aligner
            .score(&self.maps("test", &labels), &self.unseen_anchors())
            .unwrap();
        let right = scores
            .logits
            .argmax(-1, false)
            .eq_tensor(&(Tensor::from_slice(&labels) - SEEN));
        right.to_kind(Kind::Float).mean(Kind::Float).double_value(&[])
    }
}

pub fn close(a: &Tensor, b: &Tensor) -> bool {
    a.size() == b.size() && a.allclose(b, 1e-4, 1e-5, false)
}

/// A batch is its samples one by one, condensed or not, and without a graph that nobody asked for.
pub fn batches_are_singles(toy: &Toy, aligner: &dyn Aligner) {
    let map = toy.maps("singles", &[0, 3, 17, 5, 19]);
    let all = aligner.score(&map, &toy.anchors).unwrap().logits;
    assert_eq!(all.size(), [5, SEEN + UNSEEN]);
    assert!(!all.requires_grad());
    let rows = aligner.condense(&map).unwrap();
    let condensed = aligner.score_condensed(&rows, &toy.anchors).unwrap().logits;
    assert!(close(&condensed, &all));
    for i in 0..5 {
        let one = aligner.score(&map.narrow(i, 1), &toy.anchors).unwrap().logits;
        assert!(close(&one, &all.narrow(0, i, 1)), "{one} {all}");
    }
}

/// Columns follow their classes.
pub fn columns_follow_classes(toy: &Toy, aligner: &dyn Aligner) {
    let map = toy.maps("columns", &[0, 3, 17]);
    let order = [4i64, 0, 19, 7, 2];
    let ids: Vec<_> = order.iter().map(|i| ClassId(*i)).collect();
    let named = ids
        .iter()
        .map(|id| (*id, toy.anchors.classes.name(*id).unwrap().to_owned()));
    let list = ClassList::new(named).unwrap();
    let moved = toy.anchors.for_classes(&list).unwrap();
    let sorted = {
        let mut sorted = order.to_vec();
        sorted.sort_unstable();
        let named = sorted.iter().map(|i| {
            let id = ClassId(*i);
            (id, toy.anchors.classes.name(id).unwrap().to_owned())
        });
        toy.anchors.for_classes(&ClassList::new(named).unwrap()).unwrap()
    };
    let [a, b] = [moved, sorted].map(|anchors| {
        let logits = aligner.score(&map, &anchors).unwrap().logits;
        let columns: Vec<_> = ids
            .iter()
            .map(|id| logits.select(1, anchors.classes.column(*id).unwrap().0 as i64))
            .collect();
        Tensor::stack(&columns, 1)
    });
    assert!(close(&a, &b), "{a} {b}");
}

/// Weights saved and loaded score the same bits.
pub fn states_survive(toy: &Toy, config: &dyn AlignerConfig, aligner: &dyn Aligner) {
    let mut other = toy.build(config);
    other.load_state(&aligner.state()).unwrap();
    let map = toy.maps("states", &[1, 2, 18]);
    let [a, b] = [aligner, other.as_ref()].map(|a| a.score(&map, &toy.anchors).unwrap().logits);
    assert!(a.equal(&b));
    let mut short = aligner.state();
    let gone = short.pop_first().unwrap().0;
    let error = other.load_state(&short).unwrap_err().to_string();
    assert!(error.contains(&gone), "{error}");
}

/// Gradients reach the features, and the anchors where the capabilities say so.
pub fn gradients_flow(toy: &Toy, aligner: &dyn Aligner) {
    let features = toy.maps("gradients", &[1, 16]).values.set_requires_grad(true);
    let leaf = toy
        .unseen_anchors()
        .values
        .contiguous()
        .detach()
        .set_requires_grad(true);
    let anchors = toy.unseen_anchors().with_values(leaf.shallow_clone()).unwrap();
    let map = FeatureMap::new(features.shallow_clone()).unwrap();
    let logits = aligner.score(&map, &anchors).unwrap().logits;
    // Of a random direction: some sums of logits do not move at all.
    (&logits * random("direction", &logits.size()))
        .sum(Kind::Float)
        .backward();
    let size = |leaf: &Tensor| {
        let grad = leaf.grad();
        if grad.defined() {
            grad.abs().sum(Kind::Float).double_value(&[])
        } else {
            0.0
        }
    };
    let offers = aligner.capabilities();
    assert_eq!(size(&features) > 0.0, offers.differentiable_in_features);
    assert_eq!(size(&leaf) > 0.0, offers.differentiable_in_anchors);
}

struct StopAfter(u64, Cancel);

impl Progress for StopAfter {
    fn begin(&self, _: &str, _: u64) {}

    fn advance(&self, done: u64, _: &str) {
        if done == self.0 {
            self.1.request();
        }
    }

    fn end(&self) {}
}

/// A fit that was stopped and taken up again ends with the bits of one that was not.
pub fn stopped_fits_resume(toy: &Toy, config: &dyn AlignerConfig) {
    let start = toy.build(config);
    let folder = tempfile::tempdir().unwrap();
    let seen = toy.seen(3 * SEEN, SEEN);
    let fit = |stop: Option<u64>, checkpoint: &str| {
        let mut aligner = toy.build(config);
        if aligner.load_state(&start.state()).is_err() {
            panic!("a state before training must load");
        }
        let cancel = Cancel::default();
        let progress = StopAfter(stop.unwrap_or(u64::MAX), cancel.clone());
        let mut ctx = FitContext {
            checkpoint: Some(folder.path().join(checkpoint)),
            progress: &progress,
            ..fit_context(&cancel)
        };
        let result = aligner.fit(&seen, &toy.seen_anchors(), &mut ctx);
        (aligner, result)
    };
    let (whole, result) = fit(None, "whole");
    assert!(result.unwrap().epochs > 1);
    assert!(matches!(fit(Some(1), "parts").1, Err(Error::Cancelled)));
    let (resumed, result) = fit(None, "parts");
    result.unwrap();
    for (name, tensor) in whole.state() {
        assert!(tensor.equal(&resumed.state()[&name]), "{name}");
    }
}

/// Mistakes of shapes and classes are refused.
pub fn mistakes_are_refused(toy: &Toy, config: &dyn AlignerConfig) {
    let pooled = EncoderSpec {
        frames: 1,
        joints: 1,
        ..SPEC
    };
    let texts = &toy.anchors.granularities;
    let error = config
        .build(&pooled, texts, WIDTH, &build_context())
        .err()
        .unwrap();
    assert!(error.to_string().contains("the features are pooled"), "{error}");
    let mut aligner = toy.build(config);
    let cancel = Cancel::default();
    let error = aligner.fit(
        &toy.seen(2 * SEEN, 0),
        &toy.unseen_anchors(),
        &mut fit_context(&cancel),
    );
    let error = error.unwrap_err().to_string();
    assert!(error.contains("not those of the seen classes"), "{error}");
    let short = FeatureMap::new(Tensor::zeros([2, 12, 4, 4], (Kind::Float, Device::Cpu))).unwrap();
    let error = aligner.score(&short, &toy.anchors).unwrap_err().to_string();
    assert!(error.contains("expected [_, 12, 4, 5]"), "{error}");
}

/// A recorded input, in ±1.
pub fn input(name: &str, size: &[i64]) -> Tensor {
    (uniform(name, size) * 2.0 - 1.0).to_kind(Kind::Float)
}

/// Fills parameters as the recorded vectors were made.
pub fn fill(state: &szar_core::NamedTensors) {
    tch::no_grad(|| {
        for (name, tensor) in state {
            if !tensor.is_floating_point() || name == "part_weights_factor" {
                continue;
            }
            let v = uniform(name, &tensor.size());
            let first = tensor.size()[0] as f64;
            let values = if tensor.dim() >= 2 {
                (v * 2.0 - 1.0) * (3.0 * first / tensor.numel() as f64).sqrt()
            } else {
                (v - 0.5) * 0.2
            };
            tensor.shallow_clone().copy_(&values);
        }
    });
}

/// Are these the first values?
pub fn begins_with(got: &Tensor, want: &[f64]) -> bool {
    let got = got
        .flatten(0, -1)
        .narrow(0, 0, want.len() as i64)
        .to_kind(Kind::Double);
    got.allclose(&Tensor::from_slice(want), 2e-4, 5e-6, false)
}
