//! A trained pipeline on other sequences: files, streams, classes in words, and what is wrong with them.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use assert_cmd::Command;
use serde_json::{Value, json};
use szar_core::NamedTensors;
use szar_core::checkpoint;
use szar_tests::{refused, stdout};
use tch::Tensor;

use crate::{SMALL, szar};

/// Joints of the quickstart's skeleton.
const JOINTS: usize = 25;
/// Frames of its encoder in these tests.
const FRAMES: usize = 16;

/// A place in the folder of these tests, which is emptied when they begin.
fn place(name: &str) -> PathBuf {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("predict");
        let _ = std::fs::remove_dir_all(&folder);
        folder
    });
    folder.join(name)
}

/// The small quickstart, trained once for all tests.
fn quickstart() -> &'static Path {
    static RUN: OnceLock<PathBuf> = OnceLock::new();
    RUN.get_or_init(|| train("quickstart", &[]))
}

/// A run on one text a class, with a text encoder of its own.
fn worded() -> &'static Path {
    static RUN: OnceLock<PathBuf> = OnceLock::new();
    RUN.get_or_init(|| {
        let model = place("model");
        tiny_model(&model, 1.0);
        let encoder = format!(
            "semantics.text_encoder={{type: sentence-bert, model: {}}}",
            model.display()
        );
        let set = [
            &encoder,
            "semantics.embeddings=null",
            "semantics.granularities=[global]",
            "aligner={type: eszsl}",
            "adapters=[]",
        ];
        train("worded", &set)
    })
}

fn train(name: &str, set: &[&str]) -> PathBuf {
    let run = place(name);
    let mut command = szar();
    command
        .args(["run", "configs/quickstart.yaml", "--out"])
        .arg(&run);
    let own_aligner = set.iter().any(|s| s.starts_with("aligner="));
    let small = SMALL
        .iter()
        .filter(|s| !own_aligner || !s.starts_with("aligner."));
    for set in small.chain(set) {
        command.args(["--set", set]);
    }
    let output = format!("output={}", place("output").display());
    command.args(["--set", &output]).assert().success();
    run
}

/// A network of sentence-bert's form, width 12, one layer, whose weights are the cosines of `seed` times their place.
fn tiny_model(folder: &Path, seed: f64) {
    let words = "[PAD] [UNK] [CLS] [SEP] a hand one wave waves kick leg stand the up ,".replace(' ', "\n");
    let count = words.lines().count() as i64;
    let mut sizes: Vec<(String, Vec<i64>)> = Vec::new();
    for (name, rows) in [("word", count), ("position", 32), ("token_type", 2)] {
        sizes.push((format!("embeddings.{name}_embeddings.weight"), vec![rows, 12]));
    }
    let at = "encoder.layer.0";
    let mut dense = vec![("embeddings.LayerNorm".to_owned(), vec![12])];
    for part in ["self.query", "self.key", "self.value", "output.dense"] {
        dense.push((format!("{at}.attention.{part}"), vec![12, 12]));
    }
    dense.push((format!("{at}.attention.output.LayerNorm"), vec![12]));
    dense.push((format!("{at}.intermediate.dense"), vec![20, 12]));
    dense.push((format!("{at}.output.dense"), vec![12, 20]));
    dense.push((format!("{at}.output.LayerNorm"), vec![12]));
    for (name, size) in dense {
        sizes.push((format!("{name}.weight"), size.clone()));
        sizes.push((format!("{name}.bias"), size[..1].to_vec()));
    }
    let mut place = 0.0;
    let mut tensor = |size: &[i64]| {
        let values: Vec<f32> = (0..size.iter().product())
            .map(|_: i64| {
                place += seed;
                (place * place).cos() as f32 * 0.5
            })
            .collect();
        Tensor::from_slice(&values).reshape(size)
    };
    let state: NamedTensors = sizes
        .iter()
        .map(|(name, size)| (format!("bert.{name}"), tensor(size)))
        .collect();
    checkpoint::save(&folder.join("model.safetensors"), &state, &[]).expect("a model");
    let config = json!({
        "model_type": "bert", "hidden_size": 12, "num_hidden_layers": 1, "num_attention_heads": 3,
        "intermediate_size": 20, "max_position_embeddings": 32, "vocab_size": count,
    });
    std::fs::write(folder.join("config.json"), config.to_string()).expect("written");
    std::fs::write(folder.join("vocab.txt"), words).expect("written");
}

