//! On a tiny random text transformer in a temporary folder.

use std::path::Path;

use szar_core::testing::fit_context;
use szar_core::{Cancel, Granularity, Problems, checkpoint};
use tch::kind::FLOAT_CPU;

use super::*;
use crate::aligners::maps::toy::{self, SEEN, SPEC, Toy, UNSEEN, close, random};
use crate::aligners::training::set_trainable;
use crate::nn::classifier::tests::alone;
use crate::semantics::clip::tests::tiny_model;
use crate::semantics::clip::{Clip, ClipConfig};

/// The sizes of the tiny transformer.
const H: i64 = 12;
const HEADS: i64 = 3;
const LAYERS: usize = 2;

fn clip_options(folder: &Path) -> ClipConfig {
    ClipConfig {
        model: folder.into(),
        ..ClipConfig::default()
    }
}

fn tiny(folder: &Path) -> ScopleConfig {
    ScopleConfig {
        text_encoder: Some(std::sync::Arc::new(clip_options(folder))),
        preamble: "wave a b".into(),
        depth: 1,
        key_width: 10,
        value_width: 12,
        hidden: 24,
        lr: Some(1e-2),
        batch: Some(32),
        epochs: Some(12),
        ..ScopleConfig::default()
    }
}

/// Classes named by letters, which the tiny vocabulary knows.
fn names() -> ClassList {
    let name = |i: i64| {
        let letter = |k: i64| char::from(b'a' + (k % 26) as u8);
        [letter(i), letter(3 * i + 1)].iter().collect::<String>()
    };
    ClassList::numbered((0..SEEN + UNSEEN).map(name)).unwrap()
}

/// A folder of the tiny transformer, and samples that look like what a model says of their classes before training.
fn toy(folder: &Path) -> Toy {
    tiny_model(folder, 3);
    shown_by(&fixed(&tiny(folder)))
}

/// A model with fixed numbers for weights: libtorch's generator is shared by all tests of the process.
fn fixed(config: &ScopleConfig) -> Scople {
    let mut model = built(config);
    let state: NamedTensors = model
        .state()
        .into_iter()
        .map(|(name, tensor)| {
            let size = tensor.size();
            let spread = match name.as_str() {
                "alpha" => return (name, tensor.copy()),
                _ if name.contains("prompts") => 1.0,
                _ => 1.7 / (size[size.len() - 1] as f64).sqrt(),
            };
            let values = random(&format!("{name}0"), &size) * spread;
            (name, values)
        })
        .collect();
    model.load_state(&state).unwrap();
    model
}

fn shown_by(model: &Scople) -> Toy {
    let hidden = model.texts(&names()).unwrap();
    let hidden = &hidden - hidden.mean_dim([0i64].as_slice(), true, Kind::Float);
    let hidden = &hidden / hidden.std(true);
    Toy::of(hidden, names(), &[Granularity::GLOBAL])
}

fn built(config: &ScopleConfig) -> Scople {
    Scople::new(config, &SPEC, Device::Cpu).unwrap()
}

/// The transformer's equations for one text, from the weights in the folder.
struct Reference(NamedTensors);

impl Reference {
    fn open(folder: &Path) -> Self {
        Self(
            checkpoint::load(&folder.join("model.safetensors"), Device::Cpu)
                .unwrap()
                .0,
        )
    }

    fn get(&self, name: &str) -> &Tensor {
        &self.0[name]
    }

    fn linear(&self, name: &str, x: &Tensor) -> Tensor {
        x.matmul(&self.get(&format!("{name}.weight")).transpose(0, 1)) + self.get(&format!("{name}.bias"))
    }

    fn norm(&self, name: &str, x: &Tensor) -> Tensor {
        let centred = x - x.mean_dim([-1i64].as_slice(), true, Kind::Float);
        let variance = centred.square().mean_dim([-1i64].as_slice(), true, Kind::Float);
        centred / (variance + 1e-5).sqrt() * self.get(&format!("{name}.weight"))
            + self.get(&format!("{name}.bias"))
    }

