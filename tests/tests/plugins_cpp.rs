//! Plugins in C++ as a user meets them: compiled with the system's compiler, then listed, checked, tried and run.
//! Without a compiler or `make` every test says that it is skipped.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command as Process;
use std::sync::OnceLock;

use assert_cmd::Command;
use serde_json::Value;
use szar_tests::{program, refused, stdout};

/// Are a compiler and `make` here? Asked once.
fn compiler() -> bool {
    static THERE: OnceLock<bool> = OnceLock::new();
    *THERE.get_or_init(|| {
        ["c++", "make"].iter().all(|tool| {
            let there = Process::new(tool).arg("--version").output().is_ok();
            if !there {
                eprintln!("skipped: there is no `{tool}` here, so no plugin in C++ can be compiled");
            }
            there
        })
    })
}

/// Compiles a plugin with its own Makefile, where it is older than its sources.
fn make(folder: &str, name: &str) -> PathBuf {
    let (root, mut hasher) = (szar_tests::root(), DefaultHasher::new());
    root.hash(&mut hasher);
    let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("cpp-{:016x}", hasher.finish()));
    let output = Process::new("make")
        .arg("-C")
        .arg(root.join(folder))
        .arg(format!("OUT={}", out.display()))
        .arg(format!("LIBTORCH={}", root.join(".libtorch").display()))
        // Warnings are errors here, and nothing is optimised: compiling takes longer than running.
        .arg("CXXFLAGS=-O0 -Werror")
        .output()
        .expect("make starts");
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{folder}: {text}");
    out.join(format!("lib{name}.so"))
}

macro_rules! plugin {
    ($function:ident, $folder:literal, $name:literal) => {
        /// The library, compiled once; `None` where there is no compiler.
        fn $function() -> Option<PathBuf> {
            static BUILT: OnceLock<PathBuf> = OnceLock::new();
            compiler().then(|| BUILT.get_or_init(|| make($folder, $name)).clone())
        }
    };
}

plugin!(
    adapter,
    "plugins/examples/cpp-adapter",
    "szar-example-cpp-adapter"
);
plugin!(
    encoder,
    "plugins/examples/cpp-encoder",
    "szar-example-cpp-encoder"
);
plugin!(
    aligner,
    "plugins/examples/cpp-aligner",
    "szar-example-cpp-aligner"
);
plugin!(trouble, "plugins/cpp/tests", "szar-trouble");

fn szar() -> Command {
    program(env!("CARGO_BIN_EXE_szar-under-test"))
}

/// A pipeline on the embedded motions with these plugins and parts; its runs go below `folder`.
fn pipeline(folder: &Path, plugins: &[&Path], parts: &str) -> PathBuf {
    let list: Vec<String> = plugins
        .iter()
        .map(|p| format!("{:?}", p.display().to_string()))
        .collect();
    let base = szar_tests::root().join("configs/quickstart.yaml");
    let text = format!(
        "base: {:?}\nname: in-cpp\nplugins: [{}]\nthreads: 1\noutput: {:?}\ndataset: {{samples_per_class: 6}}\n\
         preprocess: {{frames: 16}}\ngate: null\nevaluate: [zsl]\n{parts}",
        base.display().to_string(),
        list.join(", "),
        folder.join("runs").display().to_string()
    );
    let path = folder.join("pipeline.yaml");
    std::fs::write(&path, text).expect("a pipeline");
    path
}

/// Scores before and after the adapters, and the predictions as they stand in the file.
fn results(folder: &Path) -> (Value, String) {
    let runs = std::fs::read_dir(folder.join("runs")).expect("runs").flatten();
    let run = runs.map(|e| e.path()).find(|p| p.join("report.json").exists());
    let run = run.expect("a run");
    let report = std::fs::read_to_string(run.join("report.json")).expect("a report");
    let report: Value = serde_json::from_str(&report).expect("JSON");
    let predictions = std::fs::read_to_string(run.join("predictions.csv")).expect("predictions");
    (report["zsl"].clone(), predictions)
}

/// The same predictions, and numbers that differ by no more than what rounding does to sums of another order.
fn agree(a: &str, b: &str) -> bool {
    let same = |(a, b): (&str, &str)| match (a.parse::<f64>(), b.parse::<f64>()) {
        (Ok(a), Ok(b)) => (a - b).abs() <= 1e-5 * a.abs().max(1.0),
        _ => a == b,
    };
    let cells = |text: &str| text.matches([',', '\n']).count();
    let split = |text: &str| text.split([',', '\n']).map(str::to_owned).collect::<Vec<_>>();
    cells(a) == cells(b) && split(a).iter().zip(&split(b)).all(|(a, b)| same((a, b)))
}

const BOTH: &str = "encoder: {type: joint-moments, channels: 64}\naligner: {type: eszsl}\n\
    adapters: [{type: centred-temperature, share: 0.5, temperature: 2, anchors: centred}]\n";

