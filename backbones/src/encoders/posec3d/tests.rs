use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use szar_core::component::InputSpec;
use szar_core::host::to_f64;
use szar_core::{
    Cancel, EncoderConfig, Error, NamedTensors, Precision, Problems, SeenSkeletons, SkeletonBatch,
    SkeletonEncoder, descriptors, testing,
};
use tch::kind::FLOAT_CPU;
use tch::{Device, Kind, Tensor};

use super::*;
use crate::encoders::gcn::checks::{batch, fill_as};
use crate::nn::classifier::tests::{StopAfter, Toy, alone};
use crate::nn::classifier::{SeenClassifier, TrainConfig};

#[test]
fn goldens() {
    tch::set_num_threads(1);
    szar_core::conform::assert_goldens("encoder/posec3d");
}

fn small() -> PoseC3dConfig {
    PoseC3dConfig {
        base_channels: 4,
        clip_frames: 8,
        size: 12,
        dropout: 0.0,
        train: TrainConfig {
            epochs: 4,
            batch: 16,
            lr: 0.01,
            ..TrainConfig::default()
        },
        ..PoseC3dConfig::default()
    }
}

fn input(joints: usize, persons: i64, classes: i64) -> InputSpec {
    InputSpec {
        layout: Arc::new(testing::layout(joints)),
        frames: 8,
        persons,
        seen_classes: classes,
    }
}

fn fresh(config: &PoseC3dConfig, persons: i64, seed: i64) -> PoseC3d {
    // One thread a test: they run side by side.
    tch::set_num_threads(1);
    tch::manual_seed(seed);
    PoseC3d::new(config, &input(4, persons, 2), Device::Cpu).unwrap()
}

/// With weights and statistics as after some training, so that every term counts; the same whatever other tests draw.
fn build(config: &PoseC3dConfig, persons: i64, seed: i64) -> PoseC3d {
    let net = fresh(config, persons, seed);
    fill_as(&format!("{seed} "), net.state());
    net
}

fn close(a: &Tensor, b: &Tensor) -> bool {
    a.size() == b.size() && a.allclose(b, 1e-4, 1e-5, false)
}

fn parameters(net: &PoseC3d, front: &str) -> usize {
    let state = net.state();
    let trained = state
        .iter()
        .filter(|(n, t)| n.starts_with(front) && t.requires_grad());
    trained.map(|(_, t)| t.numel()).sum()
}

#[test]
fn the_published_network_has_the_published_number_of_parameters() {
    let config = PoseC3dConfig {
        base_channels: 32,
        ..PoseC3dConfig::default()
    };
    let net = PoseC3d::new(&config, &input(17, 1, 60), Device::Cpu).unwrap();
    assert_eq!(parameters(&net, "backbone."), 1_994_080);
    assert_eq!(parameters(&net, "cls_head."), 30_780);
}

#[test]
fn the_published_clip_gives_the_published_map() {
    let config = PoseC3dConfig {
        base_channels: 32,
        clip_frames: 48,
        size: 64,
        ..PoseC3dConfig::default()
    };
    let form = |pool| {
        let spec = PoseC3dConfig {
            pool,
            ..config.clone()
        }
        .spec(&input(17, 1, 60));
        (spec.channels, spec.frames, spec.joints)
    };
    assert_eq!(form(Pool::Cells), (512, 24, 64));
    assert_eq!(form(Pool::Joints), (512, 24, 17));
    assert_eq!(form(Pool::Image), (512, 24, 1));
    assert_eq!(form(Pool::Clip), (512, 1, 1));
}

#[test]
fn every_pool_gives_what_its_spec_says_and_all_have_one_mean() {
    let data = batch(2, 2, 4, &[true, true, true, false]);
    let mut pooled = Vec::new();
    for pool in [Pool::Joints, Pool::Cells, Pool::Image, Pool::Clip] {
        let net = build(&PoseC3dConfig { pool, ..small() }, 2, 1);
        let features = net.encode(&data).unwrap().features;
        let spec = net.spec();
        assert_eq!(
            features.dims(),
            (2, spec.channels, spec.frames, spec.joints),
            "{pool:?}"
        );
        pooled.push(features.pooled());
    }
    assert!(pooled.iter().all(|p| close(p, &pooled[3])));
}

#[test]
fn parts_of_the_body_are_found_among_joints_and_refused_among_cells() {
    let data = batch(1, 1, 4, &[true]);
    let whole = [szar_core::Granularity::HEAD];
    let pick = |pool| {
        let net = build(&PoseC3dConfig { pool, ..small() }, 1, 1);
        let features = net.encode(&data).unwrap().features;
        descriptors::pool(&features, &data.layout, &whole, descriptors::TemporalSplit::Floor)
    };
    assert!(pick(Pool::Joints).is_ok());
    for (pool, nodes) in [(Pool::Image, 1), (Pool::Cells, 9)] {
        // 12 pixels are 2 x 2 cells; 9 of them with 17 pixels or more.
        let error = match pool {
            Pool::Cells => {
                let net = build(
                    &PoseC3dConfig {
                        pool,
                        size: 17,
                        ..small()
                    },
                    1,
                    1,
                );
                let features = net.encode(&data).unwrap().features;
                descriptors::pool(&features, &data.layout, &whole, descriptors::TemporalSplit::Floor)
            }
            _ => pick(pool),
        };
        let error = error.unwrap_err().to_string();
        assert_eq!(
            error,
            format!("the feature map has {nodes} joints, layout `chain4` has 4")
        );
    }
}

