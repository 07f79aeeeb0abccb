//! No text makes the resolver panic.

use proptest::prelude::*;

use super::{SOUND, resolve};
use crate::config::emit::emit;
use crate::config::yaml::{self, Source};

/// Words that mean something to YAML or to the resolver, in any order.
fn soup() -> impl Strategy<Value = String> {
    let words = prop::sample::select(vec![
        "a: ",
        "type: ",
        "toy-cache",
        "toy",
        "- ",
        "\n",
        "\n  ",
        "\n    ",
        "{",
        "}",
        "[",
        "]",
        ", ",
        "\"",
        "'",
        "&a ",
        "*a",
        "!t ",
        "!!int ",
        "${",
        "$${",
        "}",
        "${a}",
        "${dataset.root}",
        "base: ",
        "adapters:",
        "encoder: ",
        "? ",
        ": ",
        "| ",
        "> ",
        "#",
        "---\n",
        "...\n",
        "%YAML 1.2\n",
        "null",
        "~",
        "0x1f",
        "-1",
        ".nan",
        "1e999",
        "é",
        "\t",
        "\u{feff}",
        "\u{0}",
        "\r\n",
        "<<: ",
    ]);
    prop::collection::vec(words, 0..24).prop_map(|words| words.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 400, ..Default::default() })]

    #[test]
    fn any_text_is_a_pipeline_or_an_error(text in soup(), rest in ".{0,40}") {
        let _ = resolve(&text, &[]);
        let _ = resolve(&format!("{SOUND}{text}"), &[]);
        let _ = resolve(&rest, &[]);
    }

    #[test]
    fn any_override_is_applied_or_refused(
        path in "(adapters|dataset|encoder|stream|x|0|1|\\.|\\[0\\]|type|split){1,6}",
        value in soup(),
        free in ".{0,30}",
    ) {
        let _ = resolve(SOUND, &[&format!("{path}={value}"), &free]);
    }

    #[test]
    fn any_text_survives_yaml_and_back(text in any::<String>()) {
        let value = serde_json::json!({ "key": text, text.clone(): [text, [text.clone()], {}, { "x": text }] });
        let yaml = emit(&value);
        let node = yaml::parse(&yaml, Source::Override(""), &mut Vec::new()).unwrap().unwrap();
        prop_assert_eq!(node.to_value(), value, "{}", yaml);
    }
}

#[test]
fn references_that_multiply_end_in_an_error() {
    let doubling =
        (1..40).map(|i| format!("a{i}: \"${{dataset.names.a{0}}}${{dataset.names.a{0}}}\"", i - 1));
    let names: Vec<_> = std::iter::once("a0: x".to_owned()).chain(doubling).collect();
    let text = resolve(SOUND, &[&format!("dataset.names={{{}}}", names.join(", "))]).unwrap_err();
    assert!(text.to_string().contains("references"), "{text}");
    let lists = (1..200).map(|i| format!("a{i}: [[[[\"${{dataset.names.a{}}}\"]]]]", i - 1));
    let names: Vec<_> = std::iter::once("a0: x".to_owned()).chain(lists).collect();
    assert!(resolve(SOUND, &[&format!("dataset.names={{{}}}", names.join(", "))]).is_err());
}

#[test]
fn a_very_long_override_path_is_refused() {
    let path = "a.".repeat(100_000);
    assert!(resolve(SOUND, &[&format!("{path}b=1")]).is_err());
}
