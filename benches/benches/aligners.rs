//! How fast aligners train and score: samples per millisecond on one CPU thread, beside the same networks written plainly
//! in PyTorch (`benches/peer/aligners.py`; `PEER_PYTHON` names the Python that has torch), and what it costs PURLS to ask with
//! every candidate's own text instead of one for all.
//!
//! `METHOD/train/B64` is a step on 64 samples: forward, backward, update. `METHOD/score/C60_B64` are the logits of 64 samples
//! for 60 candidates.

use szar_benches::turns::{Turns, against, head, round};
use szar_core::testing::{build_context, classes, fit_context};
use szar_core::{
    Aligner, AlignerConfig, Cancel, ClassId, ClassSplit, EncoderSpec, Error, FeatureMap, FeatureNeed,
    Granularity, Result, SeenFeatures, SeenLabels, SeenSet, SemanticAnchors,
};
use tch::{Device, Kind, Tensor, no_grad_guard};

// A crate that nobody names is not linked, and its components vanish in silence.
use szar_backbones as _;

const SEEN: usize = 50;
const CANDIDATES: usize = 60;
const BATCH: i64 = 64;
const CHANNELS: i64 = 256;
const WIDTH: i64 = 384;
const CPU: (Kind, Device) = (Kind::Float, Device::Cpu);

/// Name, options with the sizes of the Python versions, training samples, and samples that go through a training.
const METHODS: [(&str, &str, usize, usize); 10] = [
    (
        "devise",
        r#"{"type": "devise", "batch": 64, "epochs": 1}"#,
        2048,
        2048,
    ),
    (
        "revise",
        r#"{"type": "revise", "batch": 64, "epochs": 1}"#,
        2048,
        2048,
    ),
    (
        "jpose",
        r#"{"type": "jpose", "batch": 64, "epochs": 1}"#,
        2048,
        2048,
    ),
    (
        "smie",
        r#"{"type": "smie", "batch": 64, "epochs": 1}"#,
        2048,
        2048,
    ),
    (
        "cada-vae",
        r#"{"type": "cada-vae", "latent": 100, "batch": 64, "steps": 32, "cycles": 1}"#,
        2048,
        2048,
    ),
    (
        "synse",
        r#"{"type": "synse", "latent": 100, "batch": 64, "steps": 32, "cycles": 1}"#,
        2048,
        2048,
    ),
    (
        "sa-dvae",
        r#"{"type": "sa-dvae", "latent": 160, "style": 8, "dis_step": 5, "batch": 64, "steps": 32, "cycles": 1}"#,
        2048,
        2048,
    ),
    (
        "star",
        r#"{"type": "star", "prompts": 16, "width": 384, "heads": 4, "batch": 64, "epochs": 1}"#,
        256,
        256,
    ),
    (
        "neuron",
        r#"{"type": "neuron", "prototypes": 80, "batch": 64, "epochs": 1}"#,
        256,
        256,
    ),
    (
        "purls",
        r#"{"type": "purls", "partition": "static", "batch": 64, "epochs": 1}"#,
        512,
        512,
    ),
];

/// Texts that any of the aligners asks for.
fn granularities() -> Vec<Granularity> {
    let words = [Granularity::VERB, Granularity::NOUN];
    Granularity::PURLS_ORDER.into_iter().chain(words).collect()
}

fn spec(need: FeatureNeed) -> EncoderSpec {
    let (frames, joints) = match need {
        FeatureNeed::Map => (16, 25),
        FeatureNeed::Pooled => (1, 1),
    };
    EncoderSpec {
        channels: CHANNELS,
        frames,
        joints,
        classifies: false,
    }
}

fn features(count: i64, spec: &EncoderSpec) -> Result<FeatureMap> {
    FeatureMap::new(Tensor::rand([count, CHANNELS, spec.frames, spec.joints], CPU))
}

fn anchors(count: usize) -> Result<SemanticAnchors> {
    let texts = Tensor::randn([count as i64, granularities().len() as i64, WIDTH], CPU);
    let norms = texts.norm_scalaropt_dim(2, [-1i64].as_slice(), true);
    SemanticAnchors::new(texts / norms, granularities(), classes(count))
}

