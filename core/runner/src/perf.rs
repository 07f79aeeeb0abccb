//! Time and memory of each stage.

use std::time::Instant;

use serde::{Deserialize, Serialize};

/// What one stage cost.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stage {
    /// Name of the stage.
    pub name: String,
    /// Wall-clock seconds.
    pub seconds: f64,
    /// Samples that went through (times epochs for training); 0 when it has none.
    pub samples: u64,
    /// Samples per second; 0 when it has none.
    pub samples_per_second: f64,
    /// Largest resident memory of the process during the stage, MiB; 0 where the system does not tell.
    pub peak_memory_mib: f64,
    /// True when the stage's result was there already and only read.
    pub reused: bool,
}

/// A stage under way.
pub struct Watch {
    name: String,
    start: Instant,
}

impl Watch {
    /// Starts the clock and resets the peak of the resident memory.
    pub fn start(name: &str) -> Self {
        // Linux resets the high-water mark on "5"; elsewhere the peak is that of the whole process.
        let _ = std::fs::write("/proc/self/clear_refs", "5");
        tracing::info!(stage = name, "begins");
        Self {
            name: name.into(),
            start: Instant::now(),
        }
    }

    /// Stops the clock after `samples` samples.
    pub fn stop(self, samples: u64, reused: bool) -> Stage {
        let seconds = self.start.elapsed().as_secs_f64();
        let rate = if samples > 0 && seconds > 0.0 && !reused {
            samples as f64 / seconds
        } else {
            0.0
        };
        tracing::info!(stage = self.name, seconds, samples, "ends");
        Stage {
            name: self.name,
            seconds,
            samples,
            samples_per_second: rate,
            peak_memory_mib: peak_memory_mib(),
            reused,
        }
    }
}

/// Largest resident memory since the last reset, MiB.
pub fn peak_memory_mib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"));
    let kib = line
        .and_then(|l| l.split_whitespace().next())
        .and_then(|n| n.parse::<f64>().ok());
    kib.unwrap_or(0.0) / 1024.0
}