    /// `Att(LN(x))` of `[L, H]`, head by head.
    fn attention(&self, layer: usize, x: &Tensor) -> Tensor {
        let at = format!("text_model.encoder.layers.{layer}");
        let x = self.norm(&format!("{at}.layer_norm1"), x);
        let [q, k, v] =
            ["q_proj", "k_proj", "v_proj"].map(|n| self.linear(&format!("{at}.self_attn.{n}"), &x));
        let (length, each) = (x.size()[0], H / HEADS);
        let mut heads = Vec::new();
        for head in 0..HEADS {
            let of = |t: &Tensor| t.narrow(1, head * each, each);
            let logits = of(&q).mm(&of(&k).transpose(0, 1)) / (each as f64).sqrt();
            let later = Tensor::ones([length, length], FLOAT_CPU).triu(1) * -1e9;
            heads.push((logits + later).softmax(-1, Kind::Float).mm(&of(&v)));
        }
        self.linear(&format!("{at}.self_attn.out_proj"), &Tensor::cat(&heads, 1))
    }

    /// `FFN(LN(x))`.
    fn feed_forward(&self, layer: usize, x: &Tensor) -> Tensor {
        let at = format!("text_model.encoder.layers.{layer}");
        let up = self.linear(
            &format!("{at}.mlp.fc1"),
            &self.norm(&format!("{at}.layer_norm2"), x),
        );
        self.linear(&format!("{at}.mlp.fc2"), &(&up * (&up * 1.702).sigmoid()))
    }

    /// f of one text, not of unit length, by eqs. 1 to 10.
    fn text(&self, ids: &[i64], learned: &NamedTensors) -> Tensor {
        let length = ids.len() as i64;
        let tokens = self.get("text_model.embeddings.token_embedding.weight");
        let positions = self.get("text_model.embeddings.position_embedding.weight");
        let replaced = |x: &Tensor, prompt: &Tensor| {
            let rows: Vec<_> = (0..length)
                .map(|i| {
                    if (1..=prompt.size()[0]).contains(&i) {
                        prompt.get(i - 1)
                    } else {
                        x.get(i)
                    }
                })
                .collect();
            Tensor::stack(&rows, 0)
        };
        let words = tokens.index_select(0, &Tensor::from_slice(ids));
        let mut plain = replaced(&words, &learned["text_prompts.0"]) + positions.narrow(0, 0, length);
        let mut prompted = plain.copy();
        for layer in 0..LAYERS {
            if let Some(prompt) = learned.get(&format!("text_prompts.{}", layer + 1)) {
                let alpha = learned["alpha"].double_value(&[layer as i64]);
                let attention = self.attention(layer, &plain);
                prompted = replaced(&prompted, prompt) * (1.0 - alpha) + &attention * alpha;
                let between = &plain + attention;
                plain = &between + self.feed_forward(layer, &between);
            }
            prompted = &prompted + self.attention(layer, &prompted);
            prompted = &prompted + self.feed_forward(layer, &prompted);
        }
        let end = ids.iter().position(|id| *id == 59).unwrap() as i64;
        let last = self.norm("text_model.final_layer_norm", &prompted.narrow(0, end, 1));
        last.mm(&self.get("text_projection.weight").transpose(0, 1))
            .get(0)
    }
}

/// V for one text `[d]` and one sample's joints `[V, N]`, by eqs. 11 to 14.
fn vector(learned: &NamedTensors, text: &Tensor, joints: &Tensor) -> Tensor {
    let by = |name: &str, x: &Tensor| x.matmul(&learned[name].transpose(0, 1));
    let joints = Tensor::cat(&[&learned["skeleton_prompts"], joints], 0);
    let query = by("sampler.query.weight", &text.unsqueeze(0));
    let keys = by("sampler.key.weight", &joints);
    let width = keys.size()[1] as f64;
    let weights = (query.mm(&keys.transpose(0, 1)) / width.sqrt()).softmax(-1, Kind::Float);
    let drawn = weights.mm(&by("sampler.value.weight", &joints));
    let hidden = (by("head.0.weight", &drawn) + &learned["head.0.bias"]).silu();
    (by("head.2.weight", &hidden) + &learned["head.2.bias"])
        .tanh()
        .get(0)
}

