//! Threads that wait politely.
//!
//! libtorch's OpenMP threads spin while they wait, which starves every other process on a shared machine. The
//! policy is read before `main` begins, so it is settled by starting this program once more with it set.

use std::os::unix::process::CommandExt;

/// Iterations an idle OpenMP thread spins before it sleeps: short enough to leave the core to others, long enough
/// for back-to-back parallel regions.
const SPINS: &str = "1000";

/// Starts the program again with a short spin count, unless the user chose a policy.
pub fn settle_wait_policy() {
    let chosen = ["GOMP_SPINCOUNT", "OMP_WAIT_POLICY", "KMP_BLOCKTIME"]
        .iter()
        .any(|v| std::env::var_os(v).is_some());
    if chosen {
        return;
    }
    let Ok(program) = std::env::current_exe() else {
        return;
    };
    let mut arguments = std::env::args_os();
    let mut command = std::process::Command::new(program);
    if let Some(name) = arguments.next() {
        command.arg0(name);
    }
    // `exec` returns only when it failed; then the run goes on with spinning threads.
    let error = command.args(arguments).env("GOMP_SPINCOUNT", SPINS).exec();
    tracing::debug!(%error, "the wait policy could not be set");
}

/// Sets the number of threads of libtorch: as asked, else one per core.
pub fn set_count(threads: Option<usize>) {
    let count = threads
        .or_else(|| std::thread::available_parallelism().ok().map(Into::into))
        .unwrap_or(1);
    tch::set_num_threads(i32::try_from(count).unwrap_or(1));
}
