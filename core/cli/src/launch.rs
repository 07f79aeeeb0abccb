//! The surroundings that libtorch works best in: threads that wait politely, and memory that is kept.
//!
//! libtorch's OpenMP threads spin while they wait, which starves every other process on a shared machine. glibc hands
//! freed blocks of a few MB back to the system and asks for them again, page by page, with every tensor: up to half of a
//! training on the CPU. Both are read before `main` begins, so they are settled by starting this program once more with
//! them set.

use std::os::unix::process::CommandExt;

/// Iterations an idle OpenMP thread spins before it sleeps: short enough to leave the core to others, long enough
/// for back-to-back parallel regions.
const SPINS: (&str, &str) = ("GOMP_SPINCOUNT", "1000");

/// Blocks up to 1 GiB come from the heap, which gives nothing back before 1 GiB of its end is free.
const MEMORY: [(&str, &str); 2] = [
    ("MALLOC_MMAP_THRESHOLD_", "1073741824"),
    ("MALLOC_TRIM_THRESHOLD_", "1073741824"),
];

/// The first glibc that takes such a threshold. An older one refuses it, takes the other, and is slower than with neither.
const GLIBC: (u32, u32) = (2, 35);

/// Starts the program again in these surroundings, but for what the user chose.
pub fn settle() {
    let chosen = |name: &str| std::env::var_os(name).is_some();
    let mut wanted = wait_policy(chosen);
    if memory_policy(chosen) && glibc().is_some_and(|version| version >= GLIBC) {
        wanted.extend(MEMORY);
    }
    if wanted.is_empty() {
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
    // `exec` returns only when it failed; then the run goes on as it is.
    let error = command.args(arguments).envs(wanted).exec();
    tracing::debug!(%error, "wait and memory policy could not be set");
}

/// What is to be set for threads.
fn wait_policy(chosen: impl Fn(&str) -> bool) -> Vec<(&'static str, &'static str)> {
    let policies = [SPINS.0, "OMP_WAIT_POLICY", "KMP_BLOCKTIME"];
    if policies.into_iter().any(chosen) {
        Vec::new()
    } else {
        vec![SPINS]
    }
}

/// Is memory left to us?
fn memory_policy(chosen: impl Fn(&str) -> bool) -> bool {
    let policies = [MEMORY[0].0, MEMORY[1].0, "GLIBC_TUNABLES"];
    !policies.into_iter().any(chosen)
}

/// The version of glibc, where there is one.
fn glibc() -> Option<(u32, u32)> {
    let output = std::process::Command::new("getconf")
        .arg("GNU_LIBC_VERSION")
        .output();
    let text = String::from_utf8(output.ok()?.stdout).ok()?;
    version(&text)
}

/// Of `glibc 2.36`.
fn version(text: &str) -> Option<(u32, u32)> {
    let (major, minor) = text.trim().strip_prefix("glibc ")?.split_once('.')?;
    let minor = minor.split('.').next()?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_user_chose_stays() {
        let only = |name: &'static str| move |asked: &str| asked == name;
        assert_eq!(wait_policy(only("PATH")), [SPINS]);
        assert!(wait_policy(only("OMP_WAIT_POLICY")).is_empty());
        assert!(memory_policy(only("OMP_WAIT_POLICY")));
        assert!(!memory_policy(only("MALLOC_TRIM_THRESHOLD_")));
        assert!(!memory_policy(only("GLIBC_TUNABLES")));
    }

    #[test]
    fn an_old_glibc_is_told_from_a_new_one() {
        assert!(version("glibc 2.36\n") >= Some(GLIBC));
        assert!(version("glibc 2.35.1") >= Some(GLIBC));
        assert!(version("glibc 2.31") < Some(GLIBC));
        assert_eq!(version("musl 1.2"), None);
    }
}
