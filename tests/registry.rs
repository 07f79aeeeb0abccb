//! One walk over every registered component.

use szar_core::registry::{self, ComponentKind};
// What the program links; a crate that is not named registers nothing.
use szar_runner as _;
use szar_sweep as _;

#[test]
fn the_list_of_components_is_pinned() {
    let names: Vec<String> = registry::all()
        .iter()
        .map(|c| format!("{} {}", c.kind, c.name))
        .collect();
    let want = [
        "dataset agcn-npy",
        "dataset asf-amc",
        "dataset bvh",
        "dataset ctr-gcn-npz",
        "dataset florence3d",
        "dataset joint-csv",
        "dataset kinect-v2-text",
        "dataset msr-action3d",
        "dataset ntu-rgbd",
        "dataset nw-ucla",
        "dataset pku-mmd",
        "dataset pose-json",
        "dataset procedural",
        "dataset pseudo-unseen",
        "dataset purls-features",
        "dataset pyskl",
        "dataset skeleton-npz",
        "dataset skeleton-store",
        "dataset synse-features",
        "dataset utd-mhad",
        "dataset utkinect",
        "preprocessor agcn",
        "preprocessor aimclr",
        "preprocessor ctrgcn",
        "preprocessor standard",
        "preprocessor stgcn",
        "encoder aagcn",
        "encoder agcn",
        "encoder ctr-gcn",
        "encoder dgnn",
        "encoder ensemble",
        "encoder msg3d",
        "encoder posec3d",
        "encoder recorded",
        "encoder shift-gcn",
        "encoder st-gcn",
        "encoder torchscript",
        "semantics descriptions",
        "semantics embeddings",
        "text encoder clip",
        "text encoder sentence-bert",
        "aligner cada-vae",
        "aligner devise",
        "aligner eszsl",
        "aligner jpose",
        "aligner neuron",
        "aligner purls",
        "aligner revise",
        "aligner sa-dvae",
        "aligner scople",
        "aligner smie",
        "aligner star",
        "aligner synse",
        "adapter adanpc",
        "adapter balance",
        "adapter calip",
        "adapter diff-tpt",
        "adapter dynapurls",
        "adapter none",
        "adapter promptalign",
        "adapter skeleton-cache",
        "adapter t3a",
        "adapter tda",
        "adapter tent",
        "adapter tpt",
        "augmentation noise-denoise",
        "augmentation skeleton-augment",
        "gate calibrated-stacking",
        "gate entropy",
        "gate oracle",
        "gate seen-unseen-classifier",
        "launcher local",
        "launcher slurm",
    ];
    assert_eq!(names, want);
}

#[test]
fn no_name_is_claimed_twice() {
    assert!(registry::clashes().is_empty());
}

#[test]
fn names_are_kebab_case_and_summaries_are_one_sentence() {
    for c in registry::all() {
        let kebab = c
            .name
            .chars()
            .all(|x| x.is_ascii_lowercase() || x.is_ascii_digit() || x == '-');
        assert!(kebab, "{}", c.name);
        let s = c.summary;
        assert!(
            s.ends_with('.') && s.matches(". ").count() == 0 && s.len() < 120,
            "{}: {s}",
            c.name
        );
    }
}

#[test]
fn every_option_is_documented() {
    for c in registry::all() {
        for field in szar_core::config::fields(c) {
            assert!(
                field.doc.len() > 10,
                "{} `{}`: option `{}` has no documentation",
                c.kind,
                c.name,
                field.name
            );
        }
    }
}

#[test]
fn default_options_survive_yaml_and_back() {
    for c in registry::all() {
        let mut block = c.defaults();
        let map = block.as_object_mut().expect("options are a map");
        let mut typed = serde_json::Map::from_iter([("type".to_owned(), c.name.into())]);
        typed.append(map);
        let text = serde_yaml::to_string(&typed).expect("defaults can be written");
        let again: serde_json::Value = serde_yaml::from_str(&text).expect("and read");
        let back = match c.kind {
            ComponentKind::Dataset => round::<dyn szar_core::DatasetConfig>(&again),
            ComponentKind::Preprocessor => round::<dyn szar_core::PreprocessorConfig>(&again),
            ComponentKind::Encoder => round::<dyn szar_core::EncoderConfig>(&again),
            ComponentKind::Semantics => round::<dyn szar_core::SemanticsConfig>(&again),
            ComponentKind::TextEncoder => round::<dyn szar_core::TextEncoderConfig>(&again),
            ComponentKind::Aligner => round::<dyn szar_core::AlignerConfig>(&again),
            ComponentKind::Adapter => round::<dyn szar_core::AdapterConfig>(&again),
            ComponentKind::Augmentation => round::<dyn szar_core::AugmentationConfig>(&again),
            ComponentKind::Gate => round::<dyn szar_core::GateConfig>(&again),
            ComponentKind::Launcher => round::<dyn szar_core::LauncherConfig>(&again),
        };
        assert_eq!(back, again, "{} `{}`", c.kind, c.name);
    }
}

fn round<T: ?Sized>(value: &serde_json::Value) -> serde_json::Value
where
    Box<T>: serde::de::DeserializeOwned + serde::Serialize,
{
    let config: Box<T> = serde_json::from_value(value.clone()).expect("defaults are valid options");
    serde_json::to_value(config).expect("options can be written")
}
