//! Toy data whose features follow from the texts, and the checks that every aligner passes on it.

use std::path::Path;
use std::sync::Arc;

use szar_core::checkpoint::copies;
use szar_core::testing::{build_context, classes, layout};
use szar_core::{
    Aligner, AlignerConfig, Cancel, ClassId, ClassSplit, EncoderSpec, Error, FeatureMap, FitContext,
    FitSummary, Granularity, Precision, Progress, Seed, SeenFeatures, SeenLabels, SeenMotion, SeenSet,
    SemanticAnchors,
};
use tch::{Device, Kind, Tensor};

/// Text width.
pub const WIDTH: i64 = 12;
/// Feature channels.
pub const CHANNELS: i64 = 24;
const VERBS: i64 = 5;
const NOUNS: i64 = 5;
const SEEN: i64 = 20;
const ALL: i64 = VERBS * NOUNS;

/// Classes that are pairs of a verb and a noun; the features are a rectified image of both, with noise. The unseen classes
/// are new pairs of known words.
pub struct Toy {
    /// Texts `global`, `verb` and `noun` of all classes.
    pub texts: SemanticAnchors,
    /// To train on.
    pub seen: SeenFeatures,
    /// Maps `[n, N, 2, 3]` of unseen classes.
    pub test: FeatureMap,
    /// Columns of the unseen classes.
    pub labels: Vec<i64>,
}

/// Values from U(-1, 1) by name: libtorch's generator is one for all threads of a test.
fn uniform(name: &str, size: &[i64]) -> Tensor {
    use rand::RngExt;
    let mut rng = Seed(7).derive(name, 0).rng();
    let values: Vec<f32> = (0..size.iter().product::<i64>())
        .map(|_| rng.random_range(-1.0f32..1.0))
        .collect();
    Tensor::from_slice(&values).view(size)
}

fn unit(x: &Tensor) -> Tensor {
    crate::aligners::training::unit_rows(x)
}

impl Toy {
    pub fn new() -> Self {
        let words = [
            unit(&uniform("verb", &[VERBS, WIDTH])),
            unit(&uniform("noun", &[NOUNS, WIDTH])),
        ];
        // Class i has verb i mod 5 and noun (i / 5 + i) mod 5: five unseen pairs that use every word once.
        let rows: Vec<i64> = (0..ALL).map(|i| i % VERBS).collect();
        let columns: Vec<i64> = (0..ALL).map(|i| (i / VERBS + i) % NOUNS).collect();
        let verb = words[0].index_select(0, &Tensor::from_slice(&rows));
        let noun = words[1].index_select(0, &Tensor::from_slice(&columns));
        let both = Tensor::cat(&[&verb, &noun], 1);
        let global = unit(&both.mm(&uniform("global", &[2 * WIDTH, WIDTH])));
        let names = [Granularity::GLOBAL, Granularity::VERB, Granularity::NOUN];
        let values = Tensor::stack(&[&global, &verb, &noun], 1);
        let texts = SemanticAnchors::new(values, names.to_vec(), classes(ALL as usize)).unwrap();
        let image = both.mm(&uniform("image", &[2 * WIDTH, CHANNELS])) * 2.0;
        let sample = |name: &str, labels: &[i64]| {
            let clean = image.index_select(0, &Tensor::from_slice(labels));
            let count = labels.len() as i64;
            let noisy = clean.unsqueeze(-1).unsqueeze(-1) + uniform(name, &[count, CHANNELS, 2, 3]) * 0.4;
            FeatureMap::new(noisy.relu()).unwrap()
        };
        let set = |name: &str, count: i64| {
            let labels: Vec<i64> = (0..count).map(|i| i % SEEN).collect();
            seen_set(sample(name, &labels), &labels)
        };
        let seen = SeenFeatures {
            train: set("train", 241),
            validation: set("validation", 60),
            layout: Arc::new(layout(5)),
        };
        let labels: Vec<i64> = (0..100).map(|i| i % (ALL - SEEN)).collect();
        let shifted: Vec<i64> = labels.iter().map(|l| l + SEEN).collect();
        Self {
            texts,
            seen,
            test: sample("test", &shifted),
            labels,
        }
    }

