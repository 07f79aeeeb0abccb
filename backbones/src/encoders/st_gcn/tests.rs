use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use szar_core::component::InputSpec;
use szar_core::host::to_f64;
use szar_core::{
    Cancel, EncoderConfig, Error, NamedTensors, Precision, Problems, SeenSkeletons, SkeletonBatch,
    SkeletonEncoder, testing,
};
use tch::kind::FLOAT_CPU;
use tch::{Device, Kind, Tensor};

use super::*;
use crate::encoders::gcn::Persons;
use crate::encoders::gcn::checks::{batch, close, fill_as};
use crate::nn::classifier::tests::{StopAfter, Toy, alone};
use crate::nn::classifier::{SeenClassifier, TrainConfig};

#[test]
fn goldens() {
    szar_core::conform::assert_goldens("encoder/st-gcn");
}

#[test]
fn graph_goldens() {
    szar_core::conform::assert_goldens("graph/st-gcn");
}

fn small() -> StGcnConfig {
    StGcnConfig {
        base_channels: Some(4),
        features: Some(12),
        temporal_kernel: 3,
        train: TrainConfig {
            epochs: 4,
            batch: 16,
            lr: 0.01,
            ..TrainConfig::default()
        },
        ..StGcnConfig::default()
    }
}

fn input(persons: i64) -> InputSpec {
    InputSpec {
        layout: Arc::new(testing::layout(4)),
        frames: 8,
        persons,
        seen_classes: 2,
    }
}

fn fresh(config: &StGcnConfig, persons: i64, seed: i64) -> StGcn {
    // One thread a test: they run side by side.
    tch::set_num_threads(1);
    tch::manual_seed(seed);
    StGcn::new(config, &input(persons), Device::Cpu).unwrap()
}

/// With weights and statistics as after some training, so that every term counts; the same whatever other tests draw.
fn build(config: &StGcnConfig, persons: i64, seed: i64) -> StGcn {
    let net = fresh(config, persons, seed);
    fill_as(&format!("{seed} "), net.state());
    net
}

#[test]
fn a_batch_equals_its_samples_one_by_one_in_any_order() {
    let net = build(&small(), 2, 1);
    let present = [true, true, true, false, true, true];
    let whole = batch(3, 2, 2, &present);
    let all = net.encode(&whole).unwrap();
    for i in [2i64, 0, 1] {
        let one = SkeletonBatch {
            joints: whole.joints.narrow(0, i, 1),
            frames: whole.frames.narrow(0, i, 1),
            present: present[2 * i as usize..][..2].to_vec(),
            layout: Arc::clone(&whole.layout),
        };
        let alone = net.encode(&one).unwrap();
        assert!(close(&alone.features.values, &all.features.narrow(i, 1).values));
        assert!(close(
            &alone.seen_logits.unwrap(),
            &all.seen_logits.as_ref().unwrap().narrow(0, i, 1)
        ));
    }
}

#[test]
fn an_absent_person_costs_nothing_and_changes_nothing() {
    let net = build(&small(), 2, 1);
    let mut some = batch(2, 2, 3, &[true, false, false, false]);
    let mut computed = Vec::new();
    let skipped = net
        .encode_with_taps(&some, &mut |x| computed.push(x.size()[0]))
        .unwrap();
    // Ten blocks over one person; then, once, ten over the absent one, outside the taps.
    assert_eq!(computed, [1; 10]);
    some.present = vec![true; 4];
    let naive = net.encode(&some).unwrap();
    assert!(close(&skipped.features.values, &naive.features.values));
}

#[test]
fn only_present_persons_enter_their_mean() {
    let net = build(
        &StGcnConfig {
            persons: Persons::Present,
            ..small()
        },
        2,
        1,
    );
    let two = batch(1, 2, 4, &[true, false]);
    let alone = build(
        &StGcnConfig {
            persons: Persons::Present,
            ..small()
        },
        1,
        1,
    );
    let one = SkeletonBatch {
        joints: two.joints.narrow(4, 0, 1),
        frames: two.frames.shallow_clone(),
        present: vec![true],
        layout: Arc::clone(&two.layout),
    };
    let (two, one) = (net.encode(&two).unwrap(), alone.encode(&one).unwrap());
    assert!(close(&two.features.values, &one.features.values));
}

