//! Every encoder with every aligner, adapter and gate: what the rules allow runs on tiny data, and what they refuse does
//! not work when it is tried all the same.
//!
//! With `st-gcn` and `torchscript` every combination is tried. The other encoders are tried with every aligner and every
//! gate, and with two adapters for each aligner in turn, so that each meets every adapter: adapters and gates know an
//! encoder by the form of its features alone. `SZAR_WHOLE_MATRIX=1` tries every combination of all.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};
use szar_core::config::Stream;
use szar_core::online::Online;
use szar_core::registry::for_serde;
use szar_core::{AdapterConfig, FeatureMap, GateConfig, Granularity, Observation, SampleRef, Scores, Task};
use tch::{CModule, Device, Kind, Tensor, no_grad};

use super::*;
use crate::evaluate::{Model, Saves, Streaming, columns, judge, play};
use crate::matrix::{Choice, Matrix, Part as Of, place};
use crate::run::evaluate::Trained as Ready;

const FRAMES: i64 = 12;
const CHANNELS: i64 = 6;

/// Options that make a component's training short, or point it to files that exist here.
fn short(name: &str, folder: &Path) -> Value {
    match name {
        "st-gcn" | "agcn" | "aagcn" | "ctr-gcn" | "shift-gcn" | "dgnn" => {
            // Steps enough that the statistics of the normalisations are those of the data.
            json!({"base_channels": 8, "train": {"epochs": 3, "batch": 8}})
        }
        "ensemble" => {
            let member = |stream| json!({"type": "st-gcn", "base_channels": 2, "stream": stream, "train": {"epochs": 1}});
            json!({"members": [member("joint"), member("bone")]})
        }
        "posec3d" => json!({"base_channels": 2, "clip_frames": 6, "size": 16, "train": {"epochs": 1}}),
        "msg3d" => {
            json!({"base_channels": 6, "gcn_scales": 2, "g3d_scales": 2, "train": {"epochs": 3, "batch": 8}})
        }
        "purls" => json!({"epochs": 1, "hidden": 16}),
        "eszsl" => json!({"gammas": [1.0], "lambdas": [1.0]}),
        "devise" | "revise" | "jpose" | "neuron" => json!({"epochs": 1}),
        "smie" => json!({"epochs": 1, "warmup": 0, "views": 1}),
        "star" => json!({"epochs": 1, "prompts": 4}),
        "cada-vae" | "synse" | "sa-dvae" => json!({"cycles": 1, "steps": 4, "latent": 8}),
        "scople" => json!({"epochs": 1, "text_encoder": {"type": "clip", "model": folder.join("clip")}}),
        "tpt" | "diff-tpt" | "promptalign" => json!({"views": {"count": 12}}),
        _ => json!({}),
    }
}

fn block(choice: &Choice, folder: &Path) -> Value {
    let mut block = choice.block.clone();
    let more = short(block["type"].as_str().unwrap_or_default(), folder);
    if let (Value::Object(block), Value::Object(more)) = (&mut block, more) {
        block.extend(more);
    }
    block
}

fn config<T: for<'de> serde::Deserialize<'de>>(block: &Value) -> T {
    serde_json::from_value(for_serde(block.clone())).unwrap_or_else(|e| panic!("{block}: {e}"))
}