fn predict(run: &Path, input: &str) -> Command {
    let mut command = szar();
    command.arg("predict").arg(run).args(["--input", input]);
    command
}

fn lines(command: &mut Command) -> Vec<Value> {
    let text = stdout(command.arg("--json"));
    text.lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect()
}

/// Class and probability of each answer in a line.
fn answers(line: &Value) -> Vec<(String, f64)> {
    let one = |p: &Value| {
        let class = p["class"].as_str().expect("a class").to_owned();
        (class, p["probability"].as_f64().expect("a number"))
    };
    line["predictions"]
        .as_array()
        .expect("a list")
        .iter()
        .map(one)
        .collect()
}

/// Where a joint is in a frame of a made-up motion that differs from `kind` to `kind`.
fn at(kind: usize, frame: usize, joint: usize) -> [f64; 3] {
    let (t, j) = (frame as f64 / FRAMES as f64, joint as f64);
    let swing = (t * 6.3 * (kind + 1) as f64 + j).sin() * 0.1;
    [
        (j * 0.37).sin() * 0.4 + swing,
        j * 0.06 + swing * kind as f64,
        3.0 + (j * 0.9).cos() * 0.1,
    ]
}

/// The motion as a table.
fn table(path: &Path, kind: usize) {
    let mut text = "frame,joint,x,y,z\n".to_owned();
    for frame in 0..FRAMES {
        for joint in 0..JOINTS {
            let [x, y, z] = at(kind, frame, joint);
            let _ = writeln!(text, "{frame},{joint},{x},{y},{z}");
        }
    }
    std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
    std::fs::write(path, text).expect("written");
}

/// The motion as frames, twice one after the other.
fn frames(kind: usize) -> Vec<String> {
    let frame = |t: usize| {
        let joints: Vec<_> = (0..JOINTS).map(|joint| at(kind, t % FRAMES, joint)).collect();
        json!({"joints": joints, "time": t as f64 / 30.0}).to_string()
    };
    (0..2 * FRAMES).map(frame).collect()
}

fn stream(run: &Path, text: &str) -> Command {
    let mut command = predict(run, "-");
    command.write_stdin(text.to_owned());
    command
}

#[test]
fn the_runs_own_sequences_get_the_runs_own_answers() {
    let run = quickstart();
    let found = lines(
        predict(run, "{type: procedural, samples_per_class: 6}").args(["--adapt", "off", "--top", "1"]),
    );
    let csv = std::fs::read_to_string(run.join("predictions.csv")).expect("predictions");
    let report = std::fs::read_to_string(run.join("report.json")).expect("a report");
    let report: Value = serde_json::from_str(&report).expect("JSON");
    let unseen: Vec<&str> = report["data"]["unseen"]
        .as_array()
        .expect("names")
        .iter()
        .filter_map(Value::as_str)
        .collect();
    let mut right = 0;
    let zsl: Vec<Vec<&str>> = csv
        .lines()
        .filter(|l| l.starts_with("zsl"))
        .map(|l| l.split(',').collect())
        .collect();
    let mut ids: Vec<i64> = zsl.iter().map(|l| l[3].parse().expect("a number")).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), unseen.len());
    for line in &zsl {
        let before: i64 = line[5].parse().expect("a number");
        let column = ids.iter().position(|id| *id == before).expect("an unseen class");
        let own = found
            .iter()
            .find(|f| f["name"] == line[2])
            .expect("the same sequence");
        right += usize::from(answers(own)[0].0 == unseen[column]);
    }
    assert_eq!((found.len(), right), (180, zsl.len()));
}

