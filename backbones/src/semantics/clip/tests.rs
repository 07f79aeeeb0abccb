//! On a tiny random network in a temporary folder.

use std::fs;

use serde_json::json;
use szar_core::testing::build_context;
use szar_core::{ClassList, NamedTensors, PromptTower as _, Seed, SemanticsConfig};
use tch::kind::{FLOAT_CPU, INT64_CPU};

use super::*;
use crate::semantics::descriptions::DescriptionsConfig;
use crate::semantics::parameters::random;

const H: i64 = 12;
/// Ids of the start and the end; the end is the largest.
const START: i64 = 58;
const END: i64 = 59;

fn config() -> ClipTextConfig {
    ClipTextConfig {
        hidden_size: H,
        intermediate_size: 20,
        projection_dim: 7,
        num_hidden_layers: 2,
        num_attention_heads: 3,
        max_position_embeddings: 32,
        vocab_size: 60,
        eos_token_id: END,
        ..ClipTextConfig::default()
    }
}

fn random_state(config: &ClipTextConfig, seed: u64) -> NamedTensors {
    let mut rng = Seed(seed).rng();
    let (h, inner) = (config.hidden_size, config.intermediate_size);
    let mut state = NamedTensors::new();
    let mut add = |name: String, shape: &[i64], centre: f64| {
        state.insert(name, random(&mut rng, shape) + centre);
    };
    let tables = [
        ("token", config.vocab_size),
        ("position", config.max_position_embeddings),
    ];
    for (name, rows) in tables {
        let name = format!("text_model.embeddings.{name}_embedding.weight");
        add(name, &[rows, h], 0.0);
    }
    let mut layers = vec![("text_model.final_layer_norm".to_owned(), vec![h])];
    for i in 0..config.num_hidden_layers {
        let at = format!("text_model.encoder.layers.{i}");
        for part in ["q_proj", "k_proj", "v_proj", "out_proj"] {
            layers.push((format!("{at}.self_attn.{part}"), vec![h, h]));
        }
        layers.push((format!("{at}.layer_norm1"), vec![h]));
        layers.push((format!("{at}.layer_norm2"), vec![h]));
        layers.push((format!("{at}.mlp.fc1"), vec![inner, h]));
        layers.push((format!("{at}.mlp.fc2"), vec![h, inner]));
    }
    for (name, shape) in layers {
        let centre = if shape.len() == 1 { 1.0 } else { 0.0 };
        add(format!("{name}.weight"), &shape, centre);
        add(format!("{name}.bias"), &shape[..1], 0.0);
    }
    add("text_projection.weight".into(), &[config.projection_dim, h], 0.0);
    state
}

fn tower(config: ClipTextConfig) -> ClipText {
    let state = random_state(&config, 1);
    ClipText::new(config, &state, Device::Cpu).unwrap()
}