#[test]
fn scores_are_those_of_the_equations_text_by_text_and_joint_by_joint() {
    let folder = tempfile::tempdir().unwrap();
    let toy = toy(folder.path());
    let reference = Reference::open(folder.path());
    for depth in [0, 1, 2] {
        let config = ScopleConfig {
            depth,
            alpha: 0.3,
            ..tiny(folder.path())
        };
        let aligner = built(&config);
        let learned = aligner.state();
        let map = toy.maps("equations", &[0, 17, 4]);
        let got = aligner.score(&map, &toy.anchors).unwrap().logits;
        let clip = Clip::open(&clip_options(folder.path()), Device::Cpu).unwrap();
        for (column, name) in toy.anchors.classes.names().iter().enumerate() {
            let ids = clip.ids(&[format!("wave a b {name}.")]).unwrap();
            let ids = Vec::<i64>::try_from(ids.get(0)).unwrap();
            let text = unit_rows(&reference.text(&ids, &learned));
            for sample in 0..3 {
                let joints = map
                    .values
                    .get(sample)
                    .mean_dim([1i64].as_slice(), false, Kind::Float)
                    .transpose(0, 1);
                let drawn = unit_rows(&vector(&learned, &text, &joints));
                let want = (drawn * &text).sum(Kind::Float).double_value(&[]) / 0.07;
                let got = got.double_value(&[sample, column as i64]);
                assert!(
                    (got - want).abs() < 2e-3,
                    "depth {depth}, {name}: {got}, expected {want}"
                );
            }
        }
    }
}

#[test]
fn prompts_take_the_places_behind_the_start_and_no_others() {
    let folder = tempfile::tempdir().unwrap();
    let toy = toy(folder.path());
    let map = toy.maps("places", &[1, 2]);
    let scores = |preamble: &str, text_prompts| {
        let config = ScopleConfig {
            preamble: preamble.into(),
            text_prompts,
            ..tiny(folder.path())
        };
        let mut aligner = built(&config);
        let other = built(&ScopleConfig {
            text_prompts,
            ..tiny(folder.path())
        });
        let state: NamedTensors = other
            .state()
            .into_iter()
            .map(|(name, t)| {
                let t = random(&name, &t.size());
                (name, t)
            })
            .collect();
        aligner.load_state(&state).unwrap();
        aligner.score(&map, &toy.anchors).unwrap().logits
    };
    // `wave` and `a` are replaced, `b` is not.
    assert!(close(&scores("wave a b", 2), &scores("k j b", 2)));
    assert!(!close(&scores("wave a b", 2), &scores("wave a c", 2)));
    assert!(!close(&scores("wave a b", 1), &scores("wave j b", 1)));
    assert!(close(&scores("wave a b", 1), &scores("k a b", 1)));
}