#[test]
fn weights_that_change_are_noticed() {
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
fn a_state_survives_and_a_foreign_one_is_refused() {
    let net = build(&small(), 1, 1);
    let wrapped: NamedTensors = net
        .state()
        .into_iter()
        .map(|(n, t)| (format!("module.{n}"), t))
        .collect();
    let mut other = build(&small(), 1, 2);
    other.load_state(&wrapped).unwrap();
    let data = batch(2, 1, 5, &[true; 2]);
    let pair = (net.encode(&data).unwrap(), other.encode(&data).unwrap());
    assert!(pair.0.features.values.equal(&pair.1.features.values));

    let mut headless = wrapped;
    headless.retain(|n, _| !n.contains("fcn"));
    other.load_state(&headless).unwrap();
    assert!(other.encode(&data).unwrap().seen_logits.is_none() && !other.spec().classifies);
    assert!(!other.state().contains_key("fcn.weight"));

    headless.insert("module.A".into(), Tensor::ones([3, 4, 4], FLOAT_CPU));
    let error = other.load_state(&headless).unwrap_err().to_string();
    assert!(error.contains("trained on another graph"), "{error}");
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
    config.train.epochs = 16;
    for precision in [Precision::F32, Precision::Bf16] {
        let mut net = fresh(&config, 1, 1);
        let cancel = Cancel::default();
        let mut context = testing::fit_context(&cancel);
        context.precision = precision;
        let (train, validation) = (Toy::new(160, 1, 7), Toy::new(40, 1, 8));
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
    let folder = tempfile::tempdir().unwrap();
    let (train, validation) = (Toy::new(40, 2, 7), Toy::new(10, 2, 8));
    let never = Cancel::default();
    let mut whole = fresh(&small(), 2, 1);
    whole
        .fit(&train, &validation, &mut testing::fit_context(&never))
        .unwrap();

    let cancel = Cancel::default();
    let stop = StopAfter(8, &cancel, AtomicU64::new(0));
    let mut context = testing::fit_context(&cancel);
    context.progress = &stop;
    context.checkpoint = Some(folder.path().join("encoder.safetensors"));
    let error = fresh(&small(), 2, 1)
        .fit(&train, &validation, &mut context)
        .unwrap_err();
    assert!(matches!(error, Error::Cancelled));

    let mut again = fresh(&small(), 2, 99);
    let mut context = testing::fit_context(&never);
    context.checkpoint = Some(folder.path().join("encoder.safetensors"));
    again.fit(&train, &validation, &mut context).unwrap();
    for (name, tensor) in whole.state() {
        assert!(tensor.equal(&again.state()[&name]), "{name}");
    }
}

#[test]
fn training_and_evaluation_agree_when_statistics_are_the_batchs() {
    // Momentum 0.1: after 100 passes over one batch the running statistics are the batch's but for a factor
    // n / (n - 1) of each variance, up to 1/1000 with the 128 * 2 * 4 values of the last blocks, in 20 layers.
    let net = fresh(
        &StGcnConfig {
            dropout: 0.0,
            ..small()
        },
        1,
        1,
    );
    let data = Toy::new(128, 1, 3).batch(&(0..128).collect::<Vec<_>>()).unwrap();
    let mut logits = Tensor::new();
    for _ in 0..100 {
        logits = net.train_logits(&data, Kind::Float).unwrap().detach();
    }
    let evaluated = net.eval_logits(&data).unwrap();
    let (error, scale) = (
        to_f64(&(evaluated - &logits).abs().max())[0],
        to_f64(&logits.abs().max())[0],
    );
    assert!(error < 0.02 * scale, "{error} of {scale}");
}

#[test]
fn options_out_of_range_are_all_reported() {
    let mut problems = Problems::new();
    let config = StGcnConfig {
        temporal_kernel: 4,
        dropout: 1.0,
        max_hop: 0,
        train: TrainConfig {
            lr: f64::NAN,
            ..TrainConfig::default()
        },
        ..small()
    };
    config.validate(&mut problems);
    let fields: Vec<_> = problems.iter().map(|p| p.field.as_str()).collect();
    assert_eq!(fields, ["max_hop", "temporal_kernel", "dropout", "train.lr"]);
}