#[test]
fn a_table_and_a_stream_of_the_same_frames_agree() {
    let (run, folder) = (quickstart(), tempfile::tempdir().expect("a folder"));
    let path = folder.path().join("Grüße <b>.csv");
    table(&path, 1);
    let of_table = lines(predict(run, path.to_str().expect("UTF-8")).args(["--adapt", "off"]));
    assert_eq!((of_table.len(), &of_table[0]["name"]), (1, &"Grüße <b>".into()));
    let text = frames(1).join("\n") + "\n";
    let windows = lines(stream(run, &text).args(["--adapt", "off", "--stride", "16"]));
    assert_eq!(windows.len(), 2);
    assert_eq!(
        (&windows[0]["frames"], &windows[1]["frames"]),
        (&json!([0, 15]), &json!([16, 31]))
    );
    assert_eq!(windows[1]["time"], json!([16.0 / 30.0, 31.0 / 30.0]));
    for window in &windows {
        assert_eq!(answers(window), answers(&of_table[0]));
    }
    let sum: f64 = answers(&of_table[0]).iter().map(|(_, p)| p).sum();
    assert!(sum > 0.5 && sum <= 1.0 + 1e-9 && answers(&of_table[0]).len() == 5);

    // Joints in another order, told by their names; the last line without its end.
    let layout = szar_data_layout();
    let names: Vec<&String> = layout.iter().rev().collect();
    let turned = |line: &String| {
        let mut frame: Value = serde_json::from_str(line).expect("JSON");
        frame["joints"].as_array_mut().expect("a list").reverse();
        json!({"persons": [frame["joints"]]}).to_string()
    };
    let frames: Vec<String> = frames(1).iter().map(turned).collect();
    let text = format!("{}\n\n{}", json!({"joint_names": names}), frames.join("\n"));
    let again = lines(stream(run, &text).args(["--adapt", "off", "--stride", "16"]));
    assert_eq!(again.len(), 2);
    assert_eq!(answers(&again[1]), answers(&of_table[0]));
}

/// Names of the quickstart's joints, as its run tells them.
fn szar_data_layout() -> Vec<String> {
    let text = std::fs::read_to_string(quickstart().join("model.json")).expect("a signature");
    let model: Value = serde_json::from_str(&text).expect("JSON");
    serde_json::from_value(model["layout"]["joints"].clone()).expect("names")
}

#[test]
fn lines_are_for_reading_and_times_come_at_the_end() {
    let mut command = stream(quickstart(), &frames(0).join("\n"));
    let assert = command.args(["--top", "2"]).assert().success();
    let out = String::from_utf8_lossy(&assert.get_output().stdout).into_owned();
    let starts: Vec<&str> = out
        .lines()
        .map(|line| line.split("  ").next().unwrap_or_default().trim())
        .collect();
    assert_eq!(starts, ["frames 0-15", "frames 8-23", "frames 16-31"]);
    assert!(
        out.lines()
            .all(|line| line.contains("encode") && line.contains("adapt") && line.ends_with(" ms"))
    );
    let err = String::from_utf8_lossy(&assert.get_output().stderr).into_owned();
    assert!(
        err.contains("3 windows answered; ms, mean (95th percentile): encode"),
        "{err}"
    );
}

#[test]
fn adapters_go_on_from_a_state() {
    let (run, folder) = (quickstart(), tempfile::tempdir().expect("a folder"));
    for (kind, name) in ["a", "b", "c"].iter().enumerate() {
        table(&folder.path().join("all").join(format!("{name}.csv")), kind);
    }
    let all = folder.path().join("all");
    let whole = lines(&mut predict(run, all.to_str().expect("UTF-8")));
    let state = folder.path().join("state.safetensors");
    let mut parts = Vec::new();
    for name in ["a", "b", "c"] {
        let path = all.join(format!("{name}.csv"));
        parts.extend(lines(
            predict(run, path.to_str().expect("UTF-8"))
                .arg("--state")
                .arg(&state),
        ));
    }
    let of = |lines: &[Value]| lines.iter().map(answers).collect::<Vec<_>>();
    assert_eq!(of(&parts), of(&whole));
    let plain = lines(predict(run, all.to_str().expect("UTF-8")).args(["--adapt", "off"]));
    assert_ne!(of(&plain), of(&whole));

    let path = all.to_str().expect("UTF-8");
    let err = refused(
        predict(run, path)
            .arg("--state")
            .arg(&state)
            .args(["--classes", "seen"]),
        2,
    );
    assert!(err.contains("class list is"), "{err}");
    let err = refused(
        predict(run, path)
            .arg("--state")
            .arg(&state)
            .args(["--adapt", "off"]),
        2,
    );
    assert!(err.contains("none works here"), "{err}");
    std::fs::write(&state, "rubbish").expect("written");
    let err = refused(predict(run, path).arg("--state").arg(&state), 2);
    assert!(err.contains("state.safetensors: not a whole"), "{err}");
    let err = refused(predict(worded(), path).args(["--adapt", "on"]), 2);
    assert!(err.contains("has no adapter"), "{err}");
}

