//! Calls across the boundary keep nothing: ten thousand of them need no more memory than the first ones.
//!
//! A file of its own, since a test that runs beside it in one process would be counted too.
#![cfg(target_os = "linux")]

use std::path::Path;

use serde_json::json;
use szar_core::online::Online;
use szar_core::{AdapterConfig, FeatureMap, Observation, SampleRef, Scores, testing};
use tch::{Tensor, kind::FLOAT_CPU};

/// Steps that are counted, `SZAR_TEST_CALLS` or ten thousand.
fn calls() -> usize {
    let set = std::env::var("SZAR_TEST_CALLS").ok();
    set.and_then(|text| text.parse().ok()).unwrap_or(10_000)
}

/// Bytes of this process in memory.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("this is Linux");
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .expect("a size");
    line.trim()
        .trim_end_matches(" kB")
        .parse::<u64>()
        .expect("a number")
        * 1024
}

fn begin(fault: &str) -> Online {
    let options = json!({ "fault": fault, "after": 1 });
    let block = json!({ "type": "plugin", "component": "faulty", "options": options });
    let config: Box<dyn AdapterConfig> = serde_json::from_value(block).expect("a configuration");
    Online::begin(
        config.as_ref(),
        &testing::build_context(),
        &testing::task(5, 3, 1, 1),
    )
    .expect("it begins")
}

#[test]
fn ten_thousand_calls_need_no_more_memory_than_the_first() {
    let program = Path::new(env!("CARGO_BIN_EXE_szar-under-test"));
    let (prefix, suffix) = (std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX);
    let file = format!("deps/{prefix}szar_example_faulty{suffix}");
    szar_plugin_host::load(&program.with_file_name(file)).expect("the plugin loads");
    let map = FeatureMap::new(Tensor::rand([4, 3, 1, 1], FLOAT_CPU)).expect("features");
    let scores = Scores {
        logits: Tensor::rand([4, 5], FLOAT_CPU),
    };
    let samples = SampleRef::run(0, 4);
    let seen = Observation::new(&map, &scores, &samples);
    // Of what fails, everything that was half made must be freed too.
    let faults = ["none", "step-panics", "fewer-classes", "sparse"];
    let mut all = faults.map(begin);
    let mut round = |count: usize| {
        for _ in 0..count {
            for (online, fault) in all.iter_mut().zip(faults) {
                let stepped = online.step(&seen, &testing::NoModel);
                assert!(stepped.is_ok() || fault != "none");
                let _ = online.snapshot().expect("a snapshot");
            }
        }
    };
    let count = calls();
    round(count / 10);
    let before = resident();
    round(count / 4);
    let grown = resident().saturating_sub(before);
    assert!(grown < 2 << 20, "{grown} bytes more after {count} calls");
}
