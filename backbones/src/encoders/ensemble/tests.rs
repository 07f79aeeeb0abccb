use std::path::Path;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use szar_core::component::InputSpec;
use szar_core::{
    Cancel, EncoderConfig, Encoding, Error, FilePath, Problems, Progress, SeenSkeletons, SkeletonBatch,
    SkeletonEncoder, checkpoint, testing,
};
use tch::Tensor;

use super::*;
use crate::encoders::gcn::Stream;
use crate::encoders::posec3d::{Pool, PoseC3dConfig};
use crate::encoders::st_gcn::StGcnConfig;
use crate::nn::classifier::TrainConfig;
use crate::nn::classifier::tests::{Toy, alone};

fn stream(stream: Stream) -> StGcnConfig {
    StGcnConfig {
        base_channels: Some(4),
        features: Some(6),
        temporal_kernel: 3,
        stream,
        train: TrainConfig {
            epochs: 2,
            batch: 16,
            lr: 0.01,
            ..TrainConfig::default()
        },
        ..StGcnConfig::default()
    }
}

fn two() -> EnsembleConfig {
    EnsembleConfig {
        members: vec![Arc::new(stream(Stream::Joint)), Arc::new(stream(Stream::Bone))],
        ..EnsembleConfig::default()
    }
}

fn input() -> InputSpec {
    InputSpec {
        layout: Arc::new(testing::layout(4)),
        frames: 8,
        persons: 1,
        seen_classes: 2,
    }
}

fn build(config: &EnsembleConfig, seed: i64) -> Ensemble {
    tch::set_num_threads(1);
    tch::manual_seed(seed);
    Ensemble::new(config, &input(), &testing::build_context()).unwrap()
}

fn refusal(config: &EnsembleConfig) -> String {
    let built = Ensemble::new(config, &input(), &testing::build_context());
    built.map(|_| ()).unwrap_err().to_string()
}

fn batch() -> SkeletonBatch {
    Toy::new(6, 1, 3).batch(&[0, 1, 2, 3, 4, 5]).unwrap()
}

fn alone_on(data: &SkeletonBatch, config: &StGcnConfig, whole: &Ensemble, i: usize) -> Encoding {
    let mut member = config.build(&input(), &testing::build_context()).unwrap();
    let front = format!("members.{i}.");
    let own = whole.state().into_iter();
    let own = own.filter_map(|(n, t)| Some((n.strip_prefix(&front)?.to_owned(), t)));
    member.load_state(&own.collect()).unwrap();
    member.encode(data).unwrap()
}

#[test]
fn features_stand_beside_each_other_and_logits_are_added_with_their_factors() {
    let config = EnsembleConfig {
        factors: Some(vec![0.6, 0.4]),
        ..two()
    };
    let whole = build(&config, 1);
    let data = batch();
    let got = whole.encode(&data).unwrap();
    let parts = [
        alone_on(&data, &stream(Stream::Joint), &whole, 0),
        alone_on(&data, &stream(Stream::Bone), &whole, 1),
    ];
    let (_, channels, frames, joints) = got.features.dims();
    let spec = whole.spec();
    assert_eq!((channels, frames, joints), (12, 2, 4));
    assert_eq!((spec.channels, spec.frames, spec.joints), (12, 2, 4));
    let maps = parts.each_ref().map(|p| &p.features.values);
    assert!(got.features.values.equal(&Tensor::cat(&maps, 1)));
    let [a, b] = parts.map(|p| p.seen_logits.unwrap());
    let want = a * 0.6 + b * 0.4;
    assert!(got.seen_logits.unwrap().allclose(&want, 1e-6, 1e-6, false));
}

#[test]
fn members_whose_maps_differ_are_all_named_and_joined_pooled() {
    let cells = PoseC3dConfig {
        base_channels: 2,
        clip_frames: 6,
        size: 32,
        pool: Pool::Cells,
        ..PoseC3dConfig::default()
    };
    let mut config = two();
    config.members.push(Arc::new(cells));
    assert_eq!(
        refusal(&config),
        "`ensemble` joins the features of its members channel by channel, and their maps differ\n  \
         members[0], `st-gcn`: 2 frames, 4 joints\n  members[1], `st-gcn`: 2 frames, 4 joints\n  \
         members[2], `posec3d`: 3 frames, 16 joints\n\nhint: `pooled: true` joins pooled features"
    );
    config.pooled = true;
    let whole = build(&config, 1);
    let features = whole.encode(&batch()).unwrap().features;
    assert_eq!(features.dims(), (6, 12 + 32, 1, 1));
    assert!(whole.spec().is_pooled() && config.spec(&input()) == whole.spec());
}

