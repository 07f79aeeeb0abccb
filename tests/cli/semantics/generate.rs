//! `szar semantics generate` against an endpoint on this machine.

use std::path::Path;
use std::time::{Duration, Instant};

use assert_cmd::Command;
use serde_json::json;

use super::server::{Answer, Request, Server, reply, status};
use super::{Bench, json, says};

const THREE: &str = "drink water\nreading\nhop <b>\"one\"</b> & {name}\n";

/// A generation of the eight texts, one request at a time, without a key.
fn ask(bench: &Bench, url: &str, list: &str) -> Command {
    ask_model("m", bench, url, list)
}

fn ask_model(model: &str, bench: &Bench, url: &str, list: &str) -> Command {
    let list = bench.file("list.txt", list);
    let mut command = bench.command("generate");
    command.arg(list).arg("--out").arg(bench.at("out.json"));
    command.args([
        "--url",
        url,
        "--model",
        model,
        "--key-variable",
        "",
        "--concurrency",
        "1",
    ]);
    command.args(["--backoff-secs", "0.01"]);
    command
}

fn good(_: usize, request: &Request) -> Answer {
    reply(&request.good())
}

#[test]
fn every_class_gets_its_texts_and_a_second_run_asks_nothing() {
    let (bench, server) = (Bench::new(), Server::start(good));
    let err = says(&mut ask(&bench, &server.url, THREE), 0);
    assert!(err.contains("9 requests, 0 answers from the cache"), "{err}");
    let seen = server.seen();
    assert_eq!(seen.len(), 9); // global, parts, phases
    assert_eq!(seen[0].line, "POST /v1/chat/completions HTTP/1.1");
    assert_eq!(seen[0].authorization, None);
    assert_eq!(
        (&seen[0].body["model"], &seen[0].body["temperature"]),
        (&json!("m"), &json!(0.0))
    );
    assert!(
        seen[0].question().contains("\"drink water\""),
        "{}",
        seen[0].question()
    );
    assert!(
        seen[6].question().contains("\"hop <b>\"one\"</b> & {name}\""),
        "{}",
        seen[6].question()
    );

    let file = json(&bench.at("out.json"));
    let keys: Vec<_> = file.as_object().expect("a map").keys().collect();
    assert_eq!(
        keys,
        [
            "$generated",
            "drink water",
            "reading",
            "hop <b>\"one\"</b> & {name}"
        ]
    );
    assert_eq!(file["reading"]["index"], 1);
    assert_eq!(file["reading"]["parts"]["torso"], "torso moves");
    assert_eq!(file["reading"]["phases"]["end"], "end moves");
    assert_eq!(file["$generated"]["model"], "m");
    let digest = file["$generated"]["questions"]["parts"]
        .as_str()
        .expect("a digest");
    assert_eq!(digest.len(), 16);

    let err = says(&mut ask(&bench, &server.url, THREE), 0);
    assert!(err.contains("0 requests, 9 answers from the cache"), "{err}");
    assert_eq!(server.seen().len(), 9);
    // Another model is another question.
    says(&mut ask_model("n", &bench, &server.url, THREE), 0);
    assert_eq!(server.seen().len(), 18);
}

