//! What a wrong text is told.

use super::{SOUND, problem, problems, resolve};
use crate::problems::Origin;

fn place(origin: &Option<Origin>) -> (usize, usize) {
    match origin {
        Some(Origin::File { line, column, .. }) => (*line, *column),
        other => panic!("not in a file: {other:?}"),
    }
}

#[test]
fn nine_mistakes_are_reported_at_once_each_at_its_place() {
    let text = "\
name: toy-run
sed: 7
dataset: {type: toy, root: data}
encoder: {type: toy-nett}
semantics:
  type: toy-texts
  text_encoder:
    width: wide
aligner: {type: toy-match, partition: statik}
adapters:
  - type: toy-cache
    capacity: many
    alhpa: 3
  - {type: toy-cache, capacity: 0}
stream: {batch: 0}
";
    let list = problems(text, &["adapters.1.alpah=3"]);
    let found: Vec<_> = list[..list.len() - 1]
        .iter()
        .map(|p| {
            (
                p.field.as_str(),
                place(&p.origin),
                p.message.lines().next().unwrap(),
            )
        })
        .collect();
    let expected = [
        ("sed", (2, 1), "unknown field `sed`"),
        ("encoder.type", (4, 17), "unknown encoder `toy-nett`"),
        ("semantics.text_encoder.type", (7, 3), "missing `type`"),
        ("aligner.partition", (9, 39), "unknown word `statik`"),
        (
            "adapters[0].capacity",
            (12, 15),
            "expected a whole number, found the text `many`",
        ),
        (
            "adapters[0].alhpa",
            (13, 5),
            "unknown field `alhpa` of adapter `toy-cache`",
        ),
        ("adapters[1].capacity", (14, 33), "must be at least 1, got 0"),
        ("stream.batch", (15, 17), "must be at least 1, got 0"),
    ];
    assert_eq!(found, expected);
    assert_eq!(
        list[8].origin,
        Some(Origin::Override("adapters.1.alpah=3".into()))
    );
    let hints: Vec<_> = list.iter().filter_map(|p| p.hint.as_deref()).collect();
    assert!(hints.contains(&"did you mean `seed`?") && hints.contains(&"did you mean `static`?"));
    assert!(hints.iter().filter(|h| **h == "did you mean `alpha`?").count() == 2);
}

#[test]
fn an_unknown_component_lists_the_known_ones_and_the_nearest() {
    let text = SOUND.replace("type: toy-cache", "type: toy-cach");
    let expected = "unknown adapter `toy-cach`\n  at /configs/pipeline.yaml:13:11, `adapters[0].type`\n  \
                    known adapters: toy-cache, toy-none\n\nhint: did you mean `toy-cache`?";
    assert_eq!(problem(&text, &[]), expected);
    let text = problem(SOUND, &["adapters.0.type=toy-gate"]);
    assert!(
        text.ends_with("hint: `toy-gate` is a gate, not an adapter"),
        "{text}"
    );
    let text = problem(SOUND, &["encoder=5"]);
    assert!(
        text.starts_with("expected a block of fields, found the number 5"),
        "{text}"
    );
    let text = problem(SOUND, &["encoder.type=5"]);
    assert!(
        text.starts_with("expected the name of an encoder, found the number 5"),
        "{text}"
    );
}

#[test]
fn a_missing_block_and_a_missing_type_are_named() {
    let text = SOUND.replace("aligner: {type: toy-match, partition: static}\n", "");
    assert!(problem(&text, &[]).starts_with("missing field `aligner`"));
    let text = problem(SOUND, &["adapters.1={capacity: 3}"]);
    assert!(
        text.contains("missing `type`") && text.contains("--set adapters.1={capacity: 3}"),
        "{text}"
    );
}

