//! What the tests of these aligners share: data in which text determines features, and what must hold of each of them.

use std::sync::Arc;

use rand_distr::{Distribution, StandardNormal};
use szar_core::host::tensor;
use szar_core::testing::{build_context, classes, fit_context, layout};
use szar_core::{
    Aligner, AlignerConfig, Cancel, ClassId, ClassSplit, EncoderSpec, Error, FeatureMap, FitContext,
    Granularity, NamedTensors, Seed, SeenFeatures, SeenLabels, SeenSet, SemanticAnchors,
};
use tch::kind::FLOAT_CPU;
use tch::{Device, Kind, Tensor, no_grad};

use super::super::training::unit_rows;

/// Seen classes, and unseen ones after them.
pub const SEEN: usize = 24;
const UNSEEN: usize = 4;
const CHANNELS: i64 = 20;
const WIDTH: i64 = 12;

/// Classes whose texts determine their features.
pub struct World {
    pub anchors: SemanticAnchors,
    map: Tensor,
}

pub const SPEC: EncoderSpec = EncoderSpec {
    channels: CHANNELS,
    frames: 1,
    joints: 1,
    classifies: false,
};

/// Standard normal numbers by name; libtorch's generator is shared by the tests that run at the same time.
fn normal(name: &str, size: &[i64]) -> Tensor {
    let mut rng = Seed(7).derive(name, 0).rng();
    let values: Vec<f32> = (0..size.iter().product::<i64>())
        .map(|_| StandardNormal.sample(&mut rng))
        .collect();
    tensor(&values, size)
}

impl World {
    /// Texts of these names; features are a fixed linear image of all texts of a class.
    pub fn new(names: &[Granularity]) -> Self {
        let count = (SEEN + UNSEEN) as i64;
        let texts = unit_rows(&normal("texts", &[count, names.len() as i64, WIDTH]));
        Self {
            anchors: SemanticAnchors::new(texts, names.to_vec(), classes(count as usize)).unwrap(),
            map: normal("map", &[names.len() as i64 * WIDTH, CHANNELS]),
        }
    }

    /// Noisy features of samples of these classes.
    pub fn features(&self, labels: &[i64]) -> FeatureMap {
        let clean = self
            .anchors
            .values
            .flatten(1, 2)
            .index_select(0, &Tensor::from_slice(labels))
            .mm(&self.map);
        FeatureMap::from_pooled(&(&clean + normal(&format!("noise {labels:?}"), &clean.size()) * 0.1))
            .unwrap()
    }

    fn split(&self) -> ClassSplit {
        let ids = |range: std::ops::Range<usize>| range.map(|i| ClassId(i as i64)).collect::<Vec<_>>();
        let all = &self.anchors.classes;
        ClassSplit::new("s", all, &ids(0..SEEN), &ids(SEEN..SEEN + UNSEEN)).unwrap()
    }

    fn set(&self, count: usize) -> SeenSet {
        let labels: Vec<i64> = (0..count).map(|i| (i % SEEN) as i64).collect();
        let ids: Vec<_> = labels.iter().map(|l| ClassId(*l)).collect();
        SeenSet {
            features: self.features(&labels),
            labels: SeenLabels::new(&self.split(), &ids, Device::Cpu).unwrap(),
        }
    }

    pub fn seen(&self, train: usize, validation: usize) -> SeenFeatures {
        SeenFeatures {
            train: self.set(train),
            validation: self.set(validation),
            layout: Arc::new(layout(5)),
        }
    }

    pub fn seen_anchors(&self) -> SemanticAnchors {
        self.anchors.for_classes(self.split().seen()).unwrap()
    }

    pub fn unseen_anchors(&self) -> SemanticAnchors {
        self.anchors.for_classes(self.split().unseen()).unwrap()
    }

