//! What actions are made of: raise an arm, swing it, bend the trunk, lift a leg, crouch, step.
//!
//! Classes share these, so that an unseen class is new as a whole but not in its parts.

use super::pose::{Channel, Pose, Side};
use super::shape::Shape;

/// Which side a primitive is for, seen from the side the actor leads with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Who {
    Lead,
    Other,
    Both,
}

/// Movement of one channel.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Track {
    pub(super) channel: Channel,
    pub(super) who: Who,
    pub(super) effect: Effect,
    pub(super) shape: Shape,
}

/// What a track does to its channel.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Effect {
    /// Goes to this value.
    To(f64),
    /// Adds this much.
    By(f64),
}

use Channel::{
    Abduct, Azimuth, Bend, Elevation, Flex, Knee, Lean, Lift, Plant, Reach, Swivel, Toe, Travel, Twist,
};
use Who::{Both, Lead, Other};

impl Track {
    pub(super) fn to(channel: Channel, who: Who, value: f64, shape: Shape) -> Self {
        let effect = Effect::To(value);
        Self {
            channel,
            who,
            effect,
            shape,
        }
    }

    pub(super) fn by(channel: Channel, who: Who, value: f64, shape: Shape) -> Self {
        let effect = Effect::By(value);
        Self {
            channel,
            who,
            effect,
            shape,
        }
    }

    /// Moves a posture; `lead` is the side that the actor prefers.
    pub(super) fn apply(&self, pose: &mut Pose, lead: Side, u: f64, cycles: f64) {
        let weight = self.shape.weight(u, cycles);
        let sides: &[Side] = match self.who {
            Lead => &[lead],
            Other => &[lead.other()],
            Both if self.channel.is_sided() => &[Side::Left, Side::Right],
            Both => &[lead],
        };
        for &side in sides {
            let sign = if self.who == Both {
                1.0
            } else {
                self.channel.towards(side)
            };
            match self.effect {
                Effect::To(value) => pose.pull(self.channel, side, sign * value, weight),
                Effect::By(value) => pose.shift(self.channel, side, sign * value * weight),
            }
        }
    }
}

/// An action under construction.
pub(super) type Tracks = Vec<Track>;

/// Brings the hand to a place: elevation, azimuth, reach, swivel.
pub(super) fn arm(who: Who, place: [f64; 4], shape: Shape) -> Tracks {
    let channels = [Elevation, Azimuth, Reach, Swivel];
    let pairs = channels.into_iter().zip(place);
    pairs
        .map(|(channel, value)| Track::to(channel, who, value, shape))
        .collect()
}

/// Moves one channel to and fro by this much.
pub(super) fn swing(channel: Channel, who: Who, by: f64, at: f64) -> Tracks {
    vec![Track::by(channel, who, by, Shape::Swing { at })]
}

/// Bends the trunk forward.
pub(super) fn bend(degrees: f64, shape: Shape) -> Tracks {
    vec![Track::to(Bend, Both, degrees, shape)]
}

/// Turns the trunk to one side.
pub(super) fn twist(who: Who, degrees: f64, shape: Shape) -> Tracks {
    vec![Track::to(Twist, who, degrees, shape)]
}

/// Leans the trunk to one side.
pub(super) fn lean(who: Who, degrees: f64, shape: Shape) -> Tracks {
    vec![Track::to(Lean, who, degrees, shape)]
}

/// Moves the head.
pub(super) fn head(channel: Channel, who: Who, degrees: f64, shape: Shape) -> Tracks {
    vec![Track::to(channel, who, degrees, shape)]
}

/// Lifts a leg off the floor: thigh ahead, knee bent.
pub(super) fn lift_leg(who: Who, flex: f64, knee: f64, shape: Shape) -> Tracks {
    vec![
        Track::to(Flex, who, flex, shape),
        Track::to(Knee, who, knee, shape),
        Track::to(Plant, who, 0.0, shape),
        Track::to(Toe, who, 15.0, shape),
    ]
}

/// Puts a leg to the side.
pub(super) fn spread_leg(who: Who, degrees: f64, shape: Shape) -> Tracks {
    vec![Track::to(Abduct, who, degrees, shape)]
}

/// Bends both knees over planted feet: thigh and knee angle.
pub(super) fn crouch(flex: f64, knee: f64, shape: Shape) -> Tracks {
    vec![
        Track::to(Flex, Both, flex, shape),
        Track::to(Knee, Both, knee, shape),
    ]
}

/// Leaves the floor, metres.
pub(super) fn leap(height: f64, shape: Shape) -> Tracks {
    vec![
        Track::by(Lift, Both, height, shape),
        Track::to(Toe, Both, 35.0, shape),
    ]
}

/// Alternating steps: swing of the thighs about `flex`, knee of the free leg, metres gone in a cycle of two steps.
pub(super) fn steps(flex: f64, amplitude: f64, knee: f64, way: f64) -> Tracks {
    let mut tracks = vec![
        Track::by(
            Flex,
            Both,
            flex,
            Shape::Hold {
                rise: 0.08,
                fall: 0.92,
                end: 1.0,
            },
        ),
        Track::by(Travel, Both, way, Shape::Advance),
    ];
    for (who, at) in [(Lead, 0.0), (Other, 0.5)] {
        let free = Shape::Beat {
            at: 1.0 - at,
            half: 0.34,
        };
        tracks.push(Track::by(Flex, who, amplitude, Shape::Swing { at }));
        tracks.push(Track::by(Knee, who, knee, free));
        tracks.push(Track::to(
            Plant,
            who,
            0.0,
            Shape::Hold {
                rise: 0.06,
                fall: 0.94,
                end: 1.0,
            },
        ));
    }
    tracks
}

/// Arms that swing against the legs, from behind to ahead: elevation ahead, behind, and reach.
pub(super) fn arm_swing(ahead: f64, behind: f64, reach: f64) -> Tracks {
    let mut tracks = Tracks::new();
    for (who, at) in [(Lead, 0.75), (Other, 0.25)] {
        let front = Shape::Beat { at, half: 0.3 };
        let back = Shape::Beat {
            at: at + 0.5,
            half: 0.3,
        };
        tracks.extend(arm(who, [ahead, 8.0, reach, 5.0], front));
        tracks.extend(arm(who, [behind, 160.0, reach, 5.0], back));
    }
    tracks
}

/// Both fists in front of the chin.
pub(super) fn guard(shape: Shape) -> Tracks {
    arm(Both, [102.0, -8.0, 0.45, 25.0], shape)
}
