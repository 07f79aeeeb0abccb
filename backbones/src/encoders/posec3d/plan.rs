//! Sizes of the network.

/// A step over time and one over both axes of the picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stride {
    pub(super) time: i64,
    pub(super) space: i64,
}

impl Stride {
    pub(super) const ONE: Self = Self { time: 1, space: 1 };

    /// `[T, H, W]` after a padded convolution with this stride.
    fn output(self, [t, h, w]: [i64; 3]) -> [i64; 3] {
        let size = |n: i64, stride: i64| (n - 1) / stride + 1;
        [size(t, self.time), size(h, self.space), size(w, self.space)]
    }
}

/// One stage of bottlenecks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stage {
    pub(super) blocks: usize,
    /// The first convolution of a block sees 3 frames instead of 1.
    pub(super) inflated: bool,
    /// Of the first block.
    pub(super) stride: Stride,
}

/// The network's sizes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Plan {
    /// Channels of the heat maps.
    pub(super) joints: i64,
    /// Channels of the first convolution and width of the first stage; doubled from stage to stage.
    pub(super) base: i64,
    /// Width and height of the first convolution, odd.
    pub(super) kernel: i64,
    pub(super) stem: Stride,
    pub(super) pool: Stride,
    pub(super) stages: Vec<Stage>,
}

/// Channels that leave a bottleneck, in multiples of its width.
pub(super) const EXPANSION: i64 = 4;

impl Plan {
    /// SlowOnly as PoseC3D uses it: three stages of 4, 6 and 3 bottlenecks.
    pub(super) fn slow_only(joints: i64, base: i64) -> Self {
        let stage = |blocks, inflated, time| Stage {
            blocks,
            inflated,
            stride: Stride { time, space: 2 },
        };
        Self {
            joints,
            base,
            kernel: 7,
            stem: Stride::ONE,
            pool: Stride::ONE,
            stages: vec![stage(4, false, 1), stage(6, true, 1), stage(3, true, 2)],
        }
    }

    /// Width of the bottlenecks of a stage, from 0.
    pub(super) fn width(&self, stage: usize) -> i64 {
        self.base << stage
    }

    /// N, channels of the last stage.
    pub(super) fn features(&self) -> i64 {
        EXPANSION * self.width(self.stages.len().saturating_sub(1))
    }

    fn strides(&self) -> impl Iterator<Item = Stride> {
        let stages = self.stages.iter().map(|stage| stage.stride);
        [self.stem, self.pool].into_iter().chain(stages)
    }

    /// `[T', H', W']` of heat maps `[T, H, W]`.
    pub(super) fn output(&self, size: [i64; 3]) -> [i64; 3] {
        self.strides().fold(size, |size, stride| stride.output(size))
    }

    /// All strides together: cell 0 is pixel 0, cell 1 this many pixels on.
    pub(super) fn stride(&self) -> Stride {
        self.strides().fold(Stride::ONE, |all, one| Stride {
            time: all.time * one.time,
            space: all.space * one.space,
        })
    }
}