    /// The texts of some of the classes.
    pub fn part(&self, from: i64, to: i64) -> SemanticAnchors {
        let ids: Vec<_> = (from..to).map(ClassId).collect();
        self.texts
            .for_classes(&self.texts.classes.subset(&ids).unwrap())
            .unwrap()
    }

    /// The texts of the seen classes.
    pub fn seen_texts(&self) -> SemanticAnchors {
        self.part(0, SEEN)
    }

    /// The texts of the unseen classes.
    pub fn unseen_texts(&self) -> SemanticAnchors {
        self.part(SEEN, ALL)
    }

    /// Share of right answers among the unseen classes.
    pub fn accuracy(&self, aligner: &dyn Aligner) -> f64 {
        let scores = aligner.score(&self.test, &self.unseen_texts()).unwrap().logits;
        let right = scores
            .argmax(-1, false)
            .eq_tensor(&Tensor::from_slice(&self.labels));
        right.to_kind(Kind::Double).mean(Kind::Double).double_value(&[])
    }
}

fn seen_set(features: FeatureMap, labels: &[i64]) -> SeenSet {
    let ids = |range: std::ops::Range<i64>| range.map(ClassId).collect::<Vec<_>>();
    let split = ClassSplit::new("s", &classes(ALL as usize), &ids(0..SEEN), &ids(SEEN..ALL)).unwrap();
    let labels: Vec<_> = labels.iter().map(|l| ClassId(*l)).collect();
    SeenSet {
        features,
        labels: SeenLabels::new(&split, &labels, Device::Cpu).unwrap(),
    }
}

/// An aligner for the toy data.
pub fn built(config: &dyn AlignerConfig) -> Box<dyn Aligner> {
    let spec = EncoderSpec {
        channels: CHANNELS,
        frames: 2,
        joints: 3,
        classifies: false,
    };
    let names = [Granularity::GLOBAL, Granularity::VERB, Granularity::NOUN];
    config.build(&spec, &names, WIDTH, &build_context()).unwrap()
}

/// Asks to stop when this many epochs are done.
struct StopAfter(u64, Cancel);

impl Progress for StopAfter {
    fn begin(&self, _: &str, _: u64) {}
    fn advance(&self, done: u64, note: &str) {
        if done == self.0 && note.contains("loss") {
            self.1.request();
        }
    }
    fn end(&self) {}
}

/// Trains, and stops after some epochs.
pub fn fit(
    aligner: &mut dyn Aligner,
    toy: &Toy,
    motion: Option<&dyn SeenMotion>,
    stop: u64,
    checkpoint: Option<&Path>,
) -> Result<FitSummary, Error> {
    let cancel = Cancel::default();
    let progress = StopAfter(stop, cancel.clone());
    let mut ctx = FitContext {
        device: Device::Cpu,
        precision: Precision::F32,
        seed: Seed(5),
        progress: &progress,
        cancel: &cancel,
        checkpoint: checkpoint.map(Path::to_owned),
        motion,
    };
    aligner.fit(&toy.seen, &toy.seen_texts(), &mut ctx)
}

/// A stopped training goes on as if it had never stopped. `config` trains at least 4 epochs.
pub fn resumes_bit_for_bit(config: &dyn AlignerConfig, motion: Option<&dyn SeenMotion>) {
    let toy = Toy::new();
    let start = copies(&built(config).state());
    let fresh = || {
        let mut aligner = built(config);
        aligner.load_state(&start).unwrap();
        aligner
    };
    let mut whole = fresh();
    let summary = fit(whole.as_mut(), &toy, motion, u64::MAX, None).unwrap();
    let folder = tempfile::tempdir().unwrap();
    for stop in [1, 3] {
        let path = folder.path().join(format!("{stop}.safetensors"));
        let stopped = fit(fresh().as_mut(), &toy, motion, stop, Some(&path));
        assert!(matches!(stopped, Err(Error::Cancelled)), "{stopped:?}");
        let mut resumed = fresh();
        let again = fit(resumed.as_mut(), &toy, motion, u64::MAX, Some(&path)).unwrap();
        assert_eq!(again.train_loss, summary.train_loss, "stopped after {stop}");
        for (name, value) in whole.state() {
            assert!(
                value.equal(&resumed.state()[&name]),
                "{name}, stopped after {stop}"
            );
        }
    }
}

