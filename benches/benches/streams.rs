//! 64 streams in one state against 64 adapters stepped in turn, one sample of each: samples per millisecond on one CPU thread.
//! Both are szar; the second column is the adapters in turn.
//!
//! What bounds the numbers: what is done once per call, against what every stream has of its own and nobody can share.
//!
//! `cargo bench -p szar-benches --bench streams` needs the workspace's usual profile: `--profile dev`.

use szar_adapters::dynapurls::{self, DynaPurlsConfig};
use szar_adapters::skeleton_cache::{self, SkeletonCacheConfig};
use szar_adapters::tda::TdaConfig;
use szar_backbones::aligners::purls::{Partition, Purls, PurlsConfig};
use szar_benches::turns::{self, against};
use szar_core::testing::{self, DotModel};
use szar_core::{
    AdapterConfig, Aligner, EncoderSpec, FeatureMap, Granularity, Observation, Result, SampleRef, Scores,
    SemanticAnchors, Task, TestTimeAdapter,
};
use tch::{Device, Kind, Tensor};

const STREAMS: i64 = 64;
const CLASSES: usize = 24;
const WIDTH: i64 = 512;
/// Steps before anything is measured, one sample of every stream each.
const WARM: i64 = 160;
const CPU: (Kind, Device) = (Kind::Float, Device::Cpu);

/// What a model sees and what it is asked.
struct Setting<'a> {
    model: &'a dyn Aligner,
    task: Task,
    /// Steps of one sample per stream.
    steps: Vec<(FeatureMap, Scores)>,
}

fn unit(x: &Tensor) -> Tensor {
    x / x.norm_scalaropt_dim(2, [-1i64].as_slice(), true)
}

impl Setting<'_> {
    fn task(&self, streams: usize) -> Result<Task> {
        let anchors = &self.task.anchors;
        Ok(Task {
            anchors: anchors.with_values(anchors.values.shallow_clone())?,
            streams,
            expected: 1_000_000 * streams as u64,
            candidates: self.task.candidates.clone(),
            features: self.task.features,
            ..testing::task(CLASSES, 1, 1, self.task.features.joints.max(1))
        })
    }

    fn begun(&self, config: &dyn AdapterConfig, streams: usize) -> Result<Box<dyn TestTimeAdapter>> {
        let mut adapter = config.build(&testing::build_context())?;
        adapter.begin(&self.task(streams)?)?;
        Ok(adapter)
    }

    fn compare(&self, name: &str, config: &dyn AdapterConfig) -> Result<()> {
        let mut whole = self.begun(config, STREAMS as usize)?;
        let single = || self.begun(config, 1);
        let mut singles = (0..STREAMS).map(|_| single()).collect::<Result<Vec<_>>>()?;
        let refs = |at: usize| -> Vec<SampleRef> {
            let one = |stream: usize| SampleRef {
                stream,
                position: (at * STREAMS as usize + stream) as u64,
            };
            (0..STREAMS as usize).map(one).collect()
        };
        let mut together = |at: usize| -> Result<()> {
            let (features, scores) = &self.steps[at % self.steps.len()];
            let _ = whole.step(&Observation::new(features, scores, &refs(at)), self.model)?;
            Ok(())
        };
        let parts: Vec<Vec<_>> = self
            .steps
            .iter()
            .map(|(features, scores)| {
                let part = |s: i64| {
                    let logits = scores.logits.narrow(0, s, 1);
                    (features.narrow(s, 1), Scores { logits })
                };
                (0..STREAMS).map(part).collect()
            })
            .collect();
        let mut apart = |at: usize| -> Result<()> {
            for (adapter, (features, scores)) in singles.iter_mut().zip(&parts[at % parts.len()]) {
                let sample = [SampleRef {
                    stream: 0,
                    position: at as u64,
                }];
                let _ = adapter.step(&Observation::new(features, scores, &sample), self.model)?;
            }
            Ok(())
        };
        for at in 0..WARM as usize {
            together(at)?;
            apart(at)?;
        }
        let (mut at, mut other) = (WARM as usize, WARM as usize);
        let ours = || {
            at += 1;
            together(at)
        };
        let theirs = || {
            let next = || {
                other += 1;
                apart(other)
            };
            turns::round(STREAMS as usize, next).ok()
        };
        let _ = against(
            &format!("streams/{name}/S{STREAMS}"),
            STREAMS as usize,
            ours,
            theirs,
        )?;
        Ok(())
    }
}

