//! The last frames of a stream that goes on.

use szar_core::Sequence;

/// Frames of a window, and from one window to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spacing {
    /// Frames of a window, at least 1.
    pub window: usize,
    /// Frames from the start of a window to that of the next, at least 1.
    pub stride: usize,
}

/// A ring of the last frames, and one sequence that is filled from it again and again: nothing is allocated once a stream
/// has begun.
#[derive(Debug)]
pub(super) struct Windows {
    spacing: Spacing,
    /// M V 3.
    size: usize,
    /// `[window, M, V, 3]`; frame t stands at `t % window`.
    ring: Vec<f32>,
    frames: u64,
    answered: u64,
    out: Sequence,
}

/// A window of a stream: the numbers of its first and last frame, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// First.
    pub first: u64,
    /// Last.
    pub last: u64,
}

impl Windows {
    /// Of frames with this many persons and joints.
    pub fn new(spacing: Spacing, persons: usize, joints: usize, fps: f32) -> Self {
        let spacing = Spacing {
            window: spacing.window.max(1),
            stride: spacing.stride.max(1),
        };
        let size = persons * joints * 3;
        Self {
            spacing,
            size,
            ring: vec![0.0; spacing.window * size],
            frames: 0,
            answered: 0,
            out: Sequence {
                joints: Vec::with_capacity(spacing.window * size),
                frames: 0,
                persons,
                fps,
            },
        }
    }

    /// Frames so far.
    pub fn frames(&self) -> u64 {
        self.frames
    }

    /// Takes a frame `[M, V, 3]`; the window that it ends, if any. Panics on a frame of another size.
    pub fn push(&mut self, frame: &[f32]) -> Option<(Window, &Sequence)> {
        let window = self.spacing.window as u64;
        let at = (self.frames % window) as usize * self.size;
        self.ring[at..at + self.size].copy_from_slice(frame);
        self.frames += 1;
        let past = self.frames.checked_sub(window)?;
        if past % self.spacing.stride as u64 != 0 {
            return None;
        }
        Some(self.take(window))
    }

    /// At the end of a stream that never filled a window: all of its frames, if there are any.
    pub fn rest(&mut self) -> Option<(Window, &Sequence)> {
        if self.answered > 0 || self.frames == 0 {
            return None;
        }
        Some(self.take(self.frames.min(self.spacing.window as u64)))
    }

    /// The last `count` frames as a sequence.
    fn take(&mut self, count: u64) -> (Window, &Sequence) {
        let first = self.frames - count;
        let start = (first % self.spacing.window as u64) as usize * self.size;
        let length = count as usize * self.size;
        let before_the_end = length.min(self.ring.len() - start);
        self.out.joints.clear();
        self.out
            .joints
            .extend_from_slice(&self.ring[start..start + before_the_end]);
        self.out
            .joints
            .extend_from_slice(&self.ring[..length - before_the_end]);
        self.out.frames = count as usize;
        self.answered += 1;
        let window = Window {
            first,
            last: self.frames - 1,
        };
        (window, &self.out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn windows(window: usize, stride: usize) -> Windows {
        Windows::new(Spacing { window, stride }, 1, 1, 30.0)
    }

    /// First frame and x of every frame of each window of `count` frames whose x is their number.
    fn seen(windows: &mut Windows, count: usize) -> Vec<(u64, Vec<f32>)> {
        let xs = |s: &Sequence| s.joints.chunks_exact(3).map(|j| j[0]).collect();
        (0..count)
            .filter_map(|t| {
                let (at, s) = windows.push(&[t as f32, 0.0, 0.0])?;
                Some((at.first, xs(s)))
            })
            .collect()
    }

    #[test]
    fn windows_slide_by_the_stride() {
        let mut overlapping = windows(4, 2);
        let want = [
            (0, vec![0.0, 1.0, 2.0, 3.0]),
            (2, vec![2.0, 3.0, 4.0, 5.0]),
            (4, vec![4.0, 5.0, 6.0, 7.0]),
        ];
        assert_eq!(seen(&mut overlapping, 9), want);
        assert!(overlapping.rest().is_none());
        let apart = seen(&mut windows(2, 5), 8);
        assert_eq!(apart, [(0, vec![0.0, 1.0]), (5, vec![5.0, 6.0])]);
    }

    #[test]
    fn a_stream_shorter_than_a_window_is_one_sequence() {
        let mut short = windows(4, 2);
        assert!(short.rest().is_none());
        assert!(seen(&mut short, 3).is_empty());
        let (at, sequence) = short.rest().unwrap();
        assert_eq!((at, sequence.frames), (Window { first: 0, last: 2 }, 3));
        assert_eq!(sequence.joints.len(), 9);
    }
}
