//! Persons of a batch: which are there, and how they enter the mean.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor};

/// Which persons enter the mean over persons.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Persons {
    /// All M, as in the published code: a person who is not there is a skeleton of zeros and counts like the others.
    #[default]
    All,
    /// Only those who are there.
    Present,
}

/// `[B, 3, T, V, M]` as `[B * M, T, V, 3]`, sample-major.
pub(super) fn rows(joints: &Tensor) -> Tensor {
    let s = joints.size();
    joints
        .to_kind(Kind::Float)
        .permute([0, 4, 2, 3, 1])
        .reshape([s[0] * s[4], s[2], s[3], s[1]])
}

/// `[B * M, ..]` as `[B, M, ..]`.
pub(super) fn per_sample(x: &Tensor, persons: i64) -> Tensor {
    x.unflatten(0, [-1, persons])
}

/// Numbers of the flags that are set.
pub(super) fn set(flags: &[bool]) -> Vec<i64> {
    let rows = flags.iter().enumerate().filter(|(_, f)| **f);
    rows.map(|(i, _)| i as i64).collect()
}

/// Numbers as a tensor on a device.
pub(super) fn index(rows: &[i64], device: Device) -> Tensor {
    Tensor::from_slice(rows).to_device(device)
}

/// Place of each row among the persons of its sample.
pub(super) fn slots(rows: &[i64], persons: i64) -> Vec<i64> {
    rows.iter().map(|row| row % persons).collect()
}

/// Weight of every person in the mean over those present; a sample with nobody in it counts its first person.
pub(super) fn shares(present: &[bool], persons: usize) -> Vec<f32> {
    let share = |sample: &[bool]| {
        let count = sample.iter().filter(|p| **p).count();
        let of = |(i, here): (usize, &bool)| match (count, *here, i) {
            (0, _, 0) => 1.0,
            (_, true, _) => 1.0 / count as f32,
            _ => 0.0,
        };
        sample.iter().enumerate().map(of).collect::<Vec<f32>>()
    };
    present.chunks(persons.max(1)).flat_map(share).collect()
}
