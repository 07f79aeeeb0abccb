//! On a tiny random network and two classes.

use super::*;
use crate::semantics::bert::SentenceBertConfig;
use crate::semantics::bert::tests::tiny_model;
use crate::semantics::embed::{Sources, embed};
use std::fs;
use std::path::{Path, PathBuf};
use szar_core::{ClassId, Seed};
use tch::Kind;
use tempfile::TempDir;

const TWO: &str = r#"{
 "walk": {"index": 0, "global": "walk a walk",
          "parts": {"head": "the head", "hands": "the hand", "torso": "a", "legs": "walks"},
          "phases": {"start": "a", "middle": "walk", "end": "a"}, "concept": "walk"},
 "wave": {"index": 4, "global": "waves",
          "parts": {"head": "the head", "hands": "waves the hand", "torso": "a", "legs": "a"},
          "phases": {"start": "a hand", "middle": "waves", "end": "a"}}
}"#;

/// A folder with a model, a file of descriptions and a cache.
struct Bench {
    folder: TempDir,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        tiny_model(&folder.path().join("model"), 1);
        fs::write(folder.path().join("two.json"), TWO).unwrap();
        Self { folder }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn ctx(&self) -> BuildContext {
        BuildContext {
            device: Device::Cpu,
            seed: Seed(0),
            cache: self.at("cache"),
        }
    }

    fn model(&self, name: &str) -> SentenceBertConfig {
        SentenceBertConfig {
            model: self.at(name).into(),
            ..Default::default()
        }
    }

    fn config(&self) -> DescriptionsConfig {
        DescriptionsConfig {
            file: self.at("two.json").into(),
            text_encoder: Some(Arc::new(self.model("model"))),
            ..Default::default()
        }
    }

    /// Vectors of the two classes, without an encoder to make more.
    fn shipped(&self) -> DescriptionsConfig {
        let mut encoder = self.model("model").build(&self.ctx()).unwrap();
        let out = self.at("shipped.safetensors");
        let sources = Sources {
            descriptions: vec![self.at("two.json")],
            ..Default::default()
        };
        embed(&sources, &[], None, encoder.as_mut(), "tiny", &out).unwrap();
        DescriptionsConfig {
            text_encoder: None,
            embeddings: Some(out.into()),
            ..self.config()
        }
    }

    fn anchors(&self, config: &DescriptionsConfig) -> Result<SemanticAnchors> {
        config.build(&self.ctx())?.anchors(&classes())
    }

    fn refused(&self, config: &DescriptionsConfig) -> String {
        self.anchors(config).unwrap_err().to_string()
    }

    /// The error for a changed file of descriptions.
    fn refused_file(&self, text: &str) -> String {
        fs::write(self.at("two.json"), text).unwrap();
        self.refused(&self.config())
    }
}

fn classes() -> ClassList {
    ClassList::new([(ClassId(0), "walk".to_owned()), (ClassId(4), "wave".to_owned())]).unwrap()
}

fn files_below(folder: &Path) -> usize {
    fs::read_dir(folder).map_or(0, |entries| {
        entries
            .flatten()
            .map(|e| {
                if e.path().is_dir() {
                    files_below(&e.path())
                } else {
                    1
                }
            })
            .sum()
    })
}

#[test]
fn each_anchor_is_the_vector_of_its_own_text() {
    let bench = Bench::new();
    let anchors = bench.anchors(&bench.config()).unwrap();
    assert_eq!(anchors.values.size(), [2, 8, 12]);
    assert_eq!(anchors.granularities, Granularity::PURLS_ORDER);
    let mut encoder = bench.model("model").build(&bench.ctx()).unwrap();
    let mut check = |class: i64, granularity: Granularity, text: &str| {
        let want = encoder.encode(&[text.to_owned()]).unwrap().get(0);
        let got = anchors.granularity(&granularity).unwrap().get(class);
        assert!(got.allclose(&want, 1e-5, 1e-6, false), "{class} {granularity}"); // rounding by batch shape
    };
    check(0, Granularity::GLOBAL, "walk: walk a walk");
    check(1, Granularity::GLOBAL, "wave: waves");
    check(1, Granularity::HANDS, "waves the hand");
    check(0, Granularity::MIDDLE, "walk");
    check(1, Granularity::END, "a");
}

