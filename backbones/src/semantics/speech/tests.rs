//! The rules over whole lists of classes, and files of words.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use super::*;

/// `$SZAR_DATA/semantics`, else `../shared/data/semantics` beside the workspace, where there is one.
fn semantics() -> Option<PathBuf> {
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
    let folder = std::env::var_os("SZAR_DATA")
        .map_or(here, PathBuf::from)
        .join("semantics");
    if !folder.is_dir() {
        eprintln!("skipped: no class lists at {} (set SZAR_DATA)", folder.display());
    }
    folder.is_dir().then_some(folder)
}

fn lines(path: PathBuf) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap();
    text.lines()
        .map(str::to_owned)
        .filter(|l| !l.is_empty())
        .collect()
}

fn keys(path: PathBuf) -> Vec<String> {
    let map: serde_json::Map<String, serde_json::Value> =
        serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    map.keys().filter(|k| !k.starts_with('$')).cloned().collect()
}

/// Classes of a list that the rules cannot split, and those that share both words with an earlier one.
fn flaws(names: &[String]) -> (Vec<&str>, Vec<&str>) {
    let mut seen = BTreeMap::new();
    let (mut without, mut alike) = (Vec::new(), Vec::new());
    for name in names {
        match split(name) {
            None => without.push(name.as_str()),
            Some(words) => {
                if seen.insert((words.verb, words.noun), name).is_some() {
                    alike.push(name.as_str());
                }
            }
        }
    }
    (without, alike)
}

#[test]
fn every_class_of_the_lists_has_a_verb_and_its_own_pair_of_words() {
    let Some(folder) = semantics() else { return };
    let lists = ["ntu60", "ntu120", "ntu120_short", "pku51", "nw_ucla", "utd_mhad"];
    let mut names: Vec<_> = lists
        .iter()
        .map(|l| (*l, lines(folder.join(format!("class_lists/{l}.txt")))))
        .collect();
    for set in ["combined", "msr_action3d", "utkinect"] {
        names.push((set, keys(folder.join(format!("{set}_descriptions.json")))));
    }
    for (list, names) in names {
        let (without, alike) = flaws(&names);
        assert!(without.is_empty(), "{list}: no verb in {without:?}");
        // The short names of NTU-120 have "taking photo" and "take photo".
        let want: &[&str] = if list == "ntu120_short" {
            &["take photo"]
        } else {
            &[]
        };
        assert_eq!(alike, want, "{list}");
    }
}

#[test]
fn the_embedded_motions_are_split_without_a_download() {
    let configs = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../configs/semantics");
    let names = keys(configs.join("procedural_descriptions.json"));
    let (without, alike) = flaws(&names);
    assert_eq!((without.len(), alike.len()), (0, 0), "{without:?} {alike:?}");
}

/// What `parts_of_speech.json` says has its vectors in the shipped file, and so has each name.
#[test]
fn the_shipped_words_and_names_have_shipped_vectors() {
    let configs = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../configs");
    let shipped = configs.join("embeddings/minilm-l6-v2.safetensors");
    let shipped = crate::semantics::vectors::Shipped::load(&shipped).unwrap();
    let path = configs.join("semantics/parts_of_speech.json");
    let words = SpeechFile::load(&path).unwrap();
    let names = keys(path);
    assert!(names.len() > 80);
    for name in &names {
        let words = words.class(name).unwrap();
        for text in [name, &words.verb, words.text(&Granularity::NOUN, NO_NOUN)] {
            assert!(shipped.row(text).is_some(), "{name}: {text}");
        }
    }
    for name in keys(configs.join("semantics/procedural_descriptions.json")) {
        assert!(names.contains(&name), "{name}");
    }
}

/// Against the verbs and nouns of SynSE, which people chose: how often the rules say the same.
#[test]
fn the_rules_agree_with_the_published_words_of_ntu_120() {
    let Some(folder) = semantics() else { return };
    let published = SpeechFile::load(&folder.join("skeleton_cache/ntu120_verb_noun.json")).unwrap();
    let names = lines(folder.join("class_lists/ntu120_short.txt"));
    let (mut verbs, mut nouns) = (0, 0);
    let singular = |noun: &Option<String>| noun.as_deref().map(|n| n.trim_end_matches('s').to_owned());
    for name in &names {
        let (want, got) = (published.class(name).unwrap(), split(name).unwrap());
        let (verb, noun) = (want.verb == got.verb, singular(&want.noun) == singular(&got.noun));
        if !(verb && noun) {
            println!(
                "{name}: {} / {:?}, published {} / {:?}",
                got.verb, got.noun, want.verb, want.noun
            );
        }
        verbs += usize::from(verb);
        nouns += usize::from(noun);
    }
    println!(
        "of {}: {verbs} verbs, {nouns} nouns (but for the plural)",
        names.len()
    );
    // What is left needs knowledge beyond the name: "kicking" kicks someone, "drop" drops an object.
    assert_eq!((verbs, nouns), (108, 98));
}

#[test]
fn a_file_of_words_says_what_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("words.json");
    let refused = |text: &str| {
        fs::write(&path, text).unwrap();
        SpeechFile::load(&path).unwrap_err().to_string()
    };
    let cases = [
        (r#"{"walk": {"noun": "x"}}"#, "class `walk`: has no `verb`"),
        (r#"{"walk": {"verb": " "}}"#, "class `walk`: has no `verb`"),
        (
            r#"{"walk": {"verb": "walk", "nuon": "x"}}"#,
            "did you mean `noun`?",
        ),
        (r#"{"walk": {"verb": 3}}"#, "`verb` is 3, expected a text"),
        (
            r#"{"walk": {"verb": "a"}, "walk": {"verb": "b"}}"#,
            "`walk` is given twice",
        ),
        ("[]", "expected an object"),
        ("{", "line 1"),
    ];
    for (text, why) in cases {
        let error = refused(text);
        assert!(error.contains(why), "{text}: {error}");
    }
    fs::write(
        &path,
        r##"{"$generated": {"model": "m"}, "a": {"verb": "v", "noun": "#"}, "b": {"verb": "v", "noun": "n", "index": 4}}"##,
    )
    .unwrap();
    let file = SpeechFile::load(&path).unwrap();
    assert_eq!(file.class("a").unwrap(), &Words::new("v", None));
    assert_eq!(
        file.class("a").unwrap().text(&Granularity::NOUN, "someone"),
        "someone"
    );
    assert_eq!(file.class("b").unwrap().text(&Granularity::NOUN, "someone"), "n");
    let error = file.class("bb").unwrap_err().to_string();
    assert!(error.contains("did you mean `b`?"), "{error}");
}