    /// An aligner with the same weights every time.
    pub fn build(&self, config: &dyn AlignerConfig) -> Box<dyn Aligner> {
        let mut aligner = self.build_anew(config);
        let weight = |(name, like): (String, Tensor)| {
            let inside = like.size().iter().sum::<i64>() as f64;
            let scale = if like.dim() == 2 {
                0.5 * (2.0 / inside).sqrt()
            } else {
                0.0
            };
            let own = normal(&name, &like.size()) * scale;
            (name, own)
        };
        aligner
            .load_state(&aligner.state().into_iter().map(weight).collect())
            .unwrap();
        aligner
    }

    fn build_anew(&self, config: &dyn AlignerConfig) -> Box<dyn Aligner> {
        config
            .build(&SPEC, &self.anchors.granularities, WIDTH, &build_context())
            .unwrap()
    }

    pub fn fitted(&self, config: &dyn AlignerConfig) -> Box<dyn Aligner> {
        let mut aligner = self.build(config);
        let cancel = Cancel::default();
        let seen = self.seen(480, 96);
        let fit = aligner.fit(&seen, &self.seen_anchors(), &mut fit_context(&cancel));
        let summary = fit.unwrap();
        assert_eq!(summary.validation_measure, "top1");
        aligner
    }
}

pub fn close(a: &Tensor, b: &Tensor, tolerance: f64) -> bool {
    a.allclose(b, tolerance, tolerance, false)
}

pub fn valid(config: &dyn AlignerConfig) {
    let mut problems = szar_core::Problems::new();
    config.validate(&mut problems);
    assert!(problems.is_empty(), "{problems}");
}

/// Unseen classes are recognised clearly above chance (25 %), by a training and by other ways of scoring with its weights.
pub fn learns(world: &World, config: &dyn AlignerConfig, others: &[&dyn AlignerConfig], least: f64) {
    valid(config);
    let fitted = world.fitted(config);
    let labels: Vec<i64> = (0..200).map(|i| i % UNSEEN as i64).collect();
    let shifted: Vec<i64> = labels.iter().map(|l| l + SEEN as i64).collect();
    let features = world.features(&shifted);
    let recognised = |aligner: &dyn Aligner| {
        let scores = aligner.score(&features, &world.unseen_anchors()).unwrap();
        let right = scores
            .logits
            .argmax(-1, false)
            .eq_tensor(&Tensor::from_slice(&labels));
        right.to_kind(Kind::Float).mean(Kind::Float).double_value(&[])
    };
    let mut shares = vec![recognised(fitted.as_ref())];
    for config in others {
        let mut other = world.build(*config);
        other.load_state(&fitted.state()).unwrap();
        shares.push(recognised(other.as_ref()));
    }
    assert!(shares.iter().all(|share| *share > least), "{shares:?}");
}

/// What holds of every way of scoring.
pub fn scores_as_it_should(world: &World, config: &dyn AlignerConfig) {
    let aligner = world.build(config);
    let map = world.features(&[0, 5, 9, 25, 26]);
    let unseen = world.unseen_anchors();
    let all = aligner.score(&map, &unseen).unwrap().logits;
    assert!(!all.requires_grad());
    assert_eq!(all.isfinite().all().int64_value(&[]), 1);
    // A batch equals its samples, condensed or not.
    let rows = aligner.condense(&map).unwrap();
    for i in 0..5 {
        let one = aligner.score(&map.narrow(i, 1), &unseen).unwrap().logits;
        assert!(close(&one, &all.narrow(0, i, 1), 1e-5));
        let one = aligner
            .score_condensed(&rows.narrow(0, i, 1), &unseen)
            .unwrap()
            .logits;
        assert!(close(&one, &all.narrow(0, i, 1), 1e-5));
    }
    // Candidates in another order: the same texts under other ids.
    let order = Tensor::from_slice(&[2i64, 0, 3, 1]);
    let mixed = unseen.with_values(unseen.values.index_select(0, &order)).unwrap();
    let permuted = aligner.score(&map, &mixed).unwrap().logits;
    assert!(close(&permuted, &all.index_select(1, &order), 1e-5));
    // Other lists before it do not change what is said of this one.
    let fresh = world.build(config);
    fresh.score(&map, &world.seen_anchors()).unwrap();
    assert!(fresh.score(&map, &unseen).unwrap().logits.equal(&all));
    // Anchors that are written to are not taken for what they were.
    let mut values = unseen.values.copy();
    let moved = unseen.with_values(values.shallow_clone()).unwrap();
    assert!(aligner.score(&map, &moved).unwrap().logits.equal(&all));
    let _ = values.g_add_(&(normal("moved", &values.size()) * 0.5));
    assert!(!aligner.score(&map, &moved).unwrap().logits.equal(&all));
    probes(aligner.as_ref(), &map, &unseen);
}

