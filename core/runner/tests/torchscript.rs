//! Whole runs on the embedded motions with a module from a file as the encoder.

use std::path::Path;

use szar_core::config::{self, Resolved};
use szar_core::progress::Silent;
use szar_core::{Cancel, Result};
use szar_runner::{Outcome, RunOptions, SAVE_EVERY, run};
use tch::{CModule, Device, Kind, Tensor};

const CPU: (Kind, Device) = (Kind::Float, Device::Cpu);

/// Writes a random network `[n, 3, t, v, m]` to `[n, 16, t / 2, v]`, traced.
fn save_module(path: &Path) {
    let weight = Tensor::randn([16, 3], CPU);
    let mut network = |inputs: &[Tensor]| {
        let mixed = Tensor::einsum("nctvm,kc->nktvm", &[&inputs[0], &weight], None::<&[i64]>);
        let map = mixed.relu().mean_dim([4i64].as_slice(), false, Kind::Float);
        vec![map.avg_pool2d([2, 1], [2, 1], [0, 0], false, true, None::<i64>)]
    };
    let example = [Tensor::randn([2, 3, 12, 7, 2], CPU)];
    let module = CModule::create_by_tracing("Net", "forward", &example, &mut network);
    let module = module.expect("a traced module");
    module.save(path).expect("a module file");
}

fn resolve(folder: &Path, more: &[&str]) -> Resolved {
    let encoder = format!(
        "encoder={{type: torchscript, module: {}, output_layout: nctv, channels: 16, frames: 6}}",
        folder.join("module.pt").display()
    );
    let output = format!("output={}", folder.display());
    let small = [
        "dataset.samples_per_class=5",
        "dataset.persons=2",
        "preprocess.frames=12",
        "aligner.epochs=1",
        "aligner.hidden=16",
        "threads=1",
        "evaluate=[zsl]",
        "gate=null",
        &encoder,
        &output,
    ];
    let set: Vec<String> = small.iter().chain(more).map(ToString::to_string).collect();
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../configs/quickstart.yaml");
    config::load(Path::new(file), &set).expect("a sound pipeline")
}

fn play(resolved: &Resolved, out: &Path) -> Result<Outcome> {
    let cancel = Cancel::default();
    let options = RunOptions {
        out: Some(out.to_owned()),
        fresh: false,
        resume: false,
        save_every: SAVE_EVERY,
        record: false,
        progress: &Silent,
        cancel: &cancel,
    };
    run(resolved, &options)
}

fn reused(outcome: &Outcome, stage: &str) -> bool {
    let mut stages = outcome.report.performance.iter();
    stages.find(|s| s.name == stage).expect("the stage").reused
}

#[test]
fn a_module_runs_untrained_and_an_edited_one_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let module = folder.join("module.pt");
    save_module(&module);
    let (adapted, plain) = (resolve(folder, &[]), resolve(folder, &["adapters=[]"]));
    let first = play(&adapted, &folder.join("first")).unwrap();
    assert!(
        first
            .summary
            .contains("NOTE: the encoder is the module `module.pt` as it was given, not trained")
    );
    assert!(first.report.zsl.is_some() && first.report.encoder.fit.is_none());
    assert!(reused(&first, "encoder training") && !reused(&first, "aligner training"));
    // The same file: the aligner that was trained on its features serves again.
    let second = play(&plain, &folder.join("second")).unwrap();
    assert!(reused(&second, "aligner training"));
    // Another file under the same name: its features are others, and so is the aligner.
    save_module(&module);
    let third = play(&plain, &folder.join("third")).unwrap();
    assert!(!reused(&third, "aligner training"));
    // An unfinished run does not go on with it.
    std::fs::remove_file(folder.join("first/report.json")).unwrap();
    let error = play(&adapted, &folder.join("first")).unwrap_err();
    let text = error.to_string();
    assert!(
        error.is_input() && text.contains("has changed") && text.contains("--fresh"),
        "{text}"
    );
}

#[test]
fn the_shipped_example_resolves_without_its_module() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../configs/torchscript.yaml");
    let resolved = config::load(Path::new(file), &[]).unwrap();
    assert_eq!(resolved.type_name("encoder"), Some("torchscript"));
    let again = config::load(Path::new(file), &["encoder.output=1".to_owned()]).unwrap();
    assert_ne!(resolved.hash(), again.hash());
}