#[test]
fn a_batch_equals_its_samples_one_by_one() {
    let net = build(&small(), 2, 1);
    let present = [true, false, true, true, false, false];
    let whole = batch(3, 2, 2, &present);
    let all = net.encode(&whole).unwrap();
    for i in 0..3 {
        let alone = net.encode(&whole.select(&[i])).unwrap();
        assert!(close(
            &alone.features.values,
            &all.features.narrow(i as i64, 1).values
        ));
        let logits = all.seen_logits.as_ref().unwrap().narrow(0, i as i64, 1);
        assert!(close(&alone.seen_logits.unwrap(), &logits));
    }
}

#[test]
fn an_absent_person_changes_nothing() {
    let net = build(&small(), 2, 1);
    let mut some = batch(2, 2, 3, &[true, false, false, false]);
    let skipped = net.encode(&some).unwrap();
    some.present = vec![true; 4];
    let naive = net.encode(&some).unwrap();
    assert!(close(&skipped.features.values, &naive.features.values));
    let one = SkeletonBatch {
        joints: some.joints.narrow(4, 0, 1),
        present: vec![true; 2],
        ..some
    };
    let alone = build(&small(), 1, 1).encode(&one).unwrap();
    assert!(close(&skipped.features.values, &alone.features.values));
}

#[test]
fn what_is_folded_follows_the_weights() {
    let net = build(&small(), 1, 1);
    let data = batch(2, 1, 5, &[true; 2]);
    let before = net.encode(&data).unwrap().features.values;
    let other = build(&small(), 1, 6);
    szar_core::checkpoint::copy_into(&net.state(), &other.state(), |_| false).unwrap();
    let after = net.encode(&data).unwrap().features.values;
    assert!(!close(&before, &after));
    assert!(close(&after, &other.encode(&data).unwrap().features.values));
}

#[test]
fn a_state_survives_under_every_official_name_and_a_foreign_one_is_refused() {
    let net = build(&small(), 1, 1);
    let data = batch(2, 1, 5, &[true; 2]);
    let want = net.encode(&data).unwrap();
    let renamed = |front: &str, take: &str| -> NamedTensors {
        let name = |n: String| match n.strip_prefix(take) {
            Some(rest) => format!("{front}{rest}"),
            None => n,
        };
        net.state().into_iter().map(|(n, t)| (name(n), t)).collect()
    };
    for state in [
        renamed("module.backbone.", "backbone."),
        renamed("", "backbone."),
        renamed("", "cls_head."),
    ] {
        let mut other = build(&small(), 1, 2);
        other.load_state(&state).unwrap();
        let got = other.encode(&data).unwrap();
        assert!(got.features.values.equal(&want.features.values));
        assert!(got.seen_logits.unwrap().equal(want.seen_logits.as_ref().unwrap()));
    }
    let mut other = build(&small(), 1, 2);
    let mut headless = renamed("", "backbone.");
    headless.retain(|n, _| !n.contains("fc_cls"));
    other.load_state(&headless).unwrap();
    assert!(other.encode(&data).unwrap().seen_logits.is_none() && !other.spec().classifies);
    assert!(!other.state().keys().any(|n| n.contains("fc_cls")));

    headless.insert(
        "conv1.conv.weight".into(),
        Tensor::zeros([4, 17, 1, 7, 7], FLOAT_CPU),
    );
    let error = other.load_state(&headless).unwrap_err().to_string();
    let line = "`backbone.conv1.conv.weight` has shape [4, 17, 1, 7, 7], expected [4, 4, 1, 7, 7]";
    assert!(error.contains(line), "{error}");
}

#[test]
fn a_batch_of_another_skeleton_is_refused() {
    let net = build(&small(), 1, 1);
    let mut data = batch(1, 1, 5, &[true]);
    data.joints = Tensor::zeros([1, 3, 8, 5, 1], FLOAT_CPU);
    let error = net.encode(&data).unwrap_err().to_string();
    assert_eq!(
        error,
        "`joints` has shape [1, 3, 8, 5, 1], expected [_, 3, _, 4, 1]"
    );
}

