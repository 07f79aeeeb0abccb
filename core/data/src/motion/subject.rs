//! What stays the same in everything a subject does: body, posture, tempo, preferred side.

use rand::RngExt;
use szar_core::Seed;

use super::body::Body;
use super::draw::normal;
use super::pose::{Channel, Pose, Side};

/// One subject.
#[derive(Clone, Debug)]
pub(super) struct Subject {
    pub(super) body: Body,
    posture: Vec<(Channel, Side, f64)>,
    /// Speed, 1 on average.
    pub(super) tempo: f64,
    /// How large its movements are, 1 on average.
    pub(super) size: f64,
    /// The side it prefers.
    pub(super) lead: Side,
    /// How much it sways, 1 on average.
    pub(super) liveliness: f64,
}

impl Subject {
    /// Draws the subject of this number; `variation` 0 gives the average one.
    pub(super) fn draw(seed: Seed, number: u64, variation: f64) -> Self {
        let rng = &mut seed.derive("motion subject", number).rng();
        let body = Body::draw(rng, variation);
        let mut posture = Vec::new();
        for (channel, width) in [
            (Channel::Bend, 5.0),
            (Channel::Lean, 2.5),
            (Channel::Twist, 4.0),
            (Channel::Nod, 6.0),
        ] {
            posture.push((channel, Side::Left, variation * width * normal(rng)));
        }
        let stance = 3.0 * normal(rng);
        for side in Side::BOTH {
            for (channel, width) in [
                (Channel::Elevation, 4.0),
                (Channel::Azimuth, 25.0),
                (Channel::Swivel, 15.0),
            ] {
                posture.push((channel, side, variation * width * normal(rng)));
            }
            posture.push((Channel::Reach, side, -variation * 0.05 * normal(rng).abs()));
            posture.push((Channel::Abduct, side, variation * stance));
        }
        Self {
            body,
            posture,
            tempo: 1.0 + 0.1 * variation * normal(rng),
            size: 1.0 + 0.09 * variation * normal(rng),
            lead: if rng.random_bool(0.25) {
                Side::Left
            } else {
                Side::Right
            },
            liveliness: rng.random_range(0.4..1.6),
        }
    }

    /// How it stands when nothing happens.
    pub(super) fn rest(&self) -> Pose {
        let mut pose = Pose::standing();
        for &(channel, side, by) in &self.posture {
            pose.shift(channel, side, by);
        }
        pose
    }
}