#[test]
fn classes_are_named_listed_or_described() {
    let (run, folder) = (quickstart(), tempfile::tempdir().expect("a folder"));
    let path = folder.path().join("x.csv");
    table(&path, 0);
    let input = path.to_str().expect("UTF-8");
    let of = |classes: &str| {
        let found = lines(predict(run, input).args(["--adapt", "off", "--top", "40", "--classes", classes]));
        answers(&found[0])
    };
    assert_eq!(
        [of("unseen").len(), of("seen").len(), of("all").len()],
        [6, 24, 30]
    );
    let two = of("drink, walk");
    assert_eq!((two.len(), of("walk"),), (2, vec![("walk".to_owned(), 1.0)]));
    let list = folder.path().join("list.txt");
    std::fs::write(&list, "walk\n\ndrink\n").expect("written");
    assert_eq!(of(list.to_str().expect("UTF-8")), two);

    // The words of one class under the name of the other: texts of classes, whose vectors are shipped.
    let text =
        std::fs::read_to_string(szar_tests::root().join("configs/semantics/procedural_descriptions.json"));
    let all: Value = serde_json::from_str(&text.expect("descriptions")).expect("JSON");
    let file = folder.path().join("own.json");
    let own = |value: Value| {
        std::fs::write(&file, value.to_string()).expect("written");
        file.to_str().expect("UTF-8").to_owned()
    };
    assert_eq!(of(&own(json!({"walk": all["walk"], "drink": all["drink"]}))), two);
    let mut changed = all["walk"].clone();
    changed["parts"] = all["drink"]["parts"].clone();
    // This aligner is trained on all texts of a class and scores by the global one.
    assert_eq!(of(&own(json!({"walk": changed, "drink": all["drink"]}))), two);

    let err = |classes: &str| refused(predict(run, input).args(["--classes", classes]), 2);
    assert!(err("drnk,walk").contains("did you mean `drink`?"));
    assert!(err("walk,walk").contains("class `walk` is named twice"));
    assert!(err("walk,").contains("names no class"));
    assert!(err("nowhere.json").contains("nowhere.json"));
    assert!(err(&own(json!({}))).contains("describes no class"));
    changed["parts"].as_object_mut().expect("a map").remove("legs");
    let lacking = err(&own(json!({"walk": changed})));
    assert!(lacking.contains("class `walk`: has no text `legs`"), "{lacking}");
    let new = err(&own(json!({"grüßen <b>": {"global": "bows"}})));
    assert!(new.contains("class `grüßen <b>`: has no text `head`"), "{new}");
    let own = own(json!({"grüßen <b>": "bows"}));
    let new = refused(predict(run, input).args(["--fill", "--classes", &own]), 2);
    assert!(
        new.contains("no vector for") && new.contains("hint: `--text-encoder FOLDER`"),
        "{new}"
    );
    let other = worded().with_file_name("model");
    let new = refused(
        predict(run, input)
            .args(["--fill", "--classes", &own, "--text-encoder"])
            .arg(other),
        2,
    );
    assert!(new.contains("of different models"), "{new}");
}