fn options(text: &str) -> Result<Box<dyn AlignerConfig>> {
    serde_json::from_str(text).map_err(|e| Error::Input(format!("{text}: {e}")))
}

/// Seen classes 0 .. 50 and one unseen class, which a split needs.
fn seen(count: usize, spec: &EncoderSpec) -> Result<SeenFeatures> {
    let ids: Vec<ClassId> = (0..SEEN as i64).map(ClassId).collect();
    let split = ClassSplit::new("bench", &classes(SEEN + 1), &ids, &[ClassId(SEEN as i64)])?;
    let set = |n: usize| -> Result<SeenSet> {
        let labels: Vec<ClassId> = (0..n).map(|i| ClassId((i * 7 % SEEN) as i64)).collect();
        Ok(SeenSet {
            features: features(n as i64, spec)?,
            labels: SeenLabels::new(&split, &labels, Device::Cpu)?,
        })
    };
    Ok(SeenFeatures {
        train: set(count)?,
        validation: set(0)?,
        layout: szar_data::layouts::by_name("ntu25")?,
    })
}

fn built(config: &dyn AlignerConfig, spec: &EncoderSpec) -> Result<Box<dyn Aligner>> {
    config.build(spec, &granularities(), WIDTH, &build_context())
}

/// Training for as many steps as the options say, on as many samples as that takes.
fn train(turns: &mut Turns, name: &str, text: &str, samples: usize, passes: usize) -> Result<()> {
    let config = options(text)?;
    let spec = spec(config.capabilities().features);
    let (seen, anchors) = (seen(samples, &spec)?, anchors(SEEN)?);
    let cancel = Cancel::default();
    let _ = turns.line(&format!("{name}/train/B{BATCH}"), passes, || {
        let mut aligner = built(config.as_ref(), &spec)?;
        aligner
            .fit(&seen, &anchors, &mut fit_context(&cancel))
            .map(|_| ())
    })?;
    Ok(())
}

fn score(turns: &mut Turns, name: &str, text: &str) -> Result<()> {
    let config = options(text)?;
    let spec = spec(config.capabilities().features);
    let mut aligner = built(config.as_ref(), &spec)?;
    // A short training first: fixed body parts and statistics are known only then.
    let _ = aligner.fit(
        &seen(4 * BATCH as usize, &spec)?,
        &anchors(SEEN)?,
        &mut fit_context(&Cancel::default()),
    )?;
    let (batch, anchors) = (features(BATCH, &spec)?, anchors(CANDIDATES)?);
    let _no_grad = no_grad_guard();
    let _ = turns.line(
        &format!("{name}/score/C{CANDIDATES}_B{BATCH}"),
        BATCH as usize,
        || aligner.score(&batch, &anchors).map(|_| ()),
    )?;
    Ok(())
}

/// Every candidate's own query against the mean text of all as the one query.
fn queries() -> Result<()> {
    head("per class", "one query");
    let scorer = |query: &str| -> Result<Box<dyn Aligner>> {
        tch::manual_seed(7);
        let config = options(&format!(r#"{{"type": "purls", "query": "{query}"}}"#))?;
        built(config.as_ref(), &spec(FeatureNeed::Map))
    };
    let (own, one, anchors) = (scorer("per_class")?, scorer("mean_text")?, anchors(CANDIDATES)?);
    let _no_grad = no_grad_guard();
    for batch in [1, 8, BATCH] {
        let map = features(batch, &spec(FeatureNeed::Map))?;
        let name = format!("purls/score/C{CANDIDATES}_B{batch}");
        let each = || own.score(&map, &anchors).map(|_| ());
        let mut failed = None;
        let other = || {
            round(batch as usize, || one.score(&map, &anchors).map(|_| ()))
                .map_err(|e| failed = Some(e))
                .ok()
        };
        let _ = against(&name, batch as usize, each, other)?;
        if let Some(error) = failed {
            return Err(error);
        }
    }
    Ok(())
}

fn main() -> Result<()> {
    tch::set_num_threads(1);
    tch::manual_seed(7);
    let mut turns = Turns::start("aligners.py");
    for (name, text, samples, passes) in METHODS {
        train(&mut turns, name, text, samples, passes)?;
        score(&mut turns, name, text)?;
    }
    queries()
}
