//! How fast `dynapurls` answers with the paper's constants and a full memory, one update after every sample, and how fast
//! PURLS scores without a leak: samples per millisecond on one CPU thread, beside the same written plainly in PyTorch
//! (`benches/peer/dynapurls.py`; `PEER_PYTHON` names the Python that has torch).
//!
//! What bounds the numbers: for aligners that compare vectors, two passes over the memory and one over the moments; for PURLS'
//! attention, the head's first layer for every remembered sample and candidate, there and back.
//!
//! `cargo bench -p szar-benches --bench dynapurls` needs the workspace's usual profile: `--profile dev`.

use szar_adapters::dynapurls::{DynaPurls, DynaPurlsConfig, Preset};
use szar_backbones::aligners::purls::{Purls, PurlsConfig};
use szar_benches::turns::Turns;
use szar_core::testing;
use szar_core::{
    Aligner, Capabilities, EncoderSpec, FeatureMap, FitContext, FitSummary, Granularity, Linear,
    NamedTensors, Observation, Result, SampleRef, Scores, SeenFeatures, SemanticAnchors, Task,
    TestTimeAdapter,
};
use tch::{Device, Kind, Tensor};

const WIDTH: i64 = 512;
const CAPACITY: i64 = 16;
const CPU: (Kind, Device) = (Kind::Float, Device::Cpu);
const FORM: EncoderSpec = EncoderSpec {
    channels: 256,
    frames: 3,
    joints: 25,
    classifies: false,
};

fn unit(x: &Tensor) -> Tensor {
    x / x.norm_scalaropt_dim(2, [-1i64].as_slice(), true)
}

/// Vectors `[B, G·d]` against all texts of a class side by side.
#[derive(Debug)]
struct Dot {
    texts: usize,
}

impl Aligner for Dot {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            granularities: texts(self.texts),
            differentiable_in_anchors: true,
            ..Capabilities::default()
        }
    }

    fn fit(&mut self, _: &SeenFeatures, _: &SemanticAnchors, _: &mut FitContext) -> Result<FitSummary> {
        Ok(FitSummary::default())
    }

    fn score(&self, features: &FeatureMap, anchors: &SemanticAnchors) -> Result<Scores> {
        let classes = anchors.values.flatten(1, 2);
        Ok(Scores {
            logits: features.pooled().f_mm(&classes.transpose(0, 1))? * (30.0 / self.texts as f64),
        })
    }

    fn condense(&self, features: &FeatureMap) -> Result<Tensor> {
        Ok(features.pooled())
    }

    fn linear(&self, _: &SemanticAnchors) -> Result<Option<Linear>> {
        Ok(Some(Linear {
            granularities: (0..self.texts).collect(),
            scale: 30.0 / self.texts as f64,
        }))
    }

    fn state(&self) -> NamedTensors {
        NamedTensors::new()
    }

    fn load_state(&mut self, _: &NamedTensors) -> Result<()> {
        Ok(())
    }
}

fn texts(count: usize) -> Vec<Granularity> {
    Granularity::PURLS_ORDER[8 - count..].to_vec()
}

fn anchors(classes: usize, count: usize) -> Result<SemanticAnchors> {
    let values = unit(&Tensor::randn([classes as i64, count as i64, WIDTH], CPU));
    SemanticAnchors::new(values, texts(count), testing::classes(classes))
}

/// An adapter with the paper's constants that remembers `CAPACITY` of these features for every class.
fn full(anchors: &SemanticAnchors, model: &dyn Aligner, features: &FeatureMap) -> Result<DynaPurls> {
    let classes = anchors.classes.len() as i64;
    let mut adapter = DynaPurls::new(&DynaPurlsConfig {
        preset: Preset::Paper,
        ..DynaPurlsConfig::default()
    });
    let task = Task {
        anchors: anchors.with_values(anchors.values.copy())?,
        expected: 1_000_000,
        ..testing::task(classes as usize, FORM.channels, FORM.frames, FORM.joints)
    };
    adapter.begin(&task)?;
    step(&mut adapter, model, anchors, &features.narrow(0, 1))?;
    let mut state = adapter.snapshot()?;
    let block = classes * CAPACITY;
    let rows = model.condense(features)?.to_kind(Kind::Float).unsqueeze(0);
    let confidence = Tensor::rand([1, block], (Kind::Double, Device::Cpu)) * 0.7 + 0.2;
    let position = Tensor::arange(block, (Kind::Double, Device::Cpu)).unsqueeze(0);
    state.insert("bank/rows".into(), rows);
    state.insert("bank/confidence".into(), confidence);
    state.insert("bank/position".into(), position);
    adapter.restore(state)?;
    Ok(adapter)
}

