//! Stopped and killed runs go on where they were, and end with the report of an uninterrupted one.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::{results, run_dir, small_overrides, small_run};

const LONG: [&str; 4] = [
    "--set",
    "encoder.train.epochs=8",
    "--set",
    "dataset.samples_per_class=10",
];

fn start(output: &Path) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_szar-under-test"));
    command
        .args(["run", "configs/quickstart.yaml"])
        .args(small_overrides(output))
        .args(LONG);
    command
        .current_dir(szar_tests::root())
        .env("GOMP_SPINCOUNT", "1000");
    command
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts")
}

fn wait_for_checkpoint(child: &mut Child, output: &Path, part: &str) {
    let start = Instant::now();
    loop {
        let found = std::fs::read_dir(output)
            .into_iter()
            .flatten()
            .flatten()
            .map(|e| e.path());
        if found
            .into_iter()
            .any(|d| d.join(format!("checkpoints/{part}.safetensors")).exists())
        {
            return;
        }
        assert!(
            child.try_wait().expect("a status").is_none(),
            "the run ended before a checkpoint of the {part}"
        );
        assert!(
            start.elapsed() < Duration::from_secs(120),
            "no checkpoint of the {part}"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn signal(child: &Child, name: &str) {
    let status = Command::new("kill")
        .arg(format!("-{name}"))
        .arg(child.id().to_string())
        .status();
    assert!(status.expect("kill runs").success());
}

fn uninterrupted() -> serde_json::Value {
    let output = tempfile::tempdir().expect("a folder");
    small_run(output.path()).args(LONG).assert().success();
    results(&run_dir(output.path()))
}

#[test]
fn a_run_stopped_by_ctrl_c_keeps_its_checkpoint_and_resumes_to_the_same_report() {
    let output = tempfile::tempdir().expect("a folder");
    let mut child = start(output.path());
    wait_for_checkpoint(&mut child, output.path(), "encoder");
    signal(&child, "INT");
    let ended = child.wait_with_output().expect("it ends");
    let text = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert_eq!(ended.status.code(), Some(1), "{text}");
    assert!(text.contains("run the same command again to resume"), "{text}");
    assert!(
        run_dir(output.path())
            .join("checkpoints/encoder.safetensors")
            .exists()
    );
    small_run(output.path()).args(LONG).assert().success();
    assert_eq!(results(&run_dir(output.path())), uninterrupted());
}

#[test]
fn resume_goes_on_with_an_unfinished_run_and_with_nothing_else() {
    let output = tempfile::tempdir().expect("a folder");
    let refused = small_run(output.path())
        .args(LONG)
        .arg("--resume")
        .assert()
        .code(2);
    let text = String::from_utf8_lossy(&refused.get_output().stderr).into_owned();
    assert!(
        text.contains("nothing to resume") && text.contains("hint:"),
        "{text}"
    );
    small_run(output.path())
        .args(["--resume", "--fresh"])
        .assert()
        .code(2);
    let mut child = start(output.path());
    wait_for_checkpoint(&mut child, output.path(), "encoder");
    signal(&child, "KILL");
    child.wait().expect("it ends");
    small_run(output.path())
        .args(LONG)
        .arg("--resume")
        .assert()
        .success();
    assert_eq!(results(&run_dir(output.path())), uninterrupted());
}

#[test]
fn a_killed_run_resumes_to_the_same_report() {
    let output = tempfile::tempdir().expect("a folder");
    let mut child = start(output.path());
    wait_for_checkpoint(&mut child, output.path(), "encoder");
    std::thread::sleep(Duration::from_millis(u64::from(std::process::id() % 300)));
    signal(&child, "KILL");
    child.wait().expect("it ends");
    small_run(output.path()).args(LONG).assert().success();
    assert_eq!(results(&run_dir(output.path())), uninterrupted());
}
