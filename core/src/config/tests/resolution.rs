//! What a sound text becomes.

use std::path::Path;

use serde_json::json;

use super::{SOUND, resolve};
use crate::config::{Evaluation, StreamOrder, fields, load, plugins};
use crate::problems::Origin;
use crate::registry::{self, ComponentKind};
use crate::{DeviceChoice, Error, Precision};

#[test]
fn every_default_is_filled_in_and_type_comes_first() {
    let resolved = resolve(SOUND, &[]).unwrap();
    let pipeline = &resolved.pipeline;
    assert_eq!((pipeline.name.as_str(), pipeline.seed), ("toy-run", 7));
    assert_eq!(
        (pipeline.device, pipeline.precision),
        (DeviceChoice::Auto, Precision::Auto)
    );
    assert_eq!(pipeline.evaluate, [Evaluation::Zsl]);
    assert_eq!(
        (pipeline.stream.order, pipeline.stream.batch),
        (StreamOrder::Shuffled, 64)
    );
    assert_eq!(pipeline.validation.fraction, 0.1);
    assert_eq!(pipeline.output.0, std::env::current_dir().unwrap().join("runs"));
    assert_eq!(
        resolved.value["preprocess"],
        json!({ "type": "standard", "frames": 64 })
    );
    let cache = resolved.value["adapters"][0].as_object().unwrap();
    assert_eq!(cache.keys().next().unwrap(), "type");
    assert_eq!((&cache["capacity"], &cache["alpha"]), (&json!(4), &json!(5.0)));
    assert_eq!(resolved.type_name("adapters[1]"), Some("toy-none"));
    assert_eq!(resolved.type_name("adapters.0"), Some("toy-cache"));
    assert_eq!(resolved.type_name("semantics.text_encoder"), Some("toy-bag"));
    assert_eq!(
        (resolved.type_name("gate"), resolved.type_name("adapters[2]")),
        (None, None)
    );
}

#[test]
fn a_pipeline_without_a_name_is_named_after_its_file() {
    let text = SOUND.replace("name: toy-run\n", "");
    assert_eq!(resolve(&text, &[]).unwrap().pipeline.name, "pipeline");
}

#[test]
fn paths_are_relative_to_the_file_or_to_the_working_folder() {
    let resolved = resolve(SOUND, &[]).unwrap();
    assert_eq!(resolved.value["dataset"]["root"], "/configs/data/toy");
    assert_eq!(resolved.value["encoder"]["weights"], "/configs/net.pt");
    assert_eq!(
        resolved.value["semantics"]["file"],
        "/configs/data/toy/texts.json"
    );
    let here = std::env::current_dir().unwrap();
    let here = here.display();
    let resolved = resolve(SOUND, &["dataset.root=./other", "adapters.0.prior=../p.json"]).unwrap();
    assert_eq!(resolved.value["dataset"]["root"], format!("{here}/other"));
    assert_eq!(
        resolved.value["semantics"]["file"],
        format!("{here}/other/texts.json")
    );
    assert_eq!(
        resolved.value["adapters"][0]["prior"],
        format!("{here}/../p.json")
    );
    // Defaults, too, and lists, and what is nested; an empty path stays empty.
    assert_eq!(
        resolved.value["dataset"]["files"],
        json!([format!("{here}/default.bin")])
    );
    assert_eq!(resolved.value["semantics"]["text_encoder"]["vocabulary"], "");
    let home = std::env::home_dir().unwrap();
    let nested = [
        "semantics.text_encoder.vocabulary=~/v.txt",
        "dataset.files=[/a, b]",
    ];
    let resolved = resolve(SOUND, &nested).unwrap();
    let vocabulary = home.join("v.txt").display().to_string();
    assert_eq!(
        resolved.value["semantics"]["text_encoder"]["vocabulary"],
        vocabulary
    );
    assert_eq!(
        resolved.value["dataset"]["files"],
        json!(["/a", format!("{here}/b")])
    );
}