#[test]
fn a_cached_run_equals_the_first_bit_for_bit() {
    let bench = Bench::new();
    let first = bench.anchors(&bench.config()).unwrap();
    assert_eq!(files_below(&bench.at("cache")), 1);
    let again = bench.anchors(&bench.config()).unwrap();
    assert!(again.values.equal(&first.values));
    fs::remove_dir_all(bench.at("cache")).unwrap();
    assert!(
        bench
            .anchors(&bench.config())
            .unwrap()
            .values
            .equal(&first.values)
    );
}

#[test]
fn runs_side_by_side_share_a_cache() {
    let bench = Bench::new();
    let want = bench.anchors(&bench.config()).unwrap().values;
    fs::remove_dir_all(bench.at("cache")).unwrap();
    let want = Vec::<f32>::try_from(want.flatten(0, -1)).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let got = bench.anchors(&bench.config()).unwrap().values;
                let got = Vec::<f32>::try_from(got.flatten(0, -1)).unwrap();
                assert!(got.iter().zip(&want).all(|(a, b)| (a - b).abs() < 1e-5));
            });
        }
    });
}

#[test]
fn shipped_vectors_need_no_model() {
    let bench = Bench::new();
    let want = bench.anchors(&bench.config()).unwrap();
    let shipped = bench.shipped();
    let got = bench.anchors(&shipped).unwrap();
    assert!(got.values.allclose(&want.values, 1e-5, 1e-6, false));
    let absent = DescriptionsConfig {
        text_encoder: Some(Arc::new(bench.model("nowhere"))),
        ..shipped
    };
    assert!(bench.anchors(&absent).unwrap().values.equal(&got.values));
}

#[test]
fn a_text_that_is_not_shipped_needs_the_model() {
    let bench = Bench::new();
    let mut config = bench.shipped();
    config.templates.insert(Granularity::HANDS, "the {text}".into());
    let error = bench.refused(&config);
    let names = error.contains("no vector for class `walk`, `hands`: \"the the hand\" (2 texts are missing)");
    assert!(
        names && error.contains("no text encoder is given; `./x model` prints"),
        "{error}"
    );
    config.text_encoder = Some(Arc::new(bench.model("nowhere")));
    let error = bench.refused(&config);
    assert!(error.contains("there is no model folder"), "{error}");
    // With the model, the two come from it and the rest from the file.
    config.text_encoder = Some(Arc::new(bench.model("model")));
    let mixed = bench.anchors(&config).unwrap();
    config.embeddings = None;
    let fresh = bench.anchors(&config).unwrap();
    assert!(mixed.values.allclose(&fresh.values, 1e-5, 1e-6, false));
}

#[test]
fn shipped_vectors_of_another_model_are_refused() {
    let bench = Bench::new();
    tiny_model(&bench.at("other"), 2);
    let config = DescriptionsConfig {
        text_encoder: Some(Arc::new(bench.model("other"))),
        ..bench.shipped()
    };
    let error = bench.refused(&config);
    assert!(
        error.contains("are of different models or settings") && error.contains("weights="),
        "{error}"
    );
}

#[test]
fn a_missing_model_is_an_error_where_nothing_is_shipped() {
    let bench = Bench::new();
    let config = DescriptionsConfig {
        text_encoder: Some(Arc::new(bench.model("nowhere"))),
        ..bench.config()
    };
    let error = bench.refused(&config);
    assert!(
        error.contains("there is no model folder") && error.contains("./x model"),
        "{error}"
    );
}

#[test]
fn classes_are_found_by_name_and_checked_by_number() {
    let bench = Bench::new();
    let build = || bench.config().build(&bench.ctx()).unwrap();
    let list = |id: i64, name: &str| ClassList::new([(ClassId(id), name.to_owned())]).unwrap();
    let error = build().anchors(&list(4, "wavee")).unwrap_err().to_string();
    let whole = "no description of class 4 `wavee`: unknown class `wavee`; did you mean `wave`?";
    assert!(error.contains(whole), "{error}");
    let error = build().anchors(&list(1, "wave")).unwrap_err().to_string();
    let whole = "two.json, class `wave`: `index` is 4, but the dataset's number of `wave` is 1";
    assert!(error.contains(whole), "{error}");
}