#[test]
fn plugins_in_cxx_are_listed_and_described_like_built_ins() {
    let (Some(adapter), Some(encoder)) = (adapter(), encoder()) else {
        return;
    };
    let text = stdout(szar().args(["list", "adapter", "--plugin"]).arg(&adapter));
    assert!(
        text.contains("centred-temperature") && text.contains("skeleton-cache"),
        "{text}"
    );
    let mut describe = szar();
    describe
        .args(["describe", "joint-moments", "--plugin"])
        .arg(&encoder);
    let text = stdout(&mut describe);
    assert!(text.contains("encoder `joint-moments`"), "{text}");
    assert!(text.contains("plugin szar-example-cpp-encoder 0.1.0"), "{text}");
    assert!(text.contains("channels: a whole number = 256"), "{text}");
    let mut describe = szar();
    describe
        .args(["describe", "centred-temperature", "--plugin"])
        .arg(&adapter);
    let text = stdout(&mut describe);
    assert!(
        text.contains("Share of the running mean") && text.contains("share: a number = 1"),
        "{text}"
    );
}

#[test]
fn options_in_cxx_are_checked_before_anything_is_read() {
    let (Some(adapter), Some(encoder), Some(trouble)) = (adapter(), encoder(), trouble()) else {
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let path = pipeline(folder.path(), &[&adapter, &encoder, &trouble], BOTH);
    let check = |set: &str| refused(szar().arg("check").arg(&path).args(["--set", set]), 2);
    let text = check("adapters.0.temperatur=1");
    assert!(
        text.contains("unknown field `temperatur` of adapter `centred-temperature`"),
        "{text}"
    );
    assert!(text.contains("did you mean `temperature`?"), "{text}");
    let text = check("adapters.0.share=2");
    assert!(
        text.contains("must lie between 0 and 1, got 2") && text.contains("`adapters[0].share`"),
        "{text}"
    );
    let text = check("adapters.0.anchors=centered");
    assert!(text.contains("did you mean `centred`?"), "{text}");
    let text = check("encoder.channels=many");
    assert!(text.contains("`encoder.channels`"), "{text}");
    let text = check("encoder.channels=0");
    assert!(text.contains("must lie between 1 and 4096, got 0"), "{text}");
    let text = check("adapters=[{type: trouble, list: [], whole: -4}]");
    assert!(
        text.contains("must hold a number") && text.contains("write `list: [1]`"),
        "{text}"
    );
    assert!(text.contains("must be at least -3, got -4"), "{text}");
    let text = check("adapters=[{type: trouble, whole: 9223372036854775808}]");
    assert!(text.contains("whole"), "{text}");
    let text = stdout(szar().arg("check").arg(&path).arg("--resolved"));
    assert!(
        text.contains("anchors: centred") && text.contains("channels: 64"),
        "{text}"
    );
}

#[test]
fn two_plugins_in_cxx_run_in_one_pipeline_whatever_the_batch() {
    let (Some(adapter), Some(encoder)) = (adapter(), encoder()) else {
        return;
    };
    let run = |batch: usize, streams: usize| {
        let folder = tempfile::tempdir().expect("a folder");
        let parts = format!("{BOTH}stream: {{batch: {batch}, streams: {streams}}}\n");
        let path = pipeline(folder.path(), &[&adapter, &encoder], &parts);
        szar().arg("run").arg(&path).assert().success();
        results(folder.path())
    };
    let (report, predictions) = run(64, 1);
    assert_ne!(report["before"], report["after"], "{report}");
    for batch in [1, 7] {
        let (again, same) = run(batch, 1);
        assert!(agree(&predictions, &same), "batch {batch}: {same}");
        assert_eq!(report["after"]["class_mean"], again["after"]["class_mean"]);
    }
    // Streams are kept apart by the adapter, also within a batch.
    let (dealt, one_by_one) = (run(64, 3), run(1, 3));
    assert!(agree(&dealt.1, &one_by_one.1), "{}", one_by_one.1);
    assert!(!agree(&dealt.1, &predictions));
}

#[test]
fn an_aligner_in_cxx_is_refined_by_gradients_through_it() {
    let (Some(encoder), Some(aligner)) = (encoder(), aligner()) else {
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let parts = "encoder: {type: joint-moments}\naligner: {type: principal-ridge, components: 8}\n\
                 adapters: [{type: dynapurls, preset: paper}]\n";
    let path = pipeline(folder.path(), &[&aligner, &encoder], parts);
    szar().arg("run").arg(&path).assert().success();
    let (report, _) = results(folder.path());
    assert_ne!(report["before"], report["after"], "{report}");
}

#[test]
fn what_the_examples_promise_holds() {
    let (Some(adapter), Some(encoder), Some(aligner)) = (adapter(), encoder(), aligner()) else {
        return;
    };
    for library in [adapter, encoder, aligner] {
        let text = stdout(szar().args(["plugin", "check"]).arg(&library));
        assert!(text.contains(" 0 broken"), "{text}");
    }
}

#[test]
fn what_the_host_lends_is_what_it_uses_itself() {
    let (Some(encoder), Some(trouble)) = (encoder(), trouble()) else {
        return;
    };
    for what in ["scored", "condensed", "encoded"] {
        let folder = tempfile::tempdir().expect("a folder");
        let parts = format!(
            "encoder: {{type: joint-moments}}\naligner: {{type: eszsl}}\nadapters: [{{type: trouble, what: {what}}}]\n"
        );
        let path = pipeline(folder.path(), &[&encoder, &trouble], &parts);
        szar().arg("run").arg(&path).assert().success();
        let (report, _) = results(folder.path());
        assert_eq!(
            report["before"]["class_mean"], report["after"]["class_mean"],
            "{what}"
        );
        assert_eq!(report["before"]["top1"], report["after"]["top1"], "{what}");
    }
}

#[test]
fn what_is_thrown_in_cxx_ends_the_run_with_its_message() {
    let (Some(encoder), Some(trouble)) = (encoder(), trouble()) else {
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let path = pipeline(
        folder.path(),
        &[&encoder, &trouble],
        "encoder: {type: joint-moments}\naligner: {type: eszsl}\n",
    );
    for (what, call, why) in [
        ("std", "step", "the cache is on fire"),
        ("torch", "step", "mat1 and mat2 shapes cannot be multiplied"),
        ("int", "step", "threw what is no std::exception"),
        ("shape", "step", "has shape"),
        ("kind", "step", "expected floating point"),
        ("nothing", "step", "is not defined"),
        ("wrong-anchors", "step", "`anchors` has shape"),
        ("wrong-features", "step", ""),
        ("begin", "begin", "no stream suits me"),
        ("build", "build", "the factory is closed"),
    ] {
        let set = format!("adapters=[{{type: trouble, what: {what}}}]");
        let text = refused(szar().arg("run").arg(&path).args(["--set", &set]), 1);
        let place = format!("plugin `szar-trouble`, adapter `trouble`, {call}: ");
        assert!(text.contains(&place) && text.contains(why), "{what}: {text}");
        assert!(
            !text.contains("panicked") && !text.contains("frame #"),
            "{what}: {text}"
        );
    }
}

/// The templates of `szar plugin new --lang cpp`, filled in as it fills them.
#[test]
fn the_templates_are_whole() {
    let root = szar_tests::root();
    let folder = root.join("core/cli/src/templates/cpp");
    let pairs = [
        ("{{name}}", "my-thing"),
        ("{{ident}}", "my_thing"),
        ("{{Type}}", "MyThing"),
        ("{{a_kind}}", "an adapter"),
        ("{{library}}", "libmy_thing.so"),
        ("{{szar}}", &root.display().to_string()),
        ("{{libtorch}}", &root.join(".libtorch").display().to_string()),
    ];
    let project = tempfile::tempdir().expect("a folder");
    let fill = |text: String| {
        let text = pairs.iter().fold(text, |text, (from, to)| text.replace(from, to));
        assert!(!text.contains("{{"), "{text}");
        text
    };
    let template = |file: &str| std::fs::read_to_string(folder.join(file)).expect("a template");
    for (file, into) in [
        ("Makefile.in", "Makefile"),
        ("README.md.in", "README.md"),
        ("gitignore.in", ".gitignore"),
    ] {
        std::fs::write(project.path().join(into), fill(template(file))).expect("a file");
    }
    // The sources are those of the examples under the project's name, which therefore must stand in them as a whole.
    for (kind, name, pascal) in [
        ("adapter", "centred-temperature", "CentredTemperature"),
        ("aligner", "principal-ridge", "PrincipalRidge"),
        ("encoder", "joint-moments", "JointMoments"),
    ] {
        let example = root.join(format!("plugins/examples/cpp-{kind}/src/component.cpp"));
        let text = std::fs::read_to_string(example).expect("an example");
        assert!(
            text.contains(&format!("SZAR_PLUGIN(\"szar-example-cpp-{kind}\", ")),
            "{text}"
        );
        assert!(text.contains(&format!("component<{pascal}Config>")), "{text}");
        assert!(text.contains(&format!("\"{name}\", \"")), "{text}");
    }
    if !compiler() {
        return;
    }
    let source = project.path().join("src");
    std::fs::create_dir(&source).expect("a folder");
    std::fs::write(source.join("component.cpp"), "").expect("a file");
    let plan = Process::new("make")
        .arg("-n")
        .arg("test")
        .current_dir(project.path())
        .output();
    let plan = plan.expect("make starts");
    let text = String::from_utf8_lossy(&plan.stdout).into_owned() + &String::from_utf8_lossy(&plan.stderr);
    assert!(plan.status.success(), "{text}");
    assert!(
        text.contains("src/component.cpp") && text.contains("-o libmy_thing.so"),
        "{text}"
    );
    assert!(text.contains("szar plugin check ./libmy_thing.so"), "{text}");
}
