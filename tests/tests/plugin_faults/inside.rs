//! What only a program sees that steps an adapter itself.

use serde_json::json;
use szar_core::online::Online;
use szar_core::{AdapterConfig, Aligner, FeatureMap, Observation, Result, SampleRef, Scores, testing};
use tch::{Kind, Tensor, kind::FLOAT_CPU};

use super::{faulty, from_c};

/// The configuration of a component of a plugin that is loaded.
fn config(name: &str, options: serde_json::Value) -> Box<dyn AdapterConfig> {
    let block = json!({ "type": "plugin", "component": name, "options": options });
    serde_json::from_value(block).expect("a configuration")
}

fn faulty_with(fault: &str) -> Box<dyn AdapterConfig> {
    szar_plugin_host::load(&faulty()).expect("the plugin loads");
    config("faulty", json!({ "fault": fault }))
}

fn begin(config: &dyn AdapterConfig) -> Online {
    Online::begin(config, &testing::build_context(), &testing::task(5, 3, 1, 1)).expect("it begins")
}

fn step(online: &mut Online, features: &Tensor, logits: &Tensor) -> Result<Tensor> {
    let features = FeatureMap::new(features.shallow_clone())?;
    let scores = Scores {
        logits: logits.shallow_clone(),
    };
    let samples = SampleRef::run(0, 4);
    let seen = Observation::new(&features, &scores, &samples);
    online
        .step(&seen, &testing::NoModel)
        .map(|stepped| stepped.scores.logits)
}

fn data() -> (Tensor, Tensor) {
    (
        Tensor::rand([4, 3, 1, 1], FLOAT_CPU),
        Tensor::rand([4, 5], FLOAT_CPU),
    )
}

#[test]
fn a_state_that_could_not_be_given_back_is_refused() {
    let (features, logits) = data();
    for (fault, part) in [
        ("snapshot-fails", "snapshot: the state is a secret"),
        ("snapshot-nameless", "snapshot: gave a tensor without a name"),
    ] {
        let mut online = begin(faulty_with(fault).as_ref());
        let _ = step(&mut online, &features, &logits).expect("a step");
        let said = online.snapshot().expect_err("no snapshot").to_string();
        assert!(said.contains(part), "{said}");
    }
}

#[test]
fn a_step_leaves_the_recording_of_gradients_as_it_was() {
    let (features, logits) = data();
    let learns = || (Tensor::zeros([1], FLOAT_CPU).set_requires_grad(true) + 1.0).requires_grad();
    let mut online = begin(faulty_with("leaves-gradients").as_ref());
    let _ = step(&mut online, &features, &logits).expect("a step");
    assert!(learns());
    tch::no_grad(|| {
        let _ = step(&mut online, &features, &logits).expect("a step");
        assert!(!learns());
    });
}

#[test]
fn what_a_plugin_keeps_stays_as_it_was_and_what_it_writes_is_noticed_at_once() {
    let (features, logits) = data();
    let copy = (features.copy(), logits.copy());
    let mut keeps = begin(faulty_with("keeps").as_ref());
    for _ in 0..3 {
        assert!(
            step(&mut keeps, &features, &logits)
                .expect("a step")
                .equal(&copy.1)
        );
    }
    drop(keeps);
    assert!(features.equal(&copy.0) && logits.equal(&copy.1));
    // A view of a larger tensor: a write is one into what others see.
    let store = Tensor::rand([8, 5], FLOAT_CPU);
    let mut writes = begin(faulty_with("writes-scores").as_ref());
    let said = step(&mut writes, &features, &store.narrow(0, 2, 4)).expect_err("it wrote");
    assert!(said.to_string().contains("wrote into `scores`"), "{said}");
}

#[test]
fn an_old_adapter_has_no_second_pass_and_no_snapshots_and_says_so() {
    let Some(file) = from_c("old") else { return };
    szar_plugin_host::load(&file).expect("the plugin loads");
    let config = config("old", json!({}));
    let (features, logits) = data();
    let mut online = begin(config.as_ref());
    assert!(
        step(&mut online, &features, &logits)
            .expect("a step")
            .equal(&logits)
    );
    // What stands behind its table in memory is never called.
    assert!(!online.wants_second_pass());
    let map = FeatureMap::new(features.shallow_clone()).expect("features");
    let (scores, samples) = (Scores { logits }, SampleRef::run(0, 4));
    let seen = Observation::new(&map, &scores, &samples);
    let said = online
        .rescore(&seen, &testing::NoModel)
        .expect_err("no second pass");
    assert!(said.to_string().contains("no second pass"), "{said}");
    let said = online.snapshot().expect_err("no snapshots").to_string();
    assert!(
        said.contains("has no snapshots, so a stopped run cannot go on"),
        "{said}"
    );
}

#[test]
fn an_adapter_sees_the_aligner_of_the_host_and_cannot_spoil_it() {
    // The scores that go in are those of an aligner of this program, and it answers as before.
    let (features, _) = data();
    let anchors = testing::anchors(5, 3);
    let model = testing::DotModel { scale: 2.0 };
    let map = FeatureMap::new(features.shallow_clone()).expect("features");
    let before = model.score(&map, &anchors).expect("scores").logits;
    let mut online = begin(faulty_with("doubles").as_ref());
    let after = step(&mut online, &features, &before).expect("a step");
    assert_eq!(after.kind(), Kind::Double);
    assert!(after.to_kind(Kind::Float).equal(&before));
    assert!(model.score(&map, &anchors).expect("scores").logits.equal(&before));
}