fn near(a: &Tensor, b: &Tensor) -> bool {
    a.allclose(b, 1e-4, 1e-5, false)
}

/// Scores don't depend on the batch, follow the order of the candidates, come from the condensed rows, and survive a state.
pub fn scores_as_promised(config: &dyn AlignerConfig, aligner: &dyn Aligner, toy: &Toy) {
    let all = &toy.texts;
    let scores = aligner.score(&toy.test, all).unwrap().logits;
    assert_eq!(scores.size(), [100, ALL]);
    assert!(!scores.requires_grad());
    for at in [0, 41, 99] {
        let one = aligner.score(&toy.test.narrow(at, 1), all).unwrap().logits;
        assert!(near(&one, &scores.narrow(0, at, 1)), "sample {at} alone");
    }
    let order: Vec<i64> = (0..ALL).map(|i| (i * 7 + 3) % ALL).collect();
    let order = Tensor::from_slice(&order);
    let moved = all.with_values(all.values.index_select(0, &order)).unwrap();
    let permuted = aligner.score(&toy.test, &moved).unwrap().logits;
    assert!(
        near(&permuted, &scores.index_select(1, &order)),
        "order of candidates"
    );
    let rows = aligner.condense(&toy.test).unwrap();
    assert_eq!(rows.size()[0], 100);
    assert!(near(
        &aligner.score_condensed(&rows, all).unwrap().logits,
        &scores
    ));
    if let Some(linear) = aligner.linear(all).unwrap() {
        let index: Vec<i64> = linear.granularities.iter().map(|g| *g as i64).collect();
        let side = all
            .values
            .index_select(1, &Tensor::from_slice(&index))
            .flatten(1, 2);
        assert!(near(&(rows.mm(&side.transpose(0, 1)) * linear.scale), &scores));
    }
    let mut other = built(config);
    other.load_state(&copies(&aligner.state())).unwrap();
    assert!(other.score(&toy.test, all).unwrap().logits.equal(&scores));
    declares_what_it_does(aligner, toy, &scores);
}

/// The capabilities are true.
fn declares_what_it_does(aligner: &dyn Aligner, toy: &Toy, scores: &Tensor) {
    let offers = aligner.capabilities();
    let leaf = toy.texts.values.copy().set_requires_grad(true);
    let anchors = toy.texts.with_values(leaf.shallow_clone()).unwrap();
    let features = toy.test.values.copy().set_requires_grad(true);
    let map = FeatureMap::new(features.shallow_clone()).unwrap();
    let open = aligner.score(&map, &anchors).unwrap().logits;
    open.square().sum(Kind::Float).backward();
    let reached = leaf
        .grad()
        .abs()
        .sum_dim_intlist([0i64, 2].as_slice(), false, Kind::Float);
    for granularity in &offers.granularities {
        let slot = toy.texts.slot(granularity).unwrap();
        assert!(reached.double_value(&[slot]) > 0.0, "{granularity}");
    }
    assert!(offers.differentiable_in_anchors && offers.differentiable_in_features);
    assert!(features.grad().abs().sum(Kind::Float).double_value(&[]) > 0.0);
    let (all, test) = (&toy.texts, &toy.test);
    assert_eq!(aligner.embed(test, all).is_ok(), offers.visual_embeddings);
    assert_eq!(aligner.embed_nodes(test, all).is_ok(), offers.node_embeddings);
    if !offers.visual_embeddings {
        return;
    }
    let embedding = aligner.embed(test, all).unwrap();
    let products = embedding.visual.mm(&embedding.classes.transpose(0, 1));
    let scale = (scores * &products).sum(Kind::Float) / products.square().sum(Kind::Float);
    assert!(near(&(products * scale), scores), "scores are scaled products");
    // A map of one node is that node.
    let single = FeatureMap::new(test.values.narrow(2, 0, 1).narrow(3, 1, 1)).unwrap();
    let nodes = aligner.embed_nodes(test, all).unwrap();
    assert_eq!(nodes.size()[..2], [100, 6]);
    let alone = aligner.embed(&single, all).unwrap().visual;
    assert!(near(&nodes.select(1, 1), &alone), "node 1 is frame 0, joint 1");
}