#[test]
fn a_file_may_be_yaml_and_a_class_a_text_alone() {
    let bench = Bench::new();
    let path = bench.at("own.yaml");
    let read = |text: &str| {
        fs::write(&path, text).unwrap();
        DescriptionFile::load(&path).map_err(|e| e.to_string())
    };
    let file = read("walk: a walk\nwave: {index: 9, global: waves, head: the head, noun: null}\n").unwrap();
    let texts = |file: &DescriptionFile| -> Vec<String> {
        let text = |(class, g, text): (&str, &Granularity, &str)| format!("{class} {g} {text}");
        file.texts().map(text).collect()
    };
    let said = [
        "walk global a walk",
        "wave global waves",
        "wave head the head",
        "wave noun ",
    ];
    assert_eq!(texts(&file), said);
    assert!(file.class(ClassId(4), "wave").is_err());
    let file = file.without_numbers();
    assert!(file.class(ClassId(4), "wave").is_ok());
    let wanted = [
        Granularity::HEAD,
        Granularity::NOUN,
        Granularity::LABEL,
        Granularity::GLOBAL,
    ];
    let filled = [
        "walk global a walk",
        "walk head a walk",
        "wave global waves",
        "wave head the head",
        "wave noun ",
    ];
    assert_eq!(texts(&file.filled(&wanted)), filled);
    let error = read("walk: a\nwave: b\nwalk: c\n").unwrap_err();
    assert!(
        error.contains("own.yaml") && error.contains("`walk` is given twice"),
        "{error}"
    );
    assert!(
        read("walk: 3\n")
            .unwrap_err()
            .contains("an object of texts, or a text")
    );
    assert!(read("walk: [").unwrap_err().contains("own.yaml"));
}

#[test]
fn what_is_wrong_in_a_file_is_named() {
    let bench = Bench::new();
    let error = bench.refused_file(&TWO.replace("\"legs\": \"a\"", "\"leg\": \"a\""));
    assert!(
        error.contains("class `wave`: has no text `legs`") && error.contains("mean `leg`"),
        "{error}"
    );
    let error = bench.refused_file(&TWO.replace("\"the hand\"", "\" \""));
    assert!(error.contains("class `walk`, `hands`: is empty"), "{error}");
    let error = bench.refused_file(&TWO.replace("\"walks\"", "3"));
    assert!(
        error.contains("class `walk`: `parts.legs` is 3, expected a text"),
        "{error}"
    );
    let error = bench.refused_file(&TWO.replace("\"wave\"", "\"walk\""));
    assert!(error.contains("`walk` is given twice at line 5"), "{error}");
    let error = bench.refused_file(&TWO.replace("\"index\": 4,", "\"index\": 4"));
    assert!(
        error.contains("two.json: ") && error.contains("at line 5"),
        "{error}"
    );
    let error = bench.refused_file("[]");
    assert!(error.contains("expected an object at line 1"), "{error}");
    fs::remove_file(bench.at("two.json")).unwrap();
    assert!(bench.refused(&bench.config()).starts_with("cannot read"));
}

#[test]
fn options_are_judged_without_touching_anything() {
    let fields = |config: &DescriptionsConfig| {
        let mut problems = Problems::new();
        config.validate(&mut problems);
        problems.iter().map(|p| p.field.clone()).collect::<Vec<_>>()
    };
    assert_eq!(fields(&DescriptionsConfig::default()), ["file", ""]);
    let bench = Bench::new();
    assert_eq!(fields(&bench.config()), [""; 0]);
    let mut wrong = bench.config();
    wrong.granularities = vec![Granularity::HEAD, Granularity::HEAD];
    wrong.templates.insert(Granularity::LEGS, "{text}".into());
    wrong.templates.insert(Granularity::HEAD, "{tex}".into());
    wrong.text_encoder = Some(Arc::new(SentenceBertConfig::default()));
    let want = [
        "granularities",
        "templates.head",
        "templates.head",
        "templates.legs",
        "text_encoder.model",
    ];
    assert_eq!(fields(&wrong), want);
}