#[test]
fn a_wrong_type_says_what_was_expected_and_found() {
    let wrong = |text: &str| problem(SOUND, &[text]).lines().next().unwrap().to_owned();
    assert_eq!(
        wrong("adapters.0.alpha=abc"),
        "expected a number, found the text `abc`"
    );
    assert_eq!(
        wrong("adapters.0.alpha=.nan"),
        "expected a number, found the text `.nan`"
    );
    assert_eq!(wrong("adapters.0.capacity=-1"), "must be at least 0, got -1");
    assert_eq!(
        wrong("adapters.0.inner.rates=[1, x]"),
        "expected a number, found the text `x`"
    );
    assert_eq!(
        wrong("adapters.0.inner=[1]"),
        "expected a block of fields, found a list"
    );
    assert_eq!(
        wrong("encoder.pooled=yes"),
        "expected true or false, found the text `yes`"
    );
    assert_eq!(
        wrong("encoder.stride=x"),
        "expected a whole number, found the text `x`"
    );
    assert_eq!(
        wrong("aligner.partition=5"),
        "expected one of adaptive, static, found the number 5"
    );
    assert_eq!(wrong("aligner.fallback=statc"), "unknown word `statc`");
    assert_eq!(wrong("adapters=5"), "expected a list, found the number 5");
    assert_eq!(
        wrong("adapters.0=5"),
        "expected a block of fields, found the number 5"
    );
    assert_eq!(wrong("evaluate=[zls]"), "unknown word `zls`");
    assert_eq!(
        wrong("device=gpu"),
        "expected auto, cpu, cuda or cuda:N, found `gpu`"
    );
    assert_eq!(
        wrong("name=Toy Run"),
        "`Toy Run` is no kebab-case name: small letters and digits, `-` between words"
    );
    assert_eq!(
        wrong("validation.fraction=0.5"),
        "must be at least 0 and less than 0.5, got 0.5"
    );
}

#[test]
fn what_only_serde_sees_keeps_its_field() {
    // A whole number to the schema, but not to serde.
    let list = problems(SOUND, &["adapters.0.inner.steps=2.0"]);
    assert_eq!(
        (list.len(), list[0].field.as_str()),
        (1, "adapters[0].inner.steps")
    );
    let list = problems(SOUND, &["semantics.text_encoder.width=3.0"]);
    assert_eq!(
        (list.len(), list[0].field.as_str()),
        (1, "semantics.text_encoder.width")
    );
}

#[test]
fn nested_components_are_checked_like_others() {
    let text = SOUND.replace("width: 512", "widht: 512");
    let list = problems(&text, &[]);
    assert_eq!(
        (list[0].field.as_str(), place(&list[0].origin)),
        ("semantics.text_encoder.widht", (10, 33))
    );
    assert_eq!(list[0].hint.as_deref(), Some("did you mean `width`?"));
    let text = problem(SOUND, &["semantics.second={type: toy-bog}"]);
    assert!(text.contains("unknown text encoder `toy-bog`"), "{text}");
    assert!(resolve(SOUND, &["semantics.second={type: toy-bag}"]).is_ok());
    assert!(
        resolve(SOUND, &["semantics.second="]).is_ok(),
        "an optional one may be empty"
    );
}

#[test]
fn a_tagged_choice_reports_the_form_that_was_meant() {
    let wrong = |text: &str| {
        let list = problems(SOUND, &[text]);
        assert_eq!(list.len(), 1, "{list:#?}");
        (
            list[0].field.clone(),
            list[0].message.lines().next().unwrap().to_owned(),
            list[0].hint.clone(),
        )
    };
    let (field, message, hint) = wrong("dataset.split={protocol: syns, name: a}");
    assert_eq!(
        (field.as_str(), message.as_str()),
        ("dataset.split.protocol", "unknown word `syns`")
    );
    assert_eq!(hint.as_deref(), Some("did you mean `synse`?"));
    let (field, message, hint) = wrong("dataset.split={protocol: listed, file: a, cuont: 1}");
    assert_eq!(
        (field.as_str(), message.as_str()),
        ("dataset.split.cuont", "unknown field `cuont`")
    );
    assert_eq!(hint.as_deref(), Some("did you mean `count`?"));
    let (field, message, _) = wrong("dataset.split={protocol: synse}");
    assert_eq!(
        (field.as_str(), message.as_str()),
        ("dataset.split.name", "missing field `name`")
    );
    let (field, message, _) = wrong("dataset.split={name: a}");
    assert_eq!(
        (field.as_str(), message.as_str()),
        ("dataset.split.protocol", "missing field `protocol`")
    );
    let (field, message, _) = wrong("dataset.split=5");
    assert_eq!(
        (field.as_str(), message.as_str()),
        ("dataset.split", "expected a block of fields, found the number 5")
    );
}