#[test]
fn a_path_in_a_form_that_is_chosen_by_a_tag_is_found() {
    let split = "dataset.split={protocol: listed, file: s.txt}";
    let resolved = resolve(SOUND, &[split]).unwrap();
    let here = std::env::current_dir().unwrap().join("s.txt");
    assert_eq!(
        resolved.value["dataset"]["split"]["file"],
        here.display().to_string()
    );
    // The other form has a `name`, which is no path.
    let resolved = resolve(SOUND, &["dataset.split={protocol: synse, name: 55/5}"]).unwrap();
    assert_eq!(resolved.value["dataset"]["split"]["name"], "55/5");
}

#[test]
fn overrides_reach_list_elements_append_and_remove() {
    let resolved = resolve(SOUND, &["adapters.0.alpha=2.5", "adapters[0].inner.steps=3"]).unwrap();
    assert_eq!(resolved.value["adapters"][0]["alpha"], 2.5);
    assert_eq!(resolved.value["adapters"][0]["inner"]["steps"], 3);
    assert_eq!(resolved.value["adapters"][0]["capacity"], 4);
    let resolved = resolve(SOUND, &["adapters.2={type: toy-cache, capacity: 1}"]).unwrap();
    assert_eq!(resolved.pipeline.adapters.len(), 3);
    assert_eq!(
        resolve(SOUND, &["adapters=[]"]).unwrap().pipeline.adapters.len(),
        0
    );
    assert_eq!(
        resolve(SOUND, &["gate.type=toy-gate", "gate="]).unwrap().value["gate"],
        json!(null)
    );
    assert_eq!(
        resolve(SOUND, &["seed=18446744073709551615"])
            .unwrap()
            .pipeline
            .seed,
        u64::MAX
    );
}

#[test]
fn a_block_whose_type_changes_begins_anew() {
    let resolved = resolve(SOUND, &["adapters.0.type=toy-none"]).unwrap();
    assert_eq!(resolved.value["adapters"][0], json!({ "type": "toy-none" }));
    let both = ["adapters.1.capacity=3", "adapters.1.type=toy-cache"];
    assert_eq!(resolve(SOUND, &both).unwrap().value["adapters"][1]["capacity"], 3);
}

#[test]
fn references_keep_types_go_through_references_and_see_defaults() {
    let text = SOUND.replace(
        "capacity: 4",
        "capacity: ${seed}\n    alpha: ${adapters.0.capacity}",
    );
    let resolved = resolve(
        &text,
        &["dataset.names={a: \"x ${name} ${seed}\", b: \"$${name}\"}"],
    )
    .unwrap();
    assert_eq!(resolved.value["adapters"][0]["capacity"], 7);
    assert_eq!(resolved.value["adapters"][0]["alpha"], 7.0);
    assert_eq!(
        resolved.value["dataset"]["names"],
        json!({ "a": "x toy-run 7", "b": "${name}" })
    );
    let resolved = resolve(SOUND, &["stream.batch=${semantics.text_encoder.width}"]).unwrap();
    assert_eq!(resolved.pipeline.stream.batch, 512);
    let resolved = resolve(SOUND, &["adapters.1=${adapters.0}", "seed=${preprocess.frames}"]).unwrap();
    assert_eq!(resolved.value["adapters"][1], resolved.value["adapters"][0]);
    assert_eq!(
        resolved.pipeline.seed, 64,
        "a default of the standard preprocessor"
    );
    assert_eq!(
        resolve(SOUND, &["seed=${stream.batch}"]).unwrap().pipeline.seed,
        64
    );
}