fn probes(aligner: &dyn Aligner, map: &FeatureMap, anchors: &SemanticAnchors) {
    let all = aligner.score(map, anchors).unwrap().logits;
    let embedding = aligner.embed(map, anchors).unwrap();
    let nodes = aligner.embed_nodes(map, anchors).unwrap();
    assert!(close(&nodes.select(1, 0), &embedding.visual, 1e-6));
    assert_eq!(embedding.classes.size(), [4, embedding.visual.size()[1]]);
    if let Some(linear) = aligner.linear(anchors).unwrap() {
        let classes: Vec<_> = linear
            .granularities
            .iter()
            .map(|g| anchors.values.select(1, *g as i64))
            .collect();
        let rows = aligner.condense(map).unwrap();
        let by_hand = rows.mm(&Tensor::cat(&classes, 1).transpose(0, 1)) * linear.scale;
        assert!(close(&by_hand, &all, 1e-4));
    }
    let leaf = anchors.values.copy().set_requires_grad(true);
    let candidates = anchors.with_values(leaf.shallow_clone()).unwrap();
    // Without gradients a leaf is as good as any other tensor, and is not remembered for when they are on.
    let silent = no_grad(|| aligner.score(map, &candidates)).unwrap().logits;
    assert!(close(&silent, &all, 1e-6));
    let scored = aligner.score(map, &candidates);
    if aligner.capabilities().differentiable_in_anchors {
        scored.unwrap().logits.square().sum(Kind::Float).backward();
        assert!(leaf.grad().abs().sum(Kind::Float).double_value(&[]) > 0.0);
    } else {
        let error = scored.unwrap_err().to_string();
        assert!(error.contains("use `scoring: latent`"), "{error}");
    }
    let features = map.values.copy().set_requires_grad(true);
    let scored = aligner
        .score(&FeatureMap::new(features.shallow_clone()).unwrap(), anchors)
        .unwrap();
    scored.logits.square().sum(Kind::Float).backward();
    assert!(features.grad().abs().sum(Kind::Float).double_value(&[]) > 0.0);
}

/// A fit that is stopped after its first round goes on as if it had not been.
pub fn resumes(world: &World, config: &dyn AlignerConfig) {
    struct StopAfter<'a>(&'a Cancel);
    impl szar_core::Progress for StopAfter<'_> {
        fn begin(&self, _: &str, _: u64) {}
        fn advance(&self, done: u64, _: &str) {
            if done == 1 {
                self.0.request();
            }
        }
        fn end(&self) {}
    }
    let seen = world.seen(96, 48);
    let whole = {
        let mut aligner = world.build(config);
        let cancel = Cancel::default();
        aligner
            .fit(&seen, &world.seen_anchors(), &mut fit_context(&cancel))
            .unwrap();
        aligner.state()
    };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("fit.safetensors");
    let cancel = Cancel::default();
    let stop = StopAfter(&cancel);
    let mut context = FitContext {
        progress: &stop,
        checkpoint: Some(file.clone()),
        ..fit_context(&cancel)
    };
    let mut aligner = world.build(config);
    let stopped = aligner.fit(&seen, &world.seen_anchors(), &mut context);
    assert!(matches!(stopped, Err(Error::Cancelled)));
    let cancel = Cancel::default();
    let mut context = FitContext {
        checkpoint: Some(file),
        ..fit_context(&cancel)
    };
    let mut aligner = world.build_anew(config);
    aligner.fit(&seen, &world.seen_anchors(), &mut context).unwrap();
    for (name, tensor) in aligner.state() {
        assert!(tensor.equal(&whole[&name]), "{name}");
        assert!(!tensor.requires_grad());
    }
}

