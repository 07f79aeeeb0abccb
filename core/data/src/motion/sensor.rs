//! The camera that looks at the scene, and what it gets wrong.

use rand::{Rng, RngExt};
use rand_distr::{Distribution, StandardNormal};

use super::body::{EXTREMITIES, JOINTS};
use super::space::{Vec3, add, pitch, turn};

/// Where the camera stands relative to the scene.
#[derive(Clone, Debug)]
pub(super) struct View {
    /// Middle of the scene on the floor, in metres: to the right, up, away.
    place: Vec3,
    /// Camera looking down, in degrees.
    tilt: f64,
}

impl View {
    pub(super) fn draw(rng: &mut impl Rng, variation: f64) -> Self {
        let mut about =
            |middle: f64, half: f64| middle + half * variation.min(1.5) * rng.random_range(-1.0..1.0);
        Self {
            place: [about(0.0, 0.5), -about(1.2, 0.4), about(3.0, 0.6)],
            tilt: about(0.0, 8.0),
        }
    }

    /// From the scene to the camera: origin in the camera, +z away from it.
    pub(super) fn see(&self, joints: &[Vec3; JOINTS], aside: Vec3) -> [Vec3; JOINTS] {
        let tilt = pitch(self.tilt);
        joints.map(|joint| turn(&tilt, add(add(joint, aside), self.place)))
    }
}

/// What a sensor gets wrong; the strengths come from the options.
#[derive(Clone, Copy, Debug)]
pub(super) struct Flaws {
    /// Standard deviation of a trunk joint 3 m away, metres.
    pub(super) noise: f64,
    /// Share of joints not tracked.
    pub(super) dropped_joints: f64,
    /// Share of frames without a body.
    pub(super) dropped_frames: f64,
}

/// Frames for which a joint stays lost, on average.
const LOST_FOR: f64 = 5.0;
/// Share of the slow error that stays from frame to frame.
const MEMORY: f64 = 0.85;
/// Lost joints are this many times as often at the extremities as on average.
const EXTREMITY_LOSS: f64 = 2.0;

/// A sensor in the course of a recording: slow errors and lost joints last for some frames.
#[derive(Debug)]
pub(super) struct Sensor {
    flaws: Flaws,
    slow: [Vec3; JOINTS],
    lost: [bool; JOINTS],
}

impl Sensor {
    pub(super) fn start(flaws: Flaws, rng: &mut impl Rng) -> Self {
        let slow = std::array::from_fn(|_| white(rng));
        let lost = std::array::from_fn(|joint| rng.random_bool(flaws.loss(joint)));
        Self { flaws, slow, lost }
    }

    /// One frame as recorded; a lost joint is (0, 0, 0), and so are all when the body is lost.
    pub(super) fn record(&mut self, joints: &[Vec3; JOINTS], rng: &mut impl Rng) -> [[f32; 3]; JOINTS] {
        let mut out = [[0.0; 3]; JOINTS];
        let body_lost = rng.random_bool(self.flaws.dropped_frames);
        for (number, joint) in joints.iter().enumerate() {
            let error = self.error(number, joint[2], rng);
            let lost = self.is_lost(number, rng);
            if !(lost || body_lost) {
                out[number] = add(*joint, error).map(|x| x as f32);
            }
        }
        out
    }

    fn error(&mut self, joint: usize, distance: f64, rng: &mut impl Rng) -> Vec3 {
        let fresh = white(rng);
        let step = white(rng);
        let slow = &mut self.slow[joint];
        let renewed = (1.0 - MEMORY * MEMORY).sqrt();
        *slow = std::array::from_fn(|k| MEMORY * slow[k] + renewed * step[k]);
        let far = distance / 3.0;
        let worse = if EXTREMITIES.contains(&joint) { 2.0 } else { 1.0 };
        let sigma = self.flaws.noise * (0.4 + 0.6 * far * far) * worse;
        std::array::from_fn(|k| sigma * (0.6 * fresh[k] + 0.8 * slow[k]))
    }

    fn is_lost(&mut self, joint: usize, rng: &mut impl Rng) -> bool {
        let now = self.lost[joint];
        let share = self.flaws.loss(joint);
        let chance = if now {
            1.0 / LOST_FOR
        } else {
            share / (1.0 - share) / LOST_FOR
        };
        self.lost[joint] = now != rng.random_bool(chance.min(1.0));
        now
    }
}

impl Flaws {
    /// Share of frames in which this joint is lost.
    fn loss(&self, joint: usize) -> f64 {
        let extremities = EXTREMITIES.len() as f64;
        let rest = (JOINTS as f64 - EXTREMITY_LOSS * extremities) / (JOINTS as f64 - extremities);
        let factor = if EXTREMITIES.contains(&joint) {
            EXTREMITY_LOSS
        } else {
            rest
        };
        (factor * self.dropped_joints).min(0.9)
    }
}

fn white(rng: &mut impl Rng) -> Vec3 {
    std::array::from_fn(|_| StandardNormal.sample(rng))
}