/// Vectors around the texts of their classes.
fn vectors() -> Result<Setting<'static>> {
    const MODEL: DotModel = DotModel { scale: 30.0 };
    let texts = unit(&Tensor::randn([CLASSES as i64, WIDTH], CPU));
    let anchors = SemanticAnchors::new(
        texts.unsqueeze(1),
        vec![Granularity::GLOBAL],
        testing::classes(CLASSES),
    )?;
    let step = |_| {
        let labels = Tensor::randint(CLASSES as i64, [STREAMS], (Kind::Int64, Device::Cpu));
        let noise = unit(&Tensor::randn([STREAMS, WIDTH], CPU));
        let features = FeatureMap::from_pooled(&unit(&(texts.index_select(0, &labels) * 0.25 + noise)))?;
        let scores = MODEL.score(&features, &anchors)?;
        Ok((features, scores))
    };
    let steps = (0..32).map(step).collect::<Result<Vec<_>>>()?;
    let task = Task {
        anchors,
        ..testing::task(CLASSES, WIDTH, 1, 1)
    };
    Ok(Setting {
        model: &MODEL,
        task,
        steps,
    })
}

/// Maps of 3 frames and 25 joints, for a model that looks at them.
fn maps(model: &dyn Aligner) -> Result<Setting<'_>> {
    let values = unit(&Tensor::randn([CLASSES as i64, 8, WIDTH], CPU));
    let anchors = SemanticAnchors::new(
        values,
        Granularity::PURLS_ORDER.to_vec(),
        testing::classes(CLASSES),
    )?;
    let step = |_| {
        let features = FeatureMap::new(Tensor::rand([STREAMS, 256, 3, 25], CPU))?;
        let logits = Tensor::randn([STREAMS, CLASSES as i64], CPU) * 3.0;
        Ok((features, Scores { logits }))
    };
    let steps = (0..32).map(step).collect::<Result<Vec<_>>>()?;
    let task = Task {
        anchors,
        ..testing::task(CLASSES, 256, 3, 25)
    };
    Ok(Setting { model, task, steps })
}

fn main() -> Result<()> {
    tch::set_num_threads(1);
    tch::manual_seed(7);
    turns::head("together", "in turn");
    let setting = vectors()?;
    for (name, preset) in [
        ("balanced", dynapurls::Preset::Balanced),
        ("paper", dynapurls::Preset::Paper),
    ] {
        let config = DynaPurlsConfig {
            preset,
            ..DynaPurlsConfig::default()
        };
        setting.compare(&format!("dynapurls_{name}"), &config)?;
    }
    let form = EncoderSpec {
        channels: 256,
        frames: 3,
        joints: 25,
        classifies: false,
    };
    let config = PurlsConfig {
        partition: Partition::Static,
        ..PurlsConfig::default()
    };
    let mut model = Purls::new(&config, &form, &Granularity::PURLS_ORDER, WIDTH, Device::Cpu)?;
    let weights = Aligner::state(&model);
    Aligner::load_state(&mut model, &weights)?;
    let setting = maps(&model)?;
    for (name, preset) in [
        ("balanced", skeleton_cache::Preset::Balanced),
        ("none", skeleton_cache::Preset::None),
    ] {
        let config = SkeletonCacheConfig {
            preset,
            ..SkeletonCacheConfig::default()
        };
        setting.compare(&format!("skeleton_cache_{name}"), &config)?;
    }
    setting.compare("tda_purls_static", &TdaConfig::default())?;
    setting.compare("dynapurls_purls_static", &DynaPurlsConfig::default())
}