#[test]
fn gradients_reach_every_prompt_and_alpha_and_nothing_of_clip() {
    let folder = tempfile::tempdir().unwrap();
    let toy = toy(folder.path());
    let aligner = built(&ScopleConfig {
        depth: 2,
        ..tiny(folder.path())
    });
    let names = toy.anchors.classes.names().to_vec();
    let objective = Alignment {
        model: &aligner,
        classes: &toy.anchors.classes,
        prompts: aligner.text.prompts(&names).unwrap(),
    };
    let parameters = objective.parameters();
    set_trainable(&parameters, true);
    let labels = Tensor::from_slice(&[3i64, 0, 3, 7]);
    let map = toy.maps("alpha", &[3, 0, 3, 7]);
    let loss = || objective.loss(&map, &labels).unwrap().get(0);
    loss().backward();
    for (name, tensor) in &parameters {
        let size = tensor.grad().abs().sum(Kind::Float).double_value(&[]);
        assert!(size > 0.0, "{name}");
    }
    // Central differences of α.
    let slope = |layer: i64| {
        let at = |step: f64| {
            no_grad(|| {
                let mut alpha = aligner.text.parameters()["alpha"].get(layer);
                let _ = alpha.g_add_scalar_(step);
                let value = loss().double_value(&[]);
                let _ = alpha.g_add_scalar_(-step);
                value
            })
        };
        (at(1e-2) - at(-1e-2)) / 2e-2
    };
    let grad = parameters["alpha"].grad();
    for layer in 0..2 {
        let (got, want) = (grad.double_value(&[layer]), slope(layer));
        assert!(
            (got - want).abs() < 0.03 * want.abs() + 1e-3,
            "{layer}: {got}, expected {want}"
        );
    }
    set_trainable(&parameters, false);
}

#[test]
fn the_loss_over_distinct_classes_is_that_over_the_batch() {
    let folder = tempfile::tempdir().unwrap();
    let toy = toy(folder.path());
    let aligner = built(&tiny(folder.path()));
    let names = toy.anchors.classes.names().to_vec();
    let objective = Alignment {
        model: &aligner,
        classes: &toy.anchors.classes,
        prompts: aligner.text.prompts(&names).unwrap(),
    };
    let labels = [3i64, 0, 3, 7, 0];
    let map = toy.maps("batch", &labels);
    let index = Tensor::from_slice(&labels);
    let got = objective.loss(&map, &index).unwrap();
    // Every sample's text encoded on its own, as printed.
    let texts = aligner
        .texts(&toy.anchors.classes)
        .unwrap()
        .index_select(0, &index);
    let rows = aligner.condense(&map).unwrap();
    let vectors = aligner.sampler.vectors(&rows, &aligner.sampler.probes(&texts));
    let logits = unit_rows(&vectors).mm(&unit_rows(&texts).transpose(0, 1)) / 0.07;
    let mean = |dim: i64| {
        -logits
            .log_softmax(dim, Kind::Float)
            .diagonal(0, 0, 1)
            .mean(Kind::Float)
    };
    let want = Tensor::stack(&[(mean(1) + mean(0)) * 0.5, mean(1), mean(0)], 0);
    assert!(close(&got, &want), "{got} {want}");
}

#[test]
fn unseen_classes_are_recognised_by_their_names() {
    if !alone() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let toy = toy(folder.path());
    let config = ScopleConfig {
        lr: Some(3e-3),
        epochs: Some(20),
        ..tiny(folder.path())
    };
    let mut aligner = fixed(&config);
    let cancel = Cancel::default();
    let seen = toy.seen(640, 4 * SEEN);
    aligner
        .fit(&seen, &toy.seen_anchors(), &mut fit_context(&cancel))
        .unwrap();
    let share = toy.unseen_share(&aligner);
    assert!(share > 0.7, "{share}"); // 0.25 by chance
    toy::batches_are_singles(&toy, &aligner);
    toy::columns_follow_classes(&toy, &aligner);
    toy::states_survive(&toy, &config, &aligner);
    toy::gradients_flow(&toy, &aligner);
}

#[test]
fn many_samples_and_candidates_are_scored_in_parts() {
    let folder = tempfile::tempdir().unwrap();
    let toy = toy(folder.path());
    let aligner = built(&tiny(folder.path()));
    let labels: Vec<i64> = (0..250).map(|i| i % SEEN).collect();
    let map = toy.maps("parts", &labels); // 250 · 20 vectors, two parts
    let all = aligner.score(&map, &toy.anchors).unwrap().logits;
    let few = aligner.score(&map.narrow(245, 5), &toy.anchors).unwrap().logits;
    assert!(close(&few, &all.narrow(0, 245, 5)));
}

