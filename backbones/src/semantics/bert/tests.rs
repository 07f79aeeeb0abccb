//! On a tiny random network in a temporary folder.

use super::*;
use std::fs;
use std::path::Path;
use szar_core::testing::build_context;
use szar_core::{NamedTensors, Seed};

use crate::semantics::parameters::random;

const WORDS: [&str; 14] = [
    "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "person", "walk", "wave", "##s", "hand", "the",
    "kick", ",",
];

fn random_state(h: i64, layers: i64, inner: i64, seed: u64) -> NamedTensors {
    let mut rng = Seed(seed).rng();
    let mut state = NamedTensors::new();
    let mut add = |name: String, shape: &[i64]| {
        let centre = if name.ends_with("LayerNorm.weight") {
            1.0
        } else {
            0.0
        };
        state.insert(name, random(&mut rng, shape) + centre);
    };
    for (name, rows) in [("word", WORDS.len() as i64), ("position", 16), ("token_type", 2)] {
        add(format!("bert.embeddings.{name}_embeddings.weight"), &[rows, h]);
    }
    let mut pairs = vec![("embeddings.LayerNorm".to_owned(), vec![h])];
    for i in 0..layers {
        let at = format!("encoder.layer.{i}");
        for part in ["query", "key", "value"] {
            pairs.push((format!("{at}.attention.self.{part}"), vec![h, h]));
        }
        pairs.push((format!("{at}.attention.output.dense"), vec![h, h]));
        pairs.push((format!("{at}.attention.output.LayerNorm"), vec![h]));
        pairs.push((format!("{at}.intermediate.dense"), vec![inner, h]));
        pairs.push((format!("{at}.output.dense"), vec![h, inner]));
        pairs.push((format!("{at}.output.LayerNorm"), vec![h]));
    }
    for (name, shape) in pairs {
        add(format!("bert.{name}.weight"), &shape);
        add(format!("bert.{name}.bias"), &shape[..1]);
    }
    state
}

/// Writes a model of width 12 with two layers; a folder written twice with one seed is the same.
pub(crate) fn tiny_model(folder: &Path, seed: u64) {
    fs::create_dir_all(folder).unwrap();
    let state = random_state(12, 2, 20, seed);
    checkpoint::save(&folder.join("model.safetensors"), &state, &[]).unwrap();
    let config = serde_json::json!({
        "model_type": "bert", "hidden_size": 12, "num_hidden_layers": 2, "num_attention_heads": 3,
        "intermediate_size": 20, "max_position_embeddings": 16, "vocab_size": WORDS.len(),
    });
    fs::write(folder.join("config.json"), config.to_string()).unwrap();
    fs::write(folder.join("vocab.txt"), WORDS.join("\n")).unwrap();
}

fn options(folder: &Path) -> SentenceBertConfig {
    SentenceBertConfig {
        model: folder.into(),
        ..Default::default()
    }
}

fn open(options: &SentenceBertConfig) -> SentenceBert {
    SentenceBert::open(options, Device::Cpu).unwrap()
}

fn refused(options: &SentenceBertConfig) -> String {
    match SentenceBert::open(options, Device::Cpu) {
        Ok(mut encoder) => encoder.encode(&["walk".to_owned()]).unwrap_err().to_string(),
        Err(error) => error.to_string(),
    }
}

fn texts() -> Vec<String> {
    let all = [
        "walk",
        "a person waves the hand",
        "kick, kick",
        "the zebra walks",
        "wave",
    ];
    all.map(str::to_owned).to_vec()
}

#[test]
fn a_batch_equals_its_texts_one_by_one() {
    let folder = tempfile::tempdir().unwrap();
    tiny_model(folder.path(), 1);
    let mut encoder = open(&options(folder.path()));
    let together = encoder.encode(&texts()).unwrap();
    let alone: Vec<_> = texts()
        .iter()
        .map(|t| encoder.encode(std::slice::from_ref(t)).unwrap())
        .collect();
    // The texts differ in length, so that all but one are padded when together. Rounding only.
    assert!(together.allclose(&Tensor::cat(&alone, 0), 1e-5, 1e-6, false));
    let small = SentenceBertConfig {
        batch: 2,
        ..options(folder.path())
    };
    assert!(
        open(&small)
            .encode(&texts())
            .unwrap()
            .allclose(&together, 1e-5, 1e-6, false)
    );
    // And they are told apart.
    assert!(f64::try_from((together.get(0) - together.get(4)).abs().max()).unwrap() > 1e-2);
}

#[test]
fn more_padding_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    tiny_model(folder.path(), 1);
    let encoder = open(&options(folder.path()));
    let network = encoder.load().unwrap();
    let row = encoder.tokens.ids("a person walks").unwrap();
    assert_eq!(row, [2, 5, 6, 7, 9, 3]); // [CLS] a person walk ##s [SEP]
    let (ids, mask) = pad(&[&row], 0);
    let wide = |t: &Tensor| t.constant_pad_nd([0, 7]);
    let short = pool(&network.forward(&ids, &mask).unwrap(), &mask, Pooling::Mean);
    let long = pool(
        &network.forward(&wide(&ids), &wide(&mask)).unwrap(),
        &wide(&mask),
        Pooling::Mean,
    );
    assert!(long.allclose(&short, 1e-5, 1e-6, false));
}

#[test]
fn vectors_have_length_one_unless_told_otherwise() {
    let folder = tempfile::tempdir().unwrap();
    tiny_model(folder.path(), 1);
    let unit = open(&options(folder.path())).encode(&texts()).unwrap();
    let length = unit
        .square()
        .sum_dim_intlist([1i64].as_slice(), false, Kind::Float)
        .sqrt();
    assert!(length.allclose(&length.ones_like(), 1e-6, 1e-6, false));
    let raw = SentenceBertConfig {
        normalise: false,
        ..options(folder.path())
    };
    let raw = open(&raw).encode(&texts()).unwrap();
    assert!(!raw.allclose(&unit, 1e-2, 1e-2, false));
    assert!(super::unit(&raw).allclose(&unit, 1e-6, 1e-6, false));
}