#[test]
fn training_learns_what_can_be_separated_in_either_precision() {
    if !alone() {
        return;
    }
    let mut config = small();
    (config.size, config.train.epochs) = (9, 14);
    for precision in [Precision::F32, Precision::Bf16] {
        let mut net = fresh(&config, 1, 1);
        let cancel = Cancel::default();
        let mut context = testing::fit_context(&cancel);
        context.precision = precision;
        let (train, validation) = (Toy::new(128, 1, 7), Toy::new(32, 1, 8));
        let summary = net.fit(&train, &validation, &mut context).unwrap();
        let best = summary.validation[summary.best_epoch as usize - 1];
        eprintln!("best of {:?}", summary.validation);
        assert!(best > 90.0, "{precision:?} {summary:?}");
    }
}

#[test]
fn a_stopped_training_resumes_to_the_same_bits() {
    if !alone() {
        return;
    }
    let config = PoseC3dConfig {
        clip_frames: 3,
        crop: 0.56,
        train_size: Some(10),
        dropout: 0.5,
        ..small()
    };
    let folder = tempfile::tempdir().unwrap();
    let (train, validation) = (Toy::new(40, 2, 7), Toy::new(10, 2, 8));
    let never = Cancel::default();
    let mut whole = fresh(&config, 2, 1);
    whole
        .fit(&train, &validation, &mut testing::fit_context(&never))
        .unwrap();

    let cancel = Cancel::default();
    let stop = StopAfter(8, &cancel, AtomicU64::new(0));
    let mut context = testing::fit_context(&cancel);
    context.progress = &stop;
    context.checkpoint = Some(folder.path().join("encoder.safetensors"));
    let error = fresh(&config, 2, 1)
        .fit(&train, &validation, &mut context)
        .unwrap_err();
    assert!(matches!(error, Error::Cancelled));

    let mut again = fresh(&config, 2, 99);
    let mut context = testing::fit_context(&never);
    context.checkpoint = Some(folder.path().join("encoder.safetensors"));
    again.fit(&train, &validation, &mut context).unwrap();
    for (name, tensor) in whole.state() {
        assert!(tensor.equal(&again.state()[&name]), "{name}");
    }
}

#[test]
fn training_and_evaluation_agree_when_statistics_are_the_batchs() {
    // Momentum 0.1: from 0, after 110 passes over one batch the running statistics are 0.99999 of the batch's but for a
    // factor n / (n - 1) of each variance, up to 1/1000 with the 64 * 4 * 2 * 2 values of the last stage.
    let net = fresh(&PoseC3dConfig { size: 9, ..small() }, 1, 1);
    for (_, mut variance) in net
        .state()
        .into_iter()
        .filter(|(n, _)| n.ends_with("running_var"))
    {
        let _ = variance.zero_();
    }
    let data = Toy::new(64, 1, 3).batch(&(0..64).collect::<Vec<_>>()).unwrap();
    let mut logits = Tensor::new();
    for _ in 0..110 {
        logits = tch::no_grad(|| net.train_logits(&data, Kind::Float).unwrap());
    }
    let evaluated = net.eval_logits(&data).unwrap();
    let (error, scale) = (
        to_f64(&(evaluated - &logits).abs().max())[0],
        to_f64(&logits.abs().max())[0],
    );
    assert!(error < 0.02 * scale, "{error} of {scale}");
}

#[test]
fn the_published_setting_can_be_written_down() {
    let text = r#"{"base_channels": 32, "clip_frames": 48, "size": 64, "train_size": 56, "crop": 0.56, "pool": "cells",
        "train": {"epochs": 240, "batch": 256, "lr": 0.4, "weight_decay": 0.0003, "label_smoothing": 0.0, "grad_clip": 40,
        "optimiser": {"rule": "sgd", "momentum": 0.9, "nesterov": false}, "schedule": {"shape": "cosine"},
        "augmentation": {"rotation": 0.0, "scale": 0.0, "flip": 0.5}}}"#;
    let config: PoseC3dConfig = serde_json::from_str(text).unwrap();
    let mut problems = Problems::new();
    config.validate(&mut problems);
    assert!(problems.is_empty(), "{problems}");
}

#[test]
fn training_given_in_part_keeps_the_encoders_own_defaults() {
    let config: PoseC3dConfig = serde_json::from_str(r#"{"train": {"lr": 0.01}}"#).unwrap();
    let want = TrainConfig {
        lr: 0.01,
        ..PoseC3dConfig::default().train
    };
    assert_eq!((config.train, want.epochs, want.batch), (want.clone(), 24, 32));
    assert!(serde_json::from_str::<PoseC3dConfig>(r#"{"train": {"rate": 0.01}}"#).is_err());
}

#[test]
fn options_out_of_range_are_all_reported() {
    let mut problems = Problems::new();
    let config = PoseC3dConfig {
        base_channels: 0,
        clip_frames: 0,
        train_size: Some(7),
        crop: 0.0,
        sigma: f64::NAN,
        dropout: 1.0,
        ..small()
    };
    config.validate(&mut problems);
    let fields: Vec<_> = problems.iter().map(|p| p.field.as_str()).collect();
    assert_eq!(
        fields,
        [
            "base_channels",
            "clip_frames",
            "train_size",
            "crop",
            "sigma",
            "dropout"
        ]
    );
}