/// A state under the names of official files is taken over, and what was remembered of the old weights is not.
pub fn takes_over(world: &World, config: &dyn AlignerConfig, files: &[(&str, &str)]) {
    let from = world.build(config);
    let mut into = world.build_anew(config);
    let (map, unseen) = (world.features(&[0, 1, 2]), world.unseen_anchors());
    let before = into.score(&map, &unseen).unwrap().logits;
    let renamed = |name: &str| {
        let (network, key) = name.split_once('.').unwrap();
        let file = files.iter().find(|(_, n)| *n == network).map(|(file, _)| *file);
        file.map(|file| format!("{file}.{key}"))
    };
    let mut state: NamedTensors = from
        .state()
        .into_iter()
        .filter_map(|(name, tensor)| renamed(&name).map(|name| (name, tensor)))
        .collect();
    state.insert(
        "clasifier.model.0.weight".into(),
        Tensor::zeros([5, 7], FLOAT_CPU),
    );
    into.load_state(&state).unwrap();
    let after = into.score(&map, &unseen).unwrap().logits;
    assert!(after.equal(&from.score(&map, &unseen).unwrap().logits));
    assert!(!after.equal(&before));
    state.insert("other.weight".into(), Tensor::zeros([1], FLOAT_CPU));
    assert!(
        into.load_state(&state)
            .unwrap_err()
            .to_string()
            .contains("`other.weight` is unknown")
    );
}

/// Input of another form is refused with what was expected.
pub fn refuses(world: &World, config: &dyn AlignerConfig, lacking: &str) {
    let mut aligner = world.build(config);
    let map = FeatureMap::from_pooled(&Tensor::zeros([2, CHANNELS + 1], FLOAT_CPU)).unwrap();
    let error = aligner
        .score(&map, &world.unseen_anchors())
        .unwrap_err()
        .to_string();
    assert_eq!(
        error,
        "`feature map` has shape [2, 21, 1, 1], expected [_, 20, _, _]"
    );
    let unseen = world.unseen_anchors();
    let narrow = unseen.with_values(unseen.values.narrow(2, 0, 5)).unwrap();
    let error = aligner
        .score(&world.features(&[0]), &narrow)
        .unwrap_err()
        .to_string();
    assert!(error.starts_with("`semantic anchors` has shape [4, "), "{error}");
    let error = aligner
        .score_condensed(&Tensor::zeros([2, 3], FLOAT_CPU), &unseen)
        .unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("`condensed features` has shape [2, 3]"),
        "{error}"
    );
    let cancel = Cancel::default();
    let error = aligner
        .fit(&world.seen(24, 0), &unseen, &mut fit_context(&cancel))
        .unwrap_err();
    assert_eq!(error.to_string(), "the anchors are not those of the seen classes");
    let none = [Granularity("body".into())];
    let error = config
        .build(&SPEC, &none, WIDTH, &build_context())
        .err()
        .unwrap()
        .to_string();
    assert!(
        error.contains(&format!("unknown granularity `{lacking}`; known: body")),
        "{error}"
    );
}

/// Every option that is wrong is named.
pub fn names(config: &dyn AlignerConfig, fields: &[&str]) {
    let mut problems = szar_core::Problems::new();
    config.validate(&mut problems);
    let text = problems.to_string();
    for field in fields {
        assert!(text.contains(field), "{field}: {text}");
    }
}