#[test]
fn options_survive_json_with_their_text_encoder() {
    let bench = Bench::new();
    let config: Box<dyn SemanticsConfig> = Box::new(bench.config());
    let text = serde_json::to_string(&config).unwrap();
    assert!(
        text.contains(r#""text_encoder":{"type":"sentence-bert","model":"#),
        "{text}"
    );
    let back: Box<dyn SemanticsConfig> = serde_json::from_str(&text).unwrap();
    assert_eq!(serde_json::to_string(&back).unwrap(), text);
    assert_eq!(back.granularities().len(), 8);
}

/// The texts of the two classes for these granularities.
fn texts(config: &DescriptionsConfig, granularities: &[Granularity]) -> Result<Vec<String>> {
    let config = DescriptionsConfig {
        granularities: granularities.to_vec(),
        ..config.clone()
    };
    Texts::open(&config)?.of(&classes())
}

const OF_THE_NAME: [Granularity; 3] = [Granularity::LABEL, Granularity::VERB, Granularity::NOUN];

#[test]
fn names_verbs_and_nouns_come_from_the_entry_then_a_file_then_the_rules() {
    let bench = Bench::new();
    let mut config = bench.config();
    assert_eq!(texts(&config, &[Granularity::LABEL]).unwrap(), ["walk", "wave"]);
    let error = texts(&config, &OF_THE_NAME).unwrap_err().to_string();
    let both = error.contains("class `walk`: has no text `verb`")
        && error.contains("`parts_of_speech: {file: ...}`")
        && error.contains("`parts_of_speech: rules`");
    assert!(both, "{error}");

    config.parts_of_speech = Some(PartsOfSpeech::Rules);
    let found = texts(&config, &OF_THE_NAME).unwrap();
    assert_eq!(found, ["walk", "walk", "#", "wave", "wave", "#"]);
    config.no_noun = "someone".into();
    assert_eq!(
        texts(&config, &[Granularity::NOUN]).unwrap(),
        ["someone", "someone"]
    );

    let words = r##"{"walk": {"verb": "go", "noun": "way"}, "wave": {"verb": "swing", "noun": "#"}}"##;
    fs::write(bench.at("words.json"), words).unwrap();
    config.parts_of_speech = Some(PartsOfSpeech::File(bench.at("words.json").into()));
    let found = texts(&config, &OF_THE_NAME).unwrap();
    assert_eq!(found, ["walk", "go", "way", "wave", "swing", "someone"]);

    // What the entry says itself counts, even that there is no noun.
    let own = TWO.replace(
        "\"index\": 0,",
        "\"index\": 0, \"verb\": \"step\", \"noun\": null, \"label\": \"walking\",",
    );
    fs::write(bench.at("two.json"), own).unwrap();
    let found = texts(&config, &OF_THE_NAME).unwrap();
    assert_eq!(found, ["walking", "step", "someone", "wave", "swing", "someone"]);
}

#[test]
fn names_alone_need_no_file_of_descriptions() {
    let bench = Bench::new();
    let mut config = bench.config();
    config.file = FilePath::default();
    config.granularities = OF_THE_NAME.to_vec();
    let fields = |config: &DescriptionsConfig| {
        let mut problems = Problems::new();
        config.validate(&mut problems);
        problems.iter().map(|p| p.field.clone()).collect::<Vec<_>>()
    };
    assert_eq!(fields(&config), ["file"]);
    config.parts_of_speech = Some(PartsOfSpeech::Rules);
    assert_eq!(fields(&config), [""; 0]);
    assert_eq!(bench.anchors(&config).unwrap().values.size(), [2, 3, 12]);
    assert_eq!(config.marks().len(), 1);
    config.granularities = vec![Granularity::LABEL];
    assert!(config.marks().is_empty());
    config.no_noun = " ".into();
    config.parts_of_speech = Some(PartsOfSpeech::File(FilePath::default()));
    assert_eq!(fields(&config), ["parts_of_speech", "no_noun"]);
}

#[test]
fn a_name_that_the_rules_cannot_split_says_what_to_write() {
    let bench = Bench::new();
    let config = DescriptionsConfig {
        file: FilePath::default(),
        granularities: vec![Granularity::VERB],
        parts_of_speech: Some(PartsOfSpeech::Rules),
        ..bench.config()
    };
    let yoga = ClassList::numbered(["yoga"]).unwrap();
    let error = Texts::open(&config).unwrap().of(&yoga).unwrap_err().to_string();
    let whole = "find no verb in the class name `yoga`";
    assert!(
        error.contains(whole) && error.contains("{\"yoga\": {\"verb\": ..."),
        "{error}"
    );
}

#[test]
fn the_options_of_words_survive_json() {
    let bench = Bench::new();
    for words in [
        PartsOfSpeech::Rules,
        PartsOfSpeech::File(bench.at("w.json").into()),
    ] {
        let config = DescriptionsConfig {
            parts_of_speech: Some(words),
            ..bench.config()
        };
        let config: Box<dyn SemanticsConfig> = Box::new(config);
        let text = serde_json::to_string(&config).unwrap();
        let back: Box<dyn SemanticsConfig> = serde_json::from_str(&text).unwrap();
        assert_eq!(serde_json::to_string(&back).unwrap(), text);
    }
}

#[test]
fn a_list_of_texts_is_numbered() {
    let bench = Bench::new();
    let listed = TWO.replace("\"index\": 0,", "\"fine\": [\"a\", \"the hand\"],");
    let listed = listed.replace("\"index\": 4,", "\"fine\": [\"walk\", \"waves\"],");
    fs::write(
        bench.at("two.json"),
        listed.replacen('{', "{\"$generated\": {\"model\": \"m\"},", 1),
    )
    .unwrap();
    let second = Granularity("fine_2".into());
    assert_eq!(texts(&bench.config(), &[second]).unwrap(), ["the hand", "waves"]);
    let error = texts(&bench.config(), &[Granularity("fine_3".into())]).unwrap_err();
    assert!(error.to_string().contains("has no text `fine_3`"), "{error}");
}

/// The provider of the quick start, on files of this repository alone, and its classes.
fn quick_start() -> (DescriptionsConfig, ClassList) {
    let configs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../configs");
    let file = configs.join("semantics/procedural_descriptions.json");
    let text = fs::read_to_string(&file).unwrap();
    let entries: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&text).unwrap();
    let config = DescriptionsConfig {
        file: file.into(),
        embeddings: Some(configs.join("embeddings/minilm-l6-v2.safetensors").into()),
        ..Default::default()
    };
    (config, ClassList::numbered(entries.keys().cloned()).unwrap())
}

