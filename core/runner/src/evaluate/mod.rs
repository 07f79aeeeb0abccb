//! Evaluation, the only place that knows test labels: zero-shot and generalised, before and after adaptation.

mod chain;
mod course;
mod gating;
mod gzsl;
mod saved;
mod stream;
mod zsl;

use std::time::Duration;

use szar_core::{Aligner, SemanticAnchors};
use tch::Tensor;

pub use gating::{Gated, columns, fit_gate, score, sees_truth};
pub use gzsl::gzsl;
#[cfg(test)]
pub use gzsl::{judge, play};
pub use saved::Saves;
pub(crate) use stream::synchronise;
pub use stream::{Clock, Played, Setting, Streaming};
pub use zsl::zsl;

use crate::perf::{Stage, peak_memory_mib};

/// What scores a stream: a trained aligner and the anchors of all classes.
pub struct Model<'a> {
    /// The aligner.
    pub aligner: &'a dyn Aligner,
    /// Anchors of seen and unseen classes.
    pub anchors: &'a SemanticAnchors,
}

/// The column with the largest logit, the lowest column on ties: `[n]` i64 on the CPU.
pub(crate) fn argmax(logits: &Tensor) -> Vec<i64> {
    let values = szar_core::host::HostF32::new(logits);
    let classes = usize::try_from(logits.size()[1]).unwrap_or(1).max(1);
    let best = |row: &[f32]| {
        let mut best = 0;
        for (column, value) in row.iter().enumerate() {
            if *value > row[best] {
                best = column;
            }
        }
        best as i64
    };
    values.as_slice().chunks(classes).map(best).collect()
}

pub(crate) fn stage(name: &str, time: Duration, samples: usize) -> Stage {
    let seconds = time.as_secs_f64();
    Stage {
        name: name.into(),
        seconds,
        samples: samples as u64,
        samples_per_second: if seconds > 0.0 {
            samples as f64 / seconds
        } else {
            0.0
        },
        peak_memory_mib: peak_memory_mib(),
        reused: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ties_go_to_the_lowest_column() {
        let logits = Tensor::from_slice(&[1.0f32, 3.0, 3.0, 2.0, 2.0, 0.0]).reshape([2, 3]);
        assert_eq!(argmax(&logits), [1, 0]);
    }
}
