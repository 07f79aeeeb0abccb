//! When and how often things happen.

use rand::RngExt;

use super::classes::Action;
use super::draw::{Generator, between};
use super::pose::Channel;

/// Frames per second.
pub(super) const FPS: f64 = 30.0;
/// Seconds that an action takes at most.
const LONGEST: f64 = 2.7;
/// Fewest and most frames of a sample.
const FRAMES: (usize, usize) = (40, 90);

/// Cycles and seconds of a performance; as many cycles as fit into a recording.
pub(super) fn rhythm(action: &Action, tempo: f64, rng: &mut Generator) -> (f64, f64) {
    let period = between(action.seconds, rng) / tempo;
    let wanted = between(action.cycles, rng);
    let cycles = wanted.min(LONGEST / period).max(1.0);
    // A walk may stop after any step, a clap is never half a clap.
    let goes_somewhere = action.tracks.iter().any(|track| track.channel == Channel::Travel);
    let cycles = if goes_somewhere {
        cycles
    } else {
        (cycles + 0.25).floor()
    };
    (cycles, (cycles * period).min(LONGEST))
}

/// When the action runs within the recording.
#[derive(Clone, Debug)]
pub(super) struct Timing {
    /// T.
    pub(super) frames: usize,
    onset: f64,
    end: f64,
    skew: f64,
    pause: Option<(f64, f64)>,
}

impl Timing {
    /// A recording of an action of so many seconds, started a little early or late and stopped likewise.
    pub(super) fn draw(seconds: f64, rng: &mut Generator, variation: f64) -> Self {
        let mut slack = || variation * rng.random_range(-0.12..0.5);
        let (before, after) = (slack(), slack());
        // What doesn't fit into a recording is cut from the waiting, never from the action.
        let room = (FRAMES.1 as f64 / FPS - seconds) / (before + after).max(1e-6);
        let (before, after) = (before * room.min(1.0), after * room.min(1.0));
        let total = (before + seconds + after).max(FRAMES.0 as f64 / FPS);
        let frames = ((total * FPS).round() as usize).clamp(FRAMES.0, FRAMES.1);
        let paused = rng.random_bool((0.25 * variation).min(1.0));
        // Where the actor stops for a moment, and for which share of the time.
        let pause = (rng.random_range(0.25..0.75), rng.random_range(0.05..0.12));
        Self {
            frames,
            onset: before / total,
            end: 1.0 - after / total,
            skew: 0.35 * variation.min(2.0) * rng.random_range(-1.0..1.0),
            pause: paused.then_some(pause),
        }
    }

    /// Progress of the action at a frame, `0 ..= 1`, never going back.
    pub(super) fn progress(&self, frame: usize) -> f64 {
        let t = frame as f64 / (self.frames - 1) as f64;
        let u = ((t - self.onset) / (self.end - self.onset)).clamp(0.0, 1.0);
        let u = match self.pause {
            // The rest of the action shares the time that the pause leaves.
            Some((at, long)) => (u.min(at) + (u - at - long).max(0.0)) / (1.0 - long),
            None => u,
        };
        // Faster first or faster last; the slope stays above 1 − 0.7.
        u + self.skew * u * (1.0 - u)
    }
}