#[test]
fn new_words_are_encoded_by_the_runs_text_encoder() {
    let (run, folder) = (worded(), tempfile::tempdir().expect("a folder"));
    let path = folder.path().join("x.csv");
    table(&path, 0);
    let input = path.to_str().expect("UTF-8");
    let file = folder.path().join("own.yaml");
    std::fs::write(
        &file,
        "Grüße: waves one hand\nkick <b>: {global: \"kick, leg up\"}\n",
    )
    .expect("written");
    let classes = file.to_str().expect("UTF-8");
    let first = lines(predict(run, input).args(["--classes", classes]));
    let names: Vec<String> = answers(&first[0]).into_iter().map(|(name, _)| name).collect();
    assert!(
        names.len() == 2 && names.contains(&"Grüße".to_owned()) && names.contains(&"kick <b>".to_owned())
    );

    std::fs::write(
        &file,
        "Grüße: \"kick, leg up\"\nkick <b>: {global: waves one hand}\n",
    )
    .expect("written");
    // Two folders for what is kept, so that both encode the texts anew, and in the same batch.
    let swapped = lines(
        predict(run, input)
            .args(["--classes", classes])
            .env("SZAR_CACHE", folder.path().join("cache1")),
    );
    assert_ne!(answers(&swapped[0]), answers(&first[0]));

    // The same weights in another folder are the same text encoder, others are not.
    let (same, other) = (folder.path().join("same"), folder.path().join("other"));
    tiny_model(&same, 1.0);
    tiny_model(&other, 2.0);
    let again = lines(
        predict(run, input)
            .args(["--classes", classes, "--text-encoder"])
            .arg(same)
            .env("SZAR_CACHE", folder.path().join("cache2")),
    );
    assert_eq!(answers(&again[0]), answers(&swapped[0]));
    let err = refused(
        predict(run, input)
            .args(["--classes", classes, "--text-encoder"])
            .arg(other),
        2,
    );
    assert!(
        err.contains("is not the one that this run was trained with"),
        "{err}"
    );
    let err = refused(predict(run, input).args(["--text-encoder", "/nowhere"]), 2);
    assert!(err.contains("/nowhere"), "{err}");
}