#[test]
fn a_state_survives_and_strange_names_are_refused() {
    let (whole, mut other) = (build(&two(), 1), build(&two(), 2));
    let mut state = whole.state();
    assert!(state.contains_key("members.1.fcn.weight"));
    other.load_state(&state).unwrap();
    let data = batch();
    let maps = [&whole, &other].map(|e| e.encode(&data).unwrap().features.values);
    assert!(maps[0].equal(&maps[1]));
    for name in ["members.2.fcn.weight", "fcn.weight"] {
        let bias = state["members.0.fcn.bias"].copy();
        state.insert(name.into(), bias);
    }
    let error = other.load_state(&state).unwrap_err().to_string();
    let lines = "2 unknown\n  `fcn.weight` is unknown\n  `members.2.fcn.weight` is unknown";
    assert!(error.ends_with(lines), "{error}");
    state.retain(|n, _| n.starts_with("members.0") && !n.contains("tcn.0"));
    let error = other.load_state(&state).unwrap_err().to_string();
    assert!(
        error.starts_with("members[0], `st-gcn`: weights do not fit"),
        "{error}"
    );
}

/// Weights of a member on joints, in a file.
fn saved(folder: &Path, seed: i64) -> FilePath {
    tch::manual_seed(seed);
    let config = stream(Stream::Joint);
    let member = config.build(&input(), &testing::build_context()).unwrap();
    let path = folder.join("joint.safetensors");
    checkpoint::save(&path, &member.state(), &[("component".into(), "st-gcn".into())]).unwrap();
    serde_json::from_value(serde_json::json!(path)).unwrap()
}

#[test]
fn a_member_with_weights_is_loaded_and_stays_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let given = StGcnConfig {
        weights: Some(saved(folder.path(), 5)),
        ..stream(Stream::Joint)
    };
    let mut config = two();
    config.members[0] = Arc::new(given.clone());
    assert!(config.trains() && !config.retrains() && two().retrains() && config.weights().is_none());
    let mut whole = build(&config, 1);
    let before = checkpoint::copies(&whole.state());
    let (file, _) = checkpoint::load(&folder.path().join("joint.safetensors"), tch::Device::Cpu).unwrap();
    assert!(
        file.iter()
            .all(|(n, t)| before[&format!("members.0.{n}")].equal(t))
    );
    let cancel = Cancel::default();
    let (train, validation) = (Toy::new(32, 1, 7), Toy::new(16, 1, 8));
    let summary = whole
        .fit(&train, &validation, &mut testing::fit_context(&cancel))
        .unwrap();
    assert_eq!((summary.epochs, summary.validation.len()), (2, 2));
    assert_eq!(summary.chosen["members.1.epochs"], 2.0);
    for (name, tensor) in whole.state() {
        let same = tensor.equal(&before[&name]);
        assert!(
            same == name.starts_with("members.0.") || !tensor.requires_grad(),
            "{name}"
        );
    }
    // A run that goes on with another file than it began with is told.
    let state = checkpoint::copies(&whole.state());
    build(&config, 9).load_state(&state).unwrap();
    saved(folder.path(), 6);
    let error = build(&config, 9).load_state(&state).unwrap_err().to_string();
    assert!(
        error.starts_with("members[0], `st-gcn`: was saved with other weights"),
        "{error}"
    );

    config.members[1] = Arc::new(given);
    assert!(!config.trains());
    let strange = folder.path().join("joint.safetensors");
    checkpoint::save(&strange, &file, &[("component".into(), "posec3d".into())]).unwrap();
    let error = refusal(&config);
    assert!(
        error.starts_with("members[0], `st-gcn`: ") && error.contains("holds the weights of `posec3d`"),
        "{error}"
    );
}

/// Keeps the names of the stages.
#[derive(Default)]
struct Stages(Mutex<Vec<String>>);

impl Progress for Stages {
    fn begin(&self, stage: &str, _: u64) {
        self.0.lock().unwrap().push(stage.to_owned());
    }
    fn advance(&self, _: u64, _: &str) {}
    fn end(&self) {}
}

#[test]
fn members_learn_one_after_the_other() {
    if !alone() {
        return;
    }
    let mut config = two();
    let member = |which| StGcnConfig {
        train: TrainConfig {
            epochs: 14,
            ..stream(which).train
        },
        ..stream(which)
    };
    config.members = vec![
        Arc::new(member(Stream::Joint)),
        Arc::new(member(Stream::JointMotion)),
    ];
    let mut whole = build(&config, 1);
    let (cancel, stages) = (Cancel::default(), Stages::default());
    let mut context = testing::fit_context(&cancel);
    context.progress = &stages;
    let (train, validation) = (Toy::new(128, 1, 7), Toy::new(40, 1, 8));
    let summary = whole.fit(&train, &validation, &mut context).unwrap();
    assert_eq!((summary.epochs, summary.train_loss.len()), (28, 28));
    assert_eq!(
        *stages.0.lock().unwrap(),
        ["encoder 1 of 2, st-gcn", "encoder 2 of 2, st-gcn"]
    );
    let all: Vec<usize> = (0..40).collect();
    let logits = whole.encode(&validation.batch(&all).unwrap()).unwrap();
    let right = logits
        .seen_logits
        .unwrap()
        .argmax(1, false)
        .eq_tensor(validation.labels().columns());
    assert!(right.sum(tch::Kind::Int64).int64_value(&[]) > 36);
}

