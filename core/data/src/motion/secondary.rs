//! What bodies do besides the action: idle arms, glances, swaying.

use rand::RngExt;

use super::draw::{Generator, normal};
use super::pose::{Channel, Pose, Side};
use super::primitives::{self, Track, Who};
use super::shape::{Shape, wave};

/// What the arm that has nothing to do is doing: hanging, on the hip, bent ahead, behind the back.
pub(super) fn idle_arm(rest: &mut Pose, side: Side, rng: &mut Generator, variation: f64) {
    const PLACES: [[f64; 4]; 3] = [
        [40.0, 75.0, 0.62, 80.0],
        [60.0, -10.0, 0.55, 25.0],
        [20.0, 135.0, 0.75, 60.0],
    ];
    let busy = rng.random_bool((0.4 * variation).min(1.0));
    let place = PLACES[rng.random_range(0..PLACES.len())];
    if busy {
        let channels = [
            Channel::Elevation,
            Channel::Azimuth,
            Channel::Reach,
            Channel::Swivel,
        ];
        for (channel, value) in channels.into_iter().zip(place) {
            rest.set(channel, side, value);
        }
    }
}

/// Something unrelated that some takes show for a moment: a look aside, a shifted trunk, a lifted hand.
pub(super) fn distraction(rng: &mut Generator, variation: f64) -> Vec<Track> {
    let happens = rng.random_bool((0.4 * variation).min(1.0));
    let (from, long) = (rng.random_range(0.0..0.4), rng.random_range(0.4..0.7));
    let shape = Shape::Moment {
        at: from + long / 2.0,
        half: long / 2.0,
    };
    let turned = 40.0 * normal(rng);
    let bent = 16.0 * normal(rng);
    let hand = [
        rng.random_range(30.0..130.0),
        rng.random_range(-40.0..80.0),
        rng.random_range(0.45..0.9),
        30.0,
    ];
    let tracks = match rng.random_range(0..4) {
        0 => vec![
            Track::by(Channel::Look, Who::Lead, turned, shape),
            Track::by(Channel::Nod, Who::Both, bent, shape),
        ],
        1 => vec![Track::by(Channel::Twist, Who::Lead, 0.6 * turned, shape)],
        2 => vec![
            Track::by(Channel::Bend, Who::Both, bent, shape),
            Track::by(Channel::Lean, Who::Lead, 0.6 * bent, shape),
        ],
        _ => primitives::arm(Who::Other, hand, shape),
    };
    if happens { tracks } else { Vec::new() }
}

/// Draws the swaying of all channels that sway.
pub(super) fn sways(strength: f64, rng: &mut Generator) -> Vec<Sway> {
    use Channel::{Azimuth, Bend, Elevation, Lean, Look, Nod, Reach, Twist};
    const AXIAL: [(Channel, f64); 5] = [(Bend, 2.0), (Lean, 2.0), (Twist, 5.0), (Nod, 6.0), (Look, 12.0)];
    const SIDED: [(Channel, f64); 3] = [(Elevation, 6.0), (Azimuth, 8.0), (Reach, 0.025)];
    let sides = |&(channel, by): &(Channel, f64)| Side::BOTH.map(|side| (channel, side, by));
    let axial = AXIAL.iter().map(|&(channel, by)| (channel, Side::Left, by));
    let all = axial.chain(SIDED.iter().flat_map(sides));
    all.map(|(channel, side, by)| Sway {
        channel,
        side,
        by: strength * by * normal(rng),
        hertz: rng.random_range(0.2..0.8),
        phase: rng.random_range(0.0..1.0),
    })
    .collect()
}

/// Slow swaying of one channel that has nothing to do with the action.
#[derive(Clone, Debug)]
pub(super) struct Sway {
    channel: Channel,
    side: Side,
    by: f64,
    hertz: f64,
    phase: f64,
}

impl Sway {
    pub(super) fn apply(&self, pose: &mut Pose, seconds: f64) {
        let by = self.by * wave(self.hertz * seconds + self.phase);
        pose.shift(self.channel, self.side, by);
    }
}
