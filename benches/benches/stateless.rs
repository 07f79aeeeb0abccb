//! How fast `calip`, `tent` and `promptalign` answer: samples per millisecond on one CPU thread, beside the same methods
//! written plainly in PyTorch (`benches/peer/stateless.py`; `PEER_PYTHON` names the Python that has torch).
//!
//! `calip` is bound by two products of nodes and texts, done here in one pass without libtorch; `tent` and `promptalign` by the
//! passes through the aligner and back, which are libtorch's on both sides: what differs is what happens around them.
//!
//! `cargo bench -p szar-benches --bench stateless` needs the workspace's usual profile: `--profile dev`.

use szar_adapters::calip::CalipConfig;
use szar_adapters::promptalign::{PromptAlignConfig, adapt};
use szar_adapters::tent::TentConfig;
use szar_benches::turns::Turns;
use szar_core::testing::{self, DotModel};
use szar_core::{
    AdapterConfig, Affine, Aligner, Capabilities, FeatureMap, FitContext, FitSummary, Granularity,
    NamedTensors, Observation, Result, SampleRef, Scores, SeenFeatures, SemanticAnchors, Task, Tokens,
};
use tch::{Kind, Tensor};

const CLASSES: usize = 24;
const WIDTH: i64 = 512;
const JOINTS: i64 = 25;
const VIEWS: i64 = 64;
const CPU: (Kind, tch::Device) = (Kind::Float, tch::Device::Cpu);

fn unit(x: &Tensor) -> Tensor {
    let squares = x.square().sum_dim_intlist([-1i64].as_slice(), true, Kind::Float);
    x / squares.sqrt().clamp_min(1e-12)
}

/// Texts by angle, after a normalisation (`tent`) or after the mean over joints (`promptalign`).
struct Head {
    affine: [Tensor; 2],
    statistics: [Tensor; 2],
}

impl Head {
    fn new() -> Self {
        Self {
            affine: [Tensor::ones([WIDTH], CPU), Tensor::zeros([WIDTH], CPU)],
            statistics: [
                Tensor::zeros([JOINTS, WIDTH], CPU),
                Tensor::ones([JOINTS, WIDTH], CPU),
            ],
        }
    }
}

impl Aligner for Head {
    fn capabilities(&self) -> Capabilities {
        Capabilities::default()
    }

    fn fit(&mut self, _: &SeenFeatures, _: &SemanticAnchors, _: &mut FitContext) -> Result<FitSummary> {
        Ok(FitSummary::default())
    }

    fn score(&self, features: &FeatureMap, anchors: &SemanticAnchors) -> Result<Scores> {
        let texts = unit(&anchors.granularity(&Granularity::GLOBAL)?);
        Ok(Scores {
            logits: unit(&features.pooled()).f_matmul(&texts.transpose(0, 1))? * 10.0,
        })
    }

    fn tokens(&self, features: &FeatureMap, _: &SemanticAnchors) -> Result<Tokens> {
        let [mean, variance] = self.statistics.each_ref().map(Tensor::shallow_clone);
        let over_time = features.values.mean_dim([2i64].as_slice(), false, Kind::Float);
        Ok(Tokens {
            values: over_time.transpose(1, 2),
            mean,
            variance,
        })
    }

    fn normalisation(&self) -> Vec<Affine> {
        let [weight, bias] = self.affine.each_ref().map(Tensor::shallow_clone);
        vec![Affine {
            layer: "norm".into(),
            weight,
            bias,
        }]
    }

    fn score_normalised(
        &self,
        features: &FeatureMap,
        anchors: &SemanticAnchors,
        affine: &[Affine],
    ) -> Result<Scores> {
        let texts = anchors.granularity(&Granularity::GLOBAL)?;
        let rows = affine[0].of_batch(&features.values)?.flatten(1, 3);
        Ok(Scores {
            logits: rows.f_matmul(&texts.transpose(0, 1))? * 10.0,
        })
    }

    fn state(&self) -> NamedTensors {
        NamedTensors::new()
    }

    fn load_state(&mut self, _: &NamedTensors) -> Result<()> {
        Ok(())
    }
}

fn task() -> Result<Task> {
    let texts = unit(&Tensor::randn([CLASSES as i64, 1, WIDTH], CPU));
    let classes = testing::classes(CLASSES);
    Ok(Task {
        anchors: SemanticAnchors::new(texts, vec![Granularity::GLOBAL], classes)?,
        ..testing::task(CLASSES, WIDTH, 1, JOINTS)
    })
}

/// Steps of an adapter on one batch after the other; the scores that it is given are computed before.
fn steps(
    turns: &mut Turns,
    name: &str,
    config: &dyn AdapterConfig,
    model: &dyn Aligner,
    task: &Task,
    map: Tensor,
) -> Result<()> {
    let mut adapter = config.build(&testing::build_context())?;
    adapter.begin(task)?;
    let features = FeatureMap::new(map)?;
    let count = features.dims().0 as usize;
    let mut position = 0;
    let _no_grad = tch::no_grad_guard();
    let scores = model.score(&features, &task.anchors)?;
    let _ = turns.line(name, count, || {
        let samples = SampleRef::run(position, count);
        position += count as u64;
        let _ = adapter.step(&Observation::new(&features, &scores, &samples), model)?;
        Ok(())
    })?;
    Ok(())
}

fn main() -> Result<()> {
    tch::set_num_threads(1);
    tch::manual_seed(7);
    let mut turns = Turns::start("stateless.py");
    let (task, head) = (task()?, Head::new());
    for frames in [1, 4] {
        for batch in [1, 64] {
            let map = Tensor::randn([batch, WIDTH, frames, JOINTS], CPU);
            let (options, model) = (CalipConfig::default(), DotModel { scale: 100.0 });
            let name = format!("calip/step/C{CLASSES}_D{WIDTH}_P{}_B{batch}", frames * JOINTS);
            steps(&mut turns, &name, &options, &model, &task, map)?;
        }
    }
    for batch in [8, 64] {
        let rows = Tensor::randn([batch, WIDTH, 1, 1], CPU);
        let name = format!("tent/step/C{CLASSES}_D{WIDTH}_B{batch}");
        steps(&mut turns, &name, &TentConfig::default(), &head, &task, rows)?;
    }
    let views = FeatureMap::new(Tensor::randn([VIEWS, WIDTH, 1, JOINTS], CPU))?;
    let options = PromptAlignConfig::default();
    let name = format!("promptalign/sample/C{CLASSES}_D{WIDTH}_V{VIEWS}");
    let _ = turns.line(&name, 1, || {
        adapt(&options, &views, &task.anchors, &head).map(|_| ())
    })?;
    Ok(())
}
