//! A shell stands in for the process that does tasks.

use std::path::PathBuf;

use szar_core::SweepTask;

use super::*;

#[derive(Default)]
struct Seen {
    begun: Vec<(usize, usize)>,
    ended: Vec<(usize, Option<String>)>,
}

impl Watch for Seen {
    fn begun(&mut self, task: usize, worker: usize) {
        self.begun.push((task, worker));
    }

    fn ended(&mut self, outcome: &Outcome) {
        self.ended.push((outcome.task, outcome.error.clone()));
    }

    fn note(&mut self, _: &str) {}
}

fn task(after: &[usize], affinity: &str) -> SweepTask {
    SweepTask {
        name: "t".into(),
        stage: after.len(),
        after: after.to_vec(),
        affinity: affinity.into(),
    }
}

/// Runs `body` for each task, `$n` its number; what it prints is told.
fn run(tasks: Vec<SweepTask>, workers: usize, body: &str, cancel: &Cancel) -> (Seen, Result<()>) {
    let folder = tempfile::tempdir().unwrap();
    let sweep = Sweep {
        name: "s".into(),
        tasks,
        program: PathBuf::from("/bin/sh"),
        arguments: vec!["-c".into(), format!("while read n; do {body}; done")],
        folder: folder.path().to_owned(),
        outcomes: folder.path().to_owned(),
    };
    let mut seen = Seen::default();
    let config = LocalConfig {
        workers: Some(workers),
        ..LocalConfig::default()
    };
    let result = config.build().unwrap().launch(&sweep, &mut seen, cancel);
    (seen, result)
}

const FINE: &str = r#"echo "{\"task\":$n,\"error\":null,\"seconds\":0}""#;

#[test]
fn a_task_runs_behind_those_it_waits_for_and_not_at_all_behind_a_failed_one() {
    let tasks = vec![
        task(&[], "a"),
        task(&[], "b"),
        task(&[0], "a"),
        task(&[1], "b"),
        task(&[3], "b"),
    ];
    let body =
        r#"if [ $n = 1 ]; then e='"no"'; else e=null; fi; echo "{\"task\":$n,\"error\":$e,\"seconds\":0}""#;
    let (seen, result) = run(tasks, 2, body, &Cancel::default());
    result.unwrap();
    let mut ended: Vec<_> = seen.ended.iter().map(|(t, e)| (*t, e.is_some())).collect();
    let place = |t: usize| seen.ended.iter().position(|(n, _)| *n == t);
    assert!(place(0) < place(2));
    ended.sort();
    assert_eq!(ended, [(0, false), (1, true), (2, false)]);
}

#[test]
fn tasks_of_one_affinity_stay_with_one_process() {
    let tasks = (0..20)
        .map(|i| task(&[], if i % 2 == 0 { "even" } else { "odd" }))
        .collect();
    let (seen, result) = run(tasks, 2, &format!("sleep 0.02; {FINE}"), &Cancel::default());
    result.unwrap();
    let of = |parity: usize| {
        seen.begun
            .iter()
            .filter(move |(t, _)| t % 2 == parity)
            .map(|(_, w)| *w)
    };
    // One may help the other at the very end.
    let strays = |parity| {
        let first = of(parity).next();
        of(parity).filter(|w| Some(*w) != first).count()
    };
    assert!(
        seen.ended.len() == 20 && strays(0) + strays(1) <= 2,
        "{:?}",
        seen.begun
    );
}

#[test]
fn a_process_that_dies_fails_its_task_alone() {
    let tasks = (0..4).map(|_| task(&[], "")).collect();
    let body = format!("if [ $n = 1 ]; then kill -9 $$; fi; {FINE}");
    let (seen, result) = run(tasks, 1, &body, &Cancel::default());
    result.unwrap();
    assert_eq!(seen.ended.len(), 4);
    let error = seen.ended[1].1.as_ref().unwrap();
    assert!(
        error.contains("signal: 9") && error.contains("worker-0.log"),
        "{error}"
    );
    assert!(seen.ended.iter().filter(|(_, e)| e.is_none()).count() == 3);
}

#[test]
fn a_full_disk_ends_the_sweep() {
    let tasks = (0..4).map(|_| task(&[], "")).collect();
    let body = r#"echo "{\"task\":$n,\"error\":\"full\",\"fatal\":true,\"seconds\":0}""#;
    let (seen, result) = run(tasks, 1, body, &Cancel::default());
    result.unwrap();
    assert_eq!(seen.ended.len(), 1);
}

#[test]
fn a_wish_to_stop_closes_the_input_and_is_an_error() {
    let cancel = Cancel::default();
    cancel.request();
    let tasks = (0..4).map(|_| task(&[], "")).collect();
    let (seen, result) = run(tasks, 2, FINE, &cancel);
    assert!(matches!(result, Err(Error::Cancelled)));
    assert!(seen.ended.len() <= 2, "{:?}", seen.ended);
}

#[test]
fn a_program_that_is_not_there_is_named() {
    let sweep = Sweep {
        name: "s".into(),
        tasks: vec![task(&[], "")],
        program: PathBuf::from("/nonexistent/szar"),
        arguments: Vec::new(),
        folder: std::env::temp_dir(),
        outcomes: std::env::temp_dir(),
    };
    let error =
        LocalConfig::default()
            .build()
            .unwrap()
            .launch(&sweep, &mut Seen::default(), &Cancel::default());
    assert!(
        error
            .unwrap_err()
            .to_string()
            .starts_with("cannot start /nonexistent/szar")
    );
}