#[test]
fn a_stopped_training_resumes_to_the_same_bits() {
    if !alone() {
        return;
    }
    let (train, validation) = (Toy::new(40, 1, 7), Toy::new(10, 1, 8));
    let never = Cancel::default();
    let mut whole = build(&two(), 1);
    let expected = whole
        .fit(&train, &validation, &mut testing::fit_context(&never))
        .unwrap();

    // Three steps an epoch, two epochs a member: the last step of the first member, and one of the second.
    for (stops, left) in [
        (5u64, "encoder.member0.safetensors"),
        (11, "encoder.member1.safetensors"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("encoder.safetensors");
        std::fs::write(
            folder.path().join("encoder.member1.safetensors"),
            "of an earlier run",
        )
        .unwrap();
        let cancel = Cancel::default();
        let count = Count::new(stops, &cancel);
        let mut context = testing::fit_context(&cancel);
        context.progress = &count;
        context.checkpoint = Some(path.clone());
        let error = build(&two(), 1)
            .fit(&train, &validation, &mut context)
            .unwrap_err();
        assert!(matches!(error, Error::Cancelled), "{error}");
        assert_eq!(files(folder.path()), [left, "encoder.safetensors"]);

        let mut again = build(&two(), 99);
        let mut context = testing::fit_context(&never);
        context.checkpoint = Some(path.clone());
        let summary = again.fit(&train, &validation, &mut context).unwrap();
        assert_eq!(summary.train_loss, expected.train_loss);
        for (name, tensor) in whole.state() {
            assert!(tensor.equal(&again.state()[&name]), "{stops} {name}");
        }
        assert_eq!(files(folder.path()), ["encoder.safetensors"]);

        let mut other = two();
        other.members.pop();
        let mut context = testing::fit_context(&never);
        context.checkpoint = Some(path);
        let error = build(&other, 1)
            .fit(&train, &validation, &mut context)
            .unwrap_err();
        assert!(
            error.to_string().contains("training with other options"),
            "{error}"
        );
    }
}

/// Asks to stop once so many steps are done, whatever stage they are of.
struct Count<'a> {
    left: AtomicU64,
    cancel: &'a Cancel,
}

impl<'a> Count<'a> {
    fn new(steps: u64, cancel: &'a Cancel) -> Self {
        Self {
            left: AtomicU64::new(steps),
            cancel,
        }
    }
}

impl Progress for Count<'_> {
    fn begin(&self, _: &str, _: u64) {}
    fn advance(&self, _: u64, _: &str) {
        if self.left.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.cancel.request();
        }
    }
    fn end(&self) {}
}

fn files(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries
        .map(|e| e.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

#[test]
fn mistakes_of_members_are_told_at_their_place() {
    let mut config = two();
    config.members[1] = Arc::new(StGcnConfig {
        dropout: 1.0,
        ..stream(Stream::Bone)
    });
    config.factors = Some(vec![0.0, -1.0, 0.0]);
    let mut problems = Problems::new();
    config.validate(&mut problems);
    let fields: Vec<_> = problems.iter().map(|p| p.field.as_str()).collect();
    assert_eq!(fields, ["factors", "factors[1]", "members[1].dropout"]);
    config.members.clear();
    config.factors = None;
    let mut problems = Problems::new();
    config.validate(&mut problems);
    assert_eq!(problems.len(), 1);
    assert!(refusal(&config).contains("needs members"));
}

#[test]
fn options_survive_json_with_their_members() {
    let config: Box<dyn EncoderConfig> = Box::new(two());
    let text = serde_json::to_string(&config).unwrap();
    let back: Box<dyn EncoderConfig> = serde_json::from_str(&text).unwrap();
    assert_eq!(serde_json::to_string(&back).unwrap(), text);
    assert!(
        text.starts_with(r#"{"type":"ensemble","members":[{"type":"st-gcn","#),
        "{text}"
    );
    assert!(serde_json::from_str::<EnsembleConfig>(r#"{"members": [{"type": "nothing"}]}"#).is_err());
}
