//! The ten blocks of 2s-AGCN and of what was built on it.

use szar_core::EncoderSpec;
use szar_core::component::InputSpec;

use crate::encoders::layers::strided;

/// One block's sizes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Channels that it reads.
    pub input: i64,
    /// Channels that it gives.
    pub output: i64,
    /// Every how many frames it gives one.
    pub stride: i64,
    /// Does its input reach its output past the convolutions? All but the first block's.
    pub residual: bool,
}

/// Ten blocks over `input` channels: four of `base` channels, three of twice, three of four times as many; the fifth
/// and the eighth give every second frame.
pub fn ten_blocks(input: i64, base: i64) -> Vec<Plan> {
    let outputs = [1, 1, 1, 1, 2, 2, 2, 4, 4, 4].map(|times| times * base);
    let mut input = input;
    let block = |(i, output): (usize, i64)| {
        let stride = if i == 4 || i == 7 { 2 } else { 1 };
        let plan = Plan {
            input,
            output,
            stride,
            residual: i > 0,
        };
        input = output;
        plan
    };
    outputs.into_iter().enumerate().map(block).collect()
}

/// T' of ten blocks over T frames: a fourth, rounded up twice.
pub fn output_frames(frames: i64) -> i64 {
    strided(strided(frames, 2), 2)
}

/// What an encoder of ten blocks gives: four times `base` channels, a fourth of the frames, all joints.
pub fn ten_block_spec(base: i64, input: &InputSpec) -> EncoderSpec {
    EncoderSpec {
        channels: 4 * base,
        frames: output_frames(input.frames),
        joints: input.layout.len() as i64,
        classifies: input.seen_classes > 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_double_where_frames_halve() {
        let plan = ten_blocks(3, 64);
        assert_eq!((plan[0].input, plan[0].output, plan[0].residual), (3, 64, false));
        let wide: Vec<_> = plan
            .iter()
            .filter(|p| p.residual && p.input != p.output)
            .collect();
        assert!(wide.iter().all(|p| p.stride == 2 && p.output == 2 * p.input) && wide.len() == 2);
        assert_eq!((plan[9].output, output_frames(50)), (256, 13));
    }
}
