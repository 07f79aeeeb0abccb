use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use szar_core::host::to_f64;
use szar_core::testing::{layout, uniform};
use szar_core::{Problems, SeenMotion, SkeletonBatch};
use tch::Kind;

use super::objective::{Constants, layer_norm, losses};
use super::*;
use crate::aligners::pooled::toy::{self, Toy};
use crate::nn::classifier::tests::alone;

#[test]
fn goldens() {
    szar_core::conform::assert_goldens("aligner/smie");
}

fn small() -> SmieConfig {
    SmieConfig {
        hidden: [48, 24],
        lr: Some(3e-3),
        epochs: Some(40),
        ..SmieConfig::default()
    }
}

/// Skeletons that show the features of the training samples, frame after frame with a little motion, and an encoder that
/// averages them. `frames` is the only number of frames it takes.
struct Motion {
    /// `[n, N]`.
    features: Tensor,
    frames: Option<i64>,
    encoded: AtomicUsize,
}

impl Motion {
    fn new(toy: &Toy, frames: Option<i64>) -> Self {
        Self {
            features: toy.seen.train.features.pooled(),
            frames,
            encoded: AtomicUsize::new(0),
        }
    }
}

impl SeenMotion for Motion {
    fn skeletons(&self, rows: &[usize]) -> Result<SkeletonBatch> {
        let rows: Vec<i64> = rows.iter().map(|r| *r as i64).collect();
        let count = rows.len() as i64;
        // 24 channels as 3 axes of 8 joints, over 10 frames that grow.
        let still = self
            .features
            .index_select(0, &Tensor::from_slice(&rows))
            .view([count, 3, 1, 8, 1]);
        let growth = Tensor::arange(10, (Kind::Float, Device::Cpu)).square() / 20.0 + 0.5;
        Ok(SkeletonBatch {
            joints: still * growth.view([1, 1, 10, 1, 1]),
            frames: Tensor::full([count], 10, (Kind::Int64, Device::Cpu)),
            present: vec![true; rows.len()],
            layout: Arc::new(layout(8)),
        })
    }

    fn encode(&self, batch: &SkeletonBatch) -> Result<FeatureMap> {
        let frames = self.frames.or_else(|| Some(batch.joints.size()[2]));
        shape::expect(
            "skeletons",
            &batch.joints,
            [None, Some(3), frames, Some(8), Some(1)],
        )?;
        self.encoded.fetch_add(batch.len(), Ordering::Relaxed);
        let mean = batch.joints.mean_dim([2i64].as_slice(), false, Kind::Float);
        FeatureMap::from_pooled(&mean.reshape([-1, 24]))
    }
}

/// Draws the weights anew, as PyTorch initialises linear layers, from a generator of its own.
fn redraw(aligner: &dyn szar_core::Aligner) {
    use rand::RngExt;
    let mut rng = szar_core::Seed(3).rng();
    for (name, tensor) in aligner.state() {
        let inputs = if name.ends_with("weight") {
            tensor.size()[1]
        } else {
            256
        };
        let bound = 1.0 / (inputs as f32).sqrt();
        let values: Vec<f32> = (0..tensor.numel())
            .map(|_| rng.random_range(-bound..bound))
            .collect();
        let values = Tensor::from_slice(&values).view(tensor.size().as_slice());
        tch::no_grad(|| tensor.shallow_clone().copy_(&values));
    }
}

#[test]
fn new_classes_are_recognised_through_their_texts() {
    if !alone() {
        return;
    }
    let toy = Toy::new();
    let motion = Motion::new(&toy, Some(10));
    for motion in [None, Some(&motion as &dyn SeenMotion)] {
        let mut aligner = toy::built(&small());
        // libtorch's generator is shared by tests that run side by side: a start that does not depend on them.
        redraw(aligner.as_ref());
        let summary = toy::fit(aligner.as_mut(), &toy, motion, u64::MAX, None).unwrap();
        assert_eq!(summary.chosen["temporal"], f64::from(u8::from(motion.is_some())));
        assert_eq!(summary.validation_measure, "top1");
        let right = toy.accuracy(aligner.as_ref());
        assert!(right > 0.4, "{right}"); // chance is 0.2
        toy::scores_as_promised(&small(), aligner.as_ref(), &toy);
    }
}

#[test]
fn the_published_evaluation_leaves_the_normalisation_out() {
    let toy = Toy::new();
    let config = SmieConfig {
        layernorm_at_test: false,
        ..small()
    };
    let (plain, mut normal) = (toy::built(&config), toy::built(&small()));
    normal.load_state(&plain.state()).unwrap();
    let scores = [&plain, &normal].map(|a| a.score(&toy.test, &toy.texts).unwrap().logits);
    assert!(!scores[0].allclose(&scores[1], 1e-3, 1e-3, false));
    toy::scores_as_promised(&config, plain.as_ref(), &toy);
}

#[test]
fn a_stopped_fit_resumes_bit_for_bit() {
    let motion = Motion::new(&Toy::new(), None);
    for views in [0, 2] {
        let config = SmieConfig {
            views,
            epochs: Some(5),
            ..small()
        };
        toy::resumes_bit_for_bit(&config, Some(&motion));
    }
}