#[test]
fn all_texts_and_the_weights_are_written_in_the_form_that_is_read() {
    let (bench, server) = (Bench::new(), Server::start(good));
    let mut command = bench.command("generate");
    command.args([
        "configs/quickstart.yaml",
        "--config",
        "configs/semantics/generate.yaml",
        "--out",
    ]);
    command
        .arg(bench.at("out.json"))
        .arg("--prior")
        .arg(bench.at("prior.json"));
    command.args([
        "--url",
        &server.url,
        "--texts",
        "global,parts,phases,words,star,neuron",
        "--concurrency",
        "8",
    ]);
    command.env("OPENAI_API_KEY", "sk-secret");
    let err = says(&mut command, 0);
    assert_eq!(server.seen().len(), 30 * 7);
    assert!(!err.contains("secret"), "{err}");
    assert_eq!(
        server.seen()[0].authorization.as_deref(),
        Some("Bearer sk-secret")
    );
    let file = json(&bench.at("out.json"));
    let walk = &file["walk"];
    assert_eq!(walk["noun"], serde_json::Value::Null);
    assert_eq!(walk["parts"].as_object().expect("a map").len(), 9); // `head` is in both
    assert_eq!(
        walk["temporal_fstp"][3],
        "temporal_fp 3. temporal_sp 3. temporal_tp 3."
    );
    let prior = json(&bench.at("prior.json"));
    assert_eq!(
        (&prior["indexing"], &prior["num_classes"]),
        (&json!("label"), &json!(30))
    );
    let read = szar_adapters::skeleton_cache::Prior::read(&bench.at("prior.json"), None);
    read.expect("weights that `skeleton-cache` takes");
    // The key is nowhere on the disk.
    let found = std::process::Command::new("grep")
        .args(["-r", "sk-secret"])
        .arg(bench.folder.path())
        .output();
    assert!(found.expect("grep").stdout.is_empty());

    let pipeline =
        std::fs::read_to_string(szar_tests::root().join("configs/quickstart.yaml")).expect("a file");
    let file = format!("file: {}", bench.at("out.json").display());
    let texts = "granularities: [label, verb, noun, global, hip, spatial_cg_10]";
    let pipeline = pipeline
        .replace(
            "file: semantics/procedural_descriptions.json\n  parts_of_speech: {file: semantics/parts_of_speech.json}",
            &format!("{file}\n  {texts}"),
        )
        .replace("type: purls\n  partition: static", "type: eszsl")
        .replace(
            "embeddings/",
            &format!("{}/configs/embeddings/", szar_tests::root().display()),
        )
        .replace(
            "- type: skeleton-cache",
            &format!(
                "- {{type: skeleton-cache, prior: {}}}",
                bench.at("prior.json").display()
            ),
        );
    let pipeline = bench.file("p.yaml", &pipeline);
    // Every text is found; only their vectors are not shipped.
    let err = says(bench.command("embed").arg("--pipeline").arg(&pipeline), 2);
    assert!(err.contains("no vector for class"), "{err}");
}