/// A CLIP text model with random weights in Hugging Face's layout, which knows single letters.
fn clip(folder: &Path) {
    std::fs::create_dir_all(folder).unwrap();
    let letters: Vec<String> = ('a'..='z').map(String::from).collect();
    let last = letters.iter().map(|letter| format!("{letter}</w>"));
    let ends = [".", ".</w>", "<|startoftext|>", "<|endoftext|>"].map(str::to_owned);
    let tokens: Vec<String> = letters.iter().cloned().chain(last).chain(ends).collect();
    let (h, inner, count) = (12i64, 20i64, tokens.len() as i64);
    let model = json!({
        "model_type": "clip_text_model", "hidden_size": h, "intermediate_size": inner, "projection_dim": 7,
        "num_hidden_layers": 4, "num_attention_heads": 3, "max_position_embeddings": 77, "vocab_size": count,
        "eos_token_id": count - 1,
    });
    std::fs::write(folder.join("config.json"), model.to_string()).unwrap();
    let vocabulary: serde_json::Map<String, Value> = tokens.into_iter().zip((0..).map(Value::from)).collect();
    std::fs::write(folder.join("vocab.json"), json!(vocabulary).to_string()).unwrap();
    std::fs::write(folder.join("merges.txt"), "#version: 0.2\n").unwrap();
    let mut state = szar_core::checkpoint::NamedTensors::new();
    let mut add = |name: String, shape: &[i64]| {
        let centre = if shape.len() == 1 && name.ends_with("weight") {
            1.0
        } else {
            0.0
        };
        state.insert(
            name,
            Tensor::randn(shape, (Kind::Float, Device::Cpu)) * 0.1 + centre,
        );
    };
    add("text_model.embeddings.token_embedding.weight".into(), &[count, h]);
    add("text_model.embeddings.position_embedding.weight".into(), &[77, h]);
    add("text_projection.weight".into(), &[7, h]);
    let mut layers = vec![("text_model.final_layer_norm".to_owned(), vec![h])];
    for i in 0..4 {
        let at = format!("text_model.encoder.layers.{i}");
        let square =
            ["q_proj", "k_proj", "v_proj", "out_proj"].map(|n| (format!("{at}.self_attn.{n}"), vec![h, h]));
        layers.extend(square);
        layers.extend(["layer_norm1", "layer_norm2"].map(|n| (format!("{at}.{n}"), vec![h])));
        layers.push((format!("{at}.mlp.fc1"), vec![inner, h]));
        layers.push((format!("{at}.mlp.fc2"), vec![h, inner]));
    }
    for (name, shape) in layers {
        add(format!("{name}.weight"), &shape);
        add(format!("{name}.bias"), &shape[..1]);
    }
    szar_core::checkpoint::save(&folder.join("model.safetensors"), &state, &[]).unwrap();
}

/// A network without training, which gives pooled features or a map.
fn module(path: &Path, map: bool, joints: i64) {
    let options = (Kind::Float, Device::Cpu);
    let weight = Tensor::randn([3, CHANNELS], options);
    let mut forward = |x: &[Tensor]| {
        let features = x[0]
            .permute([0, 2, 3, 1])
            .matmul(&weight)
            .relu()
            .permute([0, 3, 1, 2]);
        vec![if map {
            features
        } else {
            features.mean_dim([2i64, 3].as_slice(), false, Kind::Float)
        }]
    };
    let input = Tensor::randn([2, 3, FRAMES, joints], options);
    let traced = CModule::create_by_tracing("Net", "forward", &[input], &mut forward).unwrap();
    traced.save(path).unwrap();
}

fn encoder(choice: &Choice, folder: &Path) -> Value {
    let mut block = block(choice, folder);
    if block["type"] == "torchscript" {
        let map = choice.label.contains("map");
        let path: PathBuf = folder.join(format!("{}.pt", choice.label.replace(' ', "-")));
        module(&path, map, 25);
        let own = json!({"module": path, "channels": CHANNELS, "layout": "nctv"});
        if let (Value::Object(block), Value::Object(own)) = (&mut block, own) {
            block.extend(own);
        }
    }
    block
}