#[test]
fn long_texts_are_cut() {
    let folder = tempfile::tempdir().unwrap();
    tiny_model(folder.path(), 1);
    let mut short = open(&SentenceBertConfig {
        max_length: Some(4),
        ..options(folder.path())
    });
    let got = short
        .encode(&["walk wave kick hand".into(), "walk wave".into()])
        .unwrap();
    assert!(got.get(0).allclose(&got.get(1), 1e-6, 1e-6, false));
    let endless = "walk ".repeat(1000);
    assert!(open(&options(folder.path())).encode(&[endless]).is_ok());
}

#[test]
fn the_fingerprint_follows_what_decides_the_vectors() {
    let root = tempfile::tempdir().unwrap();
    let (a, b) = (root.path().join("a"), root.path().join("b"));
    tiny_model(&a, 1);
    tiny_model(&b, 1);
    let of = |o: &SentenceBertConfig| open(o).fingerprint();
    assert_eq!(of(&options(&a)), of(&options(&b)), "the place does not matter");
    let fewer = SentenceBertConfig {
        max_length: Some(5),
        ..options(&a)
    };
    let raw = SentenceBertConfig {
        normalise: false,
        ..options(&a)
    };
    assert_ne!(of(&options(&a)), of(&fewer));
    assert_ne!(of(&options(&a)), of(&raw));
    tiny_model(&b, 2);
    assert_ne!(of(&options(&a)), of(&options(&b)), "other weights");
}

#[test]
fn pooling_is_read_from_the_folder() {
    let folder = tempfile::tempdir().unwrap();
    tiny_model(folder.path(), 1);
    let mean = open(&options(folder.path())).encode(&texts()).unwrap();
    let file = folder.path().join("1_Pooling/config.json");
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(&file, r#"{"pooling_mode_cls_token": true}"#).unwrap();
    let cls = open(&options(folder.path())).encode(&texts()).unwrap();
    assert!(!cls.allclose(&mean, 1e-2, 1e-2, false));
    fs::write(&file, r#"{"pooling_mode_max_tokens": true}"#).unwrap();
    let error = refused(&options(folder.path()));
    assert!(
        error.contains("1_Pooling/config.json: expected exactly one of"),
        "{error}"
    );
}

#[test]
fn a_folder_that_is_not_a_bert_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let missing = refused(&options(&at("nowhere")));
    assert!(
        missing.contains("there is no model folder") && missing.contains("./x model"),
        "{missing}"
    );
    tiny_model(folder.path(), 1);
    fs::write(
        at("modules.json"),
        r#"[{"type": "sentence_transformers.models.Dense"}]"#,
    )
    .unwrap();
    let error = refused(&options(folder.path()));
    assert!(error.contains("module `Dense` is unknown"), "{error}");
    fs::remove_file(at("modules.json")).unwrap();
    let long = SentenceBertConfig {
        max_length: Some(17),
        ..options(folder.path())
    };
    assert!(
        refused(&long).contains("`max_length` is 17"),
        "{}",
        refused(&long)
    );

    let config = fs::read_to_string(at("config.json")).unwrap();
    let swap = |from: &str, to: &str| {
        assert!(config.contains(from));
        fs::write(at("config.json"), config.replace(from, to)).unwrap();
        refused(&options(folder.path()))
    };
    let error = swap("\"bert\"", "\"roberta\"");
    assert!(
        error.contains("`model_type` is `roberta`, expected `bert`"),
        "{error}"
    );
    let error = swap("\"num_attention_heads\":3", "\"num_attention_heads\":5");
    assert!(error.contains("not a multiple"), "{error}");
    let error = swap("\"num_hidden_layers\":2", "\"num_hidden_layers\":3");
    assert!(
        error.contains("`encoder.layer.2.attention.self.query.weight` is missing"),
        "{error}"
    );
    let error = swap("\"vocab_size\":14", "\"vocab_size\":13");
    assert!(error.contains("vocab.txt, token `,`: has id 13"), "{error}");
    fs::write(at("config.json"), "{\n \"hidden_size\": }").unwrap();
    let error = refused(&options(folder.path()));
    assert!(
        error.contains("config.json") && error.contains("line 2"),
        "{error}"
    );
    fs::write(at("config.json"), &config).unwrap();
    fs::write(at("vocab.txt"), "[PAD]\n[UNK]\n[CLS]").unwrap();
    let error = refused(&options(folder.path()));
    assert!(error.contains("vocab.txt: holds no line `[SEP]`"), "{error}");
    fs::remove_file(at("model.safetensors")).unwrap();
    tiny_vocabulary_back(folder.path());
    let error = refused(&options(folder.path()));
    assert!(error.contains("there is no `model.safetensors`"), "{error}");
}

fn tiny_vocabulary_back(folder: &Path) {
    fs::write(folder.join("vocab.txt"), WORDS.join("\n")).unwrap();
}

#[test]
fn options_are_judged_without_touching_anything() {
    let mut problems = Problems::new();
    let wrong = SentenceBertConfig {
        batch: 0,
        max_length: Some(2),
        ..Default::default()
    };
    wrong.validate(&mut problems);
    let fields: Vec<_> = problems.iter().map(|p| p.field.as_str()).collect();
    assert_eq!(fields, ["model", "batch", "max_length"]);
    assert!(SentenceBertConfig::default().build(&build_context()).is_err());
}
