use std::path::PathBuf;

use szar_core::{LauncherConfig, Problems, SweepTask};

use super::*;

fn task(stage: usize, affinity: &str) -> SweepTask {
    SweepTask {
        name: format!("t{stage}"),
        stage,
        after: Vec::new(),
        affinity: affinity.into(),
    }
}

fn sweep(tasks: Vec<SweepTask>) -> Sweep {
    Sweep {
        name: "study".into(),
        tasks,
        program: PathBuf::from("/opt/it's/szar"),
        arguments: vec!["work".into(), "list.json".into()],
        folder: PathBuf::from("/shared/logs"),
        outcomes: PathBuf::from("/shared/outcomes"),
    }
}

#[test]
fn tasks_that_share_a_model_go_together_stage_by_stage() {
    let sweep = sweep(vec![
        task(0, "e"),
        task(2, "a"),
        task(2, "b"),
        task(2, "a"),
        task(2, "a"),
    ]);
    let config = SlurmConfig {
        chunk: 2,
        ..SlurmConfig::default()
    };
    let stages = arrays(&sweep, &config);
    assert_eq!(stages.len(), 2, "there is nothing in stage 1");
    assert_eq!(stages[0][0].jobs, [vec![0]]);
    assert_eq!(stages[1][0].jobs, [vec![1, 3], vec![2], vec![4]]);
}

#[test]
fn the_script_asks_for_what_was_given_and_quotes_the_program() {
    let sweep = sweep(vec![task(0, "e"), task(0, "f")]);
    let config = SlurmConfig {
        partition: Some("gpu".into()),
        time: Some("02:00:00".into()),
        gpus: 1,
        array: 4,
        options: vec!["--constraint=a100".into()],
        setup: vec!["module load cuda".into()],
        ..SlurmConfig::default()
    };
    let text = arrays(&sweep, &config)[0][0].script(&sweep, &config);
    for line in [
        "#SBATCH --array=0-1%4",
        "#SBATCH --partition=gpu",
        "#SBATCH --time=02:00:00",
        "#SBATCH --gpus=1",
        "#SBATCH --constraint=a100",
        "module load cuda",
        "1) tasks=1 ;;",
        r#"exec '/opt/it'\''s/szar' 'work' 'list.json' --tasks "$tasks" --threads "${SLURM_CPUS_PER_TASK:-1}""#,
    ] {
        assert!(text.lines().any(|l| l == line), "{line} in\n{text}");
    }
    assert!(
        !text.contains("--mem"),
        "what was not given is left to the cluster"
    );
}

#[test]
fn arrays_are_no_longer_than_clusters_allow() {
    let sweep = sweep((0..2500).map(|i| task(0, &i.to_string())).collect());
    let stages = arrays(&sweep, &SlurmConfig::default());
    assert_eq!(
        stages[0].iter().map(|a| a.jobs.len()).collect::<Vec<_>>(),
        [1000, 1000, 500]
    );
}

#[test]
fn options_that_sbatch_would_misread_are_refused() {
    let config = SlurmConfig {
        cpus: 0,
        partition: Some("a b".into()),
        options: vec!["constraint".into()],
        ..SlurmConfig::default()
    };
    let mut problems = Problems::new();
    config.validate(&mut problems);
    let fields: Vec<&str> = problems.iter().map(|p| p.field.as_str()).collect();
    assert_eq!(fields, ["cpus", "partition", "options[0]"]);
}