fn resolved(folder: &Path, encoder: &Value, aligner: &Value) -> Resolved {
    let granularities = [
        Granularity::PURLS_ORDER.to_vec(),
        vec![Granularity::VERB, Granularity::NOUN],
    ]
    .concat();
    let encoder = format!("encoder={encoder}");
    let aligner = format!("aligner={aligner}");
    let texts = format!(
        "semantics.granularities={}",
        serde_json::to_string(&granularities).unwrap()
    );
    let output = format!("output={}", folder.display());
    // An adapter that looks at the map, so that a map is what there is where the encoder gives one.
    let pooled = encoder.contains("torchscript") && !encoder.contains("output_layout");
    let adapters = if pooled {
        "adapters=[]"
    } else {
        "adapters=[{type: skeleton-cache}]"
    };
    let set = [
        "dataset.samples_per_class=3",
        "preprocess.frames=12",
        "validation.fraction=0.3",
        "threads=1",
        "stream.batch=16",
        "features.keep=false",
        "gate={type: calibrated-stacking, gamma: 0.5}",
        adapters,
        &encoder,
        &aligner,
        &texts,
        &output,
    ];
    let set: Vec<String> = set.iter().map(|s| (*s).to_owned()).collect();
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../configs/quickstart.yaml");
    config::load(Path::new(file), &set).unwrap_or_else(|e| panic!("{encoder} {aligner}: {e}"))
}

/// Is an adapter tried with this encoder and aligner?
fn chosen(matrix: &Matrix, [e, l, a]: [usize; 3]) -> bool {
    let label = &matrix.encoders[e].label;
    let all = label.starts_with("st-gcn") || label.starts_with("torchscript");
    all || std::env::var_os("SZAR_WHOLE_MATRIX").is_some()
        || (a + 2 * l + e) % (matrix.adapters.len() / 2) == 0
}

/// What was tried.
#[derive(Debug, Default)]
struct Tried {
    ran: usize,
    refused: usize,
}

/// One encoder with one aligner, and all adapters and gates.
struct Bench<'a> {
    matrix: &'a Matrix,
    at: [usize; 2],
    folder: &'a Path,
    session: Session<'a>,
    prepared: Prepared,
}