#[test]
fn a_busy_or_ill_endpoint_is_asked_again_in_its_time() {
    let bench = Bench::new();
    let server = Server::start(|number, request| match number {
        0 => Answer {
            headers: "Retry-After: 1\r\n",
            ..status(429, r#"{"error": {"message": "slow down"}}"#)
        },
        1 => status(500, "<html>oops</html>"),
        _ => good(number, request),
    });
    let start = Instant::now();
    says(&mut ask(&bench, &server.url, "walk\n"), 0);
    assert!(start.elapsed() >= Duration::from_secs(1));
    assert_eq!(server.seen().len(), 3 + 2);
}

#[test]
fn a_bad_reply_is_asked_again_with_the_reason() {
    let bench = Bench::new();
    let server = Server::start(|number, request| match number {
        0 => reply("{\"global\": \"wal"),
        1 => reply("Sure! Walking is fun."),
        2 => reply("{\"globe\": \"walk\"}"),
        3 => reply(&format!("```json\n{}\n```", request.good())),
        _ => good(number, request),
    });
    says(&mut ask(&bench, &server.url, "walk\n"), 0);
    let seen = server.seen();
    assert_eq!(seen.len(), 4 + 2);
    assert!(!seen[0].question().contains("refused"));
    assert!(
        seen[2]
            .question()
            .contains("An earlier reply was refused: the reply is no JSON object")
    );
    assert!(
        seen[3].question().contains("refused: ") && seen[3].question().contains("globe"),
        "{}",
        seen[3].question()
    );
}

#[test]
fn classes_without_an_answer_are_listed_and_the_others_kept() {
    let bench = Bench::new();
    let server = Server::start(|number, request| {
        if request.question().contains("\"reading\"") {
            reply("no")
        } else {
            good(number, request)
        }
    });
    let err = says(ask(&bench, &server.url, THREE).args(["--attempts", "2"]), 1);
    assert_eq!(server.seen().len(), 6 + 3 * 2);
    assert!(
        err.contains("1 of 3 classes have no answer:\n  reading: global: the reply is no JSON object"),
        "{err}"
    );
    assert!(err.contains("(2 attempts)"), "{err}");
    assert!(!bench.at("out.json").exists());
    let partial = json(&bench.at("out.partial.json"));
    assert!(
        partial["drink water"]["global"].is_string() && partial["reading"].is_null(),
        "{partial}"
    );

    // The same command asks for what is missing alone, and puts the whole file in place.
    let well = Server::start(good);
    let err = says(&mut ask(&bench, &well.url, THREE), 0);
    assert!(
        err.contains("9 requests"),
        "another endpoint is another question: {err}"
    );
    assert!(bench.at("out.json").exists() && !bench.at("out.partial.json").exists());
}

#[test]
fn a_stopped_run_goes_on_where_it_was() {
    let bench = Bench::new();
    let server = Server::start(|number, request| match number {
        4 => status(401, r#"{"error": {"message": "quota"}}"#),
        _ => good(number, request),
    });
    let err = says(&mut ask(&bench, &server.url, THREE), 1);
    assert!(
        err.contains("answers 401: quota (no key was sent)") && err.contains("not asked, since"),
        "{err}"
    );
    assert_eq!(server.seen().len(), 5, "nothing is asked after that");
    let err = says(&mut ask(&bench, &server.url, THREE), 0);
    assert!(err.contains("5 requests, 4 answers from the cache"), "{err}");
    assert_eq!(server.seen().len(), 10);
}

#[test]
fn ctrl_c_keeps_what_there_is() {
    let bench = Bench::new();
    let server = Server::start(|number, request| Answer {
        after: Duration::from_millis(200),
        ..good(number, request)
    });
    let list = bench.file("list.txt", THREE);
    let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_szar-under-test"))
        .args([
            "semantics",
            "generate",
            "--model",
            "m",
            "--key-variable",
            "",
            "--concurrency",
            "1",
            "--url",
            &server.url,
        ])
        .arg(list)
        .arg("--out")
        .arg(bench.at("out.json"))
        .env("SZAR_CACHE", bench.at("cache"))
        .env("GOMP_SPINCOUNT", "1000")
        .stderr(std::process::Stdio::piped())
        .spawn()
        .expect("started");
    while server.seen().len() < 5 {
        std::thread::sleep(Duration::from_millis(5));
    }
    let stopped = std::process::Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status();
    assert!(stopped.expect("kill").success());
    assert_eq!(child.wait().expect("an end").code(), Some(1));
    let asked = server.seen().len();
    assert_eq!(asked, 5);
    assert!(json(&bench.at("out.partial.json"))["drink water"].is_object());
    let err = says(&mut ask(&bench, &server.url, THREE), 0);
    assert!(err.contains("4 requests, 5 answers from the cache"), "{err}");
}

#[test]
fn an_endpoint_that_is_down_or_slow_is_said_once() {
    let bench = Bench::new();
    // A port that nothing listens on: bound, then let go.
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .expect("a port")
        .local_addr()
        .expect("an address")
        .port();
    let url = format!("http://127.0.0.1:{port}/v1");
    let err = says(ask(&bench, &url, THREE).args(["--attempts", "2"]), 1);
    assert!(
        err.contains("cannot be reached") && err.contains("3 of 3 classes"),
        "{err}"
    );
    assert!(
        err.contains("6 requests"),
        "three questions, two attempts each, then no more: {err}"
    );

    let slow = Server::start(|number, request| Answer {
        after: Duration::from_secs(3),
        ..good(number, request)
    });
    let start = Instant::now();
    let err = says(
        ask(&bench, &slow.url, THREE).args(["--attempts", "1", "--timeout-secs", "0.2"]),
        1,
    );
    assert!(err.contains("did not answer within 0.2 s"), "{err}");
    assert_eq!(slow.seen().len(), 3);
    assert!(start.elapsed() < Duration::from_secs(3));

    let nonsense = Server::start(|_, _| status(200, "<html>It works!</html>"));
    let err = says(ask(&bench, &nonsense.url, "walk\n").args(["--attempts", "3"]), 1);
    assert!(
        err.contains("the answer is no JSON") && err.contains("It works!"),
        "{err}"
    );
    assert_eq!(nonsense.seen().len(), 9);

    let moved = Server::start(|_, _| Answer {
        headers: "Location: http://127.0.0.1:1/\r\n",
        ..status(302, "")
    });
    let err = says(&mut ask(&bench, &moved.url, "walk\n"), 1);
    assert!(err.contains("answers 302"), "{err}");
    assert_eq!(moved.seen().len(), 1);
}

#[test]
fn wrong_input_is_refused_before_anything_is_asked() {
    let (bench, server) = (Bench::new(), Server::start(good));
    let refused = |command: &mut Command, why: &str| {
        let err = says(command, 2);
        assert!(err.contains(why), "{why} in\n{err}");
    };
    let url = server.url.as_str();
    refused(
        &mut ask(&bench, url, "walk\nrun\nwalk\n"),
        "class `walk` is named twice, on lines 1 and 3",
    );
    refused(&mut ask(&bench, url, "\n \n"), "names no class");
    refused(&mut ask(&bench, url, "$walk\n"), "begins with `$`");
    let mut keyed = bench.command("generate");
    keyed
        .arg(bench.file("list.txt", "walk\n"))
        .args(["--url", url, "--model", "m", "--out"])
        .arg(bench.at("out.json"));
    refused(&mut keyed, "the environment variable `OPENAI_API_KEY` is not set");
    refused(keyed.env("OPENAI_API_KEY", " "), "`OPENAI_API_KEY` is empty");
    refused(&mut ask_model("", &bench, url, "walk\n"), "endpoint.model");
    refused(
        ask(&bench, "ftp://x", "walk\n").args(["--attempts", "0"]),
        "2 problems",
    );
    refused(
        &mut ask(&bench, "https://me:secret@x/v1", "walk\n"),
        "holds a user or password",
    );
    refused(
        ask(&bench, url, "walk\n").args(["--texts", "golbal"]),
        "did you mean `global`?",
    );
    let config = bench.file("c.yaml", "endpoint:\n  modle: m\n");
    refused(
        ask(&bench, url, "walk\n").arg("--config").arg(config),
        "c.yaml:2:",
    );
    let config = bench.file("c.yaml", "questions: {global: How?}\n");
    refused(
        ask(&bench, url, "walk\n").arg("--config").arg(config),
        "lacks `{name}`",
    );
    bench.file("out.json", "{\"walk\": {\"global\": \"by hand\"}}");
    refused(&mut ask(&bench, url, "walk\n"), "is there and was not generated");
    assert_eq!(server.seen().len(), 0);
    says(ask(&bench, url, "walk\n").arg("--overwrite"), 0);
    assert_eq!(json(&bench.at("out.json"))["walk"]["global"], "moves about");
}

#[test]
fn an_output_that_cannot_be_written_is_found_out_first() {
    let (bench, server) = (Bench::new(), Server::start(good));
    bench.file("plain", "");
    let mut command = ask(&bench, &server.url, "walk\n");
    let err = says(command.arg("--prior").arg(bench.at("plain/below.json")), 1);
    assert!(err.contains("cannot write"), "{err}");
    let mut command = ask(&bench, &server.url, "walk\n");
    let err = says(command.arg("--prior").arg(Path::new("/proc/below.json")), 1);
    assert!(err.contains("cannot write"), "{err}");
    let err = says(
        ask(&bench, &server.url, "walk\n")
            .arg("--prior")
            .arg(bench.folder.path()),
        2,
    );
    assert!(err.contains("is a folder"), "{err}");
    assert_eq!(server.seen().len(), 0);
}