/// Letters, letters that end a word, `.`, `.</w>`, three longer pieces, and the two ends: 59 tokens.
fn vocabulary() -> serde_json::Value {
    let letters: Vec<String> = ('a'..='z').map(String::from).collect();
    let last = letters.iter().map(|l| format!("{l}</w>"));
    let more = [
        ".",
        ".</w>",
        "wa",
        "wav",
        "wave</w>",
        "<|unused|>",
        "<|startoftext|>",
        "<|endoftext|>",
    ];
    let all = letters.iter().cloned().chain(last).chain(more.map(str::to_owned));
    all.zip(0..)
        .map(|(token, id)| (token, json!(id)))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

/// A folder written twice with one seed is the same.
pub(crate) fn tiny_model(folder: &Path, seed: u64) {
    fs::create_dir_all(folder).unwrap();
    let state = random_state(&config(), seed);
    checkpoint::save(&folder.join("model.safetensors"), &state, &[]).unwrap();
    let mut text = serde_json::to_value(config()).unwrap();
    text["model_type"] = json!("clip_text_model");
    fs::write(folder.join("config.json"), text.to_string()).unwrap();
    fs::write(folder.join("vocab.json"), vocabulary().to_string()).unwrap();
    fs::write(folder.join("merges.txt"), "#version: 0.2\nw a\nwa v\nwav e</w>\n").unwrap();
}

fn options(folder: &Path) -> ClipConfig {
    ClipConfig {
        model: folder.into(),
        ..ClipConfig::default()
    }
}

fn open(options: &ClipConfig) -> Clip {
    Clip::open(options, Device::Cpu).unwrap()
}

fn refused(options: &ClipConfig) -> String {
    match Clip::open(options, Device::Cpu) {
        Ok(mut encoder) => encoder.encode(&["wave".to_owned()]).unwrap_err().to_string(),
        Err(error) => error.to_string(),
    }
}

fn texts() -> Vec<String> {
    ["wave", "a kick", "wave a hand", "jump."]
        .map(str::to_owned)
        .to_vec()
}

/// Distinct ids below the ends.
fn ids(rows: i64, length: i64) -> Tensor {
    Tensor::arange(rows * length, INT64_CPU).reshape([rows, length])
}

fn close(a: &Tensor, b: &Tensor) -> bool {
    a.allclose(b, 1e-4, 1e-5, false)
}

#[test]
fn a_later_token_changes_no_earlier_state() {
    let tower = tower(config());
    let ids = ids(2, 10);
    let other = ids.copy();
    let _ = other.select(1, 6).fill_(55);
    let run = |ids: &Tensor| tower.forward(&tower.embed(ids).unwrap(), None).unwrap();
    let (a, b) = (run(&ids), run(&other));
    assert!(close(&a.narrow(1, 0, 6), &b.narrow(1, 0, 6)));
    for later in 6..10 {
        assert!(
            !close(&a.select(1, later), &b.select(1, later)),
            "position {later}"
        );
    }
}

#[test]
fn masked_padding_in_front_is_not_looked_at() {
    let tower = tower(config());
    let ids = ids(2, 8);
    let embeddings = tower.embed(&ids).unwrap();
    // A mask that hides nothing gives what no mask gives, by another path.
    let plain = tower.forward(&embeddings, None).unwrap();
    let all = Tensor::ones([2, 8], INT64_CPU);
    assert!(close(&tower.forward(&embeddings, Some(&all)).unwrap(), &plain));
    let hidden = all.copy();
    let _ = hidden.select(1, 3).fill_(0);
    let other = ids.copy();
    let _ = other.select(1, 3).fill_(55);
    let a = tower.forward(&embeddings, Some(&hidden)).unwrap();
    let b = tower
        .forward(&tower.embed(&other).unwrap(), Some(&hidden))
        .unwrap();
    assert!(close(&a.narrow(1, 4, 4), &b.narrow(1, 4, 4)));
    assert!(!close(&a.narrow(1, 4, 4), &plain.narrow(1, 4, 4)));
}

#[test]
fn a_text_ends_at_the_first_end_token_or_at_the_largest_id() {
    let ids = Tensor::from_slice2(&[[58i64, 3, 57, 40, 57], [58, 57, 57, 59, 59], [58, 1, 2, 3, 4]]);
    let ends = |eos_token_id| {
        let tower = tower(ClipTextConfig {
            eos_token_id,
            ..config()
        });
        Vec::<i64>::try_from(tower.ends(&ids).unwrap()).unwrap()
    };
    assert_eq!(ends(57), [2, 1, 0]); // 0 where there is none
    assert_eq!(ends(2), [0, 3, 0]);
    assert!(tower(config()).ends(&Tensor::zeros([2, 0], INT64_CPU)).is_err());
}

#[test]
fn layer_by_layer_with_a_common_beginning_gives_the_same_texts() {
    let tower = tower(config());
    let ids = Tensor::from_slice2(&[
        [START, 5, 6, 1, 2, END],
        [START, 5, 6, 3, END, END],
        [START, 5, 6, END, END, END],
    ]);
    let (embeddings, ends) = (tower.embed(&ids).unwrap(), tower.ends(&ids).unwrap());
    let head = embeddings.get(0).narrow(0, 0, 3);
    let mut states = tower.begin(&head, &embeddings.narrow(1, 3, 3)).unwrap();
    for layer in 0..2 {
        states = tower.pass(layer, &states).unwrap();
    }
    let stepped = tower.finish(&states, &(&ends - 3)).unwrap();
    assert!(close(&stepped, &tower.texts(&embeddings, &ends).unwrap()));
    let error = tower.attend(2, &states).unwrap_err().to_string();
    assert_eq!(error, "the text transformer has 2 layers, got number 2");
    let long = tower.embed(&ids.repeat([1, 6])).unwrap();
    assert!(tower.begin(&head, &long).is_err());
}

#[test]
fn the_short_way_to_a_text_is_the_long_one() {
    let tower = tower(config());
    let ids = Tensor::from_slice2(&[[START, 1, 2, END], [START, 3, END, END]]);
    let (embeddings, ends) = (tower.embed(&ids).unwrap(), tower.ends(&ids).unwrap());
    let states = tower.forward(&embeddings, None).unwrap();
    let long = tower.project(&tower.pool(&states, &ends).unwrap()).unwrap();
    assert!(close(&tower.texts(&embeddings, &ends).unwrap(), &long));
    let all = tower.states(&embeddings, None).unwrap();
    assert_eq!(all.len(), 3); // in, and behind each of two layers
    let norm = all[2].layer_norm([H], None::<&Tensor>, None::<&Tensor>, 1e-5, true);
    let state = random_state(&config(), 1);
    let last = |name: &str| &state[&format!("text_model.final_layer_norm.{name}")];
    assert!(close(&(norm * last("weight") + last("bias")), &states));
}

#[test]
fn what_cannot_be_embedded_is_refused() {
    let tower = tower(config());
    let error = tower.embed(&Tensor::from_slice2(&[[START, 60]])).unwrap_err();
    assert_eq!(
        error.to_string(),
        "token id 60 has no embedding, expected 0 to 59"
    );
    assert!(tower.embed(&Tensor::from_slice2(&[[-1i64]])).is_err());
    assert!(tower.embed(&Tensor::zeros([1, 2], FLOAT_CPU)).is_err());
    let long = Tensor::zeros([1, 33, H], FLOAT_CPU);
    let error = tower.forward(&long, None).unwrap_err().to_string();
    assert!(
        error.contains("33 tokens, the network takes at most 32"),
        "{error}"
    );
    assert!(tower.forward(&Tensor::zeros([1, 2, 5], FLOAT_CPU), None).is_err());
    let mask = Tensor::ones([1, 3], FLOAT_CPU);
    assert!(
        tower
            .forward(&Tensor::zeros([1, 2, H], FLOAT_CPU), Some(&mask))
            .is_err()
    );
}

#[test]
fn tokens_are_lower_case_pieces_between_start_and_end() {
    let folder = tempfile::tempdir().unwrap();
    tiny_model(folder.path(), 1);
    let tokens = tokens::load(folder.path(), 6).unwrap();
    // `wave</w>` by its merges; "kin." is k, i, n</w> and .</w>.
    assert_eq!(tokens.ids("Wave").unwrap(), [START, 56, END]);
    assert_eq!(tokens.ids("kin.").unwrap(), [START, 10, 8, 39, 53, END]);
    assert_eq!(tokens.ids("  wave \n A").unwrap(), [START, 56, 26, END]);
    // Cut, with its end.
    assert_eq!(tokens.ids("wave wave wave a a a").unwrap().len(), 6);
    assert_eq!(
        tokens.ids("wave wave wave a a a").unwrap().last().copied(),
        Some(END)
    );
}

#[test]
fn a_batch_equals_its_texts_one_by_one() {
    let folder = tempfile::tempdir().unwrap();
    tiny_model(folder.path(), 1);
    let mut encoder = open(&options(folder.path()));
    let together = encoder.encode(&texts()).unwrap();
    assert_eq!(together.size(), [4, 7]);
    let alone: Vec<_> = texts()
        .iter()
        .map(|t| encoder.encode(std::slice::from_ref(t)).unwrap())
        .collect();
    assert!(close(&together, &Tensor::cat(&alone, 0)));
    assert!(!close(&together.get(0), &together.get(1)));
    let old = fs::read_to_string(folder.path().join("config.json")).unwrap();
    let old = old.replace("\"eos_token_id\":59", "\"eos_token_id\":2");
    fs::write(folder.path().join("config.json"), old).unwrap();
    assert!(close(
        &open(&options(folder.path())).encode(&texts()).unwrap(),
        &together
    ));
}

#[test]
fn vectors_have_length_one_unless_told_otherwise() {
    let folder = tempfile::tempdir().unwrap();
    tiny_model(folder.path(), 1);
    let vectors = open(&options(folder.path())).encode(&texts()).unwrap();
    let length = vectors.square().sum_dim_intlist([1i64].as_slice(), false, None);
    assert!(close(&length, &length.ones_like()));
    let raw = ClipConfig {
        normalise: false,
        ..options(folder.path())
    };
    let mut raw = open(&raw);
    assert_ne!(raw.fingerprint(), open(&options(folder.path())).fingerprint());
    let raw = raw.encode(&texts()).unwrap();
    assert!(!close(&raw, &vectors));
    assert!(close(&unit(&raw), &vectors));
}

#[test]
fn the_text_part_of_a_whole_clip_is_found() {
    let root = tempfile::tempdir().unwrap();
    let (text, whole) = (root.path().join("text"), root.path().join("whole"));
    tiny_model(&text, 1);
    tiny_model(&whole, 1);
    let mut part = serde_json::to_value(config()).unwrap();
    part["projection_dim"] = json!(512);
    let config =
        json!({"model_type": "clip", "projection_dim": 7, "text_config": part, "text_config_dict": null});
    fs::write(whole.join("config.json"), config.to_string()).unwrap();
    let (a, b) = (open(&options(&text)), open(&options(&whole)));
    assert_eq!(a.fingerprint(), b.fingerprint());
    assert_eq!(b.width(), 7);
    tiny_model(&whole, 2);
    assert_ne!(
        open(&options(&whole)).fingerprint(),
        a.fingerprint(),
        "other weights"
    );
}

#[test]
fn the_words_own_vectors_as_context_give_the_plain_texts() {
    let folder = tempfile::tempdir().unwrap();
    tiny_model(folder.path(), 1);
    let mut encoder = open(&options(folder.path()));
    let names = ["wave", "kick", "a jump"].map(str::to_owned);
    let prompts = encoder.prompts(&names, "a wave of").unwrap();
    let context = prompts.context();
    assert_eq!(context.size(), [4, H]); // a</w>, wave</w>, o, f</w>
    let plain: Vec<_> = names.iter().map(|n| format!("a wave of {n}.")).collect();
    let want = encoder.encode(&plain).unwrap();
    assert!(close(&prompts.texts(&context).unwrap(), &want));
    assert!(!close(&prompts.texts(&(context * 1.5)).unwrap(), &want));
}

#[test]
fn the_provider_of_descriptions_gives_prompts_of_its_classes() {
    let root = tempfile::tempdir().unwrap();
    let (model, file) = (root.path().join("model"), root.path().join("texts.json"));
    tiny_model(&model, 1);
    fs::write(
        &file,
        r#"{"wave": {"global": "wave a"}, "kick": {"global": "a kick"}}"#,
    )
    .unwrap();
    let options: DescriptionsConfig = serde_json::from_value(json!({
        "file": file, "granularities": ["global"], "text_encoder": {"type": "clip", "model": model},
    }))
    .unwrap();
    assert!(options.prompts());
    let ctx = BuildContext {
        cache: root.path().join("cache"),
        ..build_context()
    };
    let mut provider = options.build(&ctx).unwrap();
    let classes = ClassList::numbered(["wave", "kick"].map(str::to_owned)).unwrap();
    let prompts = provider.prompt_tower(&classes).unwrap().unwrap();
    let plain = ["wave", "kick"].map(|name| format!("a video of a person {name}."));
    let want = open(&self::options(&model)).encode(&plain).unwrap();
    assert!(close(&prompts.texts(&prompts.context()).unwrap(), &want));
    assert!(!DescriptionsConfig::default().prompts());
}

#[test]
fn gradients_reach_the_context_and_nothing_else() {
    let ids = Tensor::from_slice2(&[[START, 1, 2, 5, END, 0], [START, 1, 2, 6, 7, END]]);
    let prompts = PromptTower::new(tower(config()), &ids, 2).unwrap();
    let mut rng = Seed(2).rng();
    let towards = random(&mut rng, &[2, 7]);
    let value = |context: &Tensor| (prompts.texts(context).unwrap() * &towards).sum(Kind::Double);
    assert!(!value(&prompts.context()).requires_grad());
    let context = prompts.context().set_requires_grad(true);
    value(&context).backward();
    let gradient = context.grad();
    // Against the slope along a random direction.
    let direction = random(&mut rng, &[2, H]);
    let at = |step: f64| value(&(prompts.context() + &direction * step)).double_value(&[]);
    let slope = (at(5e-3) - at(-5e-3)) / 1e-2;
    let told = (&gradient * &direction).sum(Kind::Double).double_value(&[]);
    assert!(
        (slope - told).abs() < 1e-2 * slope.abs().max(0.1),
        "{slope} {told}"
    );
    assert!(told.abs() > 1e-3, "{told}");
    for row in 0..2 {
        assert!(gradient.get(row).abs().max().double_value(&[]) > 1e-4);
    }
}

#[test]
fn prompts_that_cannot_be_are_refused() {
    let refused = |ids: &Tensor, n_ctx| {
        let made = PromptTower::new(tower(config()), ids, n_ctx);
        made.unwrap_err().to_string()
    };
    let ids = Tensor::from_slice2(&[[START, 1, 2, 5, END], [START, 1, 3, 6, END]]);
    assert!(refused(&ids, 2).contains("differ between classes"));
    assert!(refused(&ids, 0).contains("a context of 0 tokens"));
    assert!(refused(&ids, 4).contains("expected 1 to 3"));
    assert!(refused(&ids.get(0), 1).contains("token ids"));
    let early = Tensor::from_slice2(&[[START, 1, END, 5, END]]);
    assert!(
        refused(&early, 2).contains("ends at token 2"),
        "{}",
        refused(&early, 2)
    );
    let long = Tensor::full([1, 40], 5, INT64_CPU);
    let _ = long.select(1, 39).fill_(END);
    assert!(refused(&long, 2).contains("40 tokens"));
    let prompts = PromptTower::new(tower(config()), &ids, 1).unwrap();
    assert!(prompts.texts(&Tensor::zeros([2, H], FLOAT_CPU)).is_err());
}

#[test]
fn a_folder_that_is_not_a_clip_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    assert!(refused(&options(&at("nowhere"))).contains("there is no model folder"));
    tiny_model(folder.path(), 1);
    let config = fs::read_to_string(at("config.json")).unwrap();
    let swap = |from: &str, to: &str| {
        assert!(config.contains(from), "{from}");
        fs::write(at("config.json"), config.replace(from, to)).unwrap();
        refused(&options(folder.path()))
    };
    for (from, to, want) in [
        (
            "\"clip_text_model\"",
            "\"bert\"",
            "`model_type` is `bert`, expected `clip`",
        ),
        (
            "attention_heads\":3",
            "attention_heads\":5",
            "12 is not a multiple of",
        ),
        (
            "\"num_hidden_layers\":2",
            "\"num_hidden_layers\":0",
            "`num_hidden_layers` is 0",
        ),
        (
            "\"num_hidden_layers\":2",
            "\"num_hidden_layers\":3",
            "layers.2.self_attn.q_proj.weight` is missing",
        ),
        (
            "\"vocab_size\":60",
            "\"vocab_size\":59",
            "has id 59, but the network knows 59",
        ),
        (
            "\"projection_dim\":7",
            "\"projection_dim\":8",
            "`text_projection.weight` has shape [7, 12]",
        ),
        ("\"quick_gelu\"", "\"swish\"", "expected `quick_gelu` or `gelu`"),
        (
            "\"eos_token_id\":59",
            "\"eos_token_id\":3",
            "ends texts with token 59, expected 3",
        ),
        ("embeddings\":32", "embeddings\":2", "is 2, expected at least 3"),
    ] {
        let error = swap(from, to);
        assert!(error.contains(want), "{want}: {error}");
    }
    fs::write(at("config.json"), &config).unwrap();
    fs::write(at("merges.txt"), "#version: 0.2\nx y\n").unwrap();
    let error = refused(&options(folder.path()));
    assert!(
        error.contains("vocab.json") && error.contains("merges.txt"),
        "{error}"
    );
    fs::remove_file(at("merges.txt")).unwrap();
    assert!(refused(&options(folder.path())).contains("merges.txt"));
    tiny_model(folder.path(), 1);
    let without = vocabulary().to_string().replace("<|startoftext|>", "<|s|>");
    fs::write(at("vocab.json"), without).unwrap();
    assert!(refused(&options(folder.path())).contains("holds no token `<|startoftext|>`"));
    tiny_model(folder.path(), 1);
    fs::remove_file(at("model.safetensors")).unwrap();
    assert!(refused(&options(folder.path())).contains("there is no `model.safetensors`"));
}

#[test]
fn options_are_judged_without_touching_anything() {
    let mut problems = Problems::new();
    ClipConfig {
        batch: 0,
        ..ClipConfig::default()
    }
    .validate(&mut problems);
    let fields: Vec<_> = problems.iter().map(|p| p.field.as_str()).collect();
    assert_eq!(fields, ["model", "batch"]);
    assert!(ClipConfig::default().build(&build_context()).is_err());
}
