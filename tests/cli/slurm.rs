//! A grid on a real Slurm cluster of one node, started for the test. Needs Debian's packages slurm-wlm and munge.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::szar;

/// A cluster that lives as long as this.
struct Cluster {
    folder: tempfile::TempDir,
}

impl Cluster {
    /// `None`, and a line on stderr, where Slurm is not installed.
    fn start() -> Option<Self> {
        let installed = ["slurmctld", "slurmd", "munged", "sbatch"].iter().all(|name| {
            let places = [
                "/usr/sbin",
                "/usr/bin",
                "/sbin",
                "/usr/local/bin",
                "/usr/local/sbin",
            ];
            places.iter().any(|place| Path::new(place).join(name).exists())
        });
        if !installed {
            eprintln!("skipped: no Slurm here (Debian: apt install slurm-wlm munge)");
            return None;
        }
        let folder = tempfile::tempdir().expect("a folder");
        let output = Self::script("start", folder.path()).output().expect("a shell");
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        Some(Self { folder })
    }

    fn script(what: &str, folder: &Path) -> Command {
        let mut command = Command::new("bash");
        command
            .arg(szar_tests::root().join("tests/slurm/cluster.sh"))
            .arg(what)
            .arg(folder);
        command
    }

    fn stop(&self) {
        let _ = Self::script("stop", self.folder.path()).status();
    }

    /// `szar ablate` on this cluster: exit code, stdout and stderr.
    fn ablate(&self, grid: &Path, more: &[&str]) -> (i32, String, String) {
        let mut command = szar();
        command
            .arg("ablate")
            .arg(grid)
            .args(more)
            .env("SLURM_CONF", self.folder.path().join("slurm.conf"));
        let output = command.output().expect("it runs");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (
            output.status.code().unwrap_or(-1),
            text(&output.stdout),
            text(&output.stderr),
        )
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.stop();
    }
}

fn grid(folder: &Path, launcher: &str) -> PathBuf {
    let path = folder.join("study.yaml");
    let text = format!(
        "pipeline: {}\nset: {{dataset.samples_per_class: 6, preprocess.frames: 16, encoder.base_channels: 8, encoder.train.epochs: 1, \
         evaluate: [zsl]}}\noutput: out\naxes:\n  aligner: [{{type: eszsl}}, {{type: devise, epochs: 2}}]\n  \
         adapters: [[], [{{type: balance}}]]\nlauncher: {{type: slurm, poll_secs: 0.5, {launcher}}}\n",
        szar_tests::root().join("configs/quickstart.yaml").display()
    );
    std::fs::write(&path, text).expect("written");
    path
}

#[test]
fn a_grid_runs_on_a_cluster_and_can_be_watched_stopped_and_resumed() {
    let Some(cluster) = Cluster::start() else {
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");

    let refused = grid(folder.path(), "partition: nowhere");
    let (code, _, err) = cluster.ablate(&refused, &[]);
    assert!(
        code == 2 && err.contains("sbatch refused") && err.contains("nvalid partition"),
        "{err}"
    );

    // Held back by a node that is not free, so that there is something to look at.
    let held = grid(folder.path(), "options: [--begin=now+1hour]");
    let (code, _, err) = cluster.ablate(&held, &["--detach"]);
    assert_eq!(code, 0, "{err}");
    let (_, out, _) = cluster.ablate(&held, &["--status"]);
    assert!(out.contains("4 waiting") && out.contains("pending"), "{out}");
    let (_, _, err) = cluster.ablate(&held, &["--detach"]);
    assert!(
        err.contains("in the queue already"),
        "nothing is handed over twice: {err}"
    );
    let (code, _, err) = cluster.ablate(&held, &["--cancel"]);
    assert!(code == 0 && err.contains("stopped"), "{err}");
    let begun = Instant::now();
    while cluster.ablate(&held, &["--status"]).1.contains("job ") && begun.elapsed() < Duration::from_secs(30)
    {
        std::thread::sleep(Duration::from_millis(200));
    }

    let file = grid(folder.path(), "chunk: 1, array: 2");
    let (code, out, err) = cluster.ablate(&file, &[]);
    assert_eq!(code, 0, "{err}");
    assert!(err.contains("job ") && err.contains("tasks of stage 2"), "{err}");
    assert!(err.contains("4 cells: 4 finished, 0 failed"), "{err}");
    assert!(out.contains("devise") && out.contains("balance"), "{out}");
    let (code, again, err) = cluster.ablate(&file, &[]);
    assert!(
        code == 0 && again == out && !err.contains("job "),
        "nothing is run twice: {err}"
    );

    cluster.stop();
    let more = grid(folder.path(), "chunk: 1");
    let (code, _, err) = cluster.ablate(&more, &["--set", "seed=9", "--detach"]);
    assert!(
        code == 2 && err.contains("Unable to contact slurm controller"),
        "a controller that is down: {err}"
    );
}