#[test]
fn a_bad_override_says_how_to_write_one() {
    let text = problem(SOUND, &["seed"]);
    assert!(
        text.contains("`seed` is not an override") && text.contains("--set adapters.0.capacity=8"),
        "{text}"
    );
    let first = |text: &str| problem(SOUND, &[text]).lines().next().unwrap().to_owned();
    assert_eq!(first("=5"), "`=5` names no field");
    assert_eq!(
        first("adapters.5.alpha=1"),
        "no element 5 in a list of 2; 2 would add one"
    );
    assert_eq!(
        first("adapters.x.alpha=1"),
        "`x` is no number, and this is a list of 2"
    );
    assert_eq!(first("seed.x=1"), "no field `x` in the number 7");
    assert!(first("dataset.names={a: [}").contains("is not valid YAML"));
    assert_eq!(first("base=x.yaml"), "`base` cannot be overridden");
    let text = problem(SOUND, &["stream.bach=3"]);
    assert!(text.contains("at --set stream.bach=3, `stream.bach`"), "{text}");
    assert!(text.ends_with("hint: did you mean `batch`?"), "{text}");
}

#[test]
fn references_to_nothing_and_to_themselves_are_refused() {
    let text = problem(SOUND, &["dataset.names={a: \"${datset.root}\"}"]);
    assert!(text.starts_with("`${datset.root}` refers to nothing"), "{text}");
    assert!(text.ends_with("hint: did you mean `dataset`?"), "{text}");
    let list = problems(
        SOUND,
        &["dataset.names={a: \"${dataset.names.b}\", b: \"${dataset.names.a}\"}"],
    );
    assert_eq!(list.len(), 2, "{list:#?}");
    let chain = "dataset.names.a -> dataset.names.b -> dataset.names.a";
    assert!(list[0].message.ends_with(chain), "{}", list[0].message);
    assert!(problem(SOUND, &["encoder.weights=${encoder}/x"]).contains("refers to itself"));
    let text = problem(SOUND, &["encoder.weights=${adapters}/x"]);
    assert!(
        text.starts_with("`${adapters}` is a list, which cannot stand inside a text"),
        "{text}"
    );
    assert!(problem(SOUND, &["encoder.weights=${seed"]).contains("has no closing brace"));
    // Nothing more is said of a field whose reference is broken.
    assert!(problem(SOUND, &["adapters.0.capacity=${sed}"]).contains("refers to nothing"));
}

#[test]
fn yaml_that_is_none_is_refused_with_line_and_column() {
    let message = |text: &str| resolve(text, &[]).unwrap_err().to_string();
    let text = message("seed: 7\ndataset: {type: toy\nencoder: [\n");
    assert!(text.starts_with("/configs/pipeline.yaml:3:"), "{text}");
    assert!(message("seed: 7\n---\nseed: 8\n").starts_with("/configs/pipeline.yaml:2:1: not valid YAML"));
    assert!(message("? [a]\n: b\n").contains("a key must be a plain text"));
    assert!(message("a: !mine 5\n").contains("unknown tag"));
    assert!(message(&"[".repeat(100_000)).contains("not valid YAML"));
    let deep = format!("dataset: {}{}", "[".repeat(70), "]".repeat(70));
    assert!(message(&deep).contains("nested deeper than 64 levels"));
    assert!(message("a: &a [*a]\n").contains("an alias"));
    assert!(message("- 1\n").contains("expected a block of fields, found a list"));
    let text = SOUND.replace("seed: 7", "seed: 7\nseed: 8");
    let list = problems(&text, &[]);
    assert_eq!(
        (place(&list[0].origin), list[0].message.as_str()),
        ((3, 1), "`seed` is given twice")
    );
}
