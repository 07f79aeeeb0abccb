//! list, describe, check, conform, doctor.

use crate::szar;

fn stdout(command: &mut assert_cmd::Command) -> String {
    String::from_utf8(command.assert().success().get_output().stdout.clone()).expect("UTF-8")
}

#[test]
fn list_names_every_kind() {
    let text = stdout(szar().arg("list"));
    for word in [
        "dataset",
        "encoder",
        "st-gcn",
        "aligner",
        "purls",
        "eszsl",
        "adapter",
        "skeleton-cache",
        "gate",
    ] {
        assert!(text.contains(word), "{word} in\n{text}");
    }
}

#[test]
fn describe_shows_options_with_their_defaults() {
    let text = stdout(szar().args(["describe", "entropy"]));
    assert!(text.contains("keep: a number = 0.8"), "{text}");
}

#[test]
fn an_unknown_component_suggests_the_nearest() {
    let assert = szar().args(["describe", "skeleton-cach"]).assert().code(2);
    let err = String::from_utf8_lossy(&assert.get_output().stderr).into_owned();
    assert!(err.contains("did you mean `skeleton-cache`?"), "{err}");
}

#[test]
fn every_shipped_configuration_is_fine() {
    let folders = ["configs", "configs/adapters", "configs/features"]
        .map(|f| std::fs::read_dir(szar_tests::root().join(f)));
    let yaml = folders
        .into_iter()
        .flat_map(|folder| folder.expect("configurations"))
        .flatten()
        .map(|e| e.path())
        .filter(|p| p.extension().is_some_and(|e| e == "yaml"));
    szar().arg("check").args(yaml).assert().success();
}

#[test]
fn table_puts_finished_runs_side_by_side() {
    let output = tempfile::tempdir().expect("a folder");
    for seed in ["seed=1", "seed=2"] {
        crate::small_run(output.path())
            .args(["--set", seed])
            .assert()
            .success();
    }
    let table = |more: &[&str]| stdout(szar().arg("table").arg(output.path()).args(more));
    let text = table(&["--by", "split,aligner.partition,adapters"]);
    let rows: Vec<&str> = text.lines().collect();
    assert!(
        rows[0].starts_with("| split | aligner.partition | adapters | runs | class mean |"),
        "{text}"
    );
    assert!(
        rows.len() == 3 && rows[2].contains("| static | skeleton-cache | 2 |"),
        "{text}"
    );
    assert!(rows[2].contains(" ± "), "{text}");
    assert_eq!(table(&["--by", "seed", "--csv"]).lines().count(), 3);
    let wrong = szar()
        .arg("table")
        .arg(output.path())
        .args(["--by", "sed"])
        .assert()
        .code(2);
    let text = String::from_utf8_lossy(&wrong.get_output().stderr).into_owned();
    assert!(text.contains("did you mean `seed`?"), "{text}");
    szar().args(["table", "configs"]).assert().code(2);
}

#[test]
fn doctor_finds_the_right_libtorch() {
    let text = stdout(szar().arg("doctor"));
    assert!(text.contains("2.11.0"), "{text}");
}

#[test]
fn conform_passes_the_goldens_and_names_what_is_not_implemented() {
    let Some(goldens) = szar_core::conform::goldens_for_tests("") else {
        return;
    };
    let text = stdout(szar().arg("conform").arg(&goldens));
    assert!(text.contains("0 fail"), "{text}");
}

#[test]
fn conform_fails_on_a_tensor_that_was_moved() {
    let Some(goldens) = szar_core::conform::goldens_for_tests("metric/zsl-accuracy/c5") else {
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let case = folder.path().join("metric/zsl-accuracy/c5");
    std::fs::create_dir_all(&case).expect("a folder");
    std::fs::copy(goldens.join("case.yaml"), case.join("case.yaml")).expect("a copy");
    let path = goldens.join("tensors.safetensors");
    let (mut tensors, _) = szar_core::checkpoint::load(&path, tch::Device::Cpu).expect("tensors");
    let moved = &tensors["output/top1"] + 0.01;
    tensors.insert("output/top1".into(), moved);
    szar_core::checkpoint::save(&case.join("tensors.safetensors"), &tensors, &[]).expect("written");
    let assert = szar().arg("conform").arg(folder.path()).assert().code(1);
    let err = String::from_utf8_lossy(&assert.get_output().stderr).into_owned();
    assert!(err.contains("top1"), "{err}");
}

#[test]
fn strict_conform_refuses_what_is_not_implemented() {
    let folder = tempfile::tempdir().expect("a folder");
    let case = folder.path().join("adapter/nobody/c1");
    std::fs::create_dir_all(&case).expect("a folder");
    let text = "kind: adapter\ncomponent: nobody\nparams: {}\ntolerance: {atol: 0.1, rtol: 0.1}\n";
    std::fs::write(case.join("case.yaml"), text).expect("written");
    let tensors = [("output/x".to_owned(), tch::Tensor::from_slice(&[1.0f32]))].into();
    szar_core::checkpoint::save(&case.join("tensors.safetensors"), &tensors, &[]).expect("written");
    szar().arg("conform").arg(folder.path()).assert().success();
    szar()
        .args(["conform", "--strict"])
        .arg(folder.path())
        .assert()
        .code(1);
}