impl Bench<'_> {
    fn ready(&self, encodes: bool) -> Ready<'_> {
        Ready {
            data: &self.prepared.data,
            features: &self.prepared.features,
            anchors: &self.prepared.anchors,
            aligner: self.prepared.aligner.as_ref(),
            spec: spec(&self.prepared.features),
            encoder: self.prepared.encoder.as_ref(),
            encodes,
            semantics: None,
        }
    }

    fn against(&self, adapter: usize) -> bool {
        let pairs = [(Of::Encoder, self.at[0]), (Of::Aligner, self.at[1])];
        pairs
            .iter()
            .any(|pair| !self.matrix.against(*pair, (Of::Adapter, adapter)).is_empty())
    }

    fn all(mut self) -> Tried {
        let mut tried = Tried::default();
        let gates: Vec<Box<dyn GateConfig>> = self.matrix.gates.iter().map(|g| config(&g.block)).collect();
        let mut fitted = BTreeMap::new();
        for (g, gate) in gates.iter().enumerate() {
            let model = Model {
                aligner: self.prepared.aligner.as_ref(),
                anchors: &self.prepared.anchors,
            };
            let ready = Ready {
                data: &self.prepared.data,
                features: &self.prepared.features,
                anchors: &self.prepared.anchors,
                aligner: self.prepared.aligner.as_ref(),
                spec: spec(&self.prepared.features),
                encoder: self.prepared.encoder.as_ref(),
                encodes: false,
                semantics: None,
            };
            let allowed = self
                .matrix
                .against((Of::Encoder, self.at[0]), (Of::Gate, g))
                .is_empty();
            let result = self.session.fitted(gate.as_ref(), &model, &ready);
            let what = format!(
                "{:?} + {}",
                self.matrix.encoders[self.at[0]].label, self.matrix.gates[g].label
            );
            match result {
                // A gate that needs nothing while it is fitted may still fail when it judges.
                Ok(gate) => drop(fitted.insert(g, (gate, allowed))),
                Err(e) if allowed => panic!("{what}: {e}"),
                Err(e) => assert!(!e.to_string().is_empty(), "{what}"),
            }
        }
        for (a, adapter) in self.matrix.adapters.iter().enumerate() {
            if !chosen(self.matrix, [self.at[0], self.at[1], a]) {
                continue;
            }
            let what = format!(
                "{} + {} + {}",
                self.matrix.encoders[self.at[0]].label, self.matrix.aligners[self.at[1]].label, adapter.label
            );
            let adapters: Vec<Box<dyn AdapterConfig>> = vec![config(&block(adapter, self.folder))];
            if self.against(a) {
                assert!(
                    self.step_alone(adapters[0].as_ref()).is_err(),
                    "{what} works, and is refused"
                );
                tried.refused += gates.len();
                continue;
            }
            let ready = self.ready(adapters[0].requirements().skeletons.is_some());
            let streaming = Streaming {
                model: Model {
                    aligner: ready.aligner,
                    anchors: ready.anchors,
                },
                adapters: &adapters,
                options: &self.session.pipeline.stream,
                ctx: &self.session.ctx,
                layout: std::sync::Arc::clone(&ready.data.dataset.info().layout),
                spec: ready.spec,
                skeletons: ready
                    .encodes
                    .then(|| (ready.data.skeletons().unwrap(), ready.encoder)),
                saves: Saves {
                    folder: self.session.dir.path(&format!("streams-{a}")),
                    run: String::new(),
                    every: SAVE_EVERY,
                },
                progress: &Silent,
                cancel: self.session.options.cancel,
            };
            let played =
                play(&streaming, ready.data, ready.features, None).unwrap_or_else(|e| panic!("{what}: {e}"));
            let finite = played.last().isfinite().all();
            assert!(finite.int64_value(&[]) == 1, "{what}: logits that are no numbers");
            for (g, config) in gates.iter().enumerate() {
                let Some((gate, allowed)) = fitted.get(&g) else {
                    tried.refused += 1;
                    continue;
                };
                let gated = gate.gated(config.as_ref());
                let what = format!("{what} + {}", self.matrix.gates[g].label);
                let judged = judge(gated, ready.data, ready.features, &played);
                if !allowed {
                    assert!(judged.is_err(), "{what} works, and is refused");
                    tried.refused += 1;
                    continue;
                }
                let (report, _) = judged.unwrap_or_else(|e| panic!("{what}: {e}"));
                let after = report.after.unwrap_or(report.before).top1;
                assert!((0.0..=100.0).contains(&after.harmonic_mean), "{what}");
                tried.ran += 1;
            }
        }
        tried
    }

    /// Two steps of an adapter with this encoder and aligner, whatever the rules say.
    fn step_alone(&self, adapter: &dyn AdapterConfig) -> Result<()> {
        let ready = self.ready(false);
        let candidates = ready.data.split.all();
        let anchors = ready.anchors.for_classes(&candidates)?;
        let mut seen = vec![false; candidates.len()];
        for column in columns(ready.data.split.seen(), &candidates) {
            seen[column.0] = true;
        }
        let task = Task {
            seen,
            anchors: anchors.with_values(anchors.values.shallow_clone())?,
            candidates,
            features: ready.spec,
            layout: std::sync::Arc::clone(&ready.data.dataset.info().layout),
            device: self.session.ctx.device,
            seed: Seed(1),
            streams: 1,
            expected: 32,
        };
        let mut online = Online::begin(adapter, &self.session.ctx, &task)?;
        for step in 0..2u64 {
            let features = FeatureMap::new(ready.features.map.values.narrow(0, step as i64 * 16, 16))?;
            let scores: Scores = no_grad(|| ready.aligner.score(&features, &task.anchors))?;
            let samples = SampleRef::run(step * 16, 16);
            let _ = online.step(&Observation::new(&features, &scores, &samples), ready.aligner)?;
        }
        Ok(())
    }
}

/// The aligner that is refused with this encoder, built and asked all the same.
fn refused_pair(folder: &Path, encoder: &Value, aligner: &Value) -> Result<()> {
    let eszsl = json!({"type": "eszsl", "gammas": [1.0], "lambdas": [1.0]});
    let resolved = resolved(folder, encoder, &eszsl);
    let out = tempfile::tempdir_in(folder).unwrap();
    let dir = RunDir::open(out.path(), &resolved, true)?;
    let never = Cancel::default();
    let options = options(out.path(), &Silent, &never);
    let mut session = session(&resolved, &options, &dir);
    let prepared = session.prepare(String::new())?;
    let config: Box<dyn szar_core::AlignerConfig> = config(aligner);
    let ctx = session.ctx.clone();
    let anchors = &prepared.anchors;
    let built = config.build(
        &spec(&prepared.features),
        &anchors.granularities,
        anchors.width(),
        &ctx,
    )?;
    built.score(&prepared.features.map, anchors).map(|_| ())
}