#[test]
fn bases_merge_deeply_and_keep_their_places() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    std::fs::create_dir(folder.path().join("sub")).unwrap();
    write("base.yaml", SOUND);
    write(
        "sub/more.yaml",
        "seed: 8\nencoder: {weights: more.pt}\nadapters:\n  - {type: toy-none}\n",
    );
    let child = "base: [base.yaml, sub/more.yaml]\nseed: 9\ndataset: {root: here}\n";
    write("child.yaml", child);
    let path = folder.path().join("child.yaml");
    let resolved = load(&path, &[]).unwrap();
    assert_eq!(resolved.pipeline.seed, 9);
    assert_eq!(resolved.pipeline.adapters.len(), 1, "lists are replaced");
    let expected = |name: &str| folder.path().join(name).display().to_string();
    assert_eq!(resolved.value["encoder"]["weights"], expected("sub/more.pt"));
    assert_eq!(resolved.value["encoder"]["type"], "toy-net");
    assert_eq!(resolved.value["semantics"]["file"], expected("here/texts.json"));
    assert_eq!(resolved.files.len(), 3);

    write("sub/more.yaml", "encoder:\n  weihgts: more.pt\n");
    let Err(Error::Config(problems)) = load(&path, &[]) else {
        panic!("accepted")
    };
    let origin = problems.iter().next().unwrap().origin.clone();
    let path = folder.path().join("sub/more.yaml");
    assert_eq!(
        origin,
        Some(Origin::File {
            path,
            line: 2,
            column: 3
        })
    );
}

#[test]
fn a_base_that_builds_on_itself_or_is_missing_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: String| std::fs::write(folder.path().join(name), text).unwrap();
    write("a.yaml", format!("base: b.yaml\n{SOUND}"));
    write("b.yaml", "base: a.yaml\n".into());
    let message = |name: &str| load(&folder.path().join(name), &[]).unwrap_err().to_string();
    let text = message("a.yaml");
    assert!(
        text.contains("base `a.yaml` builds on itself: a.yaml -> b.yaml -> a.yaml"),
        "{text}"
    );
    assert!(text.contains("b.yaml:1:7"), "{text}");
    write("c.yaml", format!("base: nowhere.yaml\n{SOUND}"));
    let text = message("c.yaml");
    assert!(
        text.contains("nowhere.yaml") && text.contains("c.yaml:1:7"),
        "{text}"
    );
    write("d.yaml", format!("base: e.yaml\n{SOUND}"));
    write("e.yaml", "seed: [1\n".into());
    let text = message("d.yaml");
    assert!(text.contains("e.yaml:2:1: not valid YAML"), "{text}");
}

#[test]
fn defaults_survive_to_yaml_and_load_again() {
    let odd = "dataset.names={a: '0o17', b: '1_0', c: 'yes', d: '~', e: ' x: #', f: \"l\\nl\", g: '$${x}', h: '1e3'}";
    let all = [
        odd,
        "gate={type: toy-gate}",
        "evaluate=[zsl, gzsl]",
        "output=/elsewhere",
    ];
    for overrides in [&all[..], &[]] {
        let first = resolve(SOUND, overrides).unwrap();
        let yaml = first.to_yaml().unwrap();
        let again = resolve(&yaml, &[]).unwrap();
        assert_eq!(first.value, again.value, "{yaml}");
        assert_eq!(first.hash(), again.hash());
    }
}

#[test]
fn the_hash_follows_what_changes_results() {
    let hash = |overrides: &[&str]| resolve(SOUND, overrides).unwrap().hash();
    let parts = |overrides: &[&str]| {
        resolve(SOUND, overrides)
            .unwrap()
            .hash_of(&["dataset", "encoder"])
    };
    assert_eq!(hash(&[]).len(), 64);
    assert_eq!(hash(&[]), hash(&["output=elsewhere"]));
    assert_eq!(
        hash(&[]),
        hash(&["adapters.0.alpha=5"]),
        "the default, written out"
    );
    for change in ["seed=8", "threads=1", "adapters.0.alpha=4", "dataset.root=x"] {
        assert_ne!(hash(&[]), hash(&[change]), "{change}");
    }
    assert_eq!(parts(&[]), parts(&["seed=8", "adapters=[]"]));
    assert_ne!(parts(&[]), parts(&["encoder.pooled=true"]));
}