#[test]
fn what_is_wrong_in_a_stream_is_said_with_its_line() {
    let run = quickstart();
    let mut good = frames(0);
    let cut = |lines: &[String], text: &str| {
        let mut command = stream(run, &(lines.join("\n") + "\n" + text));
        let assert = command.args(["--adapt", "off", "--json"]).assert().code(2);
        let output = assert.get_output();
        let answered = String::from_utf8_lossy(&output.stdout).lines().count();
        (answered, String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (answered, err) = cut(&good[..20], r#"{"joints": [[0.1, 0."#);
    assert_eq!(answered, 1);
    assert!(err.contains("standard input, line 21: is cut off"), "{err}");
    let (_, err) = cut(&good[..3], r#"{"joints": [[0.1, NaN, 1]]}"#);
    assert!(err.contains("line 4: holds NaN"), "{err}");
    let (_, err) = cut(&good[..3], r#"{"joints": [[0.1, 1, 1]]}"#);
    assert!(
        err.contains("line 4: person 0 has 1 joints, expected the 25 of layout `ntu25`"),
        "{err}"
    );
    let (_, err) = cut(&[r#"{"layout": "kinect-v1-20"}"#.to_owned()], &good[0]);
    assert!(
        err.contains("line 1: layout `kinect-v1-20` (20 joints) does not fit")
            && err.contains("layout `ntu25` (25 joints)"),
        "{err}"
    );
    assert!(cut(&[], "").1.contains("the stream ended without a frame"));

    // A stream that has to go on leaves wrong lines out, and a window without anybody is no error.
    good.insert(5, "rubbish".into());
    let text = good.join("\n") + "\n" + &[r#"{"persons": []}"#; FRAMES].join("\n");
    let mut command = stream(run, &text);
    let assert = command.args(["--lenient", "--stride", "16"]).assert().success();
    let out = String::from_utf8_lossy(&assert.get_output().stdout).into_owned();
    assert_eq!(out.lines().count(), 3, "{out}");
    assert!(
        out.lines()
            .nth(2)
            .is_some_and(|line| line.contains("frames 32-47") && line.ends_with("nobody was tracked"))
    );
    let err = String::from_utf8_lossy(&assert.get_output().stderr).into_owned();
    assert!(err.contains("left out") && err.contains("line 6"), "{err}");
    // Shorter than a window: one sequence.
    let short = lines(stream(run, &frames(0)[..9].join("\n")).args(["--adapt", "off"]));
    assert_eq!((short.len(), &short[0]["frames"]), (1, &json!([0, 8])));
}

#[test]
fn a_folder_that_is_no_whole_run_is_refused() {
    let (run, folder) = (quickstart(), tempfile::tempdir().expect("a folder"));
    let input = "{type: procedural, samples_per_class: 2}";
    let err = |path: &Path| refused(&mut predict(path, input), 2);
    assert!(err(folder.path()).contains("there is no run here"));
    let listed = err(run.parent().expect("a folder"));
    assert!(
        listed.contains("finished runs are in it") && listed.contains("quickstart"),
        "{listed}"
    );
    let copy = |without: &str| {
        let to = folder.path().join(format!("without-{without}"));
        std::fs::create_dir(&to).expect("made");
        for entry in std::fs::read_dir(run)
            .expect("a run")
            .flatten()
            .filter(|e| e.path().is_file())
        {
            if entry.file_name() != without {
                std::fs::copy(entry.path(), to.join(entry.file_name())).expect("copied");
            }
        }
        to
    };
    assert!(err(&copy("report.json")).contains("is not finished"));
    assert!(err(&copy("aligner.safetensors")).contains("aligner.safetensors: is missing"));
    assert!(err(&copy("model.json")).contains("model.json: is missing"));
    let damaged = copy("");
    let change = |name: &str, from: &str, to: &str| {
        let path = damaged.join(name);
        let text = std::fs::read_to_string(&path).expect("a file");
        std::fs::write(&path, text.replace(from, to)).expect("written");
        text
    };
    let text = change("config.yaml", "seed: 5", "seed: 6");
    assert!(err(&damaged).contains("config.yaml: is not the configuration that this run was made with"));
    std::fs::write(damaged.join("config.yaml"), text).expect("written");
    let version = format!("\"szar\": \"{}\"", env!("CARGO_PKG_VERSION"));
    let text = change("report.json", &version, "\"szar\": \"0.0.1\"");
    assert!(err(&damaged).contains("szar 0.0.1 made this run"));
    std::fs::write(damaged.join("report.json"), text).expect("written");
    let weights = damaged.join("encoder.safetensors");
    let bytes = std::fs::read(&weights).expect("weights");
    std::fs::write(&weights, &bytes[..bytes.len() / 2]).expect("written");
    assert!(err(&damaged).contains("encoder.safetensors: not a whole safetensors file"));
}

#[test]
fn input_that_does_not_fit_is_refused() {
    let (run, folder) = (quickstart(), tempfile::tempdir().expect("a folder"));
    let err = |input: &str| refused(&mut predict(run, input), 2);
    assert!(err("/nowhere/x.csv").contains("/nowhere/x.csv"));
    let path = folder.path().to_str().expect("UTF-8");
    assert!(err(path).contains("the names do not tell one format (there is no file in it)"));
    table(&folder.path().join("x.csv"), 0);
    let other =
        format!("{{type: joint-csv, root: {path}, layout: kinect-v1-20, class_from: {{regex: \"(.*)\"}}}}");
    let text = err(&other);
    assert!(
        text.contains("layout `kinect-v1-20` of the input (20 joints)")
            && text.contains("`ntu25` (25 joints)"),
        "{text}"
    );
    let mut windows = predict(run, path);
    assert!(refused(windows.args(["--window", "8"]), 2).contains("cut streams of frames"));
    std::fs::write(folder.path().join("x.csv"), "frame,joint,x,y,z\n").expect("written");
    assert!(err(path).contains("has no row below the header"));
    // A sequence with nobody in it stops, or is left out when asked.
    let zeros: String = (0..JOINTS).map(|j| format!("0,{j},0,0,0\n")).collect();
    std::fs::write(folder.path().join("x.csv"), format!("frame,joint,x,y,z\n{zeros}")).expect("written");
    table(&folder.path().join("y.csv"), 0);
    assert!(err(path).contains("sequence `x`: no frame has a tracked body"));
    assert_eq!(lines(predict(run, path).arg("--lenient")).len(), 1);
}

#[test]
fn adapters_that_need_labels_are_refused_with_the_reason() {
    quickstart(); // trained once, for both
    let run = train(
        "tuned",
        &["adapters=[{type: skeleton-cache, protocol: test_tuned}]"],
    );
    let input = "{type: procedural, samples_per_class: 2}";
    let err = refused(&mut predict(&run, input), 2);
    assert!(
        err.contains("adapter `skeleton-cache` chooses its constants by the true labels")
            && err.contains("--adapt off"),
        "{err}"
    );
    assert_eq!(lines(predict(&run, input).args(["--adapt", "off"])).len(), 60);
}