fn step(
    adapter: &mut DynaPurls,
    model: &dyn Aligner,
    anchors: &SemanticAnchors,
    features: &FeatureMap,
) -> Result<()> {
    let scores = Scores {
        logits: Tensor::zeros([1, anchors.classes.len() as i64], CPU),
    };
    let _ = adapter.step(&Observation::new(features, &scores, &SampleRef::run(0, 1)), model)?;
    Ok(())
}

#[expect(clippy::print_stdout, reason = "the figures are what this program is for")]
fn adapt(
    turns: &mut Turns,
    name: &str,
    model: &dyn Aligner,
    anchors: &SemanticAnchors,
    features: &FeatureMap,
) -> Result<()> {
    let mut adapter = full(anchors, model, features)?;
    let count = features.dims().0;
    let parts: Vec<_> = (0..64).map(|i| features.narrow(i * 7 % count, 1)).collect();
    let mut at = 0;
    let _ = turns.line(name, 1, || {
        at = (at + 1) % parts.len();
        step(&mut adapter, model, anchors, &parts[at])
    })?;
    // Anchors as the texts give them and as they are, scale and shift, two moments of each, the memory, the targets.
    let (classes, refined) = (
        anchors.classes.len() as u64,
        model.capabilities().granularities.len() as u64,
    );
    let row = model.condense(&features.narrow(0, 1))?.numel() as u64;
    let numbers = 8 * classes * refined * WIDTH as u64 + classes * CAPACITY as u64 * (row + classes);
    println!(
        "{name}: state {} bytes, of which numbers by the formula {}",
        adapter.state_bytes(),
        4 * numbers
    );
    Ok(())
}

fn dot(turns: &mut Turns, count: usize, classes: usize) -> Result<()> {
    let (model, anchors) = (Dot { texts: count }, anchors(classes, count)?);
    let own = anchors.values.repeat_interleave_self_int(CAPACITY, 0, None);
    let rows = (&own * 0.25 + unit(&Tensor::randn(own.size(), CPU))).flatten(1, 2);
    let features = FeatureMap::from_pooled(&rows)?;
    let name = format!("dynapurls/step/dot{count}_C{classes}");
    adapt(turns, &name, &model, &anchors, &features)
}

fn purls(classes: usize) -> Result<(Purls, SemanticAnchors, FeatureMap)> {
    let all = texts(8);
    let model = Purls::new(&PurlsConfig::default(), &FORM, &all, WIDTH, Device::Cpu)?;
    let count = classes as i64 * CAPACITY;
    let features = FeatureMap::new(Tensor::randn(
        [count, FORM.channels, FORM.frames, FORM.joints],
        CPU,
    ))?;
    Ok((model, anchors(classes, 8)?, features))
}

fn main() -> Result<()> {
    tch::set_num_threads(1);
    tch::manual_seed(7);
    let mut turns = Turns::start("dynapurls.py");
    for classes in [12, 24] {
        for count in [1, 8] {
            dot(&mut turns, count, classes)?;
        }
    }
    for batch in [1, 64] {
        let (model, anchors, features) = purls(24)?;
        let part = features.narrow(0, batch);
        let _ = turns.line(&format!("purls/score/C24_B{batch}"), batch as usize, || {
            let _ = tch::no_grad(|| model.score(&part, &anchors))?;
            Ok(())
        })?;
    }
    for classes in [12, 24] {
        let (model, anchors, features) = purls(classes)?;
        let name = format!("dynapurls/step/purls_C{classes}");
        adapt(&mut turns, &name, &model, &anchors, &features)?;
    }
    Ok(())
}
