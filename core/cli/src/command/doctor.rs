//! `szar doctor`.

use std::fmt::Write;
use std::process::ExitCode;

use anyhow::Result;
use szar_core::device::{cpu_has_bf16, cuda_devices};

use crate::output::Output;

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Version of libtorch that the bindings need.
const TORCH: &str = "2.11.0";

/// Prints toolchain, libtorch, device and threads; code 1 when something is wrong.
pub fn run(_: &Args, output: &Output) -> Result<ExitCode> {
    let mut wrong = Vec::new();
    let mut lines: Vec<(&str, String)> = vec![("szar", env!("CARGO_PKG_VERSION").into())];
    for (name, program) in [
        ("cargo", "cargo"),
        ("rustc", "rustc"),
        ("c++", "c++"),
        ("python", "python3"),
    ] {
        lines.push((name, version(program).unwrap_or_else(|| "not found".into())));
    }
    let library = loaded_library("libtorch_cpu.so");
    lines.push(("libtorch", library.clone().unwrap_or_else(|| "not loaded".into())));
    let found = library.as_deref().and_then(libtorch_version);
    lines.push((
        "libtorch version",
        found.clone().unwrap_or_else(|| "unknown".into()),
    ));
    if let Some(found) = found.filter(|f| !f.starts_with(TORCH)) {
        wrong.push(format!(
            "libtorch is {found}, szar is built for {TORCH}; run `./x setup`"
        ));
    }
    let x = tch::Tensor::ones([64, 64], tch::kind::FLOAT_CPU);
    if x.matmul(&x).sum(tch::Kind::Double).double_value(&[]) != 262_144.0 {
        wrong.push("a matrix product on the CPU gave a wrong result".into());
    }
    lines.push((
        "threads",
        format!("{} of libtorch, {} cores", tch::get_num_threads(), cores()),
    ));
    lines.push((
        "bf16 on the CPU",
        if cpu_has_bf16() { "native" } else { "emulated" }.into(),
    ));
    let devices = cuda_devices();
    let cuda = if devices == 0 {
        "none".to_owned()
    } else {
        format!("{devices} devices, cuDNN {}", tch::Cuda::cudnn_is_available())
    };
    lines.push(("CUDA", cuda));
    if devices == 0 && std::path::Path::new("/dev/nvidia0").exists() {
        wrong.push(
            "there is an NVIDIA device, but this libtorch has no CUDA part; put the `lib` folder of a full PyTorch 2.11.0 in front of LD_LIBRARY_PATH".into(),
        );
    }
    let cache = szar_runner::cache_dir();
    lines.push(("cache", cache.display().to_string()));
    lines.push(("components", szar_core::registry::all().len().to_string()));
    for (kind, name) in szar_core::registry::clashes() {
        wrong.push(format!("two components are called {kind} `{name}`"));
    }
    if output.json {
        let table: serde_json::Map<_, _> = lines
            .iter()
            .map(|(k, v)| ((*k).to_owned(), v.clone().into()))
            .collect();
        output.json(&serde_json::json!({ "found": table, "wrong": wrong }))?;
    } else {
        let mut text = String::new();
        for (name, value) in &lines {
            let _ = writeln!(text, "{name:18} {value}");
        }
        for problem in &wrong {
            let _ = writeln!(text, "wrong: {problem}");
        }
        if wrong.is_empty() {
            let _ = writeln!(text, "nothing is wrong");
        }
        output.result(&text)?;
    }
    Ok(ExitCode::from(u8::from(!wrong.is_empty())))
}

fn version(program: &str) -> Option<String> {
    let output = std::process::Command::new(program)
        .arg("--version")
        .output()
        .ok()?;
    let text = String::from_utf8_lossy(&output.stdout)
        .lines()
        .next()?
        .trim()
        .to_owned();
    Some(text)
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, Into::into)
}

fn loaded_library(name: &str) -> Option<String> {
    let maps = std::fs::read_to_string("/proc/self/maps").ok()?;
    maps.lines()
        .filter_map(|l| l.split_whitespace().last())
        .find(|p| p.ends_with(name))
        .map(str::to_owned)
}

fn libtorch_version(library: &str) -> Option<String> {
    let folder = std::path::Path::new(library).parent()?.parent()?;
    let text = std::fs::read_to_string(folder.join("build-version"));
    let text = text.or_else(|_| std::fs::read_to_string(folder.join("version.py")));
    let text = text.ok()?;
    let line = text.lines().find(|l| l.contains('.'))?;
    Some(
        line.trim()
            .trim_start_matches("__version__ = ")
            .trim_matches(['\'', '"'])
            .to_owned(),
    )
}
