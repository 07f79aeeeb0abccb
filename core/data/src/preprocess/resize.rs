//! Linear interpolation along time by the half-pixel rule (`align_corners = false` of PyTorch's `interpolate`).

/// Frames of `size` numbers each, brought to `wanted` frames. Frame t of the result is read at
/// `(t + 1/2) n / wanted - 1/2`, not before the first nor behind the last of the n frames.
pub(crate) fn resize(frames: &[f32], size: usize, wanted: usize) -> Vec<f32> {
    let count = frames.len() / size;
    let step = count as f32 / wanted as f32;
    let mut out = Vec::with_capacity(wanted * size);
    for frame in 0..wanted {
        let place = (step * (frame as f32 + 0.5) - 0.5).max(0.0);
        let before = (place as usize).min(count - 1);
        let after = (before + 1).min(count - 1);
        let share = (place - before as f32).clamp(0.0, 1.0);
        let row = |at: usize| &frames[at * size..(at + 1) * size];
        let mixed = row(before).iter().zip(row(after));
        out.extend(mixed.map(|(a, b)| a * (1.0 - share) + b * share));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frame_centres_go_onto_frame_centres() {
        // Two frames to four: read at -1/4 (held at 0), 1/4, 3/4, 5/4 (held at 1).
        assert_eq!(resize(&[0.0, 4.0], 1, 4), [0.0, 1.0, 3.0, 4.0]);
        // Four to two: at 1/2 and 5/2.
        assert_eq!(resize(&[0.0, 1.0, 2.0, 5.0], 1, 2), [0.5, 3.5]);
        // As many: as they are.
        assert_eq!(resize(&[3.0, 1.0, 2.0], 1, 3), [3.0, 1.0, 2.0]);
        assert_eq!(resize(&[3.0, 1.0], 2, 3), [3.0, 1.0].repeat(3));
    }
}