#[test]
fn the_quick_start_needs_no_model() {
    let (config, classes) = quick_start();
    let anchors = config
        .build(&Bench::new().ctx())
        .unwrap()
        .anchors(&classes)
        .unwrap();
    assert_eq!(anchors.values.size(), [classes.len() as i64, 8, 384]);
    let global = anchors.granularity(&Granularity::GLOBAL).unwrap();
    let cosine = global.matmul(&global.transpose(0, 1))
        - Tensor::eye(classes.len() as i64, (Kind::Float, Device::Cpu));
    let (nearest, diagonal) = (cosine.max(), cosine.diag(0).abs().max());
    assert!(f64::try_from(diagonal).unwrap() < 1e-5, "rows have length 1");
    assert!(
        f64::try_from(nearest).unwrap() < 0.999,
        "no two classes are alike"
    );
}

/// Runs where `SZAR_MINILM` names a folder of all-MiniLM-L6-v2.
#[test]
fn shipped_vectors_are_what_the_model_gives() {
    let Some(model) = std::env::var_os("SZAR_MINILM") else {
        eprintln!("skipped: SZAR_MINILM names no folder of all-MiniLM-L6-v2");
        return;
    };
    let (mut config, classes) = quick_start();
    config.text_encoder = Some(Arc::new(SentenceBertConfig {
        model: PathBuf::from(model).into(),
        ..Default::default()
    }));
    let bench = Bench::new();
    let anchors = |config: &DescriptionsConfig| config.build(&bench.ctx())?.anchors(&classes);
    let shipped = anchors(&config).unwrap(); // would fail if the fingerprints differed
    config.embeddings = None;
    let fresh = anchors(&config).unwrap();
    // Unit vectors from another batch: rounding of f32.
    assert!(fresh.values.allclose(&shipped.values, 1e-4, 2e-6, false));
}
