//! Adapters.

use serde_json::{Map, Value};
use szar_core::testing::{DotModel, build_context, play, task};
use szar_core::{
    AdapterConfig, Aligner, ComponentInfo, FeatureMap, Observation, Requirements, Result, SampleRef, Scores,
    Task, TestTimeAdapter,
};
use tch::{Device, Kind, Tensor};

use super::{Trials, broken, configured, finite, refused, same, steady};

type Config = Box<dyn AdapterConfig>;

const CPU: (Kind, Device) = (Kind::Float, Device::Cpu);
const CLASSES: usize = 6;
const WIDTH: i64 = 8;
const SAMPLES: i64 = 48;
const MODEL: DotModel = DotModel { scale: 10.0 };

/// Why the model of the trials is not enough for it.
fn lacking(needs: &Requirements) -> Option<&'static str> {
    let offers = MODEL.capabilities();
    if needs.normalisation_layers && !offers.normalisation_layers {
        return Some("needs normalisation layers of an aligner");
    }
    if needs.tokens || needs.training_mode {
        return Some("needs more of an aligner than the trials offer");
    }
    if needs.skeletons.is_some() || needs.prompts.is_some() {
        return Some("needs skeletons or prompts");
    }
    None
}

fn features(count: i64, seed: i64) -> Result<FeatureMap> {
    tch::manual_seed(seed);
    FeatureMap::new(Tensor::randn([count, WIDTH, 3, 4], CPU))
}

fn begun(config: &Config, task: &Task) -> Result<Box<dyn TestTimeAdapter>> {
    let mut adapter = config.build(&build_context())?;
    adapter.begin(task)?;
    Ok(adapter)
}

fn one(features: &FeatureMap, task: &Task, first: u64, adapter: &mut dyn TestTimeAdapter) -> Result<Scores> {
    let scores = tch::no_grad(|| MODEL.score(features, &task.anchors))?;
    let samples = SampleRef::run(first, usize::try_from(features.dims().0).unwrap_or(0));
    adapter.step(&Observation::new(features, &scores, &samples), &MODEL)
}

/// Tries an adapter.
pub(super) fn examine(info: &ComponentInfo, options: &Map<String, Value>, trials: &mut Trials) {
    let config: Config = match configured(info, options, |c: &Config, p| c.validate(p)) {
        Ok(config) => config,
        Err(error) => {
            trials.skip("everything else", &format!("the options are not enough: {error}"));
            return;
        }
    };
    let needs = config.requirements();
    if let Some(why) = lacking(&needs) {
        trials.skip("everything else", why);
        return;
    }
    tch::manual_seed(11);
    let task = task(CLASSES, WIDTH, 3, 4);
    let batch = (needs.batch.max(1) as i64).max(8);
    let stream = |size: i64| -> Result<Tensor> {
        let mut adapter = begun(&config, &task)?;
        play(&mut *adapter, &MODEL, &task.anchors, &features(SAMPLES, 5)?, size)
    };
    trials.note("a step before `begin` is an error", {
        let built = config.build(&build_context());
        built.and_then(|mut adapter| {
            refused(
                "a step before `begin`",
                features(2, 1).and_then(|f| one(&f, &task, 0, &mut *adapter)),
            )
        })
    });
    let first = stream(batch);
    trials.note(
        "scores of a stream",
        first
            .as_ref()
            .map_or_else(|e| broken(e.to_string()), |scores| finite("scores", scores)),
    );
    let Ok(first) = first else { return };
    trials.note(
        "the same stream gives the same bits",
        stream(batch).and_then(|again| same("scores", &first, &again)),
    );
    match config.per_sample() && needs.batch <= 1 {
        true => trials.note(
            "the size of a batch changes nothing",
            stream(1).and_then(|single| super::close("scores", &first, &single)),
        ),
        false => trials.skip("the size of a batch changes nothing", "not claimed"),
    }
    trials.note(
        "a snapshot goes on with the same bits",
        snapshots(&config, &task, batch),
    );
    trials.note(
        "other numbers of classes are refused",
        other_classes(&config, &task, batch),
    );
    trials.note("an empty batch", empty(&config, &task));
    trials.note("memory over ten thousand steps", memory(&config, &task, batch));
}

/// The second half after a restore equals the second half without one.
fn snapshots(config: &Config, task: &Task, batch: i64) -> Result<()> {
    let half = (SAMPLES / 2 / batch).max(1) * batch;
    let (before, after) = (features(half, 7)?, features(half, 8)?);
    let mut whole = begun(config, task)?;
    let _ = play(&mut *whole, &MODEL, &task.anchors, &before, batch)?;
    let state = whole.snapshot()?;
    let expected = play(&mut *whole, &MODEL, &task.anchors, &after, batch)?;
    let mut other = begun(config, task)?;
    other.restore(state)?;
    let got = play(&mut *other, &MODEL, &task.anchors, &after, batch)?;
    same("scores after a restore", &expected, &got)
}

fn other_classes(config: &Config, task: &Task, batch: i64) -> Result<()> {
    let mut adapter = begun(config, task)?;
    let features = features(batch, 9)?;
    let _ = one(&features, task, 0, &mut *adapter)?;
    let more = szar_core::testing::task(CLASSES + 1, WIDTH, 3, 4);
    let answer = one(&features, &more, batch.unsigned_abs(), &mut *adapter);
    match answer {
        // One that looks at nothing but the scores it is given may answer in their form.
        Ok(scores) if scores.logits.size() == [batch, CLASSES as i64 + 1] => Ok(()),
        other => refused("scores of one more class", other),
    }
}

fn empty(config: &Config, task: &Task) -> Result<()> {
    let mut adapter = begun(config, task)?;
    let none = FeatureMap::new(Tensor::zeros([0, WIDTH, 3, 4], CPU))?;
    match one(&none, task, 0, &mut *adapter) {
        Ok(scores) if scores.logits.size() == [0, CLASSES as i64] => Ok(()),
        Ok(scores) => broken(format!(
            "no samples gave scores of shape {:?}",
            scores.logits.size()
        )),
        Err(_) => Ok(()),
    }
}

fn memory(config: &Config, task: &Task, batch: i64) -> Result<()> {
    let mut adapter = begun(config, task)?;
    let count = (config.requirements().batch.max(1)) as i64;
    let features = features(batch, 4)?;
    let part = features.narrow(0, count.min(batch));
    let mut at = 0;
    steady(|| {
        at += count.unsigned_abs();
        one(&part, task, at, &mut *adapter).map(|_| ())
    })
}