#[test]
fn plugins_are_known_before_anything_else_is_looked_at() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("p.yaml");
    std::fs::write(&path, "plugins: [libx.so]\naligner: {type: from-the-plugin}\n").unwrap();
    assert_eq!(plugins(&path, &[]).unwrap(), [folder.path().join("libx.so")]);
    assert_eq!(
        plugins(&path, &["plugins.1=/y.so".into()]).unwrap()[1],
        Path::new("/y.so")
    );
    let error = plugins(&path, &["plugins=5".into()]).unwrap_err().to_string();
    assert!(error.contains("expected a list, found the number 5"), "{error}");
}

#[test]
fn the_fields_of_a_component_are_listed_for_its_reference_page() {
    let list = fields(registry::find(ComponentKind::Adapter, "toy-cache").unwrap());
    let names: Vec<_> = list.iter().map(|f| f.name.as_str()).collect();
    let expected = [
        "capacity",
        "alpha",
        "prior",
        "inner",
        "inner.steps",
        "inner.rates",
        "gradients",
        "parts",
    ];
    assert_eq!(names, expected);
    assert_eq!(
        (list[0].type_words.as_str(), list[0].default.as_str()),
        ("a whole number", "8")
    );
    assert_eq!(
        (list[0].doc.as_str(), list[2].type_words.as_str()),
        ("Samples per class.", "a path")
    );
    assert_eq!(list[5].type_words, "a list, each a number");
    let list = fields(registry::find(ComponentKind::Aligner, "toy-match").unwrap());
    assert_eq!(
        (&list[1].words, list[1].default.as_str()),
        (&vec!["adaptive".into(), "static".into()], "adaptive")
    );
    assert_eq!(
        (&list[2].words, list[2].default.as_str()),
        (&list[1].words, "not set")
    );
    assert_eq!(
        (list[5].type_words.as_str(), &list[5].words),
        ("a list, each a word", &list[1].words)
    );
    let list = fields(registry::find(ComponentKind::Semantics, "toy-texts").unwrap());
    assert_eq!(list[1].type_words, "a text encoder: a block with `type`");
    let list = fields(registry::find(ComponentKind::Dataset, "toy").unwrap());
    let tag = list.iter().find(|f| f.name == "split.protocol").unwrap();
    assert_eq!(tag.words, ["synse", "listed"]);
    assert!(
        list.iter()
            .any(|f| f.name == "split.file" && f.type_words == "a path")
    );
}

#[test]
fn fields_in_lists_and_under_names_of_the_users_are_listed_too() {
    let schema = serde_json::json!({
        "required": ["space"],
        "properties": {
            "space": {"type": "object", "additionalProperties": {"$ref": "#/$defs/Range"}},
            "pages": {"type": "array", "items": {"properties": {"title": {"type": "string", "default": "none"}}}},
            "scale": {"oneOf": [{"const": "linear", "description": "Equal\ndifferences."}, {"const": "log"}]},
        },
        "$defs": {"Range": {"required": ["from"], "properties": {"from": {"type": "number"}}}},
    });
    let list = crate::config::fields_of(&schema, None);
    let names: Vec<_> = list
        .iter()
        .map(|f| (f.name.as_str(), f.required, f.default.as_str()))
        .collect();
    let expected = [
        ("space", true, ""),
        ("space.NAME.from", true, ""),
        ("pages", false, ""),
        ("pages[].title", false, "none"),
        ("scale", false, ""),
    ];
    assert_eq!(names, expected);
    assert_eq!(list[4].meanings, ["Equal differences.", ""]);
    let pipeline = crate::config::pipeline_fields();
    let field = |name: &str| pipeline.iter().find(|f| f.name == name).unwrap();
    assert_eq!(
        (field("seed").default.as_str(), field("seed").required),
        ("5", false)
    );
    assert_eq!(field("stream.batch").default, "64");
    assert!(field("encoder").required && field("encoder").type_words.starts_with("an encoder: "));
}