#[test]
fn masked_motions_are_encoded_as_often_as_asked() {
    let toy = Toy::new();
    for (views, passes) in [(0, 4), (1, 1), (3, 3)] {
        let config = SmieConfig {
            views,
            epochs: Some(4),
            masked_frames: MaskedFrames::Compact,
            ..small()
        };
        let motion = Motion::new(&toy, Some(4));
        let mut aligner = toy::built(&config);
        toy::fit(aligner.as_mut(), &toy, Some(&motion), u64::MAX, None).unwrap();
        assert_eq!(motion.encoded.load(Ordering::Relaxed), passes * 241);
    }
}

#[test]
fn features_alone_are_refused_only_where_masked_motions_are_asked_for() {
    let toy = Toy::new();
    let fit = |temporal, motion: Option<&dyn SeenMotion>, masked_frames| {
        let config = SmieConfig {
            temporal,
            masked_frames,
            epochs: Some(4),
            ..small()
        };
        toy::fit(toy::built(&config).as_mut(), &toy, motion, u64::MAX, None)
    };
    let error = fit(Temporal::On, None, MaskedFrames::Repeat).unwrap_err();
    assert!(error.to_string().contains("use `temporal: off`"), "{error}");
    let off = fit(
        Temporal::Off,
        Some(&Motion::new(&toy, None)),
        MaskedFrames::Repeat,
    )
    .unwrap();
    assert_eq!(off.chosen["temporal"], 0.0);
    // An encoder of ten frames takes repeated ones and refuses fewer.
    let ten = Motion::new(&toy, Some(10));
    fit(Temporal::On, Some(&ten), MaskedFrames::Repeat).unwrap();
    let error = fit(Temporal::On, Some(&ten), MaskedFrames::Compact).unwrap_err();
    assert!(
        error.to_string().contains("`repeat` keeps the number of frames"),
        "{error}"
    );
}

#[test]
fn options_out_of_bounds_are_all_named() {
    let config = SmieConfig {
        hidden: [0, 0],
        masked: 0.7,
        kept: 0.4,
        margin: -0.1,
        temporal_weight: f64::NAN,
        epochs: Some(2),
        warmup: Some(2),
        ..SmieConfig::default()
    };
    let mut problems = Problems::new();
    config.validate(&mut problems);
    assert_eq!(problems.len(), 6, "{problems}");
}

fn input(name: &str, size: &[i64]) -> Tensor {
    (uniform(name, size) * 2.0 - 1.0).to_kind(Kind::Float)
}

fn recorded() -> Discriminator {
    let net = Discriminator::new(256, 768, [1024, 512], Device::Cpu);
    let fill = |(name, like): (String, Tensor)| {
        let v = uniform(&name, &like.size());
        let values = if like.dim() == 2 {
            (v * 2.0 - 1.0) * (3.0 / like.size()[1] as f64).sqrt()
        } else {
            (v - 0.5) * 0.2
        };
        (name, values)
    };
    copy_into(&net.state(), &net.state().into_iter().map(fill).collect(), |_| {
        false
    })
    .unwrap();
    net
}

fn near(got: &Tensor, want: &[f64]) {
    let got = got.flatten(0, -1).to_kind(Kind::Double);
    let got = got.narrow(0, 0, want.len() as i64);
    assert!(
        got.allclose(&Tensor::from_slice(want), 1e-5, 2e-6, false),
        "{got} {want:?}"
    );
}

#[test]
fn recorded_scores_and_information_of_the_full_width_network() {
    let net = recorded();
    let parameters: usize = net.state().values().map(Tensor::numel).sum();
    assert_eq!(parameters, 1_574_913);
    let text = |name: &str, rows: i64| crate::aligners::training::unit_rows(&input(name, &[rows, 768]));
    let texts = net.of_texts(&text("smie_t", 5));
    let score = |v: &Tensor| log_matches(&net, &net.of_features(v), &texts);
    let v = input("smie_v", &[2, 256]);
    let normalised = score(&layer_norm(&v));
    near(
        &normalised.select(0, 0),
        &[-0.712281, -0.696225, -0.703852, -0.704948, -0.711704],
    );
    near(
        &normalised.select(0, 1),
        &[-0.806038, -0.796642, -0.802508, -0.801041, -0.817882],
    );
    near(&score(&v).sum(Kind::Double), &[-7.359866]);
    let labels = Tensor::arange(4, (Kind::Int64, Device::Cpu));
    let constants = Constants {
        margin: 0.1,
        temporal_weight: 0.5,
    };
    let batch = layer_norm(&input("smie_vb", &[4, 256]));
    let whole = losses(&net, &batch, None, &text("smie_tb", 4), &labels, &constants).whole;
    near(&whole, &[-1.401927]);
}

#[test]
fn recorded_masking_of_fifty_frames() {
    let joints = input("smie_x", &[1, 3, 50, 25, 2]);
    let calm = mask::calmness(&to_f64(&mask::changes(&joints)), 50, Differences::Both);
    assert!((calm[0] + 0.753417).abs() < 1e-6 && (calm[1] + 1.365799).abs() < 1e-6);
    let kept = mask::calmest(&calm, 35);
    let dropped: Vec<usize> = (0..50).filter(|frame| !kept.contains(frame)).collect();
    assert_eq!(
        dropped,
        [14, 15, 16, 18, 19, 25, 26, 29, 34, 35, 38, 39, 46, 47, 48]
    );
}