fn session<'a>(resolved: &'a Resolved, options: &'a RunOptions<'a>, dir: &'a RunDir) -> Session<'a> {
    Session {
        resolved,
        pipeline: &resolved.pipeline,
        options,
        dir,
        ctx: BuildContext {
            device: Device::Cpu,
            seed: Seed(resolved.pipeline.seed),
            cache: cache_dir(),
        },
        stages: Vec::new(),
    }
}

/// One encoder with one aligner, and what is tried with them.
fn pair(matrix: &Matrix, [e, l]: [usize; 2], encoder: &Value, folder: &Path) -> Tried {
    let aligner = block(&matrix.aligners[l], folder);
    let what = format!("{} + {}", matrix.encoders[e].label, matrix.aligners[l].label);
    if !matrix.against((Of::Encoder, e), (Of::Aligner, l)).is_empty() {
        assert!(
            refused_pair(folder, encoder, &aligner).is_err(),
            "{what} works, and is refused"
        );
        let adapters = (0..matrix.adapters.len()).filter(|a| chosen(matrix, [e, l, *a]));
        return Tried {
            ran: 0,
            refused: adapters.count() * matrix.gates.len(),
        };
    }
    let resolved = resolved(folder, encoder, &aligner);
    let out = folder.join(format!("{e}-{l}"));
    let dir = RunDir::open(&out, &resolved, true).unwrap();
    let never = Cancel::default();
    let options = options(&out, &Silent, &never);
    let mut session = session(&resolved, &options, &dir);
    let prepared = session
        .prepare(String::new())
        .unwrap_or_else(|e| panic!("{what}: {e}"));
    Bench {
        matrix,
        at: [e, l],
        folder,
        session,
        prepared,
    }
    .all()
}

#[test]
fn every_combination_runs_or_is_rightly_refused() {
    let matrix = Matrix::of_registered("ntu25", FRAMES).unwrap();
    assert!(Stream::default().batch >= 16);
    let folder = tempfile::tempdir().unwrap();
    clip(&folder.path().join("clip"));
    // An encoder at a time to each of the threads.
    let next = AtomicUsize::new(0);
    let work = || {
        tch::set_num_threads(1);
        let mut total = Tried::default();
        loop {
            let e = next.fetch_add(1, Ordering::Relaxed);
            let Some(choice) = matrix.encoders.get(e) else {
                return total;
            };
            let encoder = encoder(choice, folder.path());
            for l in 0..matrix.aligners.len() {
                let tried = pair(&matrix, [e, l], &encoder, folder.path());
                total.ran += tried.ran;
                total.refused += tried.refused;
            }
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let total = std::thread::scope(|scope| {
        let all: Vec<_> = (0..threads.min(4)).map(|_| scope.spawn(work)).collect();
        all.into_iter().fold(Tried::default(), |sum, thread| {
            let tried = thread.join().unwrap_or_else(|e| std::panic::resume_unwind(e));
            Tried {
                ran: sum.ran + tried.ran,
                refused: sum.refused + tried.refused,
            }
        })
    });
    let sizes = [
        &matrix.encoders,
        &matrix.aligners,
        &matrix.adapters,
        &matrix.gates,
    ]
    .map(Vec::len);
    let tried = matrix.cells.iter().enumerate().filter(|(at, _)| {
        let [e, l, a, _] = place(*at, sizes);
        chosen(&matrix, [e, l, a])
    });
    let (allowed, refused): (Vec<_>, Vec<_>) = tried.partition(|(_, reasons)| reasons.is_empty());
    assert_eq!(
        (total.ran, total.refused),
        (allowed.len(), refused.len()),
        "{total:?}"
    );
}
