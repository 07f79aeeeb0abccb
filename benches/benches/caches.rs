//! How fast the adapters with a memory of vectors answer: samples per millisecond of `tda`, `t3a` and `adanpc` on one CPU
//! thread with full memories, beside the same methods written plainly in PyTorch (`benches/peer/caches.py`). What bounds
//! the numbers: a pass over the remembered vectors for every sample, and at B = 1 the cost of a call into libtorch.
//!
//! `cargo bench -p szar-benches --bench caches --profile dev`; `PEER_PYTHON` names the Python that has torch.

use szar_adapters::adanpc::AdaNpcConfig;
use szar_adapters::t3a::T3aConfig;
use szar_adapters::tda::TdaConfig;
use szar_benches::turns::Turns;
use szar_core::testing::{self, DotModel};
use szar_core::{
    AdapterConfig, Aligner, FeatureMap, Granularity, Observation, Result, SampleRef, Scores, SemanticAnchors,
    Task,
};
use tch::{Device, Kind, Tensor};

const CLASSES: i64 = 24;
const WIDTH: i64 = 512;
/// Samples that fill the memories before anything is measured.
const SAMPLES: i64 = 2048;
const MODEL: DotModel = DotModel { scale: 30.0 };

/// One step's worth of a stream.
struct Part {
    features: FeatureMap,
    scores: Scores,
    samples: Vec<SampleRef>,
}

struct Stream {
    features: Tensor,
    anchors: SemanticAnchors,
}

impl Stream {
    /// Samples around the vectors of their classes.
    fn new() -> Result<Self> {
        tch::manual_seed(7);
        let unit = |rows: Tensor| {
            let length = rows
                .square()
                .sum_dim_intlist([1i64].as_slice(), true, Kind::Float)
                .sqrt();
            rows / length
        };
        let random = |rows: i64| unit(Tensor::randn([rows, WIDTH], (Kind::Float, Device::Cpu)));
        let texts = random(CLASSES);
        let labels = Tensor::randint(CLASSES, [SAMPLES], (Kind::Int64, Device::Cpu));
        let features = unit(texts.index_select(0, &labels) * 0.25 + random(SAMPLES));
        let classes = testing::classes(CLASSES as usize);
        let anchors = SemanticAnchors::new(texts.unsqueeze(1), vec![Granularity::GLOBAL], classes)?;
        Ok(Self { features, anchors })
    }

    fn parts(&self, batch: i64) -> Result<Vec<Part>> {
        let part = |(i, features): (usize, Tensor)| {
            let features = FeatureMap::from_pooled(&features)?;
            let scores = MODEL.score(&features, &self.anchors)?;
            let samples = SampleRef::run(i as u64 * batch as u64, features.dims().0 as usize);
            Ok(Part {
                features,
                scores,
                samples,
            })
        };
        self.features
            .split(batch, 0)
            .into_iter()
            .enumerate()
            .map(part)
            .collect()
    }

    /// Steps of `batch` samples, after the whole stream has been through.
    fn measure(&self, turns: &mut Turns, name: &str, config: &dyn AdapterConfig, batch: i64) -> Result<()> {
        let task = Task {
            anchors: self.anchors.with_values(self.anchors.values.shallow_clone())?,
            ..testing::task(CLASSES as usize, WIDTH, 1, 1)
        };
        let mut adapter = config.build(&testing::build_context())?;
        adapter.begin(&task)?;
        let parts = self.parts(batch)?;
        let _ = turns.line(name, SAMPLES as usize, || {
            for part in &parts {
                let seen = Observation::new(&part.features, &part.scores, &part.samples);
                let _ = adapter.step(&seen, &MODEL)?;
            }
            Ok(())
        })?;
        Ok(())
    }
}

fn main() -> Result<()> {
    tch::set_num_threads(1);
    let stream = Stream::new()?;
    let mut turns = Turns::start("caches.py");
    let t3a = T3aConfig {
        filter_k: Some(20),
        ..T3aConfig::default()
    };
    let methods: [(&str, &dyn AdapterConfig); 3] = [
        ("tda", &TdaConfig::default()),
        ("t3a", &t3a),
        ("adanpc", &AdaNpcConfig::default()),
    ];
    for (name, config) in methods {
        for batch in [1, 64] {
            let name = format!("{name}/step/C{CLASSES}_D{WIDTH}_B{batch}");
            stream.measure(&mut turns, &name, config, batch)?;
        }
    }
    Ok(())
}