#[test]
fn askers_judge_all_candidates_by_what_they_ask() {
    let folder = tempfile::tempdir().unwrap();
    let toy = toy(folder.path());
    let aligner = built(&tiny(folder.path()));
    let rows = aligner.condense(&toy.maps("askers", &[1, 2, 3])).unwrap();
    let own = aligner.score_condensed(&rows, &toy.anchors).unwrap().logits;
    for class in [0i64, 9] {
        let askers = Tensor::full([3], class, (Kind::Int64, Device::Cpu));
        let asked = aligner
            .score_asked(&rows, &toy.anchors, Some(&askers), false)
            .unwrap();
        assert!(close(&asked.logits.select(1, class), &own.select(1, class)));
    }
    assert!(aligner.score_asked(&rows, &toy.anchors, None, true).is_err());
}

#[test]
fn texts_are_remembered_until_weights_change() {
    let folder = tempfile::tempdir().unwrap();
    let toy = toy(folder.path());
    let config = tiny(folder.path());
    let mut aligner = built(&config);
    let map = toy.maps("memory", &[1, 2]);
    let first = aligner.score(&map, &toy.anchors).unwrap().logits;
    assert_eq!(aligner.known.borrow().len(), 1);
    assert!(aligner.score(&map, &toy.anchors).unwrap().logits.equal(&first));
    for start in 0..KEPT as i64 + 2 {
        let some = toy.anchors_of(start..start + 3);
        aligner.score(&map, &some).unwrap();
    }
    assert_eq!(aligner.known.borrow().len(), KEPT);
    let other = built(&config); // other random prompts
    aligner.load_state(&other.state()).unwrap();
    let second = aligner.score(&map, &toy.anchors).unwrap().logits;
    assert!(second.equal(&other.score(&map, &toy.anchors).unwrap().logits));
    assert!(!second.equal(&first));
}

#[test]
fn a_stopped_fit_resumes_bit_for_bit() {
    let folder = tempfile::tempdir().unwrap();
    let toy = toy(folder.path());
    let config = ScopleConfig {
        epochs: Some(3),
        ..tiny(folder.path())
    };
    toy::stopped_fits_resume(&toy, &config);
}

#[test]
fn mistakes_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let toy = toy(folder.path());
    toy::mistakes_are_refused(&toy, &tiny(folder.path()));
    let refused = |config: &ScopleConfig| Scople::new(config, &SPEC, Device::Cpu).err().unwrap().to_string();
    let deep = refused(&ScopleConfig {
        depth: 3,
        ..tiny(folder.path())
    });
    assert!(
        deep.contains("prompt 3 layers (`depth`), the text transformer has 2"),
        "{deep}"
    );
    let long = refused(&ScopleConfig {
        text_prompts: 4,
        ..tiny(folder.path())
    });
    assert!(long.contains("has 3 tokens, `text_prompts` is 4"), "{long}");
    let error = built(&ScopleConfig {
        preamble: "abcdefghij klmnopqrst uvwxyz abcdef ghijkl".into(),
        ..tiny(folder.path())
    })
    .score(&toy.maps("long", &[1]), &toy.anchors);
    assert!(error.unwrap_err().to_string().contains("fill the network"));
    let mut problems = Problems::new();
    ScopleConfig::default().validate(&mut problems);
    assert_eq!(problems.len(), 1, "{problems}");
    assert!(problems.to_string().contains("needs `text_encoder`"));
}

#[test]
fn the_block_of_the_text_encoder_is_written_as_elsewhere() {
    let text = r#"{"type": "scople", "text_encoder": {"type": "clip", "model": "somewhere"}}"#;
    let config: Box<dyn AlignerConfig> = serde_json::from_str(text).unwrap();
    let mut problems = Problems::new();
    config.validate(&mut problems);
    assert!(problems.is_empty(), "{problems}");
    let other = text.replace("clip", "sentence-bert");
    let config: Box<dyn AlignerConfig> = serde_json::from_str(&other).unwrap();
    config.validate(&mut problems);
    assert!(problems.to_string().contains("got `sentence-bert`"), "{problems}");
}
